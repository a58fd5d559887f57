/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio devices misused in every way a driver can think of: after each, the device is reset and has
 * to do an ordinary request, and no byte outside of what it was given may have changed.
 */
#include "hostile.h"
#include "virtio.h"

#define MS 1000000ULL
#define HUGE_BYTES 0xffffffffU
#define BALLOON_REPORTING (1ULL << 5)
#define FREE_PAGE 0x2000U /* number of the page at 32 MiB, and nothing of ours beyond it */

static volatile struct ring ring;
static struct descriptor table[512] __attribute__((aligned(4096)));
static uint8_t arena[16384] __attribute__((aligned(4096)));
static uint8_t *const data = arena + 4096; /* 8 KiB, with 4 KiB on either side that nobody owns */
static struct {
	uint32_t type, reserved;
	uint64_t sector;
} blk_header;

static const unsigned int kinds[] = { VIRTIO_RNG, VIRTIO_CONSOLE, VIRTIO_BLK, VIRTIO_NET,
	VIRTIO_BALLOON };

/* Which queue of the device an ordinary request goes to. */
static unsigned int queue_of(const struct virtio *v)
{
	return v->device == VIRTIO_NET || v->device == VIRTIO_CONSOLE ? 1 : 0;
}

static void set(volatile struct descriptor *d, uint64_t address, uint32_t bytes, uint16_t flags,
	uint16_t next)
{
	d->address = address;
	d->bytes = bytes;
	d->flags = flags;
	d->next = next;
}

/* An ordinary request's descriptors from d[0] on; returns how many. */
static unsigned int ordinary(struct virtio *v, volatile struct descriptor *d)
{
	switch (v->device) {
	case VIRTIO_RNG:
		set(d, (uint64_t)data, 64, DESC_WRITE, 0);
		return 1;
	case VIRTIO_BLK:
		blk_header.type = 0;
		blk_header.sector = 3;
		set(d, (uint64_t)&blk_header, 16, DESC_NEXT, 1);
		set(d + 1, (uint64_t)data, 512, DESC_NEXT | DESC_WRITE, 2);
		set(d + 2, (uint64_t)(data + 1024), 1, DESC_WRITE, 0);
		return 3;
	case VIRTIO_NET:
		memset(data, 0, 72);
		memset(data + 12, 0xff, 6);
		for (unsigned int i = 0; i < 6; i++)
			data[18 + i] = v->config[i];
		set(d, (uint64_t)data, 72, 0, 0);
		return 1;
	case VIRTIO_BALLOON:
		for (unsigned int i = 0; i < 16; i++)
			((uint32_t *)data)[i] = FREE_PAGE + i;
		set(d, (uint64_t)data, 64, 0, 0);
		return 1;
	default:
		data[0] = '.';
		set(d, (uint64_t)data, 1, 0, 0);
		return 1;
	}
}

static void begin(struct virtio *v, uint64_t features)
{
	CHECK(virtio_negotiate(v, features));
	virtio_set_queue(v, queue_of(v), &ring);
	virtio_start(v);
}

static void paint(void)
{
	memset(arena, 0xa5, sizeof(arena));
}

static void check_paint(void)
{
	for (unsigned int i = 0; i < 4096; i++) {
		if (arena[i] != 0xa5 || arena[12288 + i] != 0xa5) {
			CHECK_EQUAL(i, 0xa5a5);
			return;
		}
	}
}

/* The device is sound again: reset, one request, its answer. */
static void recover(struct virtio *v)
{
	int64_t written;

	check_paint();
	begin(v, VIRTIO_F_EVENT_INDEX);
	ordinary(v, ring.descriptors);
	virtio_submit(v, 0);
	written = virtio_wait(v, 2000 * MS);
	CHECK(written >= 0);
	if (v->device == VIRTIO_BLK)
		CHECK_EQUAL(*(uint64_t *)data, 3);
	CHECK_EQUAL(virtio_status(v) & VIRTIO_NEEDS_RESET, 0);
	check_paint();
}

