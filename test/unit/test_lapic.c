/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual LAPIC as a guest's driver meets it: priorities, timers, messages, mode changes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "host/x86.h"
#include "test/unit/fake_pc.h"
#include "vcpu/ticks.h"

#define ID 0x20
#define VERSION 0x30
#define TPR 0x80
#define PPR 0xa0
#define EOI 0xb0
#define LDR 0xd0
#define DFR 0xe0
#define SVR 0xf0
#define ISR 0x100
#define TMR 0x180
#define IRR 0x200
#define ESR 0x280
#define ICR 0x300
#define ICR2 0x310
#define LVTT 0x320
#define LINT0 0x350
#define LINT1 0x360
#define LVTERR 0x370
#define TMICT 0x380
#define TMCCT 0x390
#define TDCR 0x3e0

#define MASKED 0x10000
#define PERIODIC 0x20000
#define DEADLINE 0x40000
#define NS_PER_COUNT (NS_PER_SEC / LAPIC_TIMER_HZ)
#define MSR(offset) (0x800 + (offset) / 16)
#define SELF_IPI 0x83f

static unsigned int ends_seen;
static uint8_t last_end;

static void ignore_line(struct irqchip *chip, unsigned int gsi, bool level)
{
	(void)chip, (void)gsi, (void)level;
}

static void count_end(struct irqchip *chip, uint8_t vector)
{
	(void)chip;
	/* The contract: under vm.lock. */
	assert_true(pc.vm.lock.next != pc.vm.lock.owner);
	ends_seen++;
	last_end = vector;
}

static struct irqchip end_counter = { .set_line = ignore_line, .end_of_interrupt = count_end };

static void begin(unsigned int vcpus)
{
	fake_pc_begin(vcpus);
	ends_seen = 0;
	assert_int_equal(vm_add_irqchip(&pc.vm, &end_counter), 0);
	for (unsigned int i = 0; i < vcpus; i++)
		lapic_write32(i, SVR, 0x1ff);
}

static int begin1(void **state)
{
	(void)state;
	begin(1);
	return 0;
}

static int begin4(void **state)
{
	(void)state;
	begin(4);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_pc_end();
	return 0;
}

static void send_fixed(uint32_t destination, uint8_t vector, bool level)
{
	struct apic_message message = { .destination = destination, .level = level, .assert = true,
		.delivery = DELIVERY_FIXED, .vector = vector };

	lapic_deliver(&pc.vm, &message);
}

static uint64_t read_msr(unsigned int vcpu, uint32_t msr)
{
	uint64_t value = 0;

	assert_int_equal(lapic_rdmsr(&pc.vcpus[vcpu], msr, &value), 0);
	return value;
}

static void write_msr(unsigned int vcpu, uint32_t msr, uint64_t value)
{
	assert_int_equal(lapic_wrmsr(&pc.vcpus[vcpu], msr, value), 0);
}

static void refuse_msr(unsigned int vcpu, uint32_t msr, uint64_t value)
{
	assert_int_equal(lapic_wrmsr(&pc.vcpus[vcpu], msr, value), -EIO);
}

static void enter_x2apic(unsigned int vcpu)
{
	write_msr(vcpu, MSR_APIC_BASE, read_msr(vcpu, MSR_APIC_BASE) | APIC_BASE_X2APIC);
}

static void power_up_state_is_a_firmwares(void **state)
{
	(void)state;
	fake_pc_begin(2);
	assert_int_equal(read_msr(0, MSR_APIC_BASE), LAPIC_DEFAULT_BASE | 0x900);
	assert_int_equal(read_msr(1, MSR_APIC_BASE), LAPIC_DEFAULT_BASE | 0x800);
	assert_int_equal(lapic_read32(1, ID), 1U << 24);
	assert_int_equal(lapic_read32(0, VERSION), 0x50014);
	assert_int_equal(lapic_read32(0, SVR), 0xff);
	assert_int_equal(lapic_read32(0, DFR), 0xffffffff);
	assert_int_equal(lapic_read32(0, LVTT), MASKED);
	/* Virtual wire mode on the boot CPU alone. */
	assert_int_equal(lapic_read32(0, LINT0), 0x700);
	assert_int_equal(lapic_read32(0, LINT1), 0x400);
	assert_int_equal(lapic_read32(1, LINT0), MASKED);
	assert_true(lapic_accepts_extint(&pc.vcpus[0]));
	assert_false(lapic_accepts_extint(&pc.vcpus[1]));
	/* Not yet enabled by software: nothing fixed gets in. */
	send_fixed(0, 0x40, false);
	assert_int_equal(pc_take_interrupt(0), -1);
	fake_pc_end();
}

