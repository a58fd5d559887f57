/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM's ABI as a guest uses and misuses it: steal time, hypercalls, the clock. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "host/x86.h"
#include "test/unit/fake_clock.h"
#include "test/unit/fake_pc.h"
#include "vcpu/exits.h"
#include "vcpu/lapic_state.h"
#include "vcpu/pv.h"
#include "vcpu/pvclock.h"
#include "vcpu/sched.h"

#define STEAL_AT 0x240
#define EOI_AT 0x104
#define CLOCK_AT 0x300
#define ENABLED 1

#define LOW 0x41

static uint64_t stolen_ns;
static struct vcpu *yielded_to;
static unsigned int yields;
static unsigned int mode_bits;

void sched_times(const struct vcpu *vcpu, struct sched_times *times)
{
	(void)vcpu;
	*times = (struct sched_times){ .steal_ns = stolen_ns };
}

void sched_yield_to(struct vcpu *vcpu, struct vcpu *target)
{
	(void)vcpu;
	yields++;
	yielded_to = target;
}

unsigned int guest_mode_bits(struct vcpu *vcpu)
{
	(void)vcpu;
	return mode_bits;
}

static int begin(void **state)
{
	(void)state;
	fake_pc_begin(4);
	for (unsigned int i = 0; i < 4; i++)
		lapic_write32(i, LAPIC_SVR << 4, 0x1ff);
	stolen_ns = 0;
	yields = 0;
	yielded_to = NULL;
	mode_bits = 64;
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_pc_end();
	return 0;
}

static uint64_t get64(gpa_t gpa)
{
	uint64_t value;

	memcpy(&value, pc.ram + gpa, sizeof(value));
	return value;
}

static uint32_t get32(gpa_t gpa)
{
	return get64(gpa);
}

/* ---- steal time ---- */

static int write_steal(uint64_t value)
{
	return pv_wrmsr(&pc.vcpus[0], MSR_PV_STEAL_TIME, value);
}

static uint64_t read_msr(uint32_t msr)
{
	uint64_t value;

	assert_int_equal(pv_rdmsr(&pc.vcpus[0], msr, &value), 0);
	return value;
}

static void steal_is_told_when_scheduled(void **state)
{
	struct vcpu *vcpu = &pc.vcpus[0];
	unsigned int walks;

	(void)state;
	/* Not used: nothing is written, nothing looked for. */
	pv_descheduled(vcpu, true);
	pv_scheduled(vcpu);
	assert_int_equal(pc.ram_walks, 0);

	memset(pc.ram + STEAL_AT, 0xff, 64); /* an odd version, whatever that was */
	stolen_ns = 77;
	assert_int_equal(write_steal(STEAL_AT | ENABLED), 0);
	assert_int_equal(read_msr(MSR_PV_STEAL_TIME), STEAL_AT | ENABLED);
	assert_int_equal(get64(STEAL_AT), 77);
	assert_int_equal(get32(STEAL_AT + 8) & 1, 0);
	assert_int_equal(pc.ram[STEAL_AT + 16], 0);

	walks = pc.ram_walks;
	for (unsigned int i = 1; i <= 10; i++) {
		uint32_t version = get32(STEAL_AT + 8);

		stolen_ns = 1000 * i;
		pv_descheduled(vcpu, i % 2);
		assert_int_equal(pc.ram[STEAL_AT + 16], i % 2);
		pv_scheduled(vcpu);
		assert_int_equal(pc.ram[STEAL_AT + 16], 0);
		assert_int_equal(get64(STEAL_AT), 1000 * i);
		assert_int_equal(get32(STEAL_AT + 8), version + 2);
	}
	assert_int_equal(pc.ram_walks, walks);
	/* Memory has been taken away somewhere: the place is sought once more. */
	pc.vm.memory.generation++;
	pv_scheduled(vcpu);
	pv_scheduled(vcpu);
	assert_int_equal(pc.ram_walks, walks + 1);
	/* All of it, this page included. */
	pc.ram_gone = true;
	pc.vm.memory.generation++;
	pv_descheduled(vcpu, true);
	pv_scheduled(vcpu);
	assert_int_equal(pc.ram[STEAL_AT + 16], 0);

	assert_int_equal(write_steal(0), 0);
	assert_int_equal(read_msr(MSR_PV_STEAL_TIME), 0);
}