/* Run `attack` on each device that there is, and see that it recovers. */
static void on_each(void (*attack)(struct virtio *v))
{
	struct virtio v;

	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		CHECK(virtio_open(&v, kinds[i], 0));
		paint();
		recover(&v);
		attack(&v);
		recover(&v);
		CHECK(virtio_reset(&v));
	}
}

/* Make descriptor 0 available and give the device a moment. */
static void submit(struct virtio *v)
{
	virtio_submit(v, 0);
	guest_delay_ns(1 * MS);
}

static const uint64_t bad_addresses[] = { RAM_END, RAM_END - 8, RAM_END - 512, PCI_HOLE, LAPIC_BASE,
	IOAPIC_BASE, 0xa0000, 0xfffffff8, 0xffffffff, 1ULL << 32, 1ULL << 40, 1ULL << 52, 1ULL << 63,
	~0ULL, ~0ULL - 15, ~0ULL - 4095 };
#define BAD (sizeof(bad_addresses) / sizeof(bad_addresses[0]))
static const uint32_t bad_lengths[] = { 0, 1, 15, 511, 513, 0x7fffffff, 0x80000000, HUGE_BYTES };
#define LENGTHS (sizeof(bad_lengths) / sizeof(bad_lengths[0]))

/* --- chains --- */

static void attack_loops(struct virtio *v)
{
	for (unsigned int length = 1; length <= v->size; length++) {
		begin(v, 0);
		for (unsigned int i = 0; i < length; i++)
			set(&ring.descriptors[i], (uint64_t)data, 16, DESC_NEXT, (i + 1) % length);
		submit(v);
		begin(v, 0);
		for (unsigned int i = 0; i < length; i++)
			set(&ring.descriptors[i], (uint64_t)data, 16, DESC_NEXT | DESC_WRITE,
				(i + 1) % length);
		submit(v);
	}
}

static void attack_next(struct virtio *v)
{
	static const uint16_t nexts[] = { RING_SIZE, RING_SIZE + 1, 255, 256, 0x7fff, 0xffff };

	for (unsigned int i = 0; i < 6; i++) {
		begin(v, 0);
		set(&ring.descriptors[0], (uint64_t)data, 16, DESC_NEXT, nexts[i]);
		submit(v);
		begin(v, 0);
		ordinary(v, ring.descriptors);
		virtio_submit(v, nexts[i]); /* as the head */
		guest_delay_ns(MS);
	}
}

static void attack_addresses(struct virtio *v)
{
	for (unsigned int a = 0; a < BAD; a++) {
		for (unsigned int flags = 0; flags <= DESC_WRITE; flags += DESC_WRITE) {
			begin(v, 0);
			unsigned int count = ordinary(v, ring.descriptors);

			for (unsigned int i = 0; i < count; i++)
				ring.descriptors[i].address = bad_addresses[a];
			ring.descriptors[0].flags |= flags;
			submit(v);
		}
	}
}

static void attack_lengths(struct virtio *v)
{
	for (unsigned int l = 0; l < LENGTHS; l++) {
		for (unsigned int which = 0; which < 3; which++) {
			begin(v, 0);
			if (which >= ordinary(v, ring.descriptors))
				break;
			/* No more of memory than is the guest's to lose: the far end of RAM. */
			ring.descriptors[which].address = RAM_END - 4096;
			ring.descriptors[which].bytes = bad_lengths[l];
			submit(v);
		}
	}
}

static void attack_order(struct virtio *v)
{
	begin(v, 0);
	set(&ring.descriptors[0], (uint64_t)data, 16, DESC_NEXT | DESC_WRITE, 1);
	set(&ring.descriptors[1], (uint64_t)data, 16, DESC_NEXT, 2);
	set(&ring.descriptors[2], (uint64_t)data, 16, DESC_WRITE, 0);
	submit(v);
	/* Only readable, only writable, nothing at all, flags that do not exist. */
	for (unsigned int flags = 0; flags < 256; flags += 2) {
		begin(v, 0);
		set(&ring.descriptors[0], (uint64_t)data, flags < 4 ? 0 : 32,
			(flags & ~DESC_NEXT & ~DESC_INDIRECT) | (flags & 128 ? 0xfff8 : 0), 0);
		submit(v);
	}
}

/* --- indirect tables --- */