static void higher_classes_come_first_and_nest(void **state)
{
	(void)state;
	send_fixed(0, 0x41, false);
	send_fixed(0, 0x4f, false);
	send_fixed(0, 0x31, false);
	assert_true(pc_requested(0, REQUEST_EVENTS));
	assert_int_equal(pc_take_interrupt(0), 0x4f);
	/* 0x41 is of the class in service, 0x31 below it. */
	assert_int_equal(pc_take_interrupt(0), -1);
	assert_int_equal(lapic_waiting_vector(&pc.vcpus[0]), -1);
	assert_int_equal(lapic_read32(0, PPR), 0x40);
	send_fixed(0, 0x50, false);
	assert_int_equal(pc_take_interrupt(0), 0x50);
	assert_int_equal(lapic_read32(0, ISR + 0x20), 1U << (0x4f - 0x40) | 1U << (0x50 - 0x40));
	lapic_write32(0, EOI, 0);
	assert_int_equal(pc_take_interrupt(0), -1);
	pc_requested(0, REQUEST_EVENTS);
	lapic_write32(0, EOI, 0);
	assert_true(pc_requested(0, REQUEST_EVENTS));
	assert_int_equal(pc_take_interrupt(0), 0x41);
	lapic_write32(0, EOI, 0);
	assert_int_equal(pc_take_interrupt(0), 0x31);
	lapic_write32(0, EOI, 0);
	lapic_write32(0, EOI, 0); /* one too many does nothing */
	assert_int_equal(pc_take_interrupt(0), -1);
	assert_int_equal(ends_seen, 0);
}

static void every_legal_vector_is_delivered_from_the_top(void **state)
{
	(void)state;
	for (int vector = 16; vector < 256; vector++)
		send_fixed(0, vector, false);
	for (int class = 15; class >= 1; class--) {
		for (int low = 15; low >= 0; low--) {
			assert_int_equal(pc_take_interrupt(0), class << 4 | low);
			lapic_write32(0, EOI, 0);
		}
	}
	assert_int_equal(pc_take_interrupt(0), -1);
}

static void tpr_holds_back_and_lives_in_hardware(void **state)
{
	(void)state;
	lapic_write32(0, TPR, 0x45);
	assert_true(pc.vcpus[0].dirty & REG_TPR);
	pc_exit(0);
	send_fixed(0, 0x4e, false);
	assert_int_equal(pc_take_interrupt(0), -1);
	/* It waits for TPR alone: that is what the TPR window is asked for. */
	assert_int_equal(lapic_waiting_vector(&pc.vcpus[0]), 0x4e);
	assert_int_equal(lapic_read32(0, PPR), 0x45);
	pc_exit(0);
	pc.hardware_tpr[0] = 0x30; /* MOV to CR8, no exit */
	assert_int_equal(lapic_read32(0, TPR), 0x30);
	assert_int_equal(pc_take_interrupt(0), 0x4e);
	assert_int_equal(lapic_read32(0, PPR), 0x40);
	/* Lowering TPR by its register makes the run loop look. */
	lapic_write32(0, TPR, 0xf0);
	send_fixed(0, 0xe0, false);
	pc_requested(0, REQUEST_EVENTS);
	lapic_write32(0, TPR, 0);
	assert_true(pc_requested(0, REQUEST_EVENTS));
	assert_int_equal(pc_take_interrupt(0), 0xe0);
}

static void level_vectors_are_announced_at_their_end(void **state)
{
	(void)state;
	send_fixed(0, 0x51, true);
	assert_int_equal(lapic_read32(0, TMR + 0x20), 1U << 0x11);
	assert_int_equal(lapic_read32(0, IRR + 0x20), 1U << 0x11);
	assert_int_equal(pc_take_interrupt(0), 0x51);
	assert_int_equal(ends_seen, 0);
	lapic_write32(0, EOI, 0);
	assert_int_equal(ends_seen, 1);
	assert_int_equal(last_end, 0x51);
	/* The same vector as an edge: TMR is cleared again. */
	send_fixed(0, 0x51, false);
	assert_int_equal(lapic_read32(0, TMR + 0x20), 0);
	assert_int_equal(pc_take_interrupt(0), 0x51);
	lapic_write32(0, EOI, 0);
	assert_int_equal(ends_seen, 1);
}

static void a_vector_waits_while_it_is_served(void **state)
{
	(void)state;
	send_fixed(0, 0x61, false);
	assert_int_equal(pc_take_interrupt(0), 0x61);
	send_fixed(0, 0x61, false);
	send_fixed(0, 0x61, false);
	assert_int_equal(pc_take_interrupt(0), -1);
	lapic_write32(0, EOI, 0);
	assert_int_equal(pc_take_interrupt(0), 0x61);
	lapic_write32(0, EOI, 0);
	assert_int_equal(pc_take_interrupt(0), -1);
}

static void disabling_by_software_masks_the_lvt(void **state)
{
	(void)state;
	lapic_write32(0, LVTT, 0x30);
	lapic_write32(0, LINT0, 0x700);
	assert_true(lapic_accepts_extint(&pc.vcpus[0]));
	send_fixed(0, 0x70, false);
	lapic_write32(0, SVR, 0xff);
	assert_int_equal(lapic_read32(0, LVTT), MASKED | 0x30);
	assert_false(lapic_accepts_extint(&pc.vcpus[0]));
	/* What is in IRR is kept, what comes is not taken, the mask cannot be removed. */
	send_fixed(0, 0x71, false);
	assert_int_equal(pc_take_interrupt(0), 0x70);
	lapic_write32(0, EOI, 0);
	assert_int_equal(pc_take_interrupt(0), -1);
	lapic_write32(0, LVTT, 0x30);
	assert_int_equal(lapic_read32(0, LVTT), MASKED | 0x30);
	lapic_write32(0, SVR, 0x1ff);
	lapic_write32(0, LVTT, 0x30);
	assert_int_equal(lapic_read32(0, LVTT), 0x30);
}

