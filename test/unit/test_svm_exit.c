/* SPDX-License-Identifier: BSD-2-Clause */
/* AMD-V without the hardware: exits, register groups and ASIDs, from VMCBs as a CPU leaves them. */
#include "test/unit/fake_svm.h"

/* Exit decoding */

static void simple_exits_are_kinds(void **state)
{
	static const struct {
		uint64_t code;
		enum exit_kind kind;
	} cases[] = {
		{ 0x60, EXIT_HOST_INTERRUPT }, { 0x61, EXIT_HOST_INTERRUPT }, { 0x63, EXIT_INIT },
		{ 0x64, EXIT_INTERRUPT_WINDOW }, { 0x6f, EXIT_RDPMC }, { 0x72, EXIT_CPUID },
		{ 0x73, EXIT_VIRTUALIZATION }, { 0x76, EXIT_WBINVD }, { 0x78, EXIT_HLT },
		{ 0x7a, EXIT_VIRTUALIZATION }, { 0x7f, EXIT_TRIPLE_FAULT },
		{ 0x80, EXIT_VIRTUALIZATION }, { 0x81, EXIT_HYPERCALL },
		{ 0x82, EXIT_VIRTUALIZATION }, { 0x86, EXIT_VIRTUALIZATION },
		{ 0x89, EXIT_WBINVD }, { 0x8a, EXIT_MONITOR }, { 0x8b, EXIT_MWAIT },
		{ 0x8c, EXIT_MWAIT }, { 0x8d, EXIT_XSETBV }, { 0x8e, EXIT_VIRTUALIZATION },
		{ 0x8f, EXIT_UNKNOWN }, { 0x0, EXIT_UNKNOWN }, { 0x5f + 1000, EXIT_UNKNOWN },
		{ 0x65, EXIT_UNKNOWN }, { 0x403, EXIT_UNKNOWN },
		{ ~0ULL, EXIT_ENTRY_FAILED }, { 0xffffffff, EXIT_ENTRY_FAILED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(run(cases[i].code, 0, 0), cases[i].kind);
		assert_int_equal(vcpu.exit.instruction_length, 0);
	}
}

static void next_rip_gives_the_length(void **state)
{
	(void)state;
	vmcb.control.next_rip = 0x1003;
	run(SVM_EXIT_CPUID, 0, 0);
	assert_int_equal(vcpu.exit.instruction_length, 0);
	svm_features.next_rip = true;
	run(SVM_EXIT_CPUID, 0, 0);
	assert_int_equal(vcpu.exit.instruction_length, 3);
	run(SVM_EXIT_MSR, 1, 0);
	assert_int_equal(vcpu.exit.kind, EXIT_WRMSR);
	assert_int_equal(vcpu.exit.instruction_length, 3);
	vmcb.control.next_rip = 0; /* no instruction */
	run(SVM_EXIT_CPUID, 0, 0);
	assert_int_equal(vcpu.exit.instruction_length, 0);
	vmcb.control.next_rip = 0x1010; /* nonsense */
	run(SVM_EXIT_CPUID, 0, 0);
	assert_int_equal(vcpu.exit.instruction_length, 0);
}

static void port_exits_are_decoded(void **state)
{
	const struct exit_port *port = &vcpu.exit.u.port;

	(void)state;
	assert_int_equal(run(SVM_EXIT_IOIO, 0x03f80011, 0x1001), EXIT_PORT);
	assert_int_equal(port->port, 0x3f8);
	assert_int_equal(port->size, 1);
	assert_true(port->in);
	assert_int_equal(vcpu.exit.instruction_length, 1);
	assert_int_equal(run(SVM_EXIT_IOIO, 0xffff0040, 0x1002), EXIT_PORT);
	assert_int_equal(port->port, 0xffff);
	assert_int_equal(port->size, 4);
	assert_false(port->in);
	/* rep outsw, 32-bit addresses, FS */
	assert_int_equal(run(SVM_EXIT_IOIO, 0x0177112c, 0x1004), EXIT_PORT_STRING);
	assert_int_equal(port->size, 2);
	assert_int_equal(port->address_size, 4);
	assert_true(port->repeat);
	assert_int_equal(port->segment, SEG_FS);
	assert_false(port->segment_valid);
	svm_features.decode_assists = true;
	run(SVM_EXIT_IOIO, 0x0177022d, 0x1004);
	assert_int_equal(port->address_size, 8);
	assert_true(port->segment_valid);
	svm_features.decode_assists = false;
	run(SVM_EXIT_IOIO, 0x01770095, 0x1002);
	assert_int_equal(port->address_size, 2);
	assert_false(port->repeat);
}

static void memory_exits_are_decoded(void **state)
{
	const struct exit_memory *memory = &vcpu.exit.u.memory;

	(void)state;
	assert_int_equal(run(SVM_EXIT_NPF, BIT(32) | 4, 0xfee00080), EXIT_MEMORY);
	assert_int_equal(memory->gpa, 0xfee00080);
	assert_int_equal(memory->access, S2_READ);
	assert_false(memory->walk);
	assert_int_equal(memory->byte_count, 0);
	run(SVM_EXIT_NPF, BIT(32) | 6, 0x1000);
	assert_int_equal(memory->access, S2_WRITE);
	run(SVM_EXIT_NPF, BIT(32) | 0x14, 0x1000);
	assert_int_equal(memory->access, S2_EXEC);
	run(SVM_EXIT_NPF, BIT(33) | 6, 0x2000);
	assert_true(memory->walk);
	svm_features.decode_assists = true;
	vmcb.control.fetched_count = 15;
	memcpy(vmcb.control.fetched_bytes, "\x89\x07\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\xc3",
		15);
	run(SVM_EXIT_NPF, BIT(32) | 6, 0x1000);
	assert_int_equal(memory->byte_count, 15);
	assert_memory_equal(memory->bytes, vmcb.control.fetched_bytes, 15);
	run(SVM_EXIT_NPF, BIT(32) | 0x14, 0x1000);
	assert_int_equal(memory->byte_count, 0);
}

static void exceptions_are_decoded(void **state)
{
	const struct exit_exception *exception = &vcpu.exit.u.exception;

	(void)state;
	assert_int_equal(run(SVM_EXIT_EXCEPTION + 17, 0, 0), EXIT_EXCEPTION);
	assert_int_equal(exception->vector, 17);
	assert_true(exception->has_error);
	assert_int_equal(exception->error, 0);
	run(SVM_EXIT_EXCEPTION + 14, 7, 0x123456);
	assert_int_equal(exception->error, 7);
	assert_int_equal(vcpu.exception_address, 0x123456);
	run(SVM_EXIT_EXCEPTION + 18, 99, 0);
	assert_false(exception->has_error);
	assert_int_equal(exception->error, 0);
	run(SVM_EXIT_FERR_FREEZE, 0, 0);
	assert_int_equal(vcpu.exit.kind, EXIT_EXCEPTION);
	assert_int_equal(exception->vector, VECTOR_MF);
	assert_false(exception->has_error);
	/* A #DB with its cause in DR6, and one of a CPU that leaves DR6 to the delivery. */
	vcpu.special.dr6 = 0xffff0ff0 | BIT(14);
	vcpu.special.rflags |= RFLAGS_TF;
	vcpu_set_dirty(&vcpu, REG_DEBUG | REG_RFLAGS);
	run(SVM_EXIT_EXCEPTION + 1, 0, 0);
	assert_int_equal(exception->qualification, 0);
	vcpu.special.dr6 = 0xffff0ff0;
	vcpu_set_dirty(&vcpu, REG_DEBUG);
	run(SVM_EXIT_EXCEPTION + 1, 0, 0);
	assert_int_equal(exception->qualification, BIT(14));
	vcpu_need(&vcpu, REG_DEBUG);
	vcpu.special.dr7 = 0x400 | 8; /* breakpoint 1 */
	vcpu.special.rflags &= ~RFLAGS_TF;
	vcpu_set_dirty(&vcpu, REG_DEBUG | REG_RFLAGS);
	run(SVM_EXIT_EXCEPTION + 1, 0, 0);
	assert_int_equal(exception->qualification, BIT(1));
}

static void hardware_moves(struct vmcb *v)
{
	assert_int_equal(v->save.rax, 0x1111);
	v->save.rax = 0x2222;
	v->save.rip = 0x4444;
	v->save.rsp = 0x5555;
	v->save.rflags = RFLAGS_FIXED1;
	v->control.int_state = 1;
	v->control.exit_code = SVM_EXIT_HLT;
}

static void exits_bring_the_eager_registers(void **state)
{
	(void)state;
	hardware = hardware_moves;
	vcpu.regs.gpr[GPR_RAX] = 0x1111;
	svm_enter(&vcpu);
	assert_int_equal(vcpu.dirty, 0);
	assert_int_equal(vcpu.valid, REG_RIP | REG_RSP | REG_RFLAGS | REG_SHADOW);
	assert_int_equal(vcpu.regs.gpr[GPR_RAX], 0x2222);
	assert_int_equal(vcpu.regs.gpr[GPR_RSP], 0x5555);
	assert_int_equal(vcpu.special.rip, 0x4444);
	assert_int_equal(vcpu.special.rflags, RFLAGS_FIXED1);
	assert_true(vcpu.special.interrupt_shadow);
}

/* Registers */

static void groups_survive_a_round_trip(void **state)
{
	struct special_regs before;

	(void)state;
	for (size_t i = 0; i < sizeof(vcpu.special); i++)
		((uint8_t *)&vcpu.special)[i] = (uint8_t)(i * 37 + 11);
	vcpu.special.rflags |= RFLAGS_FIXED1;
	vcpu.special.efer &= ~EFER_SVME;
	vcpu.special.interrupt_shadow = vcpu.special.nmi_blocked = true;
	vcpu.special.msrs.tsc_aux = 0;
	vcpu.regs.gpr[GPR_RSP] = 0x7777;
	vcpu.tsc_offset = 0x123456789;
	before = vcpu.special;
	svm_store(&vcpu, &svm);
	assert_int_equal(vcpu.dirty, 0);
	assert_true(vmcb.save.efer & EFER_SVME);
	assert_int_equal(written_cr2, before.cr2);
	assert_int_equal(vmcb.control.tsc_offset, 0x123456789);
	/* TPR's low half is kept while its class is unchanged; all else comes from the VMCB. */
	memset(&vcpu.special, 0, sizeof(vcpu.special));
	vcpu.special.tpr = before.tpr;
	vcpu.special.nmi_blocked = true;
	vcpu.regs.gpr[GPR_RSP] = 0;
	vcpu.valid = 0;
	svm_pull(&vcpu, REG_ALL & ~REG_TSC);
	assert_int_equal(vcpu.valid, REG_ALL & ~REG_TSC);
	assert_int_equal(vcpu.regs.gpr[GPR_RSP], 0x7777);
	assert_int_equal(vcpu.special.rip, before.rip);
	assert_int_equal(vcpu.special.rflags, before.rflags);
	assert_int_equal(vcpu.special.cr0, before.cr0);
	assert_int_equal(vcpu.special.cr2, before.cr2);
	assert_int_equal(vcpu.special.cr3, before.cr3);
	assert_int_equal(vcpu.special.cr4, before.cr4);
	assert_int_equal(vcpu.special.efer, before.efer);
	assert_int_equal(vcpu.special.dr6, before.dr6);
	assert_int_equal(vcpu.special.dr7, before.dr7);
	assert_memory_equal(vcpu.special.segments, before.segments, sizeof(before.segments));
	assert_int_equal(vcpu.special.gdtr.base, before.gdtr.base);
	assert_int_equal(vcpu.special.gdtr.limit, before.gdtr.limit);
	assert_int_equal(vcpu.special.idtr.base, before.idtr.base);
	assert_int_equal(vcpu.special.idtr.limit, before.idtr.limit);
	assert_int_equal(vcpu.special.cpl, before.cpl);
	assert_int_equal(vcpu.special.tpr, before.tpr);
	assert_true(vcpu.special.interrupt_shadow && vcpu.special.nmi_blocked);
	assert_memory_equal(&vcpu.special.msrs, &before.msrs, sizeof(before.msrs));
}

/* Every single group, pulled alone, equals what it is when all are pulled at once. */
static void groups_are_independent(void **state)
{
	struct special_regs all;

	(void)state;
	for (size_t i = 0; i < sizeof(vmcb.save); i++)
		((uint8_t *)&vmcb.save)[i] = (uint8_t)(i * 29 + 5);
	svm_pull(&vcpu, REG_ALL);
	all = vcpu.special;
	memset(&vcpu.special, 0, sizeof(vcpu.special));
	vcpu.valid = 0;
	for (uint32_t group = 1; group & REG_ALL; group <<= 1)
		svm_pull(&vcpu, group);
	assert_int_equal(vcpu.valid, REG_ALL);
	assert_memory_equal(&vcpu.special, &all, sizeof(all));
}

static void only_dirty_groups_lose_their_clean_bits(void **state)
{
	(void)state;
	svm_features.clean_bits = true;
	svm.clean = CLEAN_ALL;
	run(SVM_EXIT_HLT, 0, 0);
	assert_int_equal(vmcb.control.clean, CLEAN_ALL);
	vcpu_need(&vcpu, REG_CR3 | REG_DEBUG);
	vcpu_set_dirty(&vcpu, REG_CR3 | REG_RIP);
	svm_store(&vcpu, &svm);
	assert_int_equal(vmcb.control.clean, CLEAN_ALL & ~CLEAN_CR);
	svm_want_window(&vcpu, WINDOW_INTERRUPT, 3);
	assert_int_equal(vmcb.control.clean,
		CLEAN_ALL & ~(CLEAN_CR | CLEAN_TPR | CLEAN_INTERCEPTS));
}

static void cr8_writes_clear_the_low_half_of_tpr(void **state)
{
	(void)state;
	vcpu.special.tpr = 0x37;
	vcpu_set_dirty(&vcpu, REG_TPR);
	run(SVM_EXIT_HLT, 0, 0);
	assert_int_equal(vmcb.control.int_ctl & 0xff, 3);
	vcpu_need(&vcpu, REG_TPR);
	assert_int_equal(vcpu.special.tpr, 0x37);
	run(SVM_EXIT_HLT, 0, 0);
	vmcb.control.int_ctl = (vmcb.control.int_ctl & ~0xffULL) | 4;
	vcpu_need(&vcpu, REG_TPR);
	assert_int_equal(vcpu.special.tpr, 0x40);
}

/* ASIDs */

static uint32_t seen_asid, seen_tlb_control;

static void hardware_sees_asid(struct vmcb *v)
{
	v->control.exit_code = SVM_EXIT_HLT;
	seen_asid = v->control.asid;
	seen_tlb_control = v->control.tlb_control;
}

static void enter_with_asid(uint32_t asid, uint8_t tlb_control)
{
	hardware = hardware_sees_asid;
	svm_enter(&vcpu);
	assert_int_equal(seen_asid, asid);
	assert_int_equal(seen_tlb_control, tlb_control);
}

static void flush(void)
{
	svm_flush_tlb(&vcpu, TLB_GUEST);
}

static void asids_are_never_reused_unflushed(void **state)
{
	(void)state;
	enter_with_asid(1, 1); /* what ran before Ballast is flushed */
	enter_with_asid(1, 0);
	flush();
	enter_with_asid(2, 0);
	svm_flush_tlb(&vcpu, TLB_SECOND_LEVEL);
	enter_with_asid(3, 0);
	flush();
	enter_with_asid(1, 1); /* a new generation */
	enter_with_asid(1, 0);
	svm_features.flush_by_asid = true;
	flush();
	enter_with_asid(1, 3);
	enter_with_asid(1, 0);
}

static void reload(struct svm_cpu *where)
{
	svm_tlb_put(&svm);
	svm_tlb_load(&svm, where);
}

static void asid_of_another_cpu(void **state)
{
	struct svm_cpu other = { .host_vmcb = cpu.host_vmcb };

	(void)state;
	tlb_tags_init(&other.asids, 4);
	other.asids.next = 3;
	enter_with_asid(1, 1);
	reload(&cpu); /* nobody else's: as it was */
	enter_with_asid(1, 0);
	reload(&other);
	enter_with_asid(3, 0);
	reload(&cpu); /* it may have changed its tables there */
	enter_with_asid(2, 0);
	/* Other vCPUs began a new generation meanwhile. */
	reload(&other);
	cpu.asids.generation++;
	cpu.asids.next = 2;
	reload(&cpu);
	enter_with_asid(2, 0);
}

/* A flush of everything is done by whoever enters first, if it is not who began the generation. */
static void flush_that_never_came_to_vmrun(void **state)
{
	(void)state;
	reload(&cpu);
	svm_tlb_put(&svm);
	assert_true(cpu.flush_all);
	svm_tlb_load(&svm, &cpu);
	enter_with_asid(1, 1);
	svm_tlb_put(&svm);
	assert_false(cpu.flush_all);
	svm_tlb_load(&svm, &cpu);
	enter_with_asid(1, 0);
	/* A refused VMRUN has flushed nothing. */
	flush();
	flush();
	flush();
	assert_int_equal(vmcb.control.tlb_control, TLB_CONTROL_FLUSH_ALL);
	assert_int_equal(run(SVM_EXIT_INVALID, 0, 0), EXIT_ENTRY_FAILED);
	reload(&cpu);
	enter_with_asid(1, 1);
}

static void the_longer_way_is_taken_when_asked_for(void **state)
{
	(void)state;
	mitigated_runs = 0;
	svm.mitigated = true;
	vcpu.special.rip = 0x1234;
	run(SVM_EXIT_CPUID, 0, 0);
	run(SVM_EXIT_HLT, 0, 0);
	assert_int_equal(mitigated_runs, 2);
	assert_int_equal(vmcb.save.rip, 0x1234);
	svm.mitigated = false;
	run(SVM_EXIT_HLT, 0, 0);
	assert_int_equal(mitigated_runs, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(simple_exits_are_kinds, setup),
		cmocka_unit_test_setup(next_rip_gives_the_length, setup),
		cmocka_unit_test_setup(port_exits_are_decoded, setup),
		cmocka_unit_test_setup(memory_exits_are_decoded, setup),
		cmocka_unit_test_setup(exceptions_are_decoded, setup),
		cmocka_unit_test_setup(exits_bring_the_eager_registers, setup),
		cmocka_unit_test_setup(groups_survive_a_round_trip, setup),
		cmocka_unit_test_setup(groups_are_independent, setup),
		cmocka_unit_test_setup(only_dirty_groups_lose_their_clean_bits, setup),
		cmocka_unit_test_setup(cr8_writes_clear_the_low_half_of_tpr, setup),
		cmocka_unit_test_setup(asids_are_never_reused_unflushed, setup),
		cmocka_unit_test_setup(the_longer_way_is_taken_when_asked_for, setup),
		cmocka_unit_test_setup(asid_of_another_cpu, setup),
		cmocka_unit_test_setup(flush_that_never_came_to_vmrun, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
