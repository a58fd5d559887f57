/* SPDX-License-Identifier: BSD-2-Clause */
/* What guests are told by CPUID and may do to MSRs, on whatever CPU the test runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "host/log.h"
#include "host/x86.h"
#include "vcpu/cpuid.h"
#include "vcpu/fpu.h"
#include "vcpu/lapic.h"
#include "vcpu/msr.h"
#include "vcpu/pv.h"
#include "vcpu/pvclock.h"
#include "vcpu/vm.h"

static struct vm vm;
static struct vcpu vcpu;
static struct cpuid_table table;
static unsigned int faults, notes, tsc_changes;
static uint64_t lapic_value;

uint64_t clock_tsc_hz = 2600000000;
const struct hw_ops *hw;

uint64_t fpu_components(void)
{
	return 7;
}

uint64_t fpu_guest_xcr0(void)
{
	return 3;
}

bool lapic_enabled(const struct vcpu *of)
{
	(void)of;
	return true;
}

int lapic_rdmsr(struct vcpu *of, uint32_t msr, uint64_t *value)
{
	(void)of, (void)msr;
	*value = lapic_value;
	return 0;
}

int lapic_wrmsr(struct vcpu *of, uint32_t msr, uint64_t value)
{
	(void)of, (void)msr;
	lapic_value = value;
	return 0;
}

void lapic_tsc_changed(struct vcpu *of)
{
	(void)of;
	tsc_changes++;
}

int pvclock_rdmsr(struct vcpu *of, uint32_t msr, uint64_t *value)
{
	(void)of, (void)msr;
	*value = 0;
	return 0;
}

int pvclock_wrmsr(struct vcpu *of, uint32_t msr, uint64_t value)
{
	(void)of, (void)msr, (void)value;
	return 0;
}

int pv_rdmsr(struct vcpu *of, uint32_t msr, uint64_t *value)
{
	(void)of, (void)msr;
	*value = 0;
	return 0;
}

int pv_wrmsr(struct vcpu *of, uint32_t msr, uint64_t value)
{
	(void)of, (void)msr, (void)value;
	return 0;
}

void pvclock_set_tsc(struct vcpu *of, uint64_t tsc)
{
	of->tsc_offset = tsc - clock_tsc();
	of->dirty |= REG_TSC;
	tsc_changes++;
}

void vcpu_inject_gp(struct vcpu *of)
{
	(void)of;
	faults++;
}

void log_note(const char *format, ...)
{
	(void)format;
	notes++;
}

static int setup(void **state)
{
	(void)state;
	memset(&vm, 0, sizeof(vm));
	memset(&vcpu, 0, sizeof(vcpu));
	cpuid_table_build(&table, 4);
	vm.cpuid = &table;
	vcpu.vm = &vm;
	vcpu.id = 2;
	vcpu.valid = REG_ALL;
	faults = notes = 0;
	return 0;
}

static struct cpuid_result ask(uint32_t leaf, uint32_t subleaf)
{
	uint64_t *gpr = vcpu.regs.gpr;

	gpr[GPR_RAX] = 0xdead00000000 | leaf;
	gpr[GPR_RCX] = subleaf;
	assert_int_equal(exit_cpuid(&vcpu), ACTION_ADVANCE);
	for (unsigned int i = GPR_RAX; i <= GPR_RBX; i++)
		assert_int_equal(gpr[i] >> 32, 0);
	return (struct cpuid_result){ gpr[GPR_RAX], gpr[GPR_RBX], gpr[GPR_RCX], gpr[GPR_RDX] };
}

static void hides_what_is_not_virtualized(void **state)
{
	(void)state;
	assert_int_equal(ask(1, 0).ecx & (BIT(5) | BIT(6) | BIT(3) | BIT(15)), 0);
	assert_int_equal(ask(1, 0).edx & (BIT(7) | BIT(14) | BIT(22)), 0);
	assert_int_equal(ask(7, 0).ecx & (BIT(16) | BIT(7) | BIT(5)), 0);
	assert_int_equal(ask(7, 0).edx & 0xfc000000, 0);
	assert_int_equal(ask(0x80000001, 0).ecx & (BIT(2) | BIT(12)), 0);
	assert_int_equal(ask(0xa, 0).eax, 0);
	assert_int_equal(ask(0x8000000a, 0).edx, 0);
	assert_int_equal(ask(7, 0).ebx & (BIT(1) | BIT(2) | BIT(25)), 0);
}

static void offers_what_is_emulated(void **state)
{
	(void)state;
	assert_true(ask(1, 0).ecx & BIT(31));
	assert_true(ask(1, 0).ecx & BIT(24));
	assert_true(ask(1, 0).ecx & BIT(21));
	assert_true(ask(1, 0).edx & BIT(9));
	assert_int_equal(ask(0x40000000, 0).eax, 0x40000000);
	assert_int_equal(ask(0x40000100, 0).ebx, 0x4b4d564b);
	assert_int_equal(ask(0x40000300, 0).ebx, 0);
}

static void describes_the_topology(void **state)
{
	(void)state;
	assert_int_equal(ask(1, 0).ebx >> 24, 2);
	assert_int_equal(ask(1, 0).ebx >> 16 & 0xff, 4);
	assert_true(ask(1, 0).edx & BIT(28));
	if (ask(0, 0).eax < 0xb)
		return;
	assert_int_equal(ask(0xb, 0).ebx, 1);
	assert_int_equal(ask(0xb, 1).ebx, 4);
	assert_int_equal(ask(0xb, 1).eax, 2);
	assert_int_equal(ask(0xb, 1).edx, 2);
	assert_int_equal(ask(0xb, 5).ecx, 5);
	assert_int_equal(ask(0xb, 5).ebx, 0);
}

static void follows_control_registers(void **state)
{
	(void)state;
	assert_false(ask(1, 0).ecx & BIT(27));
	vcpu.special.cr4 = CR4_OSXSAVE;
	assert_true(ask(1, 0).ecx & BIT(27));
	if (ask(0, 0).eax >= 0xd) {
		assert_int_equal(ask(0xd, 0).ebx, 576);
		assert_int_equal(ask(0xd, 0).eax, 7);
		assert_int_equal(ask(0xd, 0).ecx, 832);
	}
}

/* Any leaf at all is answered, from tables that do not end before it. */
static void answers_everything(void **state)
{
	static const uint32_t starts[] = { 0, 0x20, 0x40000000, 0x4000ffff, 0x7fffffff, 0x80000000,
		0x80000020, 0xc0000000, 0xfffffff0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		for (uint32_t n = 0; n < 0x40; n++) {
			ask(starts[i] + n, 0);
			ask(starts[i] + n, 0xffffffff);
		}
	}
}