static void linux_switches_to_virtual_wire_mode(void **state)
{
	(void)state;
	fake_pc_end();
	fake_pc_begin(1);
	/* As init_bsp_APIC() does without any table. */
	lapic_write32(0, SVR, 0x1ff);
	lapic_write32(0, LINT0, 0x700);
	lapic_write32(0, LINT1, 0x400);
	assert_true(lapic_accepts_extint(&pc.vcpus[0]));
	lapic_write32(0, LINT0, MASKED | 0x700);
	assert_false(lapic_accepts_extint(&pc.vcpus[0]));
	pc_requested(0, REQUEST_EVENTS);
	lapic_write32(0, LINT0, 0x700);
	assert_true(pc_requested(0, REQUEST_EVENTS));
	/* Disabled by its base MSR, the CPU has an INTR pin. */
	write_msr(0, MSR_APIC_BASE, 0x100);
	assert_true(lapic_accepts_extint(&pc.vcpus[0]));
	assert_false(lapic_enabled(&pc.vcpus[0]));
	assert_false(lapic_claims(&pc.vcpus[0], LAPIC_DEFAULT_BASE));
}

static void errors_show_after_a_write_of_esr(void **state)
{
	(void)state;
	lapic_write32(0, LVTERR, 0xfe);
	lapic_write32(0, ICR, 0x40000 | 5); /* self, illegal vector */
	assert_int_equal(lapic_read32(0, ESR), 0);
	assert_int_equal(pc_take_interrupt(0), 0xfe);
	lapic_write32(0, EOI, 0);
	lapic_write32(0, ESR, 0);
	assert_int_equal(lapic_read32(0, ESR), 0x20);
	lapic_write32(0, ESR, 0);
	assert_int_equal(lapic_read32(0, ESR), 0);
	send_fixed(0, 15, false);
	lapic_read32(0, 0x40); /* no such register */
	lapic_write32(0, 0x2f0, 0); /* no CMCI */
	lapic_write32(0, ESR, 0);
	assert_int_equal(lapic_read32(0, ESR), 0xc0);
	assert_int_equal(pc_take_interrupt(0), 0xfe);
	lapic_write32(0, EOI, 0);
	/* An illegal vector for the error interrupt itself must not loop. */
	lapic_write32(0, LVTERR, 3);
	send_fixed(0, 1, false);
	assert_int_equal(pc_take_interrupt(0), -1);
}

static void odd_accesses_are_harmless(void **state)
{
	struct vcpu *vcpu = &pc.vcpus[0];

	(void)state;
	lapic_write32(0, TPR, 0x20);
	assert_int_equal(lapic_mmio_read(vcpu, LAPIC_DEFAULT_BASE + VERSION, 1), 0x14);
	assert_int_equal(lapic_mmio_read(vcpu, LAPIC_DEFAULT_BASE + VERSION + 2, 1), 0x05);
	assert_int_equal(lapic_mmio_read(vcpu, LAPIC_DEFAULT_BASE + VERSION, 8), 0x50014);
	assert_int_equal(lapic_mmio_read(vcpu, LAPIC_DEFAULT_BASE + VERSION + 4, 4), 0);
	lapic_mmio_write(vcpu, LAPIC_DEFAULT_BASE + TPR, 1, 0x30);
	lapic_mmio_write(vcpu, LAPIC_DEFAULT_BASE + TPR + 1, 4, 0x40);
	assert_int_equal(lapic_read32(0, TPR), 0x20);
	lapic_write32(0, VERSION, 0);
	lapic_write32(0, TMCCT, 7);
	lapic_write32(0, LVTT, 0xffffffff);
	assert_int_equal(lapic_read32(0, LVTT), 0x700ff);
	lapic_write32(0, LVTT, MASKED);
	for (unsigned int offset = 0; offset < 0x1000; offset++) {
		lapic_mmio_read(vcpu, LAPIC_DEFAULT_BASE + offset, 1);
		lapic_mmio_write(vcpu, LAPIC_DEFAULT_BASE + offset, 4, 0x12345678);
	}
}

static void one_shot_fires_once(void **state)
{
	(void)state;
	lapic_write32(0, LVTT, 0x30);
	lapic_write32(0, TDCR, 0x3); /* by 16 */
	lapic_write32(0, TMICT, 1000);
	fake_clock_advance(250 * 16 * NS_PER_COUNT);
	assert_int_equal(lapic_read32(0, TMCCT), 750);
	fake_clock_advance(749 * 16 * NS_PER_COUNT);
	assert_int_equal(pc_take_interrupt(0), -1);
	assert_int_equal(lapic_read32(0, TMCCT), 1);
	fake_clock_advance(2 * 16 * NS_PER_COUNT);
	assert_true(pc_requested(0, REQUEST_EVENTS));
	assert_int_equal(pc_take_interrupt(0), 0x30);
	assert_int_equal(lapic_read32(0, TMCCT), 0);
	lapic_write32(0, EOI, 0);
	fake_clock_advance(NS_PER_SEC);
	assert_int_equal(pc_take_interrupt(0), -1);
	assert_int_equal(lapic_read32(0, TMICT), 1000);
}