static void submit_table(struct virtio *v, uint64_t address, uint32_t bytes, uint16_t flags)
{
	begin(v, VIRTIO_F_INDIRECT);
	set(&ring.descriptors[0], address, bytes, DESC_INDIRECT | flags, 1);
	set(&ring.descriptors[1], (uint64_t)data, 16, 0, 0);
	submit(v);
}

static void attack_indirect(struct virtio *v)
{
	static const uint32_t sizes[] = { 0, 1, 8, 15, 16, 17, 24, 32, 512 * 16, 65536 * 16,
		0x7ffffff0, 0xfffffff0, HUGE_BYTES };

	for (unsigned int i = 0; i < 512; i++)
		set(&table[i], (uint64_t)data, 1, i < 511 ? DESC_NEXT : 0, i + 1);
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		submit_table(v, (uint64_t)table, sizes[i], 0);
	for (unsigned int a = 0; a < BAD; a++)
		submit_table(v, bad_addresses[a], 64, 0);
	submit_table(v, (uint64_t)table + 1, 64, 0);
	submit_table(v, (uint64_t)table, 64, DESC_NEXT);
	submit_table(v, (uint64_t)table, 64, DESC_WRITE);
	/* A loop, a way out of the table, a table within the table, the ring itself as a table. */
	set(&table[1], (uint64_t)data, 1, DESC_NEXT, 0);
	submit_table(v, (uint64_t)table, 32, 0);
	set(&table[1], (uint64_t)data, 1, DESC_NEXT, 40);
	submit_table(v, (uint64_t)table, 32, 0);
	set(&table[0], (uint64_t)table, 64, DESC_INDIRECT, 0);
	submit_table(v, (uint64_t)table, 64, 0);
	submit_table(v, (uint64_t)&ring, 64, 0);
	/* Not negotiated. */
	begin(v, 0);
	set(&ring.descriptors[0], (uint64_t)table, 64, DESC_INDIRECT, 0);
	submit(v);
}

/* --- the rings themselves --- */

static void attack_indices(struct virtio *v)
{
	static const uint16_t jumps[] = { RING_SIZE + 1, 2 * RING_SIZE, 0x7fff, 0x8000, 0xffff };

	for (unsigned int i = 0; i < 5; i++) {
		begin(v, VIRTIO_F_EVENT_INDEX);
		ordinary(v, ring.descriptors);
		ring.available.index += jumps[i];
		virtio_notify(v);
		guest_delay_ns(MS);
		ring.available.index = 0; /* back */
		virtio_notify(v);
	}
	/* The same head again and again, while it may be in use. */
	begin(v, 0);
	ordinary(v, ring.descriptors);
	for (unsigned int i = 0; i < 200; i++)
		virtio_submit(v, 0);
	guest_delay_ns(2 * MS);
}

static void attack_rings(struct virtio *v)
{
	uint64_t here = (uint64_t)&ring;

	memset((void *)&ring, 0, sizeof(ring));
	for (unsigned int a = 0; a < BAD; a++) {
		for (unsigned int part = 0; part < 3; part++) {
			CHECK(virtio_negotiate(v, 0));
			v->ring = &ring;
			v->queue = queue_of(v);
			virtio_enable_queue(v, v->queue, part == 0 ? bad_addresses[a] : here,
				part == 1 ? bad_addresses[a] : here,
				part == 2 ? bad_addresses[a] : here, v->size);
			virtio_start(v);
			ring.available.index = 1;
			virtio_notify(v);
			guest_delay_ns(MS / 4);
		}
	}
	/* All three at one place, misaligned, over the device's own registers. */
	for (unsigned int shift = 0; shift < 4; shift++) {
		CHECK(virtio_negotiate(v, VIRTIO_F_EVENT_INDEX));
		virtio_enable_queue(v, v->queue, here + shift, here + shift, here + shift,
			v->size);
		virtio_start(v);
		submit(v);
	}
	CHECK(virtio_negotiate(v, 0));
	virtio_enable_queue(v, v->queue, (uint64_t)v->common, (uint64_t)v->common,
		(uint64_t)v->common, v->size);
	virtio_start(v);
	submit(v);
	/* Its own ring as its buffer. */
	begin(v, 0);
	ordinary(v, ring.descriptors);
	set(&ring.descriptors[v->device == VIRTIO_BLK], here, 512,
		v->device == VIRTIO_BLK ? DESC_NEXT | DESC_WRITE : DESC_WRITE, 2);
	submit(v);
}

