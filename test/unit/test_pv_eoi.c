/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts that a guest ends without an exit, and what may come in between. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "host/x86.h"
#include "test/unit/fake_pc.h"
#include "vcpu/lapic_state.h"
#include "vcpu/pv.h"
#include "vcpu/sched.h"

#define EOI_AT 0x104
#define ENABLED 1

#define LOW 0x41
#define MIDDLE 0x61
#define HIGH 0x91

void sched_times(const struct vcpu *vcpu, struct sched_times *times)
{
	(void)vcpu;
	*times = (struct sched_times){ 0 };
}

static int begin(void **state)
{
	(void)state;
	fake_pc_begin(4);
	for (unsigned int i = 0; i < 4; i++)
		lapic_write32(i, LAPIC_SVR << 4, 0x1ff);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_pc_end();
	return 0;
}

static uint64_t read_msr(uint32_t msr)
{
	uint64_t value;

	assert_int_equal(pv_rdmsr(&pc.vcpus[0], msr, &value), 0);
	return value;
}

static void request(uint8_t vector, bool level)
{
	lapic_set_irr(pc.vcpus[0].lapic, vector, level);
}

static bool offered(void)
{
	return pc.ram[EOI_AT] & 1;
}

/* What Linux does at the end of an interrupt; true when it needed no exit. */
static bool guest_ends(void)
{
	bool without_exit = offered();

	pc.ram[EOI_AT] &= ~1;
	if (!without_exit)
		lapic_write32(0, LAPIC_EOI << 4, 0);
	return without_exit;
}

static bool in_service(uint8_t vector)
{
	return lapic_read32(0, (LAPIC_ISR << 4) + 0x10 * (vector / 32)) & 1U << vector % 32;
}

static void use_eoi(void)
{
	assert_int_equal(pv_wrmsr(&pc.vcpus[0], MSR_PV_EOI, EOI_AT | ENABLED), 0);
}

static void eoi_needs_no_exit(void **state)
{
	unsigned int walks;

	(void)state;
	use_eoi();
	walks = pc.ram_walks;
	for (unsigned int i = 0; i < 100; i++) {
		request(i % 2 ? LOW : HIGH, false);
		assert_int_equal(pc_take_interrupt(0), i % 2 ? LOW : HIGH);
		assert_int_equal(pc_take_interrupt(0), -1);
		assert_true(guest_ends());
	}
	assert_int_equal(pc.ram_walks, walks);
	assert_false(in_service(LOW));
	assert_false(in_service(HIGH));
	assert_int_equal(lapic_read32(0, LAPIC_PPR << 4), 0);
}

static void eoi_with_another_waiting(void **state)
{
	(void)state;
	use_eoi();
	/* It came before: no offer. */
	request(LOW, false);
	request(HIGH, false);
	assert_int_equal(pc_take_interrupt(0), HIGH);
	assert_false(offered());
	assert_int_equal(pc_take_interrupt(0), -1);
	assert_false(guest_ends());
	assert_int_equal(pc_take_interrupt(0), LOW);
	assert_true(guest_ends());

	/* It comes while the first is served: the offer is withdrawn. */
	request(HIGH, false);
	assert_int_equal(pc_take_interrupt(0), HIGH);
	assert_true(offered());
	request(LOW, false);
	assert_int_equal(pc_take_interrupt(0), -1);
	assert_false(offered());
	pc.vcpus[0].requests = 0;
	assert_false(guest_ends());
	assert_true(pc_requested(0, REQUEST_EVENTS));
	assert_int_equal(pc_take_interrupt(0), LOW);

	/* It comes just after the guest has used the offer. */
	assert_true(guest_ends());
	request(LOW, false);
	assert_int_equal(pc_take_interrupt(0), LOW);
	assert_true(guest_ends());
	assert_int_equal(lapic_read32(0, LAPIC_PPR << 4), 0);
}

static void eoi_of_nested_interrupts(void **state)
{
	(void)state;
	use_eoi();
	request(LOW, false);
	assert_int_equal(pc_take_interrupt(0), LOW);
	request(MIDDLE, false);
	assert_int_equal(pc_take_interrupt(0), MIDDLE);
	request(HIGH, false);
	assert_int_equal(pc_take_interrupt(0), HIGH);
	assert_true(in_service(LOW) && in_service(MIDDLE) && in_service(HIGH));
	/* Only the last one's offer stood, and looking has ended it. */
	assert_false(guest_ends());
	assert_true(in_service(LOW) && in_service(MIDDLE) && !in_service(HIGH));
	assert_false(guest_ends());
	assert_true(in_service(LOW) && !in_service(MIDDLE));

	/* The inner one ends by the offer, the outer one by a write that finds it so. */
	request(HIGH, false);
	assert_int_equal(pc_take_interrupt(0), HIGH);
	assert_true(guest_ends());
	assert_false(guest_ends());
	assert_false(in_service(LOW) || in_service(HIGH));

	/* An interrupt of the same class as one that has ended so comes in. */
	request(HIGH, false);
	assert_int_equal(pc_take_interrupt(0), HIGH);
	request(HIGH + 1, false);
	assert_int_equal(pc_take_interrupt(0), -1);
	assert_false(guest_ends());
	assert_int_equal(pc_take_interrupt(0), HIGH + 1);
}

static void eoi_of_levels_is_seen(void **state)
{
	(void)state;
	use_eoi();
	request(LOW, true);
	assert_int_equal(pc_take_interrupt(0), LOW);
	assert_false(offered());
	assert_false(guest_ends());
	request(LOW, false);
	assert_int_equal(pc_take_interrupt(0), LOW);
	assert_true(offered());
}