static void every_divisor_divides(void **state)
{
	static const struct {
		uint32_t value, divisor;
	} divisors[] = { { 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 10, 128 },
		{ 11, 1 } };

	(void)state;
	lapic_write32(0, LVTT, 0x30);
	for (unsigned int i = 0; i < ARRAY_SIZE(divisors); i++) {
		uint64_t ns = 10000 * divisors[i].divisor * NS_PER_COUNT;

		lapic_write32(0, TDCR, divisors[i].value);
		assert_int_equal(lapic_read32(0, TDCR), divisors[i].value);
		lapic_write32(0, TMICT, 10000);
		fake_clock_advance(ns - NS_PER_US);
		assert_int_equal(pc_take_interrupt(0), -1);
		fake_clock_advance(2 * NS_PER_US);
		assert_int_equal(pc_take_interrupt(0), 0x30);
		lapic_write32(0, EOI, 0);
	}
}

static void linux_calibrates_by_counting_down(void **state)
{
	uint32_t before;

	(void)state;
	/* Masked, from all ones: the count alone matters. */
	lapic_write32(0, LVTT, MASKED | 0xec);
	lapic_write32(0, TDCR, 3);
	lapic_write32(0, TMICT, 0xffffffff);
	before = lapic_read32(0, TMCCT);
	fake_clock_advance(100 * NS_PER_MS);
	assert_in_range(before - lapic_read32(0, TMCCT), LAPIC_TIMER_HZ / 160 - 1,
		LAPIC_TIMER_HZ / 160 + 1);
	/* 16 s of 4 GHz over 2^32 counts divided by 128: no overflow on the way. */
	lapic_write32(0, TDCR, 10);
	lapic_write32(0, TMICT, 0xffffffff);
	fake_clock_advance(20000 * NS_PER_SEC);
	assert_in_range(lapic_read32(0, TMCCT), 0xffffffff - 20000 * LAPIC_TIMER_HZ / 128 - 1,
		0xffffffff - 20000 * LAPIC_TIMER_HZ / 128 + 1);
	lapic_write32(0, TMICT, 0);
	assert_int_equal(lapic_read32(0, TMCCT), 0);
	assert_int_equal(fake_clock_armed(), 0);
}

/* How often it takes this vector until nothing is left. */
static unsigned int take_all(uint8_t vector)
{
	unsigned int count = 0;

	while (pc_take_interrupt(0) == vector) {
		lapic_write32(0, EOI, 0);
		count++;
	}
	return count;
}

static void periodic_keeps_its_phase(void **state)
{
	const uint64_t period = 4 * NS_PER_MS;

	(void)state;
	lapic_write32(0, TDCR, 11);
	lapic_write32(0, LVTT, PERIODIC | 0x30);
	lapic_write32(0, TMICT, period / NS_PER_COUNT);
	for (unsigned int i = 0; i < 10; i++) {
		fake_clock_advance(period - (i == 0 ? 100 : 0));
		if (i == 0)
			fake_clock_advance(200);
		assert_int_equal(pc_take_interrupt(0), 0x30);
		lapic_write32(0, EOI, 0);
	}
	/* Held up for three periods and a half: three interrupts, then the old rhythm. */
	fake_clock_stall(3 * period + period / 2);
	assert_in_range(lapic_read32(0, TMCCT), 1, period / NS_PER_COUNT);
	fake_clock_advance(0);
	assert_int_equal(take_all(0x30), 3);
	fake_clock_advance(period / 2 - 200);
	assert_int_equal(pc_take_interrupt(0), -1);
	fake_clock_advance(200);
	assert_int_equal(pc_take_interrupt(0), 0x30);
}

static void a_fast_period_is_no_storm(void **state)
{
	unsigned int before;

	(void)state;
	lapic_write32(0, TDCR, 11);
	lapic_write32(0, LVTT, PERIODIC | 0x30);
	lapic_write32(0, TMICT, 1);
	before = fake_clock_expiries();
	for (unsigned int i = 0; i < 1000; i++) {
		fake_clock_advance(NS_PER_MS / 100);
		if (pc_take_interrupt(0) == 0x30)
			lapic_write32(0, EOI, 0);
	}
	assert_in_range(fake_clock_expiries() - before, 150, 200);
	assert_int_equal(lapic_read32(0, TMCCT), 1);
}

/*
 * While its interrupt waits, or is masked, a periodic timer costs the host nothing. One that waits
 * loses nothing by it.
 */
