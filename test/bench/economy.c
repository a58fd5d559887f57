/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest for bench-memory: what it does with its memory, and lets be done with it, is parted into sections for a
 * counter outside (see ops.c). With `filler` on the command line it does nothing, and only takes room.
 */
#include "virtio.h"

#define MIB (1UL << 20)
#define PAGE 4096UL
#define PAGES 512
#define DISTINCT (4 * MIB)
#define EQUAL (6 * MIB)
#define GIVEN (8 * MIB)
#define VECTOR 0x41
#define LVT_DEADLINE (2 << 17)
#define MSR_TSC_DEADLINE 0x6e0
#define BALLOON_PAGES 256

/* See ops.c. */
#define MARK(name) __asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long %c0" : : "i"(name) : "memory")
#define MARK_END() __asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long 1" : : : "memory")

static volatile struct ring rings[2];
static uint32_t numbers[BALLOON_PAGES];

static void on_timer(struct frame *frame)
{
	(void)frame;
	lapic_write(LAPIC_EOI, 0);
}

static void sleep_ms(uint64_t ms)
{
	uint64_t end = rdtsc() + guest_tsc_hz() / 1000 * ms;

	while (rdtsc() < end) {
		wrmsr(MSR_TSC_DEADLINE, end);
		sti_hlt();
		cli();
	}
}

/* As much order as in most memory: small numbers, some pointers, some noise. */
static void fill(uint64_t start, bool equal)
{
	uint64_t noise = start;

	for (uint64_t page = 0; page < PAGES; page++) {
		uint64_t *words = (uint64_t *)(start + page * PAGE), seed = equal ? 0 : page + 1;

		for (uint64_t i = 0; i < PAGE / 8; i++) {
			noise = equal ? i : noise * 6364136223846793005 + 1442695040888963407;
			words[i] = i / 16;
			if (i % 8 == 7)
				words[i] = noise;
			else if (i % 4 == 1)
				words[i] = 0xffff888000000000 + seed * PAGE + i / 32 * 64;
		}
	}
}

static void write_each(uint64_t start, unsigned int pages)
{
	for (unsigned int page = 0; page < pages; page++)
		*(volatile uint8_t *)(start + page * PAGE) += 1;
}

static void tell(struct virtio *v, uint64_t start)
{
	for (unsigned int i = 0; i < BALLOON_PAGES; i++)
		numbers[i] = start / PAGE + i;
	virtio_describe(v, 0, numbers, sizeof(numbers), 0);
	virtio_submit(v, 0);
	CHECK(virtio_wait(v, 1000000000) >= 0);
}

static void use_balloon(void)
{
	struct virtio v;

	fill(GIVEN, false);
	CHECK(virtio_open(&v, VIRTIO_BALLOON, 0));
	CHECK(virtio_negotiate(&v, 0));
	virtio_set_queue(&v, 0, &rings[0]);
	virtio_start(&v);
	/* The first splits a leaf of 2 MiB. */
	tell(&v, GIVEN + MIB);
	sleep_ms(500);
	MARK("inflate");
	tell(&v, GIVEN);
	MARK_END();
	/* Until what was given has been freed, and erased. */
	MARK("given");
	sleep_ms(1000);
	MARK_END();
	CHECK(virtio_reset(&v));
	CHECK(virtio_negotiate(&v, 0));
	virtio_set_queue(&v, 1, &rings[1]);
	virtio_start(&v);
	MARK("deflate");
	tell(&v, GIVEN);
	MARK_END();
	MARK("touch");
	write_each(GIVEN, BALLOON_PAGES);
	MARK_END();
	CHECK(virtio_reset(&v));
}

static void wait_for_key(void)
{
	while (!(in8(0x3fd) & 1))
		sleep_ms(20);
	in8(0x3f8);
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	lapic_enable();
	guest_set_handler(VECTOR, on_timer);
	lapic_write(LAPIC_LVT_TIMER, VECTOR | LVT_DEADLINE);
	__asm__ volatile("mfence" : : : "memory");
	if (guest_has_word("filler")) {
		for (;;)
			sleep_ms(1000000);
	}
	use_balloon();
	/* Nothing else is there to be looked at while this is. */
	fill(DISTINCT, false);
	MARK("scan");
	sleep_ms(6000);
	MARK_END();
	fill(EQUAL, true);
	MARK("join");
	sleep_ms(8000);
	MARK_END();
	MARK("break");
	write_each(EQUAL, PAGES / 2);
	MARK_END();
	guest_print("bench-note shared\n");
	wait_for_key();
	MARK("compress");
	sleep_ms(20000);
	MARK_END();
	MARK("fetch");
	write_each(DISTINCT, PAGES / 2);
	MARK_END();
	guest_print("bench done %d\n", guest_failures());
	return guest_failures();
}
