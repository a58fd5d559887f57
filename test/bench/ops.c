/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The benchmark guest: what one operation costs, as the guest sees it, in TSC ticks. Where the TSC
 * counts instructions (QEMU with -icount, Bochs) these are executed instructions, exactly
 * repeatable. The same file runs under any hypervisor that loads Multiboot. One line an operation:
 *
 *   bench NAME TICKS
 *
 * The loop and the instruction itself are in it: `bench nothing` says how much that is. Nothing is
 * subtracted. With `touch-only` on the command line it measures first touches of memory alone.
 */
#include "guest.h"

#define BATCHES 4
#define ROUNDS 64
#define VECTOR 0x41
#define APIC_BASE 0x1b
#define TSC_DEADLINE 0x6e0
#define X2APIC_EOI 0x80b
#define X2APIC_SELF 0x83f
#define X2APIC_LVT_TIMER 0x832
#define X2APIC_INITIAL 0x838
#define X2APIC_CURRENT 0x839
#define CR0_WP (1UL << 16)
#define CR4_PGE (1UL << 7)

/*
 * Where a part begins and ends, for a counter outside (count.c): NOPs, one with the address of the
 * part's name in it.
 */
#define MARK(name) __asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long %c0" : : "i"(name) : "memory")
#define MARK_END() __asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long 1" : : : "memory")

/* The line of the measurement before is still on its way to the operator: not at our expense. */
static void let_settle(void)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < 4000000)
		;
}

/* The least of some batches: the operator may type while one is measured, and that is not its cost. */
#define MEASURE(name, code)                                                                        \
	do {                                                                                       \
		uint64_t least_ = UINT64_MAX;                                                      \
                                                                                                   \
		let_settle();                                                                      \
		code;                                                                              \
		MARK(name);                                                                        \
		for (unsigned int batch_ = 0; batch_ < BATCHES; batch_++) {                        \
			uint64_t start_ = rdtsc();                                                 \
                                                                                                   \
			for (unsigned int round_ = 0; round_ < ROUNDS; round_++) {                 \
				code;                                                              \
			}                                                                          \
			start_ = rdtsc() - start_;                                                 \
			least_ = start_ < least_ ? start_ : least_;                                \
		}                                                                                  \
		MARK_END();                                                                        \
		guest_print("bench %s %lu\n", name, least_ / ROUNDS);                              \
	} while (0)

static volatile uint64_t fired;
static bool x2apic;

static void on_timer(struct frame *frame)
{
	(void)frame;
	fired++;
	if (x2apic)
		wrmsr(X2APIC_EOI, 0);
	else
		lapic_write(LAPIC_EOI, 0);
}

static void measure_instructions(void)
{
	bool amd = cpuid(0, 0).ebx == 0x68747541;

	MEASURE("nothing", __asm__ volatile("nop"));
	MEASURE("cpuid", cpuid(0, 0));
	if (amd)
		MEASURE("hypercall", __asm__ volatile("vmmcall" : : "a"(0x7777) : "memory"));
	else
		MEASURE("hypercall", __asm__ volatile("vmcall" : : "a"(0x7777) : "memory"));
	MEASURE("rdmsr-apic-base", rdmsr(APIC_BASE));
	MEASURE("wbinvd", __asm__ volatile("wbinvd" : : : "memory"));
	MEASURE("cr0-wp-twice", ({ write_cr0(read_cr0() ^ CR0_WP); write_cr0(read_cr0() ^ CR0_WP); }));
	MEASURE("cr4-pge-twice", ({ write_cr4(read_cr4() ^ CR4_PGE); write_cr4(read_cr4() ^ CR4_PGE); }));
}

static void measure_ports(void)
{
	MEASURE("in-pic", in8(0x21));
	MEASURE("out-pic", out8(0x21, 0xff));
	MEASURE("in-pit", in8(0x40));
	MEASURE("in-uart", in8(0x3fd));
	MEASURE("out-uart", out8(0x3ff, 0x55));
	MEASURE("in-pm-timer", in32(0x608));
	MEASURE("in-unknown", in8(0x9f0));
	MEASURE("pci-read", ({ out32(0xcf8, 0x80000000); in32(0xcfc); }));
}

/* Writes each page of the range once; nobody has before. */
static uint64_t touch(uint64_t from, unsigned int pages)
{
	volatile uint8_t *memory = (volatile uint8_t *)from;
	uint64_t start = rdtsc();

	for (unsigned int page = 0; page < pages; page++)
		memory[page * 4096ULL] = 1;
	return (rdtsc() - start) / pages;
}

#define MEASURE_TOUCH(name, from, pages)                                                           \
	do {                                                                                       \
		uint64_t ticks_;                                                                   \
                                                                                                   \
		let_settle();                                                                      \
		MARK(name);                                                                        \
		ticks_ = touch(from, pages);                                                       \
		MARK_END();                                                                        \
		guest_print("bench %s %lu\n", name, ticks_);                                       \
	} while (0)

static void measure_memory(void)
{
	MEASURE("mmio-nothing", *mmio32(0xd0000000));
	MEASURE("mmio-ioapic-read", *mmio32(0xfec00010));
	MEASURE("xapic-tpr-write", lapic_write(LAPIC_TPR, 0));
	MEASURE("xapic-tpr-read", lapic_read(LAPIC_TPR));
	MEASURE("xapic-eoi", lapic_write(LAPIC_EOI, 0));
	/* Below the hole at 640 KiB no page of 2 MiB fits, so a hypervisor backs this with 4 KiB. */
	MEASURE_TOUCH("first-touch-4k", 0x20000, 80);
	MEASURE_TOUCH("first-touch-2m", 0x2000000, 2048);
}

