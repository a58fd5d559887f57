/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's clock: its rate against the PM timer, the same on all CPUs, right when the TSC was written,
 * and with the wall clock the same date as the RTC. With one vCPU or two.
 */
#include "guest.h"

#define GP 13
#define MS 1000000ULL
#define SECOND 1000000000ULL

#define MSR_TSC 0x10
#define MSR_WALL_OLD 0x11
#define MSR_SYSTEM_OLD 0x12
#define MSR_WALL 0x4b564d00
#define MSR_SYSTEM 0x4b564d01

#define STABLE 1

struct record {
	uint32_t version, pad;
	uint64_t tsc, ns;
	uint32_t multiplier;
	int8_t shift;
	uint8_t flags, pad2[2];
};
struct wall {
	uint32_t version, seconds, nanoseconds;
};
static volatile struct record records[2] __attribute__((aligned(64)));
static volatile struct wall wall __attribute__((aligned(64)));

static uint64_t now(unsigned int id)
{
	uint32_t version;
	uint64_t ticks, ns;

	do {
		version = records[id].version;
		ticks = rdtsc() - records[id].tsc;
		ticks = records[id].shift < 0 ? ticks >> -records[id].shift :
						ticks << records[id].shift;
		ns = records[id].ns +
			(uint64_t)((unsigned __int128)ticks * records[id].multiplier >> 32);
	} while (version & 1 || version != records[id].version);
	return ns;
}

static void use(unsigned int id)
{
	memset((void *)&records[id], 0xff, sizeof(records[id]));
	wrmsr(MSR_SYSTEM, (uint64_t)&records[id] | 1);
	CHECK_EQUAL(rdmsr(MSR_SYSTEM), (uint64_t)&records[id] | 1);
	CHECK_EQUAL(rdmsr(MSR_SYSTEM_OLD), (uint64_t)&records[id] | 1);
	CHECK_EQUAL(records[id].version & 1, 0);
	CHECK_EQUAL(records[id].flags, STABLE);
}

static void check_refused(void)
{
	CHECK_EQUAL(wrmsr_try(MSR_SYSTEM, LAPIC_BASE | 1), GP);
	CHECK_EQUAL(wrmsr_try(MSR_SYSTEM, 0xd0000000 | 1), GP);
	CHECK_EQUAL(wrmsr_try(MSR_SYSTEM, 64ULL << 20 | 1), GP);
	CHECK_EQUAL(wrmsr_try(MSR_SYSTEM, (64ULL << 20) - 28 + 1), GP); /* ends beyond RAM */
	CHECK_EQUAL(wrmsr_try(MSR_SYSTEM, ~0ULL), GP);
	CHECK_EQUAL(wrmsr_try(MSR_SYSTEM, (uint64_t)&records[0] | 3), GP);
	CHECK_EQUAL(wrmsr_try(MSR_WALL, LAPIC_BASE), GP);
	CHECK_EQUAL(wrmsr_try(MSR_WALL, ~0ULL), GP);
	CHECK_EQUAL(rdmsr(MSR_SYSTEM), 0);
	CHECK_EQUAL(rdmsr(MSR_WALL), 0);
}

/* guest_delay_ns() measures with the PM timer. */
static void check_rate(void)
{
	uint64_t start = now(0);

	guest_delay_ns(50 * MS);
	/* Under an emulator's uneven clock the two readings are not quite of one moment. */
	CHECK_RANGE(now(0) - start, 45 * MS, 60 * MS);
}

static uint8_t read_rtc(uint8_t reg)
{
	uint8_t value;

	out8(0x70, reg);
	value = in8(0x71);
	return (value >> 4) * 10 + (value & 0xf);
}

/* Days from 1970-01-01 to the first of this month. */
static uint64_t days_to(unsigned int year, unsigned int month)
{
	static const uint16_t before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	uint64_t days = (year - 1970) * 365 + (year - 1969) / 4; /* until 2100 */

	return days + before[month - 1] + (month > 2 && year % 4 == 0);
}

static uint64_t rtc_seconds(void)
{
	uint64_t days;

	for (unsigned int i = 0; i < 100000000; i++) {
		out8(0x70, 0x0a);
		if (!(in8(0x71) & 0x80))
			break;
	}
	days = days_to(2000 + read_rtc(9), read_rtc(8)) + read_rtc(7) - 1;
	return ((days * 24 + read_rtc(4)) * 60 + read_rtc(2)) * 60 + read_rtc(0);
}

static void check_date(uint32_t msr)
{
	uint64_t rtc, date;

	memset((void *)&wall, 0xff, sizeof(wall));
	wrmsr(msr, (uint64_t)&wall);
	CHECK_EQUAL(wall.version & 1, 0);
	CHECK_RANGE(wall.nanoseconds, 0, SECOND - 1);
	rtc = rtc_seconds();
	date = wall.seconds + (wall.nanoseconds + now(0)) / SECOND;
	/* The RTC shows whole seconds and updates them all at once. */
	CHECK_RANGE(date, rtc - 1, rtc + 2);
}

/* ---- two CPUs ---- */

static volatile uint64_t latest, readings[2], backwards;
static volatile bool stop, ready, finished;

static void race(unsigned int id)
{
	uint64_t seen = latest, mine;

	/* The TSC is not to be read before what the other has read. */
	__asm__ volatile("lfence" : : : "memory");
	mine = now(id);
	if (mine < seen)
		backwards++;
	latest = mine;
	readings[id]++;
}

static void other(unsigned int id)
{
	use(id);
	ready = true;
	while (!stop)
		race(id);
	finished = true;
	for (;;)
		__asm__ volatile("pause");
}

static bool wait_for(volatile bool *flag)
{
	uint64_t end = rdtsc() + 2 * guest_tsc_hz();

	while (!*flag && rdtsc() < end)
		__asm__ volatile("pause");
	return *flag;
}

static void check_other_cpu(void)
{
	uint64_t start;

	CHECK(guest_start_cpu(1, other));
	CHECK(wait_for(&ready));
	for (start = now(0); now(0) - start < 60 * MS;)
		race(0);
	stop = true;
	CHECK(wait_for(&finished));
	CHECK_EQUAL(backwards, 0);
	CHECK(readings[0] > 10 && readings[1] > 10);
}

/* The clock goes on as if nothing had happened; but one CPU's record is no longer another's. */
static void check_tsc_written(void)
{
	uint64_t before = now(0);
	uint8_t expected = guest_cpu_count() > 1 ? 0 : STABLE;

	wrmsr(MSR_TSC, 1ULL << 55);
	CHECK_RANGE(now(0) - before, 0, 20 * MS);
	CHECK_EQUAL(records[0].flags, expected);
	/* The other's is written anew as soon as it leaves the guest: it is made to. */
	for (unsigned int i = 0; i < 1000 && records[1].flags != expected; i++)
		guest_delay_ns(MS / 10);
	if (guest_cpu_count() > 1)
		CHECK_EQUAL(records[1].flags & STABLE, 0);
	before = now(0);
	wrmsr(MSR_TSC, 5);
	CHECK_RANGE(now(0) - before, 0, 20 * MS);
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	lapic_enable();
	guest_tsc_hz();
	check_refused();
	use(0);
	check_rate();
	check_date(MSR_WALL);
	check_date(MSR_WALL_OLD);
	if (guest_cpu_count() > 1)
		check_other_cpu();
	check_tsc_written();
	wrmsr(MSR_SYSTEM_OLD, 0);
	CHECK_EQUAL(rdmsr(MSR_SYSTEM), 0);
	return guest_failures();
}
