/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What input and output cost, as ops.c tells of single instructions: a disk's requests and packets
 * between two network devices at one switch, by interrupts and HLT, as a driver does it. In TSC
 * ticks; the same file runs under any hypervisor with modern virtio devices on PCI.
 *
 *   bench blk-read-4k TICKS    one request at a time, from notification to interrupt
 *   bench blk-read-4k-5 TICKS  a request, when five are made available at once
 *   bench blk-read-mib TICKS   1 MiB in requests of 64 KiB, four at once
 *   bench net-packet TICKS     a frame of 64 bytes from one device to the other, one at a time
 *   bench net-packet-8 TICKS   a frame, when eight are sent at once
 *   bench net-mib TICKS        1 MiB in frames of 1,514 bytes, eight at once
 *
 * and blk-write-... likewise.
 */
#include "virtio.h"

#define ROUNDS 64
#define VECTOR_FIRST 0x41
#define KIB(n) ((n) * 1024U)
#define NET_HEADER 12
#define NET_F_MAC (1ULL << 5)
#define BATCH 8

/* See ops.c. */
#define MARK(name) __asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long %c0" : : "i"(name) : "memory")
#define MARK_END() __asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long 1" : : : "memory")

#define MEASURE(name, rounds, units, code)                                                         \
	do {                                                                                       \
		uint64_t start_;                                                                   \
                                                                                                   \
		code;                                                                              \
		MARK(name);                                                                        \
		start_ = rdtsc();                                                                  \
		for (unsigned int round_ = 0; round_ < (rounds); round_++) {                       \
			code;                                                                      \
		}                                                                                  \
		start_ = rdtsc() - start_;                                                         \
		MARK_END();                                                                        \
		guest_print("bench %s %lu\n", name, start_ / ((rounds) * (units)));                \
	} while (0)

static volatile struct ring blk_ring, send_ring, receive_ring;
static uint8_t data[BATCH * KIB(64)] __attribute__((aligned(4096)));
static uint8_t received[RING_SIZE * KIB(4)] __attribute__((aligned(4096)));
static struct {
	uint32_t type, reserved;
	uint64_t sector;
} headers[BATCH];
static volatile uint8_t status[BATCH];
static volatile uint64_t interrupts;

static void on_interrupt(struct frame *frame)
{
	(void)frame;
	interrupts++;
	lapic_write(LAPIC_EOI, 0);
}

/* Halt until the queue has given `count` more back. */
static void collect(struct virtio *v, unsigned int count)
{
	while (count) {
		cli();
		if (virtio_take(v)) {
			count--;
			continue;
		}
		sti_hlt();
	}
	cli();
}

/* --- disk --- */