static void eoi_and_tpr(void **state)
{
	(void)state;
	use_eoi();
	lapic_write32(0, LAPIC_TPR << 4, MIDDLE & 0xf0);
	request(LOW, false);
	assert_int_equal(pc_take_interrupt(0), -1);
	request(HIGH, false);
	assert_int_equal(pc_take_interrupt(0), HIGH);
	/* LOW waits for the TPR, but might wait for this one as well by then. */
	assert_false(guest_ends());
	assert_int_equal(pc_take_interrupt(0), -1);
	lapic_write32(0, LAPIC_TPR << 4, 0);
	assert_int_equal(pc_take_interrupt(0), LOW);
	assert_int_equal(lapic_read32(0, LAPIC_PPR << 4), LOW & 0xf0);
	assert_false(guest_ends());
	assert_int_equal(lapic_read32(0, LAPIC_PPR << 4), 0);
}

static void eoi_by_the_register_all_the_same(void **state)
{
	(void)state;
	use_eoi();
	request(LOW, false);
	assert_int_equal(pc_take_interrupt(0), LOW);
	lapic_write32(0, LAPIC_EOI << 4, 0);
	assert_false(offered());
	assert_false(in_service(LOW));
	/* Both ways at once: the second has nothing to end. */
	request(LOW, false);
	assert_int_equal(pc_take_interrupt(0), LOW);
	assert_true(guest_ends());
	lapic_write32(0, LAPIC_EOI << 4, 0);
	request(LOW, false);
	assert_int_equal(pc_take_interrupt(0), LOW);
	assert_true(guest_ends());
	assert_false(in_service(LOW));
}

static void eoi_record_moves(void **state)
{
	struct vcpu *vcpu = &pc.vcpus[0];

	(void)state;
	use_eoi();
	request(LOW, false);
	assert_int_equal(pc_take_interrupt(0), LOW);
	/* With an offer not used. */
	assert_int_equal(pv_wrmsr(vcpu, MSR_PV_EOI, (EOI_AT + 4) | ENABLED), 0);
	assert_false(offered());
	assert_true(in_service(LOW));
	assert_false(guest_ends());
	/* With one that was. */
	use_eoi();
	request(LOW, false);
	assert_int_equal(pc_take_interrupt(0), LOW);
	assert_true(guest_ends());
	assert_int_equal(pv_wrmsr(vcpu, MSR_PV_EOI, 0), 0);
	assert_false(in_service(LOW));
	/* Off: no offers. */
	request(LOW, false);
	assert_int_equal(pc_take_interrupt(0), LOW);
	assert_false(offered());
	assert_false(guest_ends());

	assert_int_equal(pv_wrmsr(vcpu, MSR_PV_EOI, EOI_AT | 2 | ENABLED), -EIO);
	assert_int_equal(pv_wrmsr(vcpu, MSR_PV_EOI, 2), -EIO);
	assert_int_equal(pv_wrmsr(vcpu, MSR_PV_EOI, LAPIC_DEFAULT_BASE | ENABLED), -EIO);
	assert_int_equal(read_msr(MSR_PV_EOI), 0);
}

static void eoi_page_goes_away(void **state)
{
	(void)state;
	use_eoi();
	request(LOW, false);
	assert_int_equal(pc_take_interrupt(0), LOW);
	pc.ram_gone = true;
	pc.vm.memory.generation++;
	/* Nobody knows; others must not wait for ever. */
	request(LOW, false);
	assert_int_equal(pc_take_interrupt(0), LOW);
	assert_false(pc.vcpus[0].lapic->eoi_offered);
	lapic_write32(0, LAPIC_EOI << 4, 0);
	assert_false(in_service(LOW));
}

static void eoi_and_a_disabled_lapic(void **state)
{
	struct vcpu *vcpu = &pc.vcpus[0];
	uint64_t base;

	(void)state;
	use_eoi();
	request(LOW, false);
	assert_int_equal(pc_take_interrupt(0), LOW);
	assert_int_equal(lapic_rdmsr(vcpu, MSR_APIC_BASE, &base), 0);
	assert_int_equal(lapic_wrmsr(vcpu, MSR_APIC_BASE, base & ~APIC_BASE_ENABLE), 0);
	/* Else the guest would leave out the EOI of the next interrupt. */
	assert_false(offered());
	assert_int_equal(lapic_wrmsr(vcpu, MSR_APIC_BASE, base), 0);
	assert_false(in_service(LOW));
}

static void lowest_priority_goes_to_those_that_ended(void **state)
{
	struct apic_message message = { .destination = 0xff, .logical = false, .assert = true,
		.delivery = DELIVERY_LOWEST, .vector = MIDDLE };

	(void)state;
	use_eoi();
	for (unsigned int i = 1; i < 4; i++) {
		lapic_set_irr(pc.vcpus[i].lapic, LOW, false);
		assert_int_equal(pc_take_interrupt(i), LOW);
	}
	request(HIGH, false);
	assert_int_equal(pc_take_interrupt(0), HIGH);
	assert_true(guest_ends());
	lapic_deliver(&pc.vm, &message);
	assert_int_equal(pc_take_interrupt(0), MIDDLE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(eoi_needs_no_exit),
		TEST(eoi_with_another_waiting),
		TEST(eoi_of_nested_interrupts),
		TEST(eoi_of_levels_is_seen),
		TEST(eoi_and_tpr),
		TEST(eoi_by_the_register_all_the_same),
		TEST(eoi_record_moves),
		TEST(eoi_page_goes_away),
		TEST(eoi_and_a_disabled_lapic),
		TEST(lowest_priority_goes_to_those_that_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