static void a_period_that_nobody_hears_is_held(void **state)
{
	const uint64_t period = NS_PER_MS;
	unsigned int before;

	(void)state;
	lapic_write32(0, TDCR, 11);
	lapic_write32(0, LVTT, PERIODIC | 0x30);
	lapic_write32(0, TMICT, period / NS_PER_COUNT);
	before = fake_clock_expiries();
	fake_clock_advance(100 * period + period / 2);
	assert_int_equal(fake_clock_expiries() - before, 2);
	assert_int_equal(fake_clock_armed(), 0);
	assert_in_range(lapic_read32(0, TMCCT), 1, period / NS_PER_COUNT);
	/* Another interrupt is no reason to give the next. */
	lapic_write32(0, ICR, 0x440f1);
	assert_int_equal(pc_take_interrupt(0), 0xf1);
	lapic_write32(0, EOI, 0);
	assert_int_equal(fake_clock_armed(), 0);
	/* Taken, with all that were owed: the old rhythm. */
	assert_int_equal(take_all(0x30), 100);
	assert_int_equal(fake_clock_armed(), 1);
	fake_clock_advance(period / 2 - 200);
	assert_int_equal(pc_take_interrupt(0), -1);
	fake_clock_advance(200);
	assert_int_equal(pc_take_interrupt(0), 0x30);
	lapic_write32(0, EOI, 0);
	/* Not without end. */
	fake_clock_advance(100 * TICKS_OWED_NS);
	assert_in_range(take_all(0x30), TICKS_OWED_NS / period, TICKS_OWED_NS / period + 2);
	/* Masked, and unmasked: nothing is owed. */
	lapic_write32(0, LVTT, MASKED | PERIODIC | 0x30);
	before = fake_clock_expiries();
	fake_clock_advance(100 * period);
	assert_int_equal(fake_clock_expiries() - before, 1);
	lapic_write32(0, LVTT, PERIODIC | 0x30);
	fake_clock_advance(period);
	assert_int_equal(take_all(0x30), 1);
	fake_clock_advance(period);
	assert_int_equal(pc_take_interrupt(0), 0x30);
	/* Stopped while it is held. */
	fake_clock_advance(100 * period);
	lapic_write32(0, TMICT, 0);
	lapic_write32(0, EOI, 0);
	assert_int_equal(pc_take_interrupt(0), 0x30);
	assert_int_equal(fake_clock_armed(), 0);
}

static void deadline_fires_when_the_guests_tsc_gets_there(void **state)
{
	struct vcpu *vcpu = &pc.vcpus[0];
	uint64_t deadline = vcpu_tsc(vcpu) + FAKE_TSC_HZ / 1000;

	(void)state;
	write_msr(0, MSR_TSC_DEADLINE, deadline);
	assert_int_equal(read_msr(0, MSR_TSC_DEADLINE), 0); /* not in this mode */
	lapic_write32(0, LVTT, DEADLINE | 0xec);
	write_msr(0, MSR_TSC_DEADLINE, deadline);
	assert_int_equal(read_msr(0, MSR_TSC_DEADLINE), deadline);
	fake_clock_advance(NS_PER_MS - 10);
	assert_int_equal(pc_take_interrupt(0), -1);
	fake_clock_advance(20);
	assert_int_equal(pc_take_interrupt(0), 0xec);
	assert_int_equal(read_msr(0, MSR_TSC_DEADLINE), 0);
	lapic_write32(0, EOI, 0);
	/* In the past: at once, without a timer. */
	pc_requested(0, REQUEST_EVENTS);
	write_msr(0, MSR_TSC_DEADLINE, 1);
	assert_true(pc_requested(0, REQUEST_EVENTS));
	assert_int_equal(pc_take_interrupt(0), 0xec);
	assert_int_equal(read_msr(0, MSR_TSC_DEADLINE), 0);
	lapic_write32(0, EOI, 0);
	/* Zero disarms; counts mean nothing in this mode. */
	write_msr(0, MSR_TSC_DEADLINE, vcpu_tsc(vcpu) + 1000);
	write_msr(0, MSR_TSC_DEADLINE, 0);
	lapic_write32(0, TMICT, 100);
	assert_int_equal(lapic_read32(0, TMCCT), 0);
	fake_clock_advance(NS_PER_SEC);
	assert_int_equal(pc_take_interrupt(0), -1);
	/* The end of time. */
	write_msr(0, MSR_TSC_DEADLINE, ~0ULL);
	fake_clock_advance(NS_PER_SEC);
	assert_int_equal(pc_take_interrupt(0), -1);
	/* Leaving the mode disarms. */
	write_msr(0, MSR_TSC_DEADLINE, vcpu_tsc(vcpu) + 1000);
	lapic_write32(0, LVTT, 0xec);
	fake_clock_advance(NS_PER_SEC);
	assert_int_equal(pc_take_interrupt(0), -1);
}