static void attack_sizes(struct virtio *v)
{
	static const uint16_t sizes[] = { 0, 1, 2, 3, 7, 255, 257, 512, 1024, 0x8000, 0xffff };

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		CHECK(virtio_negotiate(v, 0));
		virtio_enable_queue(v, queue_of(v), (uint64_t)&ring, (uint64_t)&ring.available,
			(uint64_t)&ring.used, sizes[i]);
		virtio_start(v);
		ordinary(v, ring.descriptors);
		submit(v);
		/* Changed while it is in use. */
		virtio_enable_queue(v, queue_of(v), ~15ULL, ~1ULL, ~3ULL, 16);
		submit(v);
	}
	for (unsigned int queue = 0; queue < 300; queue++) {
		v->queue = queue;
		set_common16(v, COMMON_QUEUE_SELECT, queue);
		set_common16(v, COMMON_QUEUE_ENABLE, 1);
		virtio_notify(v);
	}
	/* A notification where no queue ever was. */
	for (unsigned int i = 0; i < 64; i++) {
		v->notify_offset = i * 7;
		virtio_notify(v);
	}
}

/* --- the order of things --- */

static void attack_status(struct virtio *v)
{
	for (unsigned int status = 0; status < 256; status++) {
		virtio_reset(v);
		virtio_set_queue(v, queue_of(v), &ring);
		ordinary(v, ring.descriptors);
		set_common8(v, COMMON_STATUS, status);
		submit(v);
		set_common8(v, COMMON_STATUS, ~status);
	}
	/* Features after the fact, and a queue before there are features. */
	begin(v, 0);
	set_common32(v, COMMON_DRIVER_FEATURE, HUGE_BYTES);
	ordinary(v, ring.descriptors);
	submit(v);
}

/* Reset while requests are under way: from then on the device leaves the buffers alone. */
static void attack_reset(struct virtio *v)
{
	for (unsigned int round = 0; round < 50; round++) {
		unsigned int count;

		begin(v, 0);
		count = ordinary(v, ring.descriptors);
		for (unsigned int i = 1; i + count <= v->size / count; i++)
			ordinary(v, ring.descriptors);
		for (unsigned int i = 0; i < v->size; i++)
			virtio_submit(v, 0);
		CHECK(virtio_reset(v));
		memset(data, 0x77, 2048);
		guest_delay_ns(MS / 10);
		for (unsigned int i = 0; i < 2048; i++) {
			if (data[i] != 0x77) {
				CHECK_EQUAL(data[i], 0x77);
				return;
			}
		}
	}
}

/* Descriptors that are not what they were when the device looked. */
static void attack_rewrite(struct virtio *v)
{
	for (unsigned int round = 0; round < 400; round++) {
		if (round % 16 == 0)
			begin(v, VIRTIO_F_INDIRECT);
		for (unsigned int i = 0; i < RING_SIZE; i++)
			set(&ring.descriptors[i], hostile_random() % 8 ? (uint64_t)data :
				hostile_random(), (uint32_t)(hostile_random() % 64),
				hostile_random() & 7, hostile_random() % (RING_SIZE + 2));
		for (unsigned int i = 0; i < 512; i++)
			set(&table[i], (uint64_t)data, (uint32_t)(hostile_random() % 64),
				hostile_random() & 7, hostile_random() % 513);
		ring.descriptors[0].address = (uint64_t)table;
		ring.descriptors[0].bytes = sizeof(table);
		virtio_submit(v, hostile_random() % v->size);
		set(&ring.descriptors[round % RING_SIZE], hostile_random(), HUGE_BYTES, 7, 0xffff);
	}
}

/* --- registers, BARs, messages --- */

