/* SPDX-License-Identifier: BSD-2-Clause */
/* A driver of virtio devices; see virtio.h. */
#include "virtio.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define CONFIG_ENABLE 0x80000000U

#define PCI_COMMAND 0x04
#define PCI_BAR 0x10
#define PCI_CAPABILITIES 0x34
#define PCI_VENDOR_VIRTIO 0x1af4
#define PCI_DEVICE_VIRTIO 0x1040
#define CAPABILITY_VENDOR 0x09
#define CAPABILITY_MSIX 0x11
#define MSIX_ENABLE 0x80000000U

#define STRUCTURE_COMMON 1
#define STRUCTURE_NOTIFY 2
#define STRUCTURE_ISR 3
#define STRUCTURE_DEVICE 4

uint32_t pci_read(uint32_t function, unsigned int offset)
{
	out32(CONFIG_ADDRESS, CONFIG_ENABLE | function | (offset & 0xfc));
	return in32(CONFIG_DATA);
}

void pci_write(uint32_t function, unsigned int offset, uint32_t value)
{
	out32(CONFIG_ADDRESS, CONFIG_ENABLE | function | (offset & 0xfc));
	out32(CONFIG_DATA, value);
}

unsigned int pci_capability(uint32_t function, uint8_t id, unsigned int nth)
{
	unsigned int at = pci_read(function, PCI_CAPABILITIES) & 0xfc;

	for (unsigned int i = 0; at && i < 48; i++) {
		uint32_t head = pci_read(function, at);

		if ((head & 0xff) == id && nth-- == 0)
			return at;
		at = head >> 8 & 0xfc;
	}
	return 0;
}

uint32_t virtio_function(unsigned int device, unsigned int nth)
{
	for (uint32_t function = 0; function < 0x10000; function += 0x100) {
		uint32_t id = pci_read(function, 0);

		if (id == ((PCI_DEVICE_VIRTIO + device) << 16 | PCI_VENDOR_VIRTIO) && nth-- == 0)
			return function;
	}
	return 0;
}

static void take_structure(struct virtio *v, unsigned int at)
{
	uint32_t head = pci_read(v->function, at);
	unsigned int bar = pci_read(v->function, at + 4) & 0xff;
	uint32_t base = pci_read(v->function, PCI_BAR + 4 * bar);
	uint32_t offset = pci_read(v->function, at + 8);
	volatile uint8_t *memory = (volatile uint8_t *)((uint64_t)(base & ~15U) + offset);

	switch (head >> 24) {
	case STRUCTURE_COMMON:
		v->common = memory;
		break;
	case STRUCTURE_NOTIFY:
		if (base & 1) {
			v->notify_port = (base & ~3U) + offset;
			v->notify_port_multiplier = pci_read(v->function, at + 16);
		} else {
			v->notify = memory;
			v->notify_multiplier = pci_read(v->function, at + 16);
		}
		break;
	case STRUCTURE_ISR:
		v->isr = memory;
		break;
	case STRUCTURE_DEVICE:
		v->config = memory;
		break;
	}
}

bool virtio_open(struct virtio *v, unsigned int device, unsigned int nth)
{
	unsigned int at;

	memset(v, 0, sizeof(*v));
	v->device = device;
	v->function = virtio_function(device, nth);
	if (!v->function)
		return false;
	pci_write(v->function, PCI_COMMAND, 7);
	for (unsigned int i = 0; (at = pci_capability(v->function, CAPABILITY_VENDOR, i)); i++)
		take_structure(v, at);
	return v->common && v->isr && (v->notify || v->notify_port);
}

uint8_t virtio_status(struct virtio *v)
{
	return common8(v, COMMON_STATUS);
}

bool virtio_reset(struct virtio *v)
{
	uint64_t end = rdtsc() + guest_tsc_hz();

	set_common8(v, COMMON_STATUS, 0);
	while (virtio_status(v)) {
		if (rdtsc() > end)
			return false;
	}
	return true;
}

uint64_t virtio_features(struct virtio *v)
{
	uint64_t features;

	set_common32(v, COMMON_FEATURE_SELECT, 0);
	features = common32(v, COMMON_FEATURE);
	set_common32(v, COMMON_FEATURE_SELECT, 1);
	return features | (uint64_t)common32(v, COMMON_FEATURE) << 32;
}