static void steal_records_nowhere_are_refused(void **state)
{
	(void)state;
	assert_int_equal(write_steal(STEAL_AT | ENABLED), 0);
	for (unsigned int bit = 1; bit < 6; bit++)
		assert_int_equal(write_steal(STEAL_AT | ENABLED | BIT(bit)), -EIO);
	assert_int_equal(write_steal(BIT(1)), -EIO);
	assert_int_equal(write_steal(FAKE_PC_RAM_BYTES | ENABLED), -EIO);
	assert_int_equal(write_steal(LAPIC_DEFAULT_BASE | ENABLED), -EIO);
	assert_int_equal(write_steal(~63ULL | ENABLED), -EIO);
	/* The old one stays. */
	assert_int_equal(read_msr(MSR_PV_STEAL_TIME), STEAL_AT | ENABLED);
	/* One that is not enabled may be anywhere. */
	assert_int_equal(write_steal(LAPIC_DEFAULT_BASE), 0);
	pv_scheduled(&pc.vcpus[0]);
}

static void flushes_left_behind_are_done(void **state)
{
	struct vcpu *vcpu = &pc.vcpus[0];

	(void)state;
	assert_int_equal(write_steal(STEAL_AT | ENABLED), 0);
	vcpu->requests = 0;
	pv_descheduled(vcpu, true);
	pv_scheduled(vcpu);
	assert_int_equal(vcpu->requests, 0);
	pv_descheduled(vcpu, true);
	pc.ram[STEAL_AT + 16] |= 2;
	pv_scheduled(vcpu);
	assert_true(pc_requested(0, REQUEST_TLB_GUEST));
	assert_int_equal(pc.ram[STEAL_AT + 16], 0);
	/* Whatever else a guest writes there is its own affair. */
	pc.ram[STEAL_AT + 16] = 0xfd;
	pv_scheduled(vcpu);
	assert_int_equal(vcpu->requests, 0);
	assert_int_equal(pc.ram[STEAL_AT + 16], 0);
}

static void reset_forgets_all(void **state)
{
	struct vcpu *vcpu = &pc.vcpus[0];

	(void)state;
	assert_int_equal(write_steal(STEAL_AT | ENABLED), 0);
	assert_int_equal(pv_wrmsr(vcpu, MSR_PV_EOI, EOI_AT | ENABLED), 0);
	assert_int_equal(pvclock_wrmsr(vcpu, MSR_PVCLOCK_SYSTEM, CLOCK_AT | ENABLED), 0);
	lapic_set_irr(vcpu->lapic, LOW, false);
	assert_int_equal(pc_take_interrupt(0), LOW);
	lapic_reset(vcpu, true);
	pv_reset(vcpu);
	memset(pc.ram, 0x5a, sizeof(pc.ram));
	pv_descheduled(vcpu, true);
	pv_scheduled(vcpu);
	pvclock_update(vcpu);
	lapic_write32(0, LAPIC_SVR << 4, 0x1ff);
	lapic_set_irr(vcpu->lapic, LOW, false);
	assert_int_equal(pc_take_interrupt(0), LOW);
	for (unsigned int i = 0; i < sizeof(pc.ram); i++)
		assert_int_equal(pc.ram[i], 0x5a);
	assert_int_equal(read_msr(MSR_PV_STEAL_TIME), 0);
	assert_int_equal(read_msr(MSR_PV_EOI), 0);
}

/* ---- hypercalls ---- */

static int64_t call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	struct vcpu *vcpu = &pc.vcpus[0];

	vcpu->valid |= REG_SS;
	vcpu->regs.gpr[GPR_RAX] = number;
	vcpu->regs.gpr[GPR_RBX] = a;
	vcpu->regs.gpr[GPR_RCX] = b;
	vcpu->regs.gpr[GPR_RDX] = c;
	vcpu->regs.gpr[GPR_RSI] = d;
	assert_int_equal(exit_hypercall(vcpu), ACTION_ADVANCE);
	return vcpu->regs.gpr[GPR_RAX];
}