static void attack_registers(struct virtio *v)
{
	for (unsigned int round = 0; round < 3000; round++) {
		unsigned int offset = hostile_random() % 0x4000;
		volatile uint8_t *at = v->common + offset;
		uint64_t value = hostile_random();

		/* The rings may come to lie anywhere but where this program does. */
		switch (hostile_random() % 4) {
		case 0: *at = value; break;
		case 1: *(volatile uint16_t *)at = value; break;
		case 2: *(volatile uint32_t *)at = value | 0xc0000000; break;
		case 3: (void)*(volatile uint64_t *)at; break;
		}
		if (round % 100 == 0)
			set_common8(v, COMMON_STATUS, 0);
	}
}

static void attack_bars(struct virtio *v)
{
	static const uint32_t places[] = { 0, 0x100000, 0x2000000, 0xc0000000, 0xe0000000,
		0xfec00000, 0xfee00000, 0xfffff000, 0xffffffff, 0xa0000 };
	uint32_t old[6];

	for (unsigned int bar = 0; bar < 6; bar++)
		old[bar] = pci_read(v->function, 0x10 + 4 * bar);
	for (unsigned int i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		for (unsigned int bar = 0; bar < 6; bar++)
			pci_write(v->function, 0x10 + 4 * bar, places[i]);
		/* RAM stays RAM, the LAPIC the LAPIC. */
		*(volatile uint32_t *)data = 0x12345678 + i;
		CHECK_EQUAL(*(volatile uint32_t *)data, 0x12345678 + i);
		(void)lapic_read(LAPIC_ID);
		(void)*mmio32(IOAPIC_BASE + 0x10);
		(void)*mmio32(PCI_HOLE);
		pci_write(v->function, 4, (uint32_t)hostile_random());
		pci_write(v->function, 4, 7);
	}
	for (unsigned int bar = 0; bar < 6; bar++)
		pci_write(v->function, 0x10 + 4 * bar, old[bar]);
	for (unsigned int i = 0; i < 4000; i++)
		pci_write(v->function, 0x40 + hostile_random() % 0xc0, (uint32_t)hostile_random());
	pci_write(v->function, 4, 7);
	for (unsigned int bar = 0; bar < 6; bar++)
		pci_write(v->function, 0x10 + 4 * bar, old[bar]);
}

/* Interrupt messages to nobody and everybody, of all kinds. */
static void attack_messages(struct virtio *v)
{
	unsigned int capability = pci_capability(v->function, 0x11, 0);
	uint32_t where = pci_read(v->function, capability + 4);
	uint32_t bar = pci_read(v->function, 0x10 + 4 * (where & 7)) & ~15U;
	volatile uint32_t *entry = (volatile uint32_t *)(uint64_t)(bar + (where & ~7U));

	CHECK(capability != 0);
	pci_write(v->function, capability, 0x80000000);
	for (unsigned int round = 0; round < 200; round++) {
		begin(v, 0);
		set_common16(v, COMMON_QUEUE_MSIX, 0);
		set_common16(v, COMMON_MSIX_CONFIG, hostile_random());
		entry[0] = (uint32_t)hostile_random();
		if (round % 2)
			entry[0] = (entry[0] & 0xfffff) | LAPIC_BASE;
		entry[1] = (uint32_t)hostile_random() & (round % 3 ? 0 : ~0U);
		/* No NMI or INIT, which would end this program, nor vectors of exceptions. */
		entry[2] = ((uint32_t)hostile_random() & ~0x400U) | 0xf0;
		entry[3] = (uint32_t)hostile_random() & 1;
		ordinary(v, ring.descriptors);
		submit(v);
	}
	pci_write(v->function, capability, 0);
}

/* --- pages given up that are in use, were given up before, or are none --- */

static void give_up(struct virtio *v, unsigned int queue, const uint32_t *pages, unsigned int count)
{
	CHECK(virtio_negotiate(v, 0));
	virtio_set_queue(v, queue, &ring);
	virtio_start(v);
	memcpy(data, pages, count * sizeof(*pages));
	set(&ring.descriptors[0], (uint64_t)data, count * sizeof(*pages), 0, 0);
	submit(v);
}