/* Ticks of the TSC for 1024 counts of the LAPIC's timer. */
static uint64_t ticks_of_1024;

static void start_timer(uint32_t count)
{
	if (x2apic)
		wrmsr(X2APIC_INITIAL, count);
	else
		lapic_write(LAPIC_TIMER_INITIAL, count);
}

static uint32_t timer_count(void)
{
	return x2apic ? (uint32_t)rdmsr(X2APIC_CURRENT) : lapic_read(LAPIC_TIMER_CURRENT);
}

static void calibrate_timer(void)
{
	uint64_t tsc;
	uint32_t count;

	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	lapic_write(LAPIC_LVT_TIMER, 0x10000 | VECTOR);
	start_timer(0xffffffff);
	count = timer_count();
	tsc = rdtsc();
	while (rdtsc() - tsc < 20000000)
		;
	count -= timer_count();
	ticks_of_1024 = ((rdtsc() - tsc) * 1024 + count / 2) / count;
	start_timer(0);
}

static void arm_one_shot(uint64_t ticks)
{
	start_timer(ticks * 1024 / ticks_of_1024);
}

static void arm_deadline(uint64_t ticks)
{
	wrmsr(TSC_DEADLINE, rdtsc() + ticks);
}

#define SLEEPS 4

/* Ticks from arming a timer of `ticks`, through HLT, to the end of its interrupt: the least seen. */
static uint64_t sleep(void (*arm)(uint64_t ticks), uint64_t ticks)
{
	uint64_t least = UINT64_MAX;

	for (unsigned int i = 0; i < SLEEPS; i++) {
		uint64_t before = fired, start = rdtsc();

		arm(ticks);
		while (fired == before) {
			sti_hlt();
			cli();
		}
		start = rdtsc() - start;
		if (start < least)
			least = start;
	}
	return least;
}

/*
 * What sleeping costs beyond the waiting itself. Of a long sleep the guest sees only the end, by
 * how much it comes late: arming and halting are hidden in the waiting. So the sleep is shortened
 * until it cannot be kept any more: the shortest that still ends just as late has no waiting left
 * in it, and is all work.
 */
#define LONG_SLEEP 64000
#define MEASURE_SLEEP(name, arm)                                                                   \
	do {                                                                                       \
		measure_sleep(name, arm);                                                          \
		MARK(name "-hlt");                                                                 \
		sleep(arm, LONG_SLEEP);                                                            \
		MARK_END();                                                                        \
	} while (0)

static void measure_sleep(const char *name, void (*arm)(uint64_t ticks))
{
	const uint64_t coarse = 640, fine = 40;
	uint64_t ticks = LONG_SLEEP, late, tolerance, shortest, step;

	for (unsigned int i = 0; i < 16; i++)
		sleep(arm, ticks);
	late = sleep(arm, ticks) - ticks;
	tolerance = late / 8 + fine;
	shortest = ticks;
	for (step = coarse; step >= fine; step = step == coarse ? fine : 0) {
		for (ticks = shortest; ticks > step; ticks -= step) {
			uint64_t this_late = sleep(arm, ticks - step) - (ticks - step);

			if (this_late > late + tolerance || this_late + tolerance < late)
				break;
		}
		shortest = ticks;
	}
	if (shortest < LONG_SLEEP / 2)
		guest_print("bench %s-hlt %lu\n", name, sleep(arm, shortest));
	else
		guest_print("bench-note %s is late by something else each time\n", name);
	guest_print("bench %s-late %lu\n", name, late);
}

static void measure_one_shot(void)
{
	calibrate_timer();
	guest_print("bench-note ticks-of-1024-counts %lu\n", ticks_of_1024);
	lapic_write(LAPIC_LVT_TIMER, VECTOR);
	MEASURE_SLEEP("xapic-one-shot", arm_one_shot);
}

static bool enter_x2apic(void)
{
	if (!(cpuid(1, 0).ecx & 1 << 21))
		return false;
	wrmsr(APIC_BASE, rdmsr(APIC_BASE) | 1 << 10);
	x2apic = true;
	return true;
}

static void measure_x2apic(void)
{
	MEASURE("x2apic-eoi", wrmsr(X2APIC_EOI, 0));
	MEASURE_SLEEP("x2apic-one-shot", arm_one_shot);
	sti();
	MEASURE("x2apic-self-ipi", ({
		uint64_t before_ = fired;

		wrmsr(X2APIC_SELF, VECTOR);
		while (fired == before_)
			;
	}));
	cli();
}

/* A deadline that is already past: arming, the interrupt and its EOI, without any waiting. */
static void measure_deadline(void)
{
	if (!(cpuid(1, 0).ecx & 1 << 24))
		return;
	wrmsr(X2APIC_LVT_TIMER, 0x40000 | VECTOR);
	__asm__ volatile("mfence" : : : "memory");
	sti();
	MEASURE("tsc-deadline", ({
		uint64_t before_ = fired;

		wrmsr(TSC_DEADLINE, rdtsc() + 1);
		while (fired == before_)
			;
	}));
	cli();
	MEASURE_SLEEP("tsc-deadline", arm_deadline);
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	lapic_enable();
	guest_set_handler(VECTOR, on_timer);
	if (guest_has_word("touch-only")) {
		MEASURE_TOUCH("first-touch-4k", 0x2000000, 2048);
		return 0;
	}
	measure_instructions();
	measure_ports();
	measure_memory();
	measure_one_shot();
	if (enter_x2apic()) {
		measure_x2apic();
		measure_deadline();
	}
	guest_print("bench done 0\n");
	return 0;
}
