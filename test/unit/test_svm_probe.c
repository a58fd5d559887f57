/* SPDX-License-Identifier: BSD-2-Clause */
/* AMD-V without the hardware: what probe() says of a CPU, permission maps, dumps. */
#include "test/unit/fake_svm.h"

/* probe() */

static struct {
	const char *vendor;
	uint32_t max_extended, features_ecx, svm_ebx, svm_edx;
	uint64_t vm_cr;
	bool vm_cr_read;
	bool tcg;
} fake;

static void put_name(struct cpuid_result *r, const char *name, bool vendor_order)
{
	memcpy(&r->ebx, name, 4);
	memcpy(vendor_order ? &r->edx : &r->ecx, name + 4, 4);
	memcpy(vendor_order ? &r->ecx : &r->edx, name + 8, 4);
}

static struct cpuid_result fake_cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_result r = { 0 };

	(void)subleaf;
	if (leaf == 0)
		put_name(&r, fake.vendor, true);
	else if (leaf == 1)
		r.ecx = fake.tcg ? BIT(31) : 0;
	else if (leaf == 0x40000000)
		put_name(&r, fake.tcg ? "TCGTCGTCGTCG" : "KVMKVMKVM\0\0\0", false);
	else if (leaf == 0x80000000)
		r.eax = fake.max_extended;
	else if (leaf == 0x80000001)
		r = (struct cpuid_result){ .ecx = fake.features_ecx, .edx = BIT(26) | BIT(27) };
	else if (leaf == 0x8000000a)
		r = (struct cpuid_result){ .eax = 1, .ebx = fake.svm_ebx, .edx = fake.svm_edx };
	return r;
}

static uint64_t fake_rdmsr(uint32_t msr)
{
	assert_int_equal(msr, 0xc0010114);
	/* The MSR exists only with SVM. */
	assert_true(fake.features_ecx & BIT(2));
	fake.vm_cr_read = true;
	return fake.vm_cr;
}

static const struct svm_source fake_source = { fake_cpuid, fake_rdmsr };
static struct svm_features detected;
static char why[256];

static int detect(void)
{
	strcpy(why, "untouched");
	return svm_detect(&fake_source, &detected, why, sizeof(why));
}

static void good_cpu(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.vendor = "AuthenticAMD";
	fake.max_extended = 0x8000001f;
	fake.features_ecx = BIT(2);
	fake.svm_ebx = 16;
	fake.svm_edx = BIT(0);
}

static void probe_accepts_and_reads_features(void **state)
{
	(void)state;
	good_cpu();
	assert_int_equal(detect(), 0);
	assert_true(fake.vm_cr_read);
	assert_int_equal(detected.asids, 16);
	assert_false(detected.next_rip || detected.decode_assists || detected.flush_by_asid ||
		detected.clean_bits || detected.fragile_virtual_irq || detected.tsc_ratio);
	assert_true(detected.huge_pages && detected.tsc_aux);
	fake.svm_edx |= BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7);
	fake.tcg = true;
	assert_int_equal(detect(), 0);
	assert_true(detected.next_rip && detected.decode_assists && detected.flush_by_asid &&
		detected.clean_bits && detected.fragile_virtual_irq && detected.tsc_ratio);
	/* A vendor's name does not matter where the feature is there. */
	fake.vendor = "GenuineIntel";
	assert_int_equal(detect(), 0);
}

static void probe_leaves_other_vendors_alone(void **state)
{
	(void)state;
	good_cpu();
	fake.vendor = "GenuineIntel";
	fake.features_ecx = 0;
	assert_int_equal(detect(), -ENODEV);
	assert_string_equal(why, "untouched");
}

static void refuse(const char *sentence)
{
	assert_int_equal(detect(), -ENOTSUP);
	assert_string_equal(why, sentence);
}

static void probe_says_what_is_missing(void **state)
{
	(void)state;
	good_cpu();
	fake.features_ecx = 0;
	refuse("This AMD CPU has no AMD-V (SVM), which Ballast needs "
	       "(CPUID Fn8000_0001_ECX[SVM] is 0).");
	good_cpu();
	fake.max_extended = 0;
	refuse("This AMD CPU has no AMD-V (SVM), which Ballast needs "
	       "(CPUID Fn8000_0001_ECX[SVM] is 0).");
	good_cpu();
	fake.vm_cr = BIT(4);
	refuse("AMD-V (SVM) is switched off by the firmware (VM_CR.SVMDIS is set, not locked): "
	       "enable 'SVM Mode' (also called 'AMD-V' or 'Virtualization') in the firmware setup "
	       "and restart the machine.");
	fake.vm_cr = BIT(4) | BIT(3);
	refuse("AMD-V (SVM) is switched off and locked by the firmware (VM_CR.SVMDIS and LOCK are "
	       "set): enable 'SVM Mode' (also called 'AMD-V' or 'Virtualization') in the firmware "
	       "setup and power-cycle the machine.");
	/* Locked on, as firmware leaves it, is fine. */
	fake.vm_cr = BIT(3);
	assert_int_equal(detect(), 0);
	fake.svm_edx = 0;
	refuse("This CPU has AMD-V (SVM) but no nested paging (NPT), which Ballast needs; AMD CPUs "
	       "since 2008 (family 10h) have it.");
	good_cpu();
	fake.svm_ebx = 1;
	assert_int_equal(detect(), -ENOTSUP);
	good_cpu();
	fake.max_extended = 0x80000008;
	assert_int_equal(detect(), -ENOTSUP);
}

/* Permission maps and intercepts */

static bool exits(const uint8_t *map, uint32_t byte, unsigned int bit)
{
	return map[byte] >> bit & 1;
}