static void unknown_calls(void **state)
{
	(void)state;
	for (uint64_t number = 0; number < 64; number++) {
		if (number != 1 && number != 5 && number != 10 && number != 11)
			assert_int_equal(call(number, 0, 0, 0, 0), -1000);
	}
	assert_int_equal(call(~0ULL, 0, 0, 0, 0), -1000);
	assert_int_equal(call(BIT(32) | 11, 1, 0, 0, 0), -1000);
	assert_int_equal(yields, 0);
	assert_int_equal(call(1, 0, 0, 0, 0), 0);
	/* 32-bit code has only the lower halves. */
	mode_bits = 32;
	assert_int_equal(call(BIT(32) | 11, BIT(40) | 1, 0, 0, 0), 0);
	assert_ptr_equal(yielded_to, &pc.vcpus[1]);
}

static void only_the_kernel_calls(void **state)
{
	(void)state;
	pc.vcpus[0].special.cpl = 3;
	assert_int_equal(call(1, 0, 0, 0, 0), -1);
	assert_int_equal(call(5, 0, 1, 0, 0), -1);
	assert_int_equal(call(10, 0xf, 0, 0, LOW), -1);
	assert_int_equal(call(11, 1, 0, 0, 0), -1);
	assert_int_equal(yields, 0);
	for (unsigned int i = 0; i < 4; i++) {
		pc.vcpus[i].valid |= REG_TPR;
		assert_int_equal(pc_take_interrupt(i), -1);
		assert_false(pc_requested(i, REQUEST_UNHALT));
	}
}

static void yield_and_kick(void **state)
{
	(void)state;
	assert_int_equal(call(11, 2, 0, 0, 0), 0);
	assert_ptr_equal(yielded_to, &pc.vcpus[2]);
	/* To itself, to nobody. */
	assert_int_equal(call(11, 0, 0, 0, 0), 0);
	assert_int_equal(call(11, 4, 0, 0, 0), 0);
	assert_int_equal(call(11, ~0ULL, 0, 0, 0), 0);
	assert_int_equal(call(11, BIT(32) | 2, 0, 0, 0), 0);
	assert_int_equal(yields, 1);

	assert_int_equal(call(5, 0, 3, 0, 0), 0);
	assert_true(pc_requested(3, REQUEST_UNHALT));
	assert_int_equal(call(5, 0, 0, 0, 0), 0);
	assert_true(pc_requested(0, REQUEST_UNHALT));
	assert_int_equal(call(5, 0, 4, 0, 0), 0);
	assert_int_equal(call(5, ~0ULL, ~0ULL, 0, 0), 0);
}

/* Which vCPUs have this vector waiting, as a bitmap. It is taken. */
static unsigned int taken(uint8_t vector)
{
	unsigned int mask = 0;

	for (unsigned int i = 0; i < 4; i++) {
		if (pc_take_interrupt(i) == vector) {
			mask |= 1U << i;
			lapic_write32(i, LAPIC_EOI << 4, 0);
		}
	}
	return mask;
}

static void ipis_to_many(void **state)
{
	(void)state;
	assert_int_equal(call(10, 0xa, 0, 0, LOW), 2);
	assert_int_equal(taken(LOW), 0xa);
	assert_int_equal(call(10, 0x3, 0, 2, LOW), 2);
	assert_int_equal(taken(LOW), 0xc);
	assert_int_equal(call(10, ~0ULL, ~0ULL, 0, LOW), 4);
	assert_int_equal(taken(LOW), 0xf);
	assert_int_equal(call(10, ~0ULL, ~0ULL, 3, LOW), 1);
	assert_int_equal(taken(LOW), 0x8);
	/* Beyond all vCPUs, and where the sum would wrap. */
	assert_int_equal(call(10, ~0ULL, ~0ULL, 4, LOW), 0);
	assert_int_equal(call(10, ~0ULL, ~0ULL, -64ULL, LOW), 0);
	assert_int_equal(call(10, ~0ULL, ~0ULL, -1ULL, LOW), 0);
	assert_int_equal(call(10, 0, ~0ULL, 0, LOW), 0);
	assert_int_equal(call(10, 0, 0, 0, LOW), 0);
	assert_int_equal(taken(LOW), 0);
	/* 32-bit halves lie side by side. */
	mode_bits = 32;
	assert_int_equal(call(10, BIT(40) | 1, 1, 0, LOW), 1);
	assert_int_equal(taken(LOW), 0x1);
	mode_bits = 64;

	assert_int_equal(call(10, 0x6, 0, 0, DELIVERY_NMI << 8), 2);
	assert_int_equal(pc.nmis[1] + pc.nmis[2], 2);
	assert_int_equal(call(10, 0x1, 0, 0, BIT(14) | LOW), 1); /* "assert" */
	assert_int_equal(taken(LOW), 0x1);
}

