/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time from the TSC. Its frequency is measured against the ACPI PM timer, or else channel 2 of the
 * 8254, over the time that the firmware spends loading files, so that measuring costs nothing. What
 * CPUID says of the frequency is taken when the measurement agrees, for it is exact; or when there
 * is nothing to measure with.
 */
#include "host/clock.h"

#include "host/init.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/x86.h"

#define PM_TIMER_HZ 3579545ULL
#define PM_TIMER_MASK 0xffffff /* its width at least; wider ones are read as that wide */
#define PIT_HZ 1193182ULL
#define PIT_CHANNEL2 0x42
#define PIT_COMMAND 0x43
#define PIT_GATE 0x61
#define PIT_LONGEST 0xffff

/* Long enough for 50 ppm with the PM timer's resolution. */
#define LONG_ENOUGH_NS (10 * NS_PER_MS)
#define QUICK_NS (100 * NS_PER_US)
/* Emulators keep the PM timer exactly, and some pay for each instruction of waiting. */
#define EMULATED_NS (300 * NS_PER_US)
/* The PM timer wraps after 4.6 s: a sample later than this does not count. */
#define SAMPLE_LIMIT_NS (4 * NS_PER_SEC)
#define SPIN_BUDGET 20000000

enum reference {
	REFERENCE_NONE,
	REFERENCE_PM_TIMER,
	REFERENCE_PIT,
};

uint64_t clock_tsc_hz;

static uint64_t ns_per_tsc;  /* [I] 40 fractional bits */
static uint64_t tsc_per_ns;  /* [I] 40 fractional bits */

static enum reference reference;
static uint64_t start_tsc, last_tsc;
static uint32_t last_pm;
static uint64_t pm_ticks; /* from start_tsc to last_tsc */
static bool frozen;       /* a sample came too late: the interval ends before it */

static inline uint64_t multiply_shift_40(uint64_t a, uint64_t b)
{
	return (uint64_t)(((unsigned __int128)a * b) >> 40);
}

uint64_t clock_ns_from_tsc(uint64_t tsc)
{
	return multiply_shift_40(tsc, ns_per_tsc);
}

uint64_t clock_tsc_from_ns(uint64_t ns)
{
	return multiply_shift_40(ns, tsc_per_ns);
}

void clock_wait(uint64_t ns)
{
	uint64_t end = clock_tsc() + clock_tsc_from_ns(ns);

	while (clock_tsc() < end)
		__builtin_ia32_pause();
}

uint64_t clock_wall_ns(void)
{
	return machine.wall_ns_at_boot + clock_ns_from_tsc(clock_tsc() - machine.tsc_at_wall);
}

static void set_frequency(uint64_t hz)
{
	clock_tsc_hz = hz;
	ns_per_tsc = mul_div(NS_PER_SEC, BIT(40), hz);
	tsc_per_ns = mul_div(hz, BIT(40), NS_PER_SEC);
}

static uint32_t pm_read(void)
{
	return in32(machine.acpi.pm_timer.port) & PM_TIMER_MASK;
}

static void pit_start(void)
{
	out8(PIT_GATE, (uint8_t)((in8(PIT_GATE) & ~2) | 1));
	out8(PIT_COMMAND, 0xb0); /* channel 2, both bytes, mode 0: its output rises at the end */
	out8(PIT_CHANNEL2, PIT_LONGEST & 0xff);
	out8(PIT_CHANNEL2, PIT_LONGEST >> 8);
}

static bool pit_ended(void)
{
	return in8(PIT_GATE) & 0x20;
}

static uint32_t pit_ticks(void)
{
	uint32_t count;

	out8(PIT_COMMAND, 0x80); /* latch channel 2 */
	count = in8(PIT_CHANNEL2);
	count |= (uint32_t)in8(PIT_CHANNEL2) << 8;
	return PIT_LONGEST - count;
}

void clock_start(void)
{
	if (machine.acpi.pm_timer.port && machine.acpi.pm_timer.bytes == 4) {
		reference = REFERENCE_PM_TIMER;
		last_pm = pm_read();
	} else {
		reference = REFERENCE_PIT;
		pit_start();
	}
	start_tsc = clock_tsc();
	last_tsc = start_tsc;
}

void clock_sample(void)
{
	uint64_t now, hz;
	uint32_t pm;

	if (reference != REFERENCE_PM_TIMER || frozen)
		return;
	pm = pm_read();
	now = clock_tsc();
	/* Once there is an estimate, see whether the timer may have wrapped since the last look. */
	if (pm_ticks > PM_TIMER_HZ / 1000) {
		hz = mul_div(last_tsc - start_tsc, PM_TIMER_HZ, pm_ticks);
		if (now - last_tsc > hz / NS_PER_SEC * SAMPLE_LIMIT_NS) {
			frozen = true;
			return;
		}
	}
	pm_ticks += (pm - last_pm) & PM_TIMER_MASK;
	last_pm = pm;
	last_tsc = now;
}