static bool read_msr(uint32_t msr, uint64_t *value)
{
	unsigned int before = faults;

	vcpu.regs.gpr[GPR_RCX] = msr;
	(void)exit_rdmsr(&vcpu);
	*value = vcpu_edx_eax(&vcpu);
	return faults == before;
}

static bool write_msr(uint32_t msr, uint64_t value)
{
	unsigned int before = faults;

	vcpu.regs.gpr[GPR_RCX] = msr;
	vcpu_set_edx_eax(&vcpu, value);
	(void)exit_wrmsr(&vcpu);
	return faults == before;
}

static void efer_is_checked(void **state)
{
	uint64_t value;

	(void)state;
	assert_true(write_msr(MSR_EFER, EFER_SCE | EFER_LME));
	assert_true(read_msr(MSR_EFER, &value));
	assert_int_equal(value, EFER_SCE | EFER_LME);
	assert_true(vcpu.dirty & REG_EFER);
	assert_false(write_msr(MSR_EFER, EFER_SVME));
	assert_false(write_msr(MSR_EFER, BIT(40)));
	vcpu.special.cr0 = CR0_PG;
	assert_false(write_msr(MSR_EFER, EFER_SCE)); /* LME while paging */
	vcpu.special.efer |= EFER_LMA;
	assert_true(write_msr(MSR_EFER, EFER_LME));  /* LMA is not software's */
	assert_int_equal(vcpu.special.efer, EFER_LME | EFER_LMA);
}

static void mtrrs_are_kept(void **state)
{
	uint64_t value;

	(void)state;
	for (uint32_t msr = 0x200; msr < 0x210; msr++)
		assert_true(write_msr(msr, msr & 1 ? 0xfff00800 : 0x80000006));
	for (uint32_t msr = 0x200; msr < 0x210; msr++) {
		assert_true(read_msr(msr, &value));
		assert_int_equal(value, msr & 1 ? 0xfff00800 : 0x80000006);
	}
	assert_false(write_msr(0x200, 2));          /* no such type */
	assert_false(write_msr(0x201, BIT(60)));    /* beyond the address width */
	assert_false(write_msr(0x210, 0));          /* only eight */
	assert_false(write_msr(0x251, 0));          /* a hole among the fixed ones */
	assert_true(write_msr(0x26f, 0x0606060606060606));
	assert_false(write_msr(0x26f, 0x0206060606060606));
	assert_false(write_msr(MSR_MTRRCAP, 0));
}

static void others_do_not_exist(void **state)
{
	uint64_t value;

	(void)state;
	for (unsigned int i = 0; i < 1000; i++)
		assert_false(read_msr(0xdead0000 + i, &value));
	assert_false(write_msr(0xdead0000, 1));
	assert_true(notes < 100); /* a guest cannot fill the log */
	assert_false(read_msr(MSR_VMX_BASIC, &value));
	assert_true(write_msr(MSR_TSC_DEADLINE, 77));
	assert_int_equal(lapic_value, 77);
}

static void tells_the_frequency_of_the_tsc(void **state)
{
	struct cpuid_result *leaf = &table.basic[0x15].registers;

	(void)state;
	table.intel = true;
	table.basic_max = 0x15;
	cpuid_set_tsc_hz(&table, 2000000000);
	assert_int_equal((uint64_t)leaf->ecx * leaf->ebx / leaf->eax, 2000000000);
	cpuid_set_tsc_hz(&table, 10000000000);
	assert_int_equal((uint64_t)leaf->ecx * leaf->ebx / leaf->eax, 10000000000);
}

static void tsc_writes_move_the_offset(void **state)
{
	uint64_t value;

	(void)state;
	assert_true(write_msr(MSR_TSC, 1ULL << 50));
	assert_true(read_msr(MSR_TSC, &value));
	assert_true(value >= 1ULL << 50 && value < (1ULL << 50) + clock_tsc_hz);
	assert_true(vcpu.dirty & REG_TSC);
	assert_int_equal(tsc_changes, 2); /* the LAPIC and the paravirtual clock are told */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(hides_what_is_not_virtualized, setup),
		cmocka_unit_test_setup(offers_what_is_emulated, setup),
		cmocka_unit_test_setup(describes_the_topology, setup),
		cmocka_unit_test_setup(follows_control_registers, setup),
		cmocka_unit_test_setup(answers_everything, setup),
		cmocka_unit_test_setup(tells_the_frequency_of_the_tsc, setup),
		cmocka_unit_test_setup(efer_is_checked, setup),
		cmocka_unit_test_setup(mtrrs_are_kept, setup),
		cmocka_unit_test_setup(others_do_not_exist, setup),
		cmocka_unit_test_setup(tsc_writes_move_the_offset, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