static void ipis_that_make_no_sense(void **state)
{
	const uint64_t icrs[] = { 0, 15, BIT(11) | LOW, BIT(12) | LOW, BIT(13) | LOW, BIT(15) | LOW,
		BIT(18) | LOW, BIT(19) | LOW, BIT(32) | LOW, BIT(63) | LOW, DELIVERY_LOWEST << 8 | LOW,
		DELIVERY_SMI << 8, 3 << 8 | LOW, DELIVERY_INIT << 8, DELIVERY_STARTUP << 8 | LOW,
		DELIVERY_EXTINT << 8 };

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(icrs); i++)
		assert_int_equal(call(10, 0xf, 0, 0, icrs[i]), -22);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(pc_take_interrupt(i), -1);
		assert_int_equal(pc.vcpus[i].requests & (REQUEST_INIT | REQUEST_SIPI), 0);
	}
	assert_int_equal(pc.nmis[0] + pc.nmis[1] + pc.nmis[2] + pc.nmis[3], 0);
}

/* ---- the clock ---- */

#define CLOCK_FLAGS (CLOCK_AT + 29)
#define STABLE 1
#define STOPPED 2

static int write_clock(unsigned int vcpu, uint64_t value)
{
	return pvclock_wrmsr(&pc.vcpus[vcpu], MSR_PVCLOCK_SYSTEM, value);
}

/* The guest's reading of its record, for its TSC now. */
static uint64_t clock_read(unsigned int vcpu, gpa_t at)
{
	uint64_t ticks = vcpu_tsc(&pc.vcpus[vcpu]) - get64(at + 8);
	int8_t shift = pc.ram[at + 28];

	ticks = shift < 0 ? ticks >> -shift : ticks << shift;
	return get64(at + 16) + (uint64_t)((unsigned __int128)ticks * get32(at + 24) >> 32);
}

static void clock_counts_ns(void **state)
{
	(void)state;
	pc.vm.started_ns = clock_now_ns();
	memset(pc.ram, 0xff, 0x400);
	assert_int_equal(write_clock(0, CLOCK_AT | ENABLED), 0);
	assert_int_equal(get32(CLOCK_AT) & 1, 0);
	assert_int_equal(pc.ram[CLOCK_FLAGS], STABLE);
	assert_int_equal(pc.ram[CLOCK_AT + 32], 0xff);
	fake_clock_advance(5 * NS_PER_SEC);
	assert_in_range(clock_read(0, CLOCK_AT), 5 * NS_PER_SEC - 5, 5 * NS_PER_SEC + 5);
}

