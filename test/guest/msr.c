/* SPDX-License-Identifier: BSD-2-Clause */
/* MSRs: those that exit, those that do not, and those that are not there. */
#include "guest.h"

#define GP 13
#define EFER 0xc0000080
#define PAT 0x277
#define STAR 0xc0000081
#define LSTAR 0xc0000082
#define SFMASK 0xc0000084
#define FS_BASE 0xc0000100
#define KERNEL_GS_BASE 0xc0000102
#define SYSENTER_EIP 0x176
#define APIC_BASE 0x1b
#define MTRR_CAP 0xfe
#define MTRR_DEF_TYPE 0x2ff
#define X2APIC_ID 0x802

/* Written, then read back after an exit in between. */
static void check_round_trip(uint32_t msr, uint64_t value)
{
	uint64_t old = rdmsr(msr);

	wrmsr(msr, value);
	cpuid(0, 0);
	CHECK_EQUAL(rdmsr(msr), value);
	wrmsr(msr, old);
}

static void check_passthrough(void)
{
	check_round_trip(STAR, 0x0023001000000000);
	check_round_trip(LSTAR, 0xffffffff81000000);
	check_round_trip(SFMASK, 0x47700);
	check_round_trip(FS_BASE, 0x7f0012345678);
	check_round_trip(KERNEL_GS_BASE, 0xffff888000123000);
	check_round_trip(SYSENTER_EIP, 0xffffffff81000040);
	check_round_trip(PAT, 0x0407050600070106);
}

static void check_refused(void)
{
	uint64_t value;

	CHECK_EQUAL(rdmsr_try(0xdeadbeef, &value), GP);
	CHECK_EQUAL(wrmsr_try(0xdeadbeef, 0), GP);
	CHECK_EQUAL(wrmsr_try(MTRR_CAP, 0), GP);
	if (!guest_cpu_is_lax()) {
		CHECK_EQUAL(wrmsr_try(PAT, 2), GP);                    /* no such memory type */
		CHECK_EQUAL(wrmsr_try(LSTAR, 0x8000000000000000), GP); /* not canonical */
	}
	CHECK_EQUAL(wrmsr_try(EFER, rdmsr(EFER) | 1UL << 40), GP);
	CHECK_EQUAL(wrmsr_try(EFER, rdmsr(EFER) & ~0x100UL), GP); /* LME while paging */
	CHECK_EQUAL(rdmsr_try(X2APIC_ID, &value), GP);     /* not in x2APIC mode */
	CHECK_EQUAL(guest_fault.error, 0);
}

static void check_efer(void)
{
	uint64_t efer = rdmsr(EFER);

	CHECK(efer & 1 << 8 && efer & 1 << 10); /* LME, LMA */
	CHECK(!(efer & 1 << 12));               /* SVME is not the guest's to see */
	wrmsr(EFER, efer | 1);
	CHECK_EQUAL(rdmsr(EFER), efer | 1);
	wrmsr(EFER, efer);
}

static void check_apic_base(void)
{
	uint64_t base = rdmsr(APIC_BASE);

	CHECK_EQUAL(base & ~0xfffUL, LAPIC_BASE);
	CHECK_EQUAL(base & 0xd00, 0x900); /* enabled, boot processor, not x2APIC */
}

static void check_mtrr(void)
{
	CHECK_EQUAL(rdmsr(MTRR_CAP) & 0xff, 8);
	wrmsr(MTRR_DEF_TYPE, 0xc06);
	CHECK_EQUAL(rdmsr(MTRR_DEF_TYPE), 0xc06);
	CHECK_EQUAL(wrmsr_try(MTRR_DEF_TYPE, 0x7), GP);
	wrmsr(0x200, 0x80000006);
	CHECK_EQUAL(rdmsr(0x200), 0x80000006);
	wrmsr(0x250, 0x0606060606060606);
	CHECK_EQUAL(rdmsr(0x250), 0x0606060606060606);
}

static void check_tsc(void)
{
	uint64_t before = rdtsc();
	uint64_t by_msr = rdmsr(0x10);
	uint64_t after = rdtsc();

	CHECK(before <= by_msr && by_msr <= after);
	wrmsr(0x10, 1ULL << 40);
	CHECK_RANGE(rdtsc(), 1ULL << 40, (1ULL << 40) + 100000000);
}

int guest_main(void)
{
	guest_idt_init();
	check_passthrough();
	check_refused();
	check_efer();
	check_apic_base();
	check_mtrr();
	check_tsc();
	return guest_failures();
}