/* What the device itself reads and writes, and what may come to be zeroes without harm. */
static void attack_own_pages(struct virtio *v)
{
	const uint32_t pages[] = { (uint64_t)&ring >> 12, (uint64_t)data >> 12, (uint64_t)table >> 12,
		(uint64_t)&ring >> 12 };

	for (unsigned int round = 0; round < 20; round++) {
		give_up(v, round % 2, pages, 4);
		/* Again, in a ring that may have gone. */
		ring.available.index += round;
		virtio_notify(v);
	}
}

static void attack_pages(struct virtio *v)
{
	static uint32_t pages[512];

	for (unsigned int round = 0; round < 24; round++) {
		for (unsigned int i = 0; i < 512; i++)
			pages[i] = round < 8 ? FREE_PAGE + i * (round % 4) :
				round < 16 ? FREE_PAGE + (uint32_t)hostile_random() % 0x2000 :
				(uint32_t)hostile_random() | 0x4000;
		give_up(v, round % 2, pages, 512);
		/* While they are on their way. */
		for (unsigned int i = 0; i < 512; i += 16)
			if (pages[i] >= FREE_PAGE && pages[i] < RAM_END >> 12)
				*(volatile uint32_t *)((uint64_t)pages[i] << 12) = i;
	}
	for (unsigned int a = 0; a < BAD; a++) {
		pages[0] = (uint32_t)(bad_addresses[a] >> 12);
		if (pages[0] >= FREE_PAGE)
			give_up(v, a % 2, pages, 1);
	}
}

/* Large ranges of free pages, that are touched again at once; and ranges that are not free at all. */
static void attack_reports(struct virtio *v)
{
	for (unsigned int round = 0; round < 16; round++) {
		uint64_t start = ((uint64_t)FREE_PAGE << 12) + hostile_random() % 0x1000000;
		uint32_t bytes = (uint32_t)(hostile_random() % (RAM_END - start));

		CHECK(virtio_negotiate(v, BALLOON_REPORTING));
		virtio_set_queue(v, 2, &ring);
		virtio_start(v);
		set(&ring.descriptors[0], start, bytes, DESC_NEXT | DESC_WRITE, 1);
		set(&ring.descriptors[1], start, bytes, DESC_WRITE, 0);
		virtio_submit(v, 0);
		for (uint64_t at = start & ~4095ULL; at < start + bytes; at += 128 << 12)
			*(volatile uint64_t *)at = at;
		virtio_submit(v, 0);
	}
}

static void balloon(void)
{
	static void (*const attacks[])(struct virtio *v) = { attack_pages, attack_reports, attack_own_pages };
	struct virtio v;

	CHECK(virtio_open(&v, VIRTIO_BALLOON, 0));
	for (unsigned int i = 0; i < 3; i++) {
		paint();
		attacks[i](&v);
		paint();
		recover(&v);
	}
	CHECK(virtio_reset(&v));
}

#define DEFINE_ATTACK(name)                                                                        \
	static void name(void)                                                                     \
	{                                                                                          \
		on_each(attack_##name);                                                            \
	}
DEFINE_ATTACK(loops)
DEFINE_ATTACK(next)
DEFINE_ATTACK(addresses)
DEFINE_ATTACK(lengths)
DEFINE_ATTACK(order)
DEFINE_ATTACK(indirect)
DEFINE_ATTACK(indices)
DEFINE_ATTACK(rings)
DEFINE_ATTACK(sizes)
DEFINE_ATTACK(status)
DEFINE_ATTACK(reset)
DEFINE_ATTACK(rewrite)
DEFINE_ATTACK(registers)
DEFINE_ATTACK(bars)
DEFINE_ATTACK(messages)

static const struct hostile_case cases[] = {
	{ "case=loops", loops },
	{ "case=next", next },
	{ "case=addresses", addresses },
	{ "case=lengths", lengths },
	{ "case=order", order },
	{ "case=indirect", indirect },
	{ "case=indices", indices },
	{ "case=rings", rings },
	{ "case=sizes", sizes },
	{ "case=status", status },
	{ "case=reset", reset },
	{ "case=rewrite", rewrite },
	{ "case=registers", registers },
	{ "case=bars", bars },
	{ "case=messages", messages },
	{ "case=balloon", balloon },
};

HOSTILE_MAIN(cases)
