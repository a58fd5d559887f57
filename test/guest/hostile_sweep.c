/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All there is, with random values: MSRs, CPUID leaves, ports, device memory, extended state, LAPIC
 * modes. The guest survives, or the VM stops because of something that Ballast does not emulate.
 */
#include "hostile.h"

#define UD 6
#define GP 13
#define MSR_APIC_BASE 0x1b
#define MSR_EFER 0xc0000080
#define MSR_PVCLOCK_WALL 0x4b564d00
#define MSR_PVCLOCK_SYSTEM 0x4b564d01
#define APIC_ENABLE 0x800
#define APIC_X2APIC 0x400
#define CR4_OSXSAVE (1UL << 18)

static void ignore(struct frame *frame)
{
	(void)frame;
}

static bool fault_is_expected(int vector)
{
	return vector == GUEST_NO_FAULT || vector == GP;
}

static void sweep_range(uint32_t first, uint32_t count)
{
	for (uint32_t msr = first; msr - first < count; msr++) {
		uint64_t value;
		int vector = rdmsr_try(msr, &value);

		CHECK(fault_is_expected(vector));
		if (vector == GUEST_NO_FAULT && msr != 0x10)
			CHECK(fault_is_expected(wrmsr_try(msr, value)));
		CHECK(fault_is_expected(wrmsr_try(msr, hostile_random())));
		if (vector == GUEST_NO_FAULT && msr != 0x10)
			wrmsr_try(msr, value);
	}
}

/* A clock record where no memory is, or not enough of it. */
static void sweep_clock(void)
{
	static const uint64_t bad[] = { RAM_END, RAM_END - 16, PCI_HOLE, LAPIC_BASE, 1UL << 40,
		1UL << 52, 0xfffffffffffffff0, 0x8000000000000000, 0xffffffffe0, 1UL << 48 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK_EQUAL(wrmsr_try(MSR_PVCLOCK_SYSTEM, bad[i] | 1), GP);
		CHECK_EQUAL(wrmsr_try(MSR_PVCLOCK_SYSTEM, bad[i]), GUEST_NO_FAULT);
	}
	CHECK_EQUAL(wrmsr_try(MSR_PVCLOCK_WALL, RAM_END - 8), GP);
	CHECK_EQUAL(wrmsr_try(MSR_PVCLOCK_WALL, ~0UL), GP);
	CHECK_EQUAL(wrmsr_try(MSR_PVCLOCK_SYSTEM, (RAM_END - 32) | 1), GUEST_NO_FAULT);
	CHECK_EQUAL(wrmsr_try(MSR_PVCLOCK_SYSTEM, 0), GUEST_NO_FAULT);
	CHECK_EQUAL(wrmsr_try(MSR_PVCLOCK_SYSTEM, 0x1ffffff9), GP);
	wrmsr_try(MSR_PVCLOCK_SYSTEM, 0x1fffff1); /* from one page into the next */
}

static void msrs(void)
{
	sweep_range(0, 0x2000);
	sweep_range(0xc0000000, 0x80);
	sweep_range(0xc0000081, 0x1f7f);
	sweep_range(0xc0010000, 0x200);
	sweep_range(0x40000000, 0x120);
	sweep_range(0x4b564d00, 0x20);
	sweep_clock();
	for (int i = 0; i < 2000; i++) {
		uint64_t value;

		/* With which this code would not go on: no long mode, no executable data. */
		CHECK(fault_is_expected(wrmsr_try(MSR_EFER, hostile_random() | 0x500)));
		rdmsr_try(hostile_random(), &value);
	}
}

static void cpuids(void)
{
	static const uint32_t bases[] = { 0, 0x40000000, 0x80000000, 0xc0000000 };

	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		for (uint32_t leaf = 0; leaf < 0x40; leaf++) {
			for (uint32_t subleaf = 0; subleaf < 16; subleaf++)
				cpuid(bases[i] + leaf, subleaf);
			cpuid(bases[i] + leaf, ~0U);
		}
	}
	for (int i = 0; i < 2000; i++)
		cpuid(hostile_random(), hostile_random());
}

