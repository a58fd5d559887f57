/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of virtio 1.x devices on PCI, as small as can be: enough to use a device, and to misuse
 * it. Registers by mechanism #1. One ring at a time for each struct virtio, in static memory.
 */
#ifndef BALLAST_TEST_GUEST_VIRTIO_H
#define BALLAST_TEST_GUEST_VIRTIO_H

#include "guest.h"

#define VIRTIO_NET 1
#define VIRTIO_BLK 2
#define VIRTIO_CONSOLE 3
#define VIRTIO_RNG 4
#define VIRTIO_BALLOON 5

#define VIRTIO_ACKNOWLEDGE 1
#define VIRTIO_DRIVER 2
#define VIRTIO_DRIVER_OK 4
#define VIRTIO_FEATURES_OK 8
#define VIRTIO_NEEDS_RESET 0x40

#define VIRTIO_F_INDIRECT (1ULL << 28)
#define VIRTIO_F_EVENT_INDEX (1ULL << 29)
#define VIRTIO_F_VERSION_1 (1ULL << 32)

/* Offsets in the common configuration structure. */
#define COMMON_FEATURE_SELECT 0
#define COMMON_FEATURE 4
#define COMMON_DRIVER_FEATURE_SELECT 8
#define COMMON_DRIVER_FEATURE 12
#define COMMON_MSIX_CONFIG 16
#define COMMON_QUEUES 18
#define COMMON_STATUS 20
#define COMMON_GENERATION 21
#define COMMON_QUEUE_SELECT 22
#define COMMON_QUEUE_SIZE 24
#define COMMON_QUEUE_MSIX 26
#define COMMON_QUEUE_ENABLE 28
#define COMMON_QUEUE_NOTIFY 30
#define COMMON_QUEUE_DESCRIPTORS 32
#define COMMON_QUEUE_AVAILABLE 40
#define COMMON_QUEUE_USED 48
#define COMMON_BYTES 56

#define DESC_NEXT 1
#define DESC_WRITE 2
#define DESC_INDIRECT 4

struct descriptor {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags;
	uint16_t next;
};

#define RING_SIZE 16

struct ring {
	struct descriptor descriptors[RING_SIZE];
	struct {
		uint16_t flags, index, ring[RING_SIZE], used_event;
	} available;
	struct {
		uint16_t flags, index;
		struct { uint32_t id, bytes; } ring[RING_SIZE];
		uint16_t available_event;
	} used __attribute__((aligned(16)));
} __attribute__((aligned(4096)));

struct virtio {
	uint32_t function;             /* address of its configuration space, for port 0xcf8 */
	unsigned int device;           /* VIRTIO_NET, ... */
	volatile uint8_t *common, *isr, *config, *notify;
	uint16_t notify_port;          /* 0: none */
	uint32_t notify_multiplier, notify_port_multiplier;
	volatile struct ring *ring;    /* of `queue` */
	unsigned int queue;
	uint16_t notify_offset;        /* likewise */
	uint16_t size;                 /* likewise: at most RING_SIZE, as the device has it */
	uint16_t seen;                 /* used entries that were taken */
};

/* PCI configuration space; `function` is devfn << 8. */
uint32_t pci_read(uint32_t function, unsigned int offset);
void pci_write(uint32_t function, unsigned int offset, uint32_t value);
/* Offset of the n-th capability with this id, from 0; 0: none. */
unsigned int pci_capability(uint32_t function, uint8_t id, unsigned int nth);
/* The function of the n-th device of this virtio kind, or 0. */
uint32_t virtio_function(unsigned int device, unsigned int nth);

/* Find the structures of the n-th device of this kind. False: there is none. */
bool virtio_open(struct virtio *v, unsigned int device, unsigned int nth);
/* Reset; false when it does not end within a second. */
bool virtio_reset(struct virtio *v);
uint64_t virtio_features(struct virtio *v);
/* From reset to FEATURES_OK with these of the features offered, VERSION_1 always. */
bool virtio_negotiate(struct virtio *v, uint64_t features);
/* Use `ring` as queue `queue`, without entries. */
void virtio_set_queue(struct virtio *v, unsigned int queue, volatile struct ring *ring);
void virtio_enable_queue(struct virtio *v, unsigned int queue, uint64_t descriptors,
	uint64_t available, uint64_t used, uint16_t size);
/* Have the queue set last interrupt CPU 0 by this vector, through entry 0 of the MSI-X table. */
void virtio_set_vector(struct virtio *v, uint8_t vector);
void virtio_start(struct virtio *v);
uint8_t virtio_status(struct virtio *v);

/* Make the chain that begins at descriptor `head` available, and tell the device. */
void virtio_submit(struct virtio *v, uint16_t head);
void virtio_notify(struct virtio *v);
/* What a chain is made of: descriptor `at`, for the ring set last. */
void virtio_describe(struct virtio *v, unsigned int at, const volatile void *data, uint32_t bytes,
	uint16_t flags);
/* Is there one more used entry? It counts as taken then. */
bool virtio_take(struct virtio *v);
/* Wait for one more used entry: its length, or -1 after `ns`. */
int64_t virtio_wait(struct virtio *v, uint64_t ns);

static inline uint8_t common8(struct virtio *v, unsigned int offset)
{
	return v->common[offset];
}

static inline uint16_t common16(struct virtio *v, unsigned int offset)
{
	return *(volatile uint16_t *)(v->common + offset);
}

static inline uint32_t common32(struct virtio *v, unsigned int offset)
{
	return *(volatile uint32_t *)(v->common + offset);
}

static inline void set_common8(struct virtio *v, unsigned int offset, uint8_t value)
{
	v->common[offset] = value;
}

static inline void set_common16(struct virtio *v, unsigned int offset, uint16_t value)
{
	*(volatile uint16_t *)(v->common + offset) = value;
}

static inline void set_common32(struct virtio *v, unsigned int offset, uint32_t value)
{
	*(volatile uint32_t *)(v->common + offset) = value;
}

static inline void set_common64(struct virtio *v, unsigned int offset, uint64_t value)
{
	set_common32(v, offset, (uint32_t)value);
	set_common32(v, offset + 4, value >> 32);
}

#endif