/* `count` requests of `bytes` each at once, from sector 0 on; their descriptors are three each. */
static void blk(struct virtio *v, uint32_t type, unsigned int count, uint32_t bytes)
{
	uint16_t index = v->ring->available.index;

	for (unsigned int i = 0; i < count; i++) {
		unsigned int at = 3 * i;

		headers[i].type = type;
		headers[i].sector = i * (bytes / 512);
		virtio_describe(v, at, &headers[i], sizeof(headers[i]), DESC_NEXT);
		virtio_describe(v, at + 1, data + i * bytes, bytes,
			(type ? 0 : DESC_WRITE) | DESC_NEXT);
		virtio_describe(v, at + 2, &status[i], 1, DESC_WRITE);
		v->ring->available.ring[(index + i) % RING_SIZE] = at;
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	v->ring->available.index = index + count;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	virtio_notify(v);
	collect(v, count);
	for (unsigned int i = 0; i < count; i++)
		CHECK_EQUAL(status[i], 0);
}

static void blk_mib(struct virtio *v, uint32_t type)
{
	for (unsigned int i = 0; i < 4; i++)
		blk(v, type, 4, KIB(64));
}

/* RING_SIZE holds five chains of three. */
#define DISK_BATCH 5

static void measure_blk(void)
{
	struct virtio v;

	CHECK(virtio_open(&v, VIRTIO_BLK, 0));
	CHECK(virtio_negotiate(&v, 0));
	virtio_set_queue(&v, 0, &blk_ring);
	virtio_set_vector(&v, VECTOR_FIRST);
	virtio_start(&v);
	MEASURE("blk-read-4k", ROUNDS, 1, blk(&v, 0, 1, KIB(4)));
	MEASURE("blk-write-4k", ROUNDS, 1, blk(&v, 1, 1, KIB(4)));
	MEASURE("blk-read-4k-5", ROUNDS, DISK_BATCH, blk(&v, 0, DISK_BATCH, KIB(4)));
	MEASURE("blk-write-4k-5", ROUNDS, DISK_BATCH, blk(&v, 1, DISK_BATCH, KIB(4)));
	MEASURE("blk-read-mib", 4, 1, blk_mib(&v, 0));
	MEASURE("blk-write-mib", 4, 1, blk_mib(&v, 1));
	CHECK(virtio_reset(&v));
}

/* --- network --- */

static void post(struct virtio *receiver, unsigned int count)
{
	uint16_t index = receiver->ring->available.index;

	for (unsigned int i = 0; i < count; i++) {
		unsigned int at = (index + i) % RING_SIZE;

		virtio_describe(receiver, at, received + at * KIB(4), 1526, DESC_WRITE);
		receiver->ring->available.ring[at] = at;
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	receiver->ring->available.index = index + count;
}

/* Without interrupts for what has been sent: drivers look at that when they send again. */
static void send(struct virtio *sender, struct virtio *receiver, unsigned int count,
	uint32_t bytes)
{
	uint16_t index = sender->ring->available.index;

	post(receiver, count);
	for (unsigned int i = 0; i < count; i++) {
		unsigned int at = (index + i) % RING_SIZE;

		virtio_describe(sender, at, data, NET_HEADER + bytes, 0);
		sender->ring->available.ring[at] = at;
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	sender->ring->available.index = index + count;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	virtio_notify(sender);
	collect(receiver, count);
	for (unsigned int i = 0; i < count; i++)
		while (!virtio_take(sender))
			;
}

static void net_mib(struct virtio *sender, struct virtio *receiver)
{
	for (unsigned int frames = 0; frames < 696; frames += BATCH)
		send(sender, receiver, BATCH, 1514);
}

static void measure_net(void)
{
	struct virtio sender, receiver;

	CHECK(virtio_open(&sender, VIRTIO_NET, 0));
	CHECK(virtio_open(&receiver, VIRTIO_NET, 1));
	CHECK(virtio_negotiate(&receiver, NET_F_MAC));
	virtio_set_queue(&receiver, 0, &receive_ring);
	virtio_set_vector(&receiver, VECTOR_FIRST + 1);
	virtio_start(&receiver);
	CHECK(virtio_negotiate(&sender, NET_F_MAC));
	virtio_set_queue(&sender, 1, &send_ring);
	send_ring.available.flags = 1;
	virtio_start(&sender);
	memset(data, 0, 2048);
	for (unsigned int i = 0; i < 6; i++) {
		data[NET_HEADER + i] = receiver.config[i];
		data[NET_HEADER + 6 + i] = sender.config[i];
	}
	/* The switch learns who is where; more buffers than frames, as drivers have them. */
	post(&receiver, 2);
	virtio_notify(&receiver);
	MEASURE("net-packet", ROUNDS, 1, send(&sender, &receiver, 1, 64));
	MEASURE("net-packet-8", ROUNDS, BATCH, send(&sender, &receiver, BATCH, 64));
	MEASURE("net-mib", 1, 1, net_mib(&sender, &receiver));
	CHECK(virtio_reset(&sender));
	CHECK(virtio_reset(&receiver));
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	lapic_enable();
	guest_set_handler(VECTOR_FIRST, on_interrupt);
	guest_set_handler(VECTOR_FIRST + 1, on_interrupt);
	measure_blk();
	measure_net();
	guest_print("bench done %d\n", guest_failures());
	return guest_failures();
}
