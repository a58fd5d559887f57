/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The benchmark guest: what one operation costs, as the guest sees it, in TSC ticks. Where the TSC
 * counts instructions (QEMU with -icount, Bochs) these are executed instructions, exactly
 * repeatable. The same file runs under any hypervisor that loads Multiboot. One line an operation:
 *
 *   bench NAME TICKS
 *
 * The loop and the instruction itself are in it: `bench nothing` says how much that is.
 */
#include "guest.h"

#define ROUNDS 256
#define VECTOR 0x41
#define APIC_BASE 0x1b
#define TSC_DEADLINE 0x6e0
#define X2APIC_EOI 0x80b
#define X2APIC_SELF 0x83f
#define CR0_WP (1UL << 16)
#define CR4_PGE (1UL << 7)

#define MEASURE(name, code)                                                                        \
	do {                                                                                       \
		uint64_t start_;                                                                   \
                                                                                                   \
		code;                                                                              \
		start_ = rdtsc();                                                                  \
		for (unsigned int round_ = 0; round_ < ROUNDS; round_++) {                         \
			code;                                                                      \
		}                                                                                  \
		guest_print("bench %s %lu\n", name, (rdtsc() - start_) / ROUNDS);                  \
	} while (0)

static volatile uint64_t fired_at;
static volatile uint64_t fired;
static bool x2apic;

static void on_timer(struct frame *frame)
{
	(void)frame;
	fired_at = rdtsc();
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
	MEASURE("in-pm-timer", in32(0x608));
	MEASURE("in-unknown", in8(0x9f0));
	MEASURE("pci-read", ({ out32(0xcf8, 0x80000000); in32(0xcfc); }));
}

static void measure_memory(void)
{
	volatile uint8_t *fresh = (volatile uint8_t *)0x2000000;
	uint64_t start;

	MEASURE("mmio-ioapic-read", *mmio32(0xfec00010));
	MEASURE("xapic-tpr-write", lapic_write(LAPIC_TPR, 0));
	MEASURE("xapic-tpr-read", lapic_read(LAPIC_TPR));
	MEASURE("xapic-eoi", lapic_write(LAPIC_EOI, 0));
	start = rdtsc();
	for (unsigned int page = 0; page < 2048; page++)
		fresh[page * 4096] = 1;
	guest_print("bench first-touch-page %lu\n", (rdtsc() - start) / 2048);
}

/* From arming to the handler's first instruction, less the time that was waited for. */
static void measure_one_shot(void)
{
	const uint32_t ticks = 100000;
	uint64_t total = 0, start;

	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	lapic_write(LAPIC_LVT_TIMER, VECTOR);
	for (unsigned int i = 0; i < 16; i++) {
		uint64_t before = fired;

		start = rdtsc();
		lapic_write(LAPIC_TIMER_INITIAL, ticks);
		while (fired == before) {
			sti_hlt();
			cli();
		}
		total += rdtsc() - start;
	}
	/* The wait itself is the same for all hypervisors; what is spent is counted from outside. */
	guest_print("bench one-shot-elapsed %lu\n", total / 16);
	lapic_write(LAPIC_LVT_TIMER, 0x10000);
}

static void measure_x2apic(void)
{
	if (!(cpuid(1, 0).ecx & 1 << 21))
		return;
	wrmsr(APIC_BASE, rdmsr(APIC_BASE) | 1 << 10);
	x2apic = true;
	MEASURE("x2apic-eoi", wrmsr(X2APIC_EOI, 0));
	sti();
	MEASURE("x2apic-self-ipi", ({
		uint64_t before_ = fired;

		wrmsr(X2APIC_SELF, VECTOR);
		while (fired == before_)
			;
	}));
}

/* A deadline that is already past: the two exits, the interrupt and its EOI, without the wait. */
static void measure_deadline(void)
{
	if (!(cpuid(1, 0).ecx & 1 << 24) || !x2apic)
		return;
	wrmsr(0x832, 0x40000 | VECTOR);
	__asm__ volatile("mfence" : : : "memory");
	MEASURE("tsc-deadline", ({
		uint64_t before_ = fired;

		wrmsr(TSC_DEADLINE, rdtsc() + 1);
		while (fired == before_)
			__asm__ volatile("pause");
	}));
	MEASURE("tsc-deadline-hlt", ({
		uint64_t before_ = fired;

		cli();
		wrmsr(TSC_DEADLINE, rdtsc() + 2000);
		while (fired == before_) {
			sti_hlt();
			cli();
		}
		sti();
	}));
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	lapic_enable();
	guest_set_handler(VECTOR, on_timer);
	measure_instructions();
	measure_ports();
	measure_memory();
	measure_one_shot();
	measure_x2apic();
	measure_deadline();
	guest_print("bench done 0\n");
	return 0;
}