bool virtio_negotiate(struct virtio *v, uint64_t features)
{
	if (!virtio_reset(v))
		return false;
	set_common8(v, COMMON_STATUS, VIRTIO_ACKNOWLEDGE);
	set_common8(v, COMMON_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	features = (features | VIRTIO_F_VERSION_1) & virtio_features(v);
	set_common32(v, COMMON_DRIVER_FEATURE_SELECT, 0);
	set_common32(v, COMMON_DRIVER_FEATURE, (uint32_t)features);
	set_common32(v, COMMON_DRIVER_FEATURE_SELECT, 1);
	set_common32(v, COMMON_DRIVER_FEATURE, features >> 32);
	set_common8(v, COMMON_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
	return virtio_status(v) & VIRTIO_FEATURES_OK;
}

void virtio_enable_queue(struct virtio *v, unsigned int queue, uint64_t descriptors,
	uint64_t available, uint64_t used, uint16_t size)
{
	set_common16(v, COMMON_QUEUE_SELECT, queue);
	set_common16(v, COMMON_QUEUE_SIZE, size);
	set_common64(v, COMMON_QUEUE_DESCRIPTORS, descriptors);
	set_common64(v, COMMON_QUEUE_AVAILABLE, available);
	set_common64(v, COMMON_QUEUE_USED, used);
	v->notify_offset = common16(v, COMMON_QUEUE_NOTIFY);
	set_common16(v, COMMON_QUEUE_ENABLE, 1);
}

void virtio_set_queue(struct virtio *v, unsigned int queue, volatile struct ring *ring)
{
	memset((void *)ring, 0, sizeof(*ring));
	v->ring = ring;
	v->queue = queue;
	v->seen = 0;
	set_common16(v, COMMON_QUEUE_SELECT, queue);
	v->size = common16(v, COMMON_QUEUE_SIZE);
	if (v->size > RING_SIZE)
		v->size = RING_SIZE;
	virtio_enable_queue(v, queue, (uint64_t)ring->descriptors, (uint64_t)&ring->available,
		(uint64_t)&ring->used, v->size);
}

void virtio_set_vector(struct virtio *v, uint8_t vector)
{
	unsigned int capability = pci_capability(v->function, CAPABILITY_MSIX, 0);
	uint32_t where = pci_read(v->function, capability + 4);
	uint32_t bar = pci_read(v->function, PCI_BAR + 4 * (where & 7)) & ~15U;
	volatile uint32_t *entry = (volatile uint32_t *)(uint64_t)(bar + (where & ~7U));

	pci_write(v->function, capability, MSIX_ENABLE);
	entry[0] = LAPIC_BASE;
	entry[1] = 0;
	entry[2] = vector;
	entry[3] = 0;
	set_common16(v, COMMON_QUEUE_SELECT, v->queue);
	set_common16(v, COMMON_QUEUE_MSIX, 0);
}

void virtio_start(struct virtio *v)
{
	set_common8(v, COMMON_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK |
		VIRTIO_DRIVER_OK);
}

void virtio_notify(struct virtio *v)
{
	if (v->notify_port)
		out16(v->notify_port + v->notify_offset * v->notify_port_multiplier, v->queue);
	else
		*(volatile uint16_t *)(v->notify + v->notify_offset * v->notify_multiplier) =
			v->queue;
}

void virtio_submit(struct virtio *v, uint16_t head)
{
	v->ring->available.ring[v->ring->available.index % v->size] = head;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	v->ring->available.index++;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	virtio_notify(v);
}

void virtio_describe(struct virtio *v, unsigned int at, const volatile void *data, uint32_t bytes,
	uint16_t flags)
{
	volatile struct descriptor *d = &v->ring->descriptors[at];

	d->address = (uint64_t)data;
	d->bytes = bytes;
	d->flags = flags;
	d->next = at + 1;
}

bool virtio_take(struct virtio *v)
{
	if (v->ring->used.index == v->seen)
		return false;
	v->seen++;
	return true;
}

int64_t virtio_wait(struct virtio *v, uint64_t ns)
{
	uint64_t end = rdtsc() + guest_tsc_hz() / 1000 * (ns / 1000) / 1000;

	while (v->ring->used.index == v->seen) {
		if (rdtsc() > end)
			return -1;
	}
	return v->ring->used.ring[v->seen++ % v->size].bytes;
}