static void moving_the_tsc_moves_the_deadline(void **state)
{
	struct vcpu *vcpu = &pc.vcpus[0];

	(void)state;
	vcpu->tsc_offset += 10 * FAKE_TSC_HZ;
	lapic_write32(0, LVTT, DEADLINE | 0xec);
	write_msr(0, MSR_TSC_DEADLINE, vcpu_tsc(vcpu) + FAKE_TSC_HZ);
	vcpu->tsc_offset -= FAKE_TSC_HZ;
	lapic_tsc_changed(vcpu);
	fake_clock_advance(3 * NS_PER_SEC / 2);
	assert_int_equal(pc_take_interrupt(0), -1);
	vcpu->tsc_offset += FAKE_TSC_HZ;
	lapic_tsc_changed(vcpu);
	assert_int_equal(pc_take_interrupt(0), 0xec);
	/* A guest TSC that wraps soon still has a future. */
	lapic_write32(0, EOI, 0);
	vcpu->tsc_offset = 0 - clock_tsc() - 1000;
	write_msr(0, MSR_TSC_DEADLINE, vcpu_tsc(vcpu) + 500);
	assert_int_equal(pc_take_interrupt(0), -1);
	fake_clock_advance(NS_PER_US);
	assert_int_equal(pc_take_interrupt(0), 0xec);
}

/* A guest's second is a second, whatever its TSC counts in it. */
static void deadlines_of_scaled_tscs(void **state)
{
	static const uint64_t ratios[] = { BIT(47), 3 * BIT(48), BIT(48) / 3, BIT(48) / 2400 };
	struct vcpu *vcpu = &pc.vcpus[0];

	(void)state;
	lapic_write32(0, LVTT, DEADLINE | 0xec);
	for (size_t i = 0; i < ARRAY_SIZE(ratios); i++) {
		uint64_t ten_ms = tsc_scale(FAKE_TSC_HZ / 100, ratios[i], 48);

		vcpu->tsc_ratio = ratios[i];
		vcpu->tsc_offset = 12345 - tsc_scale(clock_tsc(), ratios[i], 48);
		assert_int_equal(vcpu_tsc(vcpu), 12345);
		write_msr(0, MSR_TSC_DEADLINE, 12345 + ten_ms);
		fake_clock_advance(10 * NS_PER_MS - 10 * NS_PER_US);
		assert_int_equal(pc_take_interrupt(0), -1);
		assert_true(vcpu_tsc(vcpu) < 12345 + ten_ms);
		fake_clock_advance(20 * NS_PER_US);
		assert_true(vcpu_tsc(vcpu) >= 12345 + ten_ms);
		assert_int_equal(pc_take_interrupt(0), 0xec);
		lapic_write32(0, EOI, 0);
		/* The end of time. */
		write_msr(0, MSR_TSC_DEADLINE, ~0ULL);
		fake_clock_advance(NS_PER_SEC);
		assert_int_equal(pc_take_interrupt(0), -1);
	}
	vcpu->tsc_ratio = 0;
}

static void reset_stops_the_timer(void **state)
{
	(void)state;
	lapic_write32(0, LVTT, PERIODIC | 0x30);
	lapic_write32(0, TMICT, 100000);
	lapic_reset(&pc.vcpus[0], true);
	assert_int_equal(fake_clock_armed(), 0);
	assert_int_equal(lapic_read32(0, SVR), 0xff);
	assert_int_equal(lapic_read32(0, TMICT), 0);
}

static void x2apic_has_its_own_registers(void **state)
{
	(void)state;
	enter_x2apic(3);
	assert_false(lapic_claims(&pc.vcpus[3], LAPIC_DEFAULT_BASE));
	assert_int_equal(read_msr(3, MSR(ID)), 3);
	assert_int_equal(read_msr(3, MSR(LDR)), 1 << 3);
	assert_int_equal(read_msr(3, MSR(VERSION)), 0x50014);
	assert_int_equal(read_msr(3, MSR(SVR)), 0x1ff); /* kept over the change */
	refuse_msr(3, MSR(ID), 3);
	refuse_msr(3, MSR(LDR), 1);
	refuse_msr(3, MSR(DFR), 0);
	refuse_msr(3, MSR(ICR2), 0);
	refuse_msr(3, MSR(EOI), 1);
	refuse_msr(3, MSR(ESR), 1);
	refuse_msr(3, MSR(TPR), 0x100);
	refuse_msr(3, MSR(TPR), 1ULL << 32);
	refuse_msr(3, MSR(SVR), 0x1000);
	refuse_msr(3, MSR(LVTT), 0x80000);
	refuse_msr(3, MSR(ICR), 0x100000);
	refuse_msr(3, MSR(TDCR), 4);
	refuse_msr(3, 0x8ff, 0);
	refuse_msr(3, SELF_IPI, 0x100);
	for (uint32_t msr = 0x800; msr < 0x900; msr++) {
		uint64_t value;
		bool readable = msr == 0x802 || msr == 0x803 || msr == 0x808 || msr == 0x80a ||
			msr == 0x80d || (msr >= 0x80f && msr <= 0x828) || msr == 0x830 ||
			(msr >= 0x832 && msr <= 0x839) || msr == 0x83e;

		assert_int_equal(lapic_rdmsr(&pc.vcpus[3], msr, &value), readable ? 0 : -EIO);
	}
	write_msr(3, SELF_IPI, 0x55);
	assert_int_equal(pc_take_interrupt(3), 0x55);
	write_msr(3, MSR(EOI), 0);
	assert_int_equal(pc_take_interrupt(3), -1);
	write_msr(3, MSR(ICR), 0x4000000fdULL);
	assert_int_equal(read_msr(3, MSR(ICR)), 0x4000000fdULL);
}