static void msr_map_has_two_bits_an_msr(void **state)
{
	static uint8_t map[SVM_MSRPM_BYTES];

	(void)state;
	memset(map, 0xff, sizeof(map));
	assert_true(svm_msrpm_allow(map, 0x174));
	/* 0x174 * 2 bits = byte 0x5d, bit 0 */
	assert_int_equal(map[0x5d], 0xfc);
	assert_true(svm_msrpm_allow(map, 0x1fff));
	assert_int_equal(map[0x7ff], 0x3f);
	assert_true(svm_msrpm_allow(map, 0xc0000081));
	assert_int_equal(map[0x800 + 0x20], 0xf3);
	assert_true(svm_msrpm_allow(map, 0xc0011fff));
	assert_int_equal(map[0x1000 + 0x7ff], 0x3f);
	assert_false(svm_msrpm_allow(map, 0x2000));
	assert_false(svm_msrpm_allow(map, 0xbfffffff));
	assert_false(svm_msrpm_allow(map, 0xc0002000));
	assert_false(svm_msrpm_allow(map, 0x4b564d00));
	map[0x5d] = map[0x7ff] = map[0x820] = map[0x17ff] = 0xff;
	for (size_t i = 0; i < sizeof(map); i++)
		assert_int_equal(map[i], 0xff);
}

static void msr_map_follows_the_policy(void **state)
{
	static uint8_t map[SVM_MSRPM_BYTES];
	unsigned int open = 0;

	(void)state;
	svm_fill_msrpm(map);
	for (size_t i = 0; i < sizeof(map); i++)
		open += 8 - (unsigned int)__builtin_popcount(map[i]);
	assert_int_equal(open, 6); /* without TSC_AUX, which this CPU has not */
	assert_true(exits(map, 0x800 + 0x103 * 2 / 8, 0x103 * 2 % 8));
	/* EFER always exits: the guest must not see SVME. */
	assert_true(exits(map, 0x800 + 0x80 * 2 / 8, 0));
	svm_features.tsc_aux = true;
	svm_fill_msrpm(map);
	assert_false(exits(map, 0x800 + 0x103 * 2 / 8, 0x103 * 2 % 8));
}

static void intercepts_are_what_is_meant(void **state)
{
	(void)state;
	assert_int_equal(vmcb.control.intercept_exceptions, 0x60002); /* #DB, #AC, #MC */
	assert_int_equal(vmcb.control.intercept3, 0xdd4c800b);
	assert_int_equal(vmcb.control.intercept4, 0x3e7f);
	assert_int_equal(vmcb.control.intercept_cr_read | vmcb.control.intercept_cr_write, 0);
	assert_int_equal(vmcb.control.intercept_dr_read | vmcb.control.intercept_dr_write, 0);
	assert_int_equal(vmcb.control.int_ctl, BIT(24));
	assert_int_equal(vmcb.control.nested_ctl, 1);
}

/* Dumps */

static void broken_rules_are_named(void **state)
{
	(void)state;
	vcpu.special.msrs.pat = 0x0007040600070406ULL;
	vcpu.special.cr0 = CR0_PE | CR0_ET;
	vcpu.special.dr6 = vcpu.special.dr7 = 0;
	svm_store(&vcpu, &svm);
	assert_int_equal(svm_prepare_maps(), 0);
	svm_init_controls(&vmcb);
	vmcb.control.asid = 1;
	vmcb.control.nested_cr3 = 0x1000;
	assert_int_equal(svm_check_vmcb(&vmcb, collect), 0);
	assert_string_equal(lines, "");
	vmcb.save.efer &= ~EFER_SVME;
	vmcb.save.cr0 = CR0_PG | CR0_NW;
	vmcb.control.asid = 0;
	vmcb.control.event_inj = EVENT_VALID | EVENT_EXCEPTION << EVENT_TYPE_SHIFT | 2;
	assert_int_equal(svm_check_vmcb(&vmcb, collect), 6);
	assert_string_equal(lines,
		"VMRUN refuses: EFER.SVME is clear\n"
		"VMRUN refuses: CR0.NW is set without CR0.CD\n"
		"VMRUN refuses: long mode paging without CR4.PAE\n"
		"VMRUN refuses: long mode paging without CR0.PE\n"
		"VMRUN refuses: the ASID is 0\n"
		"VMRUN refuses: the event to inject is no valid one\n");
	lines[0] = 0;
	vcpu.exit.kind = EXIT_ENTRY_FAILED;
	svm_dump(&vcpu, collect);
	assert_non_null(strstr(lines, "VMRUN refuses: the ASID is 0"));
}

static void nested_tables_have_the_long_mode_form(void **state)
{
	const struct s2_format *f = &svm_npt_format;

	(void)state;
	assert_int_equal(f->table_bits, 7);
	assert_int_equal(f->leaf_bits, 5);
	assert_int_equal(f->large_bit, 0x80);
	assert_int_equal(f->write, 2);
	assert_int_equal(f->no_exec, BIT(63));
	assert_int_equal(f->exec | f->read, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probe_accepts_and_reads_features),
		cmocka_unit_test(probe_leaves_other_vendors_alone),
		cmocka_unit_test(probe_says_what_is_missing),
		cmocka_unit_test_setup(msr_map_has_two_bits_an_msr, setup),
		cmocka_unit_test_setup(msr_map_follows_the_policy, setup),
		cmocka_unit_test_setup(intercepts_are_what_is_meant, setup),
		cmocka_unit_test_setup(broken_rules_are_named, setup),
		cmocka_unit_test(nested_tables_have_the_long_mode_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