static uint64_t spin_pm_timer(uint64_t ns)
{
	uint64_t needed = ns * PM_TIMER_HZ / NS_PER_SEC;
	uint32_t first = pm_read(), ticks;
	uint64_t from = clock_tsc(), now;

	for (unsigned int i = 0; i < SPIN_BUDGET; i++) {
		ticks = (pm_read() - first) & PM_TIMER_MASK;
		now = clock_tsc();
		if (ticks >= needed)
			return mul_div(now - from, PM_TIMER_HZ, ticks);
		__builtin_ia32_pause();
	}
	return 0;
}

static uint64_t spin_pit(uint64_t ns)
{
	uint64_t needed = ns * PIT_HZ / NS_PER_SEC, from, now;
	uint32_t ticks;

	pit_start();
	from = clock_tsc();
	for (unsigned int i = 0; i < SPIN_BUDGET && !pit_ended(); i++) {
		ticks = pit_ticks();
		now = clock_tsc();
		if (ticks >= needed && ticks < PIT_LONGEST)
			return mul_div(now - from, PIT_HZ, ticks);
		__builtin_ia32_pause();
	}
	return 0;
}

/* Hertz, measured now over `ns`; 0 when nothing counts. */
static uint64_t spin(uint64_t ns)
{
	uint64_t hz = 0;

	if (reference == REFERENCE_PM_TIMER)
		hz = spin_pm_timer(ns);
	if (!hz) {
		reference = REFERENCE_PIT;
		hz = spin_pit(ns);
	}
	return hz;
}

/* Hertz over the time since clock_start(); 0 when that is not long enough, or not known. */
static uint64_t since_start(void)
{
	uint32_t ticks;

	if (reference == REFERENCE_PM_TIMER) {
		clock_sample();
		if (pm_ticks < LONG_ENOUGH_NS * PM_TIMER_HZ / NS_PER_SEC)
			return 0;
		return mul_div(last_tsc - start_tsc, PM_TIMER_HZ, pm_ticks);
	}
	ticks = pit_ticks();
	last_tsc = clock_tsc();
	if (ticks < LONG_ENOUGH_NS * PIT_HZ / NS_PER_SEC || ticks >= PIT_LONGEST || pit_ended())
		return 0;
	return mul_div(last_tsc - start_tsc, PIT_HZ, ticks);
}

/* TSC frequency as CPUID tells it (Intel SDM vol. 3, "Invariant Time-Keeping"); 0: it does not. */
static uint64_t frequency_by_cpuid(void)
{
	uint32_t leaves = cpuid(0, 0).eax;
	struct cpuid_result ratio, speed = {0};

	if (leaves < 0x15)
		return 0;
	ratio = cpuid(0x15, 0);
	if (leaves >= 0x16)
		speed = cpuid(0x16, 0);
	if (ratio.eax && ratio.ebx && ratio.ecx)
		return mul_div(ratio.ecx, ratio.ebx, ratio.eax);
	return (speed.eax & 0xffff) * 1000000ULL;
}

static bool agree(uint64_t a, uint64_t b, unsigned int percent)
{
	uint64_t difference = a > b ? a - b : b - a;

	return a && b && difference < b / 100 * percent;
}

/*
 * A quick look tells what to believe: what CPUID says, and what the time in the firmware showed,
 * unless the TSC stood still then (old CPUs' idle states; emulators that count instructions).
 */
static uint64_t measure(void)
{
	uint64_t told = frequency_by_cpuid(), whole = since_start();
	uint64_t quick = spin(reference == REFERENCE_PM_TIMER ? QUICK_NS : NS_PER_MS);
	bool emulated = cpuid(1, 0).ecx & BIT(31);

	if (!quick || agree(told, quick, 3))
		return told;
	if (agree(whole, quick, 3))
		return whole;
	return spin(emulated ? EMULATED_NS : LONG_ENOUGH_NS);
}

void clock_init(void)
{
	uint64_t hz = measure();

	if (!hz)
		panic("no way to measure the TSC: neither ACPI PM timer nor 8254 count");
	set_frequency(hz);
	if (cpuid(0x80000000, 0).eax < 0x80000007 || !(cpuid(0x80000007, 0).edx & BIT(8)))
		log_note("the TSC is not said to be invariant: time may drift");
}