static void base_changes_only_along_the_allowed_ways(void **state)
{
	uint64_t base = LAPIC_DEFAULT_BASE | APIC_BASE_BSP;

	(void)state;
	refuse_msr(0, MSR(TPR), 0); /* not in x2APIC mode */
	refuse_msr(0, MSR_APIC_BASE, base | APIC_BASE_X2APIC);
	refuse_msr(0, MSR_APIC_BASE, base | APIC_BASE_ENABLE | 1);
	refuse_msr(0, MSR_APIC_BASE, 1ULL << 40 | base | APIC_BASE_ENABLE);
	write_msr(0, MSR_APIC_BASE, 0xfee10000 | APIC_BASE_BSP | APIC_BASE_ENABLE);
	assert_true(lapic_claims(&pc.vcpus[0], 0xfee10ffc));
	assert_false(lapic_claims(&pc.vcpus[0], 0xfee00000));
	write_msr(0, MSR_APIC_BASE, base | APIC_BASE_ENABLE);
	enter_x2apic(0);
	refuse_msr(0, MSR_APIC_BASE, base | APIC_BASE_ENABLE);
	write_msr(0, MSR(TPR), 0x30);
	write_msr(0, MSR_APIC_BASE, base);
	refuse_msr(0, MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	write_msr(0, MSR_APIC_BASE, base | APIC_BASE_ENABLE);
	/* Disabling has forgotten everything. */
	assert_int_equal(lapic_read32(0, SVR), 0xff);
	assert_int_equal(lapic_read32(0, TPR), 0);
	pc.cpuid.basic[1].registers.ecx = 0;
	refuse_msr(0, MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	refuse_msr(0, MSR_TSC_DEADLINE, 0);
}

/* Who of the four takes this vector now? A bit each. */
static unsigned int receivers(uint8_t vector)
{
	unsigned int who = 0;

	for (unsigned int i = 0; i < 4; i++) {
		if (pc_take_interrupt(i) != vector)
			continue;
		who |= 1U << i;
		if (lapic_claims(&pc.vcpus[i], LAPIC_DEFAULT_BASE))
			lapic_write32(i, EOI, 0);
		else
			write_msr(i, MSR(EOI), 0);
	}
	return who;
}

static unsigned int xapic_ipi(uint32_t icr2, uint32_t icr)
{
	lapic_write32(1, ICR2, icr2);
	lapic_write32(1, ICR, icr);
	assert_int_equal(lapic_read32(1, ICR), icr);
	return receivers(icr);
}

static void xapic_messages_find_their_receivers(void **state)
{
	(void)state;
	assert_int_equal(xapic_ipi(2U << 24, 0x40f0), 4);
	assert_int_equal(xapic_ipi(9U << 24, 0x40f0), 0);
	assert_int_equal(xapic_ipi(0xffU << 24, 0x40f0), 15);
	assert_int_equal(xapic_ipi(0, 0x440f1), 2);
	assert_int_equal(xapic_ipi(0, 0x840f1), 15);
	assert_int_equal(xapic_ipi(0, 0xc40f1), 13);
	/* Flat logical. */
	for (unsigned int i = 0; i < 4; i++)
		lapic_write32(i, LDR, 1U << (24 + i));
	assert_int_equal(xapic_ipi(0x0aU << 24, 0x48f2), 10);
	assert_int_equal(xapic_ipi(0xffU << 24, 0x48f2), 15);
	assert_int_equal(xapic_ipi(0xf0U << 24, 0x48f2), 0);
	/* Clusters 1: {0, 1}, 2: {2, 3}. */
	for (unsigned int i = 0; i < 4; i++) {
		lapic_write32(i, DFR, 0x0fffffff);
		lapic_write32(i, LDR, (i / 2 + 1) << 28 | 1U << (24 + i % 2));
	}
	assert_int_equal(xapic_ipi(0x13U << 24, 0x48f3), 3);
	assert_int_equal(xapic_ipi(0x22U << 24, 0x48f3), 8);
	assert_int_equal(xapic_ipi(0xf1U << 24, 0x48f3), 5);
	assert_int_equal(xapic_ipi(0x31U << 24, 0x48f3), 0);
}

static void x2apic_messages_find_their_receivers(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		enter_x2apic(i);
	write_msr(0, MSR(ICR), 3ULL << 32 | 0xf0);
	assert_int_equal(receivers(0xf0), 8);
	write_msr(0, MSR(ICR), 0xffffffffULL << 32 | 0xf0);
	assert_int_equal(receivers(0xf0), 15);
	write_msr(0, MSR(ICR), 0x6ULL << 32 | 0x8f0); /* logical, cluster 0 */
	assert_int_equal(receivers(0xf0), 6);
	write_msr(0, MSR(ICR), 0x1000fULL << 32 | 0x8f0); /* cluster 1: nobody */
	assert_int_equal(receivers(0xf0), 0);
	write_msr(2, MSR(ICR), 0xc00f0);
	assert_int_equal(receivers(0xf0), 11);
	write_msr(2, MSR(ICR), 0x400f0);
	assert_int_equal(receivers(0xf0), 4);
}

static void lowest_priority_takes_turns_and_spares_the_busy(void **state)
{
	struct apic_message message = { .destination = 0xff, .assert = true,
		.delivery = DELIVERY_LOWEST, .vector = 0x80 };
	unsigned int seen = 0;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int who;

		lapic_deliver(&pc.vm, &message);
		who = receivers(0x80);
		assert_int_equal(__builtin_popcount(who), 1);
		seen |= who;
	}
	assert_int_equal(seen, 15);
	/* All but vCPU 2 serve something. */
	for (unsigned int i = 0; i < 4; i++) {
		if (i == 2)
			continue;
		send_fixed(i, 0x60, false);
		assert_int_equal(pc_take_interrupt(i), 0x60);
	}
	for (unsigned int i = 0; i < 3; i++) {
		lapic_deliver(&pc.vm, &message);
		assert_int_equal(receivers(0x80), 4);
	}
	/* A disabled one is no candidate. */
	lapic_write32(2, SVR, 0xff);
	lapic_deliver(&pc.vm, &message);
	assert_int_equal(__builtin_popcount(receivers(0x80) & ~4U), 1);
}

static void processors_are_started_by_init_and_sipi(void **state)
{
	(void)state;
	lapic_write32(2, SVR, 0xff); /* software-disabled ones listen to these */
	lapic_write32(0, ICR2, 2U << 24);
	lapic_write32(0, ICR, 0xc500); /* INIT, level, assert */
	assert_true(pc_requested(2, REQUEST_INIT));
	lapic_write32(0, ICR, 0x8500); /* de-assert */
	assert_false(pc_requested(2, REQUEST_INIT));
	lapic_write32(0, ICR, 0x4698);
	assert_true(pc_requested(2, REQUEST_SIPI));
	assert_int_equal(pc.vcpus[2].sipi_vector, 0x98);
	lapic_write32(0, ICR, 0x4400);
	assert_int_equal(pc.nmis[2], 1);
	lapic_write32(0, ICR, 0xc4500); /* INIT to all others */
	assert_false(pc_requested(0, REQUEST_INIT));
	assert_true(pc_requested(1, REQUEST_INIT) && pc_requested(2, REQUEST_INIT) &&
		pc_requested(3, REQUEST_INIT));
	/* Shorthands that the manual calls invalid do nothing. */
	lapic_write32(0, ICR, 0x44500);
	lapic_write32(0, ICR, 0x84500);
	lapic_write32(0, ICR, 0x44400);
	for (unsigned int i = 0; i < 4; i++)
		assert_false(pc_requested(i, REQUEST_INIT));
	assert_int_equal(pc.nmis[0], 0);
	/* A disabled APIC hears nothing. */
	write_msr(2, MSR_APIC_BASE, 0);
	lapic_write32(0, ICR, 0x4400);
	assert_int_equal(pc.nmis[2], 1);
}

static void local_nmi_and_thermal_entries_follow_their_mode(void **state)
{
	(void)state;
	/* The timer entry has no delivery mode: these bits do not stick. */
	lapic_write32(0, LVTT, 0x430);
	assert_int_equal(lapic_read32(0, LVTT), 0x30);
	lapic_write32(0, 0x330, 0x4f3 | 0xe0000000);
	assert_int_equal(lapic_read32(0, 0x330), 0x4f3);
	lapic_write32(0, LINT1, 0xa4ff);
	assert_int_equal(lapic_read32(0, LINT1), 0xa4ff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_up_state_is_a_firmwares),
#define ONE(name) cmocka_unit_test_setup_teardown(name, begin1, end)
#define FOUR(name) cmocka_unit_test_setup_teardown(name, begin4, end)
		ONE(higher_classes_come_first_and_nest),
		ONE(every_legal_vector_is_delivered_from_the_top),
		ONE(tpr_holds_back_and_lives_in_hardware),
		ONE(level_vectors_are_announced_at_their_end),
		ONE(a_vector_waits_while_it_is_served),
		ONE(disabling_by_software_masks_the_lvt),
		ONE(linux_switches_to_virtual_wire_mode),
		ONE(errors_show_after_a_write_of_esr),
		ONE(odd_accesses_are_harmless),
		ONE(one_shot_fires_once),
		ONE(every_divisor_divides),
		ONE(linux_calibrates_by_counting_down),
		ONE(periodic_keeps_its_phase),
		ONE(a_fast_period_is_no_storm),
		ONE(a_period_that_nobody_hears_is_held),
		ONE(deadline_fires_when_the_guests_tsc_gets_there),
		ONE(moving_the_tsc_moves_the_deadline),
		ONE(deadlines_of_scaled_tscs),
		ONE(reset_stops_the_timer),
		FOUR(x2apic_has_its_own_registers),
		ONE(base_changes_only_along_the_allowed_ways),
		FOUR(xapic_messages_find_their_receivers),
		FOUR(x2apic_messages_find_their_receivers),
		FOUR(lowest_priority_takes_turns_and_spares_the_busy),
		FOUR(processors_are_started_by_init_and_sipi),
		ONE(local_nmi_and_thermal_entries_follow_their_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