static void clock_records_nowhere_are_refused(void **state)
{
	uint64_t value;

	(void)state;
	pc.vm.started_ns = clock_now_ns();
	assert_int_equal(write_clock(0, CLOCK_AT | ENABLED), 0);
	assert_int_equal(write_clock(0, CLOCK_AT | 2 | ENABLED), -EIO);
	assert_int_equal(write_clock(0, (FAKE_PC_RAM_BYTES - 16) | ENABLED), -EIO);
	assert_int_equal(get32(FAKE_PC_RAM_BYTES - 16), 0);
	assert_int_equal(write_clock(0, LAPIC_DEFAULT_BASE | ENABLED), -EIO);
	assert_int_equal(write_clock(0, ~3ULL | ENABLED), -EIO);
	assert_int_equal(pvclock_rdmsr(&pc.vcpus[0], MSR_PVCLOCK_SYSTEM, &value), 0);
	assert_int_equal(value, CLOCK_AT | ENABLED);
	assert_int_equal(pvclock_wrmsr(&pc.vcpus[0], MSR_PVCLOCK_WALL, LAPIC_DEFAULT_BASE), -EIO);
	assert_int_equal(pvclock_rdmsr(&pc.vcpus[0], MSR_PVCLOCK_WALL, &value), 0);
	assert_int_equal(value, 0);
	/* By the old numbers the same MSRs. */
	assert_int_equal(pvclock_wrmsr(&pc.vcpus[0], MSR_PVCLOCK_WALL_OLD, 0x500), 0);
	assert_int_equal(pvclock_rdmsr(&pc.vcpus[0], MSR_PVCLOCK_WALL, &value), 0);
	assert_int_equal(value, 0x500);
	assert_int_equal(get32(0x504), 1700000000);
	assert_int_equal(pvclock_rdmsr(&pc.vcpus[0], MSR_PVCLOCK_SYSTEM_OLD, &value), 0);
	assert_int_equal(value, CLOCK_AT | ENABLED);
}

/* A TSC written on each vCPU in turn is one TSC, however long the host was about it. */
static void written_tscs_agree(void **state)
{
	(void)state;
	pvclock_set_tsc(&pc.vcpus[0], 0);
	for (unsigned int i = 1; i < 3; i++) {
		fake_clock_advance(300 * NS_PER_MS);
		pvclock_set_tsc(&pc.vcpus[i], 0);
		assert_int_equal(pc.vcpus[i].tsc_offset, pc.vcpus[0].tsc_offset);
	}
	/* Meant to differ; and a vCPU alone gets what it writes. */
	pvclock_set_tsc(&pc.vcpus[3], BIT(50));
	assert_int_equal(vcpu_tsc(&pc.vcpus[3]), BIT(50));
	pvclock_set_tsc(&pc.vcpus[3], BIT(50) + 1000);
	assert_int_equal(vcpu_tsc(&pc.vcpus[3]), BIT(50) + 1000);
	for (unsigned int i = 0; i < 4; i++)
		pc.vcpus[i].tsc_written = false;
}

static void clock_follows_the_tsc(void **state)
{
	uint32_t version;

	(void)state;
	pc.vm.started_ns = clock_now_ns();
	assert_int_equal(write_clock(0, CLOCK_AT | ENABLED), 0);
	version = get32(CLOCK_AT);
	fake_clock_advance(NS_PER_SEC);
	for (unsigned int i = 0; i < 4; i++)
		pc.vcpus[i].requests = 0;

	/* One moves its TSC: the records are no longer interchangeable, and all are told. */
	pvclock_set_tsc(&pc.vcpus[1], BIT(50));
	assert_int_equal(vcpu_tsc(&pc.vcpus[1]), BIT(50));
	assert_true(pc.vcpus[1].dirty & REG_TSC);
	assert_true(pc_requested(0, REQUEST_CLOCK));
	assert_true(pc_requested(3, REQUEST_CLOCK));
	pvclock_update(&pc.vcpus[0]);
	assert_int_equal(pc.ram[CLOCK_FLAGS], 0);
	assert_int_equal(get32(CLOCK_AT), version + 2);
	assert_in_range(clock_read(0, CLOCK_AT), NS_PER_SEC - 5, NS_PER_SEC + 5);
	/* Moving it on changes nothing for the others. */
	pvclock_set_tsc(&pc.vcpus[1], BIT(51));
	assert_false(pc_requested(0, REQUEST_CLOCK));

	/* All the same again. */
	for (unsigned int i = 0; i < 4; i++)
		pvclock_set_tsc(&pc.vcpus[i], 12345);
	assert_true(pc_requested(0, REQUEST_CLOCK));
	pvclock_update(&pc.vcpus[0]);
	assert_int_equal(pc.ram[CLOCK_FLAGS], STABLE);
	fake_clock_advance(NS_PER_SEC);
	assert_in_range(clock_read(0, CLOCK_AT), 2 * NS_PER_SEC - 5, 2 * NS_PER_SEC + 5);
}