/* Ports that end or reset the VM, and the console's data: not for random values. */
static bool port_is_fatal(uint32_t port, unsigned int size)
{
	static const uint16_t fatal[] = { 0x64, 0x92, 0xf4, 0xf5, 0xf6, 0xf7, 0x3f8, 0x604, 0x605,
		0xcf9 };

	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
		if (fatal[i] - port < size)
			return true;
	}
	return false;
}

static void access_port(uint16_t port, unsigned int how)
{
	uint32_t value = hostile_random();

	switch (how) {
	case 0:
		in8(port);
		break;
	case 1:
		in16(port);
		break;
	case 2:
		in32(port);
		break;
	case 3:
		out8(port, value);
		break;
	case 4:
		out16(port, value);
		break;
	default:
		out32(port, value);
	}
}

static void ports(void)
{
	guest_set_handler(2, ignore);
	for (uint32_t port = 0; port < 0x10000; port++) {
		unsigned int first = 0, last = 5;

		/* Above 0x1000 there is nothing: one of the six ways will do. */
		if (port >= 0x1000 && port < 0xfff0)
			first = last = hostile_random() % 6;
		for (unsigned int how = first; how <= last; how++) {
			if (how < 3 || !port_is_fatal(port, 1 << (how - 3)))
				access_port(port, how);
		}
	}
}

static void access_memory(volatile uint8_t *at)
{
	uint64_t value = hostile_random();

	switch (hostile_random() % 14) {
	case 0:
		*at = value;
		break;
	case 1:
		*(volatile uint16_t *)at = value;
		break;
	case 2:
		*(volatile uint32_t *)at = value;
		break;
	case 3:
		*(volatile uint64_t *)at = value;
		break;
	case 4:
		__asm__ volatile("lock; xaddq %0, (%1)" : "+r"(value) : "r"(at) : "memory");
		break;
	case 5:
		__asm__ volatile("lock; cmpxchgq %1, (%2)" : "+a"(value) : "r"(value), "r"(at)
			: "memory");
		break;
	case 6:
		__asm__ volatile("xchgw %w0, (%1)" : "+r"(value) : "r"(at) : "memory");
		break;
	case 7:
		__asm__ volatile("btsq %0, (%1)" : : "r"(value & 63), "r"(at) : "memory");
		break;
	case 8:
		__asm__ volatile("rolb %%cl, (%1)" : : "c"(value), "r"(at) : "memory");
		break;
	case 9:
		*(volatile uint64_t *)at;
		break;
	case 10:
		*(volatile uint32_t *)at;
		break;
	case 11:
		__asm__ volatile("movdqu (%0), %%xmm0; movdqu %%xmm0, (%0)" : : "r"(at)
			: "memory");
		break;
	case 12:
		GUEST_TRY("divq (%0)", : : "r"(at), "a"(1), "d"(0) : "memory");
		break;
	default:
		__asm__ volatile("cmpsb" : : "S"(at), "D"(at) : "memory");
	}
}

/* Not the LAPIC's interrupt command: it would reset this CPU, or send NMIs without end. */
static bool is_command(uint64_t address)
{
	return address >> 12 == LAPIC_BASE >> 12 && (address & 0xfff) >= 0x2f1 &&
		(address & 0xfff) < 0x310;
}

static void memory(void)
{
	static const struct {
		uint64_t start, bytes;
	} places[] = {
		{ LAPIC_BASE, 0x1000 }, { IOAPIC_BASE, 0x1000 }, { PCI_HOLE, 0x10000 },
		{ 0xa0000, 0x20000 }, { RAM_END, 0x1000 }, { 0xfed00000, 0x1000 },
		{ LAPIC_BASE - 16, 32 }, { LAPIC_BASE + 0xff0, 32 }, { IOAPIC_BASE - 16, 48 },
		{ 0xfffff000, 0xff0 },
	};

	guest_set_handler(2, ignore);
	for (unsigned int i = 0; i < 20000; i++) {
		size_t place = hostile_random() % (sizeof(places) / sizeof(places[0]));
		uint64_t at = places[place].start + hostile_random() % places[place].bytes;

		if (!is_command(at))
			access_memory((volatile uint8_t *)at);
	}
}

