/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID: what a guest is told, and that it follows the guest's own control registers. */
#include "guest.h"

#define CR4_OSXSAVE (1UL << 18)

static void check_hidden(void)
{
	struct cpuid one = cpuid(1, 0);
	struct cpuid extended = cpuid(0x80000001, 0);

	CHECK(!(one.ecx & 1 << 5));       /* VMX */
	CHECK(!(one.ecx & 1 << 3));       /* MONITOR */
	CHECK(!(extended.ecx & 1 << 2));  /* SVM */
	CHECK(one.ecx & 1U << 31);        /* a hypervisor */
	CHECK(one.ecx & 1 << 21);         /* x2APIC */
	CHECK(one.ecx & 1 << 24);         /* TSC deadline */
	CHECK(one.edx & 1 << 9);          /* APIC */
	CHECK_EQUAL(one.ebx >> 24, 0);    /* the boot CPU's APIC id */
	CHECK(extended.edx & 1 << 29);    /* long mode: we are in it */
}

static void check_hypervisor(void)
{
	struct cpuid own = cpuid(0x40000000, 0);
	struct cpuid kvm = cpuid(0x40000100, 0);

	CHECK(!memcmp(&own.ebx, "Ball", 4) && !memcmp(&own.ecx, "astT", 4) &&
		!memcmp(&own.edx, "ype1", 4));
	CHECK(!memcmp(&kvm.ebx, "KVMKVMKVM\0\0", 12));
	CHECK_EQUAL(cpuid(0x40000200, 0).ebx, 0);
}

static void check_osxsave(void)
{
	if (!(cpuid(1, 0).ecx & 1 << 26))
		return;
	write_cr4(read_cr4() | CR4_OSXSAVE);
	CHECK(cpuid(1, 0).ecx & 1 << 27);
	CHECK_EQUAL(cpuid(0xd, 0).ebx, 576);
	CHECK(cpuid(0xd, 0).eax & 3);
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
	CHECK(!(cpuid(1, 0).ecx & 1 << 27));
}

static void check_limits(void)
{
	struct cpuid zero = cpuid(0, 0);
	struct cpuid beyond = cpuid(zero.eax + 1, 0);
	bool intel = zero.ebx == 0x756e6547;

	CHECK(zero.eax >= 0xd);
	CHECK(cpuid(0x80000000, 0).eax >= 0x80000008);
	/* Beyond the highest basic leaf Intel repeats it, AMD answers zero. */
	if (!intel)
		CHECK_EQUAL(beyond.eax | beyond.ebx | beyond.ecx | beyond.edx, 0);
	CHECK_RANGE(cpuid(0x80000008, 0).eax & 0xff, 36, 52);
}

/* The upper halves of all four registers are cleared in 64-bit mode. */
static void check_upper_halves(void)
{
	uint64_t a = 0xffffffff00000000, b = ~0UL, c = 0xffffffff00000000, d = ~0UL;

	__asm__ volatile("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
	CHECK_EQUAL((a | b | c | d) >> 32, 0);
}

int guest_main(void)
{
	guest_idt_init();
	check_hidden();
	check_hypervisor();
	check_osxsave();
	check_limits();
	check_upper_halves();
	return guest_failures();
}