/* With TSCs of another frequency than the machine's. */
static void clock_of_scaled_tscs(void **state)
{
	(void)state;
	pc.vm.started_ns = clock_now_ns();
	pc.vm.tsc_hz = FAKE_TSC_HZ / 3;
	for (unsigned int i = 0; i < 4; i++) {
		pc.vcpus[i].tsc_ratio = BIT(48) / 3;
		pc.vcpus[i].tsc_offset = 0;
	}
	assert_int_equal(write_clock(0, CLOCK_AT | ENABLED), 0);
	assert_int_equal(get64(CLOCK_AT + 8), vcpu_tsc(&pc.vcpus[0]));
	fake_clock_advance(5 * NS_PER_SEC);
	assert_in_range(clock_read(0, CLOCK_AT), 5 * NS_PER_SEC - 10, 5 * NS_PER_SEC + 10);
	/* What is written is read, and runs on at the guest's frequency. */
	pvclock_set_tsc(&pc.vcpus[0], 7);
	assert_int_equal(vcpu_tsc(&pc.vcpus[0]), 7);
	fake_clock_advance(NS_PER_SEC);
	assert_in_range(vcpu_tsc(&pc.vcpus[0]), FAKE_TSC_HZ / 3 + 5, FAKE_TSC_HZ / 3 + 8);
	assert_in_range(clock_read(0, CLOCK_AT), 6 * NS_PER_SEC - 10, 6 * NS_PER_SEC + 10);
	/* A second is one of the guest's: 0.9 s are meant to be the same, 1.1 s are not. */
	pvclock_set_tsc(&pc.vcpus[1], 7 + pc.vm.tsc_hz / 10);
	assert_int_equal(pc.vcpus[1].tsc_offset, pc.vcpus[0].tsc_offset);
	fake_clock_advance(NS_PER_SEC / 5);
	pvclock_set_tsc(&pc.vcpus[2], 7 + pc.vm.tsc_hz / 10);
	assert_int_equal(vcpu_tsc(&pc.vcpus[2]), 7 + pc.vm.tsc_hz / 10);
}

static void clock_tells_of_a_pause(void **state)
{
	(void)state;
	assert_int_equal(write_clock(0, CLOCK_AT | ENABLED), 0);
	pvclock_update(&pc.vcpus[0]);
	assert_int_equal(pc.ram[CLOCK_FLAGS], STABLE);
	pvclock_vm_paused(&pc.vm);
	assert_true(pc_requested(0, REQUEST_CLOCK));
	assert_true(pc_requested(1, REQUEST_CLOCK));
	pvclock_update(&pc.vcpus[0]);
	assert_int_equal(pc.ram[CLOCK_FLAGS], STABLE | STOPPED);
	/* The guest has not looked yet. */
	pvclock_update(&pc.vcpus[0]);
	assert_int_equal(pc.ram[CLOCK_FLAGS], STABLE | STOPPED);
	pc.ram[CLOCK_FLAGS] &= ~STOPPED;
	pvclock_update(&pc.vcpus[0]);
	assert_int_equal(pc.ram[CLOCK_FLAGS], STABLE);
	/* One without a record has nothing to be told. */
	pvclock_update(&pc.vcpus[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(steal_is_told_when_scheduled),
		TEST(steal_records_nowhere_are_refused),
		TEST(flushes_left_behind_are_done),
		TEST(reset_forgets_all),
		TEST(unknown_calls),
		TEST(only_the_kernel_calls),
		TEST(yield_and_kick),
		TEST(ipis_to_many),
		TEST(ipis_that_make_no_sense),
		TEST(clock_counts_ns),
		TEST(clock_records_nowhere_are_refused),
		TEST(written_tscs_agree),
		TEST(clock_follows_the_tsc),
		TEST(clock_of_scaled_tscs),
		TEST(clock_tells_of_a_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