static void xstates(void)
{
	static uint64_t area[512] __attribute__((aligned(64)));

	if (!(cpuid(1, 0).ecx & 1 << 26))
		return;
	write_cr4(read_cr4() | CR4_OSXSAVE);
	for (unsigned int i = 0; i < 2000; i++) {
		uint64_t value = hostile_random() & (i & 1 ? ~0UL : 0x3ff);

		CHECK(fault_is_expected(GUEST_TRY("xsetbv", : : "c"(i % 8 ? 0 : 1),
			"a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory")));
		for (unsigned int word = 0; word < 512; word++)
			area[word] = hostile_random();
		if (i & 2) {
			area[3] = 0x1f80; /* MXCSR: else only this is refused */
			area[64] &= 7;
			for (unsigned int word = 65; word < 72; word++)
				area[word] = 0;
		}
		GUEST_TRY("xrstor (%0)", : : "r"(area), "a"(~0U), "d"(~0U) : "memory");
		cpuid(0, 0);
		GUEST_TRY("fxrstor (%0)", : : "r"(area) : "memory");
		GUEST_TRY("frstor (%0)", : : "r"(area) : "memory");
		in8(0x80); /* with an x87 exception pending, as a rule */
		GUEST_TRY("fwait", : : : "memory");
		GUEST_TRY("fnclex", : : : "memory");
	}
}

/* What LAPIC modes there are, in all orders; its page on RAM, on the IOAPIC, beyond everything. */
static void lapic(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	guest_set_handler(2, ignore);
	for (unsigned int i = 0; i < 4000; i++) {
		uint64_t value = hostile_random() & 0xff00000d00;

		if (i & 1)
			value = (base & ~0xfffUL) | (value & 0xd00);
		CHECK(fault_is_expected(wrmsr_try(MSR_APIC_BASE, value)));
		*mmio32(LAPIC_BASE + LAPIC_TPR) = 0;
		CHECK(fault_is_expected(wrmsr_try(0x800 + hostile_random() % 0x30,
			hostile_random())));
		wrmsr_try(0x838, hostile_random());
		wrmsr_try(0x83f, hostile_random() & 0x1ff);
	}
	wrmsr_try(MSR_APIC_BASE, LAPIC_BASE);
	CHECK_EQUAL(wrmsr_try(MSR_APIC_BASE, LAPIC_BASE | APIC_X2APIC), GP);
	CHECK_EQUAL(wrmsr_try(MSR_APIC_BASE, LAPIC_BASE | APIC_ENABLE), GUEST_NO_FAULT);
	lapic_enable();
	for (unsigned int i = 0; i < 5000; i++) {
		uint32_t command = hostile_random() & 0xfffff;

		/* All but INIT: to nobody, to everybody, with vectors that may not be. */
		if ((command & 0x700) == 0x500)
			continue;
		lapic_write(LAPIC_ICR_HIGH, hostile_random());
		lapic_write(LAPIC_ICR, command);
	}
	/* Over untouched RAM: the page is a device's now, and its code cannot be executed. */
	CHECK_EQUAL(wrmsr_try(MSR_APIC_BASE, 0x3a00000 | APIC_ENABLE), GUEST_NO_FAULT);
	CHECK_EQUAL(*mmio32(0x3a00000 + 0x30) & 0xff, 0x14);
	CHECK_EQUAL(GUEST_TRY("jmp *%0", : : "r"(0x3a00000UL) : "memory"), UD);
	CHECK_EQUAL(wrmsr_try(MSR_APIC_BASE, base), GUEST_NO_FAULT);
	CHECK_EQUAL(*mmio32(0x3a00000 + 0x30), 0);
}

static const struct hostile_case cases[] = {
	{ "case=msrs", msrs },
	{ "case=cpuids", cpuids },
	{ "case=ports", ports },
	{ "case=memory", memory },
	{ "case=xstates", xstates },
	{ "case=lapic", lapic },
};

HOSTILE_MAIN(cases)
