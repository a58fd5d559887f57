/* SPDX-License-Identifier: BSD-2-Clause */
/* vmx/ over a VMCS of plain memory: choice of controls, register groups, decoding of exits. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ept/guest_memory.h"
#include "host/log.h"
#include "host/x86.h"
#include "vcpu/vm.h"
#include "vmx/vmx.h"

/* The VMCS, and how often each field was touched. */
#define FIELDS 0x7000
static uint64_t vmcs[FIELDS];
static unsigned int reads[FIELDS], writes[FIELDS];

uint64_t vmread(enum vmcs_field field)
{
	assert_true(field < FIELDS);
	reads[field]++;
	return vmcs[field];
}

void vmwrite(enum vmcs_field field, uint64_t value)
{
	assert_true(field < FIELDS);
	writes[field]++;
	vmcs[field] = value;
}

static unsigned int total(const unsigned int *counters)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < FIELDS; i++)
		sum += counters[i];
	return sum;
}

struct vmx_capabilities vmx_capabilities;
struct vmx_controls vmx_controls;

/* What was invalidated last, and how often. */
static unsigned int flushes;
static char flushed[32];

void vmx_invept(uint64_t type, uint64_t eptp)
{
	flushes++;
	snprintf(flushed, sizeof(flushed), "ept %u %llx", (unsigned int)type,
		(unsigned long long)eptp);
}

void vmx_invvpid(uint64_t type, uint16_t vpid)
{
	flushes++;
	snprintf(flushed, sizeof(flushed), "vpid %u %u", (unsigned int)type, vpid);
}

static struct cpu cpus[2];
static struct cpu *here = &cpus[0];

struct cpu *this_cpu(void)
{
	return here;
}

static uint64_t guest_pdptes[4];
static gpa_t pdpte_address;
static int pdpte_error;

int guest_memory_read(struct guest_memory *memory, gpa_t gpa, void *to, uint64_t bytes)
{
	(void)memory;
	pdpte_address = gpa;
	assert_int_equal(bytes, sizeof(guest_pdptes));
	memcpy(to, guest_pdptes, bytes);
	return pdpte_error;
}

void log_line(const char *format, ...)
{
	(void)format;
}

static const struct hw_ops ops = { .pull = vmx_pull };
const struct hw_ops *hw = &ops;

/* Capabilities of a CPU that has everything, as bits that may be 1, and a few that must. */
static void full_capabilities(struct vmx_capabilities *c)
{
	const uint64_t all = 0xffffffffULL << 32;

	memset(c, 0, sizeof(*c));
	c->intel = true;
	c->has_vmx = true;
	c->feature_control = FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX;
	c->basic = 6ULL << 50 | 1024ULL << 32 | BIT(55) | BIT(54) | 0x2b;
	c->pin = all | 0x16;
	c->proc = all | 0x04006172;
	c->proc2 = all;
	c->exit = all | 0x36dfb;
	c->entry = all | 0x11fb;
	c->cr0_fixed0 = CR0_PE | CR0_NE | CR0_PG;
	c->cr0_fixed1 = 0xffffffff;
	c->cr4_fixed0 = CR4_VMXE;
	c->cr4_fixed1 = 0x3767ff;
	c->ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_WRITE_BACK | EPT_CAP_2M | EPT_CAP_1G |
		EPT_CAP_INVEPT | EPT_CAP_ACCESSED_DIRTY | EPT_CAP_INVEPT_SINGLE |
		EPT_CAP_INVEPT_ALL | VPID_CAP_INVVPID | VPID_CAP_INVVPID_SINGLE |
		VPID_CAP_INVVPID_ALL;
}

struct fixture {
	struct vcpu vcpu;
	struct vmx_vcpu hw;
	struct vm vm;
	uint8_t virtual_apic[PAGE_SIZE];
};

static int setup(void **state)
{
	static struct fixture fixture;

	memset(&fixture, 0, sizeof(fixture));
	memset(vmcs, 0, sizeof(vmcs));
	memset(reads, 0, sizeof(reads));
	memset(writes, 0, sizeof(writes));
	full_capabilities(&vmx_capabilities);
	vmx_controls_choose(&vmx_capabilities, &vmx_controls);
	fixture.vcpu.hw = &fixture.hw;
	fixture.vcpu.vm = &fixture.vm;
	fixture.hw.virtual_apic = fixture.virtual_apic;
	fixture.hw.proc = vmx_controls.proc;
	fixture.hw.cr0_owned = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_WP | CR0_AM |
		CR0_PG;
	fixture.hw.cr4_owned = CR4_PAE | CR4_PGE | CR4_PSE | CR4_OSFXSR | CR4_OSXSAVE;
	fixture.hw.cr4_forced = CR4_VMXE | CR4_MCE;
	pdpte_error = 0;
	flushes = 0;
	flushed[0] = 0;
	here = &cpus[0];
	*state = &fixture;
	return 0;
}

/* --- What a CPU must have --------------------------------------------------------------------- */

static void refuses(const struct vmx_capabilities *c, const char *words)
{
	char why[300] = "";

	assert_int_equal(vmx_capabilities_check(c, why, sizeof(why)), -ENOTSUP);
	if (!strstr(why, words))
		fail_msg("\"%s\" does not say \"%s\"", why, words);
	assert_int_equal(why[strlen(why) - 1], '.');
}

static void lacks_each_needed_control(void)
{
	struct vmx_capabilities c;

	for (size_t i = 0; i < vmx_feature_count; i++) {
		const struct vmx_feature *feature = &vmx_features[i];
		uint64_t *words[] = { &c.pin, &c.proc, &c.proc2, &c.exit, &c.entry };
		char why[300];

		full_capabilities(&c);
		*words[feature->word] &= ~((uint64_t)feature->bit << 32);
		assert_false(vmx_feature_available(&c, feature));
		if (feature->needed) {
			refuses(&c, feature->name);
		} else {
			assert_int_equal(vmx_capabilities_check(&c, why, sizeof(why)), 0);
			assert_non_null(feature->without);
		}
	}
}

static void test_capabilities(void **state)
{
	struct vmx_capabilities c;
	char why[300] = "untouched";

	(void)state;
	full_capabilities(&c);
	assert_int_equal(vmx_capabilities_check(&c, why, sizeof(why)), 0);
	c.has_vmx = false;
	refuses(&c, "does not offer VT-x");
	c.intel = false;
	assert_int_equal(vmx_capabilities_check(&c, why, sizeof(why)), -ENODEV);
	assert_string_equal(why, "untouched");

	full_capabilities(&c);
	c.feature_control = FEATURE_CONTROL_LOCKED;
	refuses(&c, "Intel Virtualization Technology");
	c.feature_control = 0; /* open: Ballast decides */
	assert_int_equal(vmx_capabilities_check(&c, why, sizeof(why)), 0);

	full_capabilities(&c);
	c.proc &= ~(PROC_SECONDARY << 32);
	c.proc2 = 0;
	refuses(&c, "first generation");
	full_capabilities(&c);
	c.ept_vpid &= ~EPT_CAP_WALK_4;
	refuses(&c, "4-level");
	full_capabilities(&c);
	c.ept_vpid &= ~EPT_CAP_WRITE_BACK;
	refuses(&c, "write-back");
	full_capabilities(&c);
	c.ept_vpid &= ~(EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL);
	refuses(&c, "INVEPT");
	full_capabilities(&c);
	c.basic = (c.basic & ~(0xfULL << 50));
	refuses(&c, "control structures");
	lacks_each_needed_control();
}

static void test_controls(void **state)
{
	struct vmx_capabilities c;
	struct vmx_controls controls;

	(void)state;
	full_capabilities(&c);
	vmx_controls_choose(&c, &controls);
	assert_int_equal(controls.pin, 0x16 | PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI |
		PIN_PREEMPTION_TIMER);
	assert_true(controls.proc & PROC_TPR_SHADOW);
	assert_true(controls.proc & PROC_SECONDARY);
	/* Not at first, and CR8 never. */
	assert_false(controls.proc & (PROC_INTERRUPT_WINDOW | PROC_NMI_WINDOW |
		PROC_MONITOR_TRAP | PROC_CR8_LOAD | PROC_CR8_STORE | PROC_CR3_LOAD));
	assert_true(controls.proc2 & PROC2_VPID);
	/* The host stays 64-bit, the interrupt pending; the guest starts in real mode. */
	assert_true(controls.exit & EXIT_HOST_64);
	assert_false(controls.exit & BIT(15));
	assert_false(controls.entry & ENTRY_GUEST_64);

	/* What must be 1 is 1, be it welcome or not: MSRs without TRUE_ variants. */
	c.proc |= PROC_CR3_LOAD | PROC_CR3_STORE;
	vmx_controls_choose(&c, &controls);
	assert_true(controls.proc & PROC_CR3_LOAD);

	/* Nothing that may not be 1 is 1. */
	full_capabilities(&c);
	c.proc &= ~(PROC_TPR_SHADOW << 32);
	c.proc2 = (PROC2_EPT | PROC2_UNRESTRICTED) << 32;
	vmx_controls_choose(&c, &controls);
	assert_int_equal(controls.proc2, PROC2_EPT | PROC2_UNRESTRICTED);
	assert_false(controls.proc & PROC_TPR_SHADOW);
	assert_true((controls.proc & (PROC_CR8_LOAD | PROC_CR8_STORE)) ==
		(PROC_CR8_LOAD | PROC_CR8_STORE));

	/* VPIDs that cannot be flushed are not used. */
	full_capabilities(&c);
	c.ept_vpid &= ~(VPID_CAP_INVVPID_SINGLE | VPID_CAP_INVVPID_ALL);
	vmx_controls_choose(&c, &controls);
	assert_false(controls.proc2 & PROC2_VPID);
}

static void test_ept_format(void **state)
{
	(void)state;
	vmx_ept_format_init(0);
	assert_false(vmx_ept_format.huge_pages);
	assert_int_equal(vmx_ept_format.accessed | vmx_ept_format.dirty, 0);
	vmx_ept_format_init(EPT_CAP_1G | EPT_CAP_ACCESSED_DIRTY);
	assert_true(vmx_ept_format.huge_pages);
	assert_int_equal(vmx_ept_format.accessed | vmx_ept_format.dirty, BIT(8) | BIT(9));
}

/* --- Registers --------------------------------------------------------------------------------- */

static uint32_t rights(enum segment_name name, uint16_t attributes, uint32_t limit)
{
	const struct segment segment = { .attributes = attributes, .limit = limit };

	return vmx_access_rights(name, &segment);
}

static void test_access_rights(void **state)
{
	(void)state;
	/* 64-bit code: type b, S, P, L, G. */
	assert_int_equal(rights(SEG_CS, 0xa9b, 0xffffffff), 0xa09b);
	assert_int_equal(vmx_attributes(0xa09b), 0xa9b);
	/* Not accessed yet, as a loader may write it. */
	assert_int_equal(rights(SEG_DS, 0xc92, 0xffffffff), 0xc093);
	assert_int_equal(rights(SEG_CS, 0xc9a, 0xffffffff), 0xc09b);
	/* Granularity follows the limit where only one of both can be. */
	assert_int_equal(rights(SEG_DS, 0x493, 0xffffffff), 0xc093);
	assert_int_equal(rights(SEG_DS, 0xc93, 0x12345), 0x4093);
	assert_int_equal(rights(SEG_DS, 0xc93, 0xfff), 0xc093);
	assert_int_equal(rights(SEG_DS, 0x493, 0xfff), 0x4093);
	/* Unusable, and TR never is. */
	assert_int_equal(rights(SEG_LDTR, 0, 0), ACCESS_UNUSABLE);
	assert_int_equal(rights(SEG_TR, 0x089, 0x67), 0x8b);
	assert_int_equal(rights(SEG_TR, 0, 0xffff) & ACCESS_UNUSABLE, 0);
	assert_false(vmx_attributes(ACCESS_UNUSABLE | 0xc093) & SEGMENT_P);
	for (uint32_t attributes = 0; attributes < 0x1000; attributes++) {
		uint32_t out = rights(SEG_ES, attributes | SEGMENT_P | SEGMENT_S, 0xfff);

		assert_int_equal(out & 0xfffe0f00, 0);
		assert_int_equal(vmx_attributes(out) | 1, attributes | SEGMENT_P | SEGMENT_S | 1);
	}
}

static void test_segments_round_trip(void **state)
{
	struct fixture *f = *state;
	struct special_regs *special = &f->vcpu.special, before;

	for (unsigned int i = 0; i < SEG_COUNT; i++)
		special->segments[i] = (struct segment){ .selector = 8 * i, .limit = 0xfffff - i,
			.base = 0x1000 * i, .attributes = i == SEG_TR ? 0x8b : 0x93 };
	special->segments[SEG_SS].attributes |= 3 << SEGMENT_DPL_SHIFT;
	special->cpl = 3;
	before = *special;
	vmx_store(&f->vcpu, REG_CS | REG_SS | REG_SEGMENTS);
	memset(special, 0, sizeof(*special));
	vmx_pull(&f->vcpu, REG_CS | REG_SS | REG_SEGMENTS);
	assert_memory_equal(special->segments, before.segments, sizeof(before.segments));
	assert_int_equal(special->cpl, 3);
	assert_int_equal(f->vcpu.valid, REG_CS | REG_SS | REG_SEGMENTS);

	/* The CPL of user code whose SS is null. */
	special->segments[SEG_SS] = (struct segment){ 0 };
	vmx_store(&f->vcpu, REG_SS);
	vmx_pull(&f->vcpu, REG_SS);
	assert_int_equal(special->cpl, 3);
	assert_false(special->segments[SEG_SS].attributes & SEGMENT_P);
}

static void test_control_registers(void **state)
{
	struct fixture *f = *state;
	struct special_regs *special = &f->vcpu.special;

	/* After reset: caches off for the guest alone, NE on behind its back. */
	f->vcpu.valid = REG_ALL;
	special->cr0 = CR0_CD | CR0_NW | CR0_ET;
	special->cr4 = 0;
	vmx_store(&f->vcpu, REG_CR0 | REG_CR4 | REG_CR3 | REG_EFER);
	assert_int_equal(vmcs[VMCS_GUEST_CR0], CR0_NE | CR0_ET);
	assert_int_equal(vmcs[VMCS_GUEST_CR4], CR4_VMXE | CR4_MCE);
	/* The guest switches paging on without an exit. */
	vmcs[VMCS_GUEST_CR0] |= CR0_PE | CR0_PG;
	vmcs[VMCS_GUEST_CR4] |= CR4_PAE;
	f->vcpu.valid = 0;
	vmx_pull(&f->vcpu, REG_CR0 | REG_CR4);
	assert_int_equal(special->cr0, CR0_CD | CR0_NW | CR0_ET | CR0_PE | CR0_PG);
	assert_int_equal(special->cr4, CR4_PAE);
	/* MCE is the guest's in its own view only. */
	special->cr4 |= CR4_MCE;
	vmx_store(&f->vcpu, REG_CR4);
	special->cr4 = 0;
	vmx_pull(&f->vcpu, REG_CR4);
	assert_int_equal(special->cr4, CR4_PAE | CR4_MCE);
}

static void test_efer_and_pdptes(void **state)
{
	struct fixture *f = *state;
	struct special_regs *special = &f->vcpu.special;

	f->vcpu.valid = REG_ALL;
	special->cr0 = CR0_PE | CR0_PG | CR0_ET;
	special->cr4 = CR4_PAE;
	special->cr3 = 0x12345fff;
	for (unsigned int i = 0; i < 4; i++)
		guest_pdptes[i] = 0x1000 * i + 1;
	vmx_store(&f->vcpu, REG_CR3);
	assert_int_equal(pdpte_address, 0x12345fe0);
	assert_int_equal(vmcs[VMCS_GUEST_PDPTE0 + 6], 0x3001);
	pdpte_error = -EFAULT;
	vmx_store(&f->vcpu, REG_CR0);
	assert_int_equal(vmcs[VMCS_GUEST_PDPTE0 + 6], 0);

	pdpte_error = 0;
	memset(writes, 0, sizeof(writes));
	special->efer = EFER_LME | EFER_LMA;
	vmx_store(&f->vcpu, REG_EFER);
	assert_true(vmcs[VMCS_ENTRY_CONTROLS] & ENTRY_GUEST_64);
	assert_int_equal(writes[VMCS_GUEST_PDPTE0], 0);
	special->efer = 0;
	vmx_store(&f->vcpu, REG_EFER);
	assert_false(vmcs[VMCS_ENTRY_CONTROLS] & ENTRY_GUEST_64);
	assert_int_equal(writes[VMCS_GUEST_PDPTE0], 1);
}

static void test_shadow(void **state)
{
	struct fixture *f = *state;
	struct special_regs *special = &f->vcpu.special;

	f->vcpu.valid = REG_ALL;
	special->interrupt_shadow = true;
	special->rflags = RFLAGS_FIXED1 | RFLAGS_IF;
	vmx_store(&f->vcpu, REG_SHADOW);
	assert_int_equal(vmcs[VMCS_INTERRUPTIBILITY], BLOCKING_STI);
	/* STI's shadow needs IF. */
	special->rflags = RFLAGS_FIXED1 | RFLAGS_TF;
	vmx_store(&f->vcpu, REG_SHADOW);
	assert_int_equal(vmcs[VMCS_INTERRUPTIBILITY], BLOCKING_MOV_SS);
	assert_int_equal(vmcs[VMCS_PENDING_DEBUG], PENDING_DEBUG_BS);
	/* It stays the shadow that it was. */
	special->rflags = RFLAGS_FIXED1 | RFLAGS_IF;
	special->nmi_blocked = true;
	vmx_store(&f->vcpu, REG_SHADOW);
	assert_int_equal(vmcs[VMCS_INTERRUPTIBILITY], BLOCKING_MOV_SS | BLOCKING_NMI);
	assert_int_equal(vmcs[VMCS_PENDING_DEBUG], 0);
	/* TF comes with the flags alone. */
	special->rflags |= RFLAGS_TF;
	vmx_store(&f->vcpu, REG_RFLAGS);
	assert_int_equal(vmcs[VMCS_PENDING_DEBUG], PENDING_DEBUG_BS);

	special->interrupt_shadow = false;
	special->nmi_blocked = false;
	vmx_store(&f->vcpu, REG_SHADOW);
	assert_int_equal(vmcs[VMCS_INTERRUPTIBILITY], 0);
	vmcs[VMCS_INTERRUPTIBILITY] = BLOCKING_NMI;
	vmx_pull(&f->vcpu, REG_SHADOW);
	assert_true(special->nmi_blocked);
	assert_false(special->interrupt_shadow);
}

/* --- Events ------------------------------------------------------------------------------------ */

static void test_inject(void **state)
{
	struct fixture *f = *state;
	struct vcpu_event event = { .valid = true, .type = EVENT_INTERRUPT, .vector = 0x51 };

	vmx_inject(&f->vcpu, &event);
	assert_int_equal(vmcs[VMCS_ENTRY_EVENT], 0x80000051);
	event = (struct vcpu_event){ .valid = true, .type = EVENT_EXCEPTION, .vector = 14,
		.has_error = true, .error = 7 };
	vmx_inject(&f->vcpu, &event);
	assert_int_equal(vmcs[VMCS_ENTRY_EVENT], 0x80000b0e);
	assert_int_equal(vmcs[VMCS_ENTRY_ERROR], 7);
	assert_int_equal(writes[VMCS_ENTRY_LENGTH], 0);
	event = (struct vcpu_event){ .valid = true, .type = EVENT_SOFTWARE_INTERRUPT,
		.vector = 0x80, .instruction_length = 2 };
	vmx_inject(&f->vcpu, &event);
	assert_int_equal(vmcs[VMCS_ENTRY_EVENT], 0x80000480);
	assert_int_equal(vmcs[VMCS_ENTRY_LENGTH], 2);
}

static void test_windows(void **state)
{
	struct fixture *f = *state;
	uint32_t base = vmx_controls.proc;

	vmcs[VMCS_PROC] = base;
	vmx_want_window(&f->vcpu, WINDOW_INTERRUPT, 5);
	assert_int_equal(vmcs[VMCS_PROC], base | PROC_INTERRUPT_WINDOW);
	assert_int_equal(vmcs[VMCS_TPR_THRESHOLD], 0);
	/* Held back by the TPR: the CPU watches it. */
	f->virtual_apic[VIRTUAL_APIC_TPR] = 0x50;
	f->vcpu.valid = 0;
	vmx_want_window(&f->vcpu, WINDOW_INTERRUPT, 5);
	assert_int_equal(vmcs[VMCS_PROC], base);
	assert_int_equal(vmcs[VMCS_TPR_THRESHOLD], 5);
	/* Ballast lowers it itself: entry would refuse a threshold above it. */
	f->vcpu.special.tpr = 0x40;
	f->vcpu.valid |= REG_TPR;
	vmx_store(&f->vcpu, REG_TPR);
	assert_int_equal(vmcs[VMCS_TPR_THRESHOLD], 0);
	assert_int_equal(vmcs[VMCS_PROC], base | PROC_INTERRUPT_WINDOW);
	vmx_want_window(&f->vcpu, 0, 0);
	assert_int_equal(vmcs[VMCS_PROC], base);

	vmx_want_window(&f->vcpu, WINDOW_NMI, 0);
	assert_int_equal(vmcs[VMCS_PROC], base | PROC_NMI_WINDOW);
	/* After STI an open NMI window would be of no use, again and again. */
	f->vcpu.special.interrupt_shadow = true;
	f->vcpu.valid |= REG_SHADOW;
	vmx_want_window(&f->vcpu, WINDOW_NMI, 0);
	assert_int_equal(vmcs[VMCS_PROC], base | PROC_MONITOR_TRAP);
	vmx_capabilities.proc &= ~(PROC_MONITOR_TRAP << 32);
	vmx_want_window(&f->vcpu, WINDOW_NMI, 0);
	assert_int_equal(vmcs[VMCS_PROC], base | PROC_INTERRUPT_WINDOW);

	/* Asking twice for the same writes nothing. */
	memset(writes, 0, sizeof(writes));
	vmx_want_window(&f->vcpu, WINDOW_NMI, 0);
	assert_int_equal(total(writes), 0);
}

/* --- Exits ------------------------------------------------------------------------------------- */

static void decode(struct fixture *f, uint64_t reason, uint64_t qualification)
{
	memset(reads, 0, sizeof(reads));
	memset(&f->vcpu.exit, 0xee, sizeof(f->vcpu.exit));
	f->vcpu.valid = 0;
	vmcs[VMCS_EXIT_REASON] = reason;
	vmcs[VMCS_QUALIFICATION] = qualification;
	vmx_decode_exit(&f->vcpu);
	assert_int_equal(f->vcpu.exit.code, reason);
}

static void test_instruction_exits(void **state)
{
	static const struct {
		enum vmx_exit_reason reason;
		enum exit_kind kind;
	} kinds[] = {
		{ REASON_CPUID, EXIT_CPUID }, { REASON_HLT, EXIT_HLT },
		{ REASON_RDMSR, EXIT_RDMSR }, { REASON_WRMSR, EXIT_WRMSR },
		{ REASON_VMCALL, EXIT_HYPERCALL }, { REASON_XSETBV, EXIT_XSETBV },
		{ REASON_INVD, EXIT_WBINVD }, { REASON_WBINVD, EXIT_WBINVD },
		{ REASON_PAUSE, EXIT_PAUSE }, { REASON_MONITOR, EXIT_MONITOR },
		{ REASON_MWAIT, EXIT_MWAIT }, { REASON_RDPMC, EXIT_RDPMC },
		{ REASON_GETSEC, EXIT_VIRTUALIZATION }, { REASON_VMXON, EXIT_VIRTUALIZATION },
		{ REASON_VMFUNC, EXIT_VIRTUALIZATION }, { REASON_ENCLS, EXIT_VIRTUALIZATION },
		{ REASON_INVEPT, EXIT_VIRTUALIZATION },
	};
	struct fixture *f = *state;

	vmcs[VMCS_GUEST_RIP] = 0x1234;
	vmcs[VMCS_GUEST_RFLAGS] = 0x246;
	vmcs[VMCS_EXIT_LENGTH] = 2;
	vmcs[VMCS_INTERRUPTIBILITY] = BLOCKING_STI;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		decode(f, kinds[i].reason, 0);
		assert_int_equal(f->vcpu.exit.kind, kinds[i].kind);
		assert_int_equal(f->vcpu.exit.instruction_length, 2);
		assert_int_equal(f->vcpu.valid, REG_RIP | REG_RFLAGS | REG_SHADOW);
		assert_int_equal(f->vcpu.special.rip, 0x1234);
		assert_true(f->vcpu.special.interrupt_shadow);
		assert_int_equal(total(reads), 5);
		assert_false(f->vcpu.reinject.valid);
	}
}

static void test_port_exits(void **state)
{
	struct fixture *f = *state;
	const struct exit_port *port = &f->vcpu.exit.u.port;

	decode(f, REASON_PORT, 0x03f80000 | 8);
	assert_int_equal(f->vcpu.exit.kind, EXIT_PORT);
	assert_int_equal(port->port, 0x3f8);
	assert_int_equal(port->size, 1);
	assert_true(port->in);
	assert_int_equal(f->vcpu.exit.info[0], 0x03f80008);

	/* REP OUTSD through FS with 32-bit addresses. */
	vmcs[VMCS_EXIT_INSTRUCTION] = 1 << 7 | SEG_FS << 15;
	decode(f, REASON_PORT, 0xcf80000ULL | 3 | 0x10 | 0x20);
	assert_int_equal(f->vcpu.exit.kind, EXIT_PORT_STRING);
	assert_int_equal(port->size, 4);
	assert_false(port->in);
	assert_true(port->repeat);
	assert_int_equal(port->address_size, 4);
	assert_true(port->segment_valid);
	assert_int_equal(port->segment, SEG_FS);
	/* INS has no segment to choose. */
	decode(f, REASON_PORT, 0xcf80000ULL | 1 | 8 | 0x10);
	assert_int_equal(port->size, 2);
	assert_false(port->repeat);
	assert_false(port->segment_valid);
	/* The CPU does not say. */
	vmx_capabilities.basic &= ~BIT(54);
	decode(f, REASON_PORT, 0xcf80000ULL | 3 | 0x10);
	assert_int_equal(port->address_size, 0);
	assert_false(port->segment_valid);
	assert_int_equal(reads[VMCS_EXIT_INSTRUCTION], 0);
}

static void test_cr_exits(void **state)
{
	struct fixture *f = *state;
	const struct exit_cr *cr = &f->vcpu.exit.u.cr;

	decode(f, REASON_CR, 4 | GPR_R13 << 8);
	assert_int_equal(cr->number, 4);
	assert_int_equal(cr->access, CR_WRITE);
	assert_int_equal(cr->gpr, GPR_R13);
	decode(f, REASON_CR, 8 | 1 << 4 | GPR_RSP << 8);
	assert_int_equal(cr->number, 8);
	assert_int_equal(cr->access, CR_READ);
	assert_int_equal(cr->gpr, GPR_RSP);
	decode(f, REASON_CR, 2 << 4);
	assert_int_equal(cr->access, CR_CLTS);
	decode(f, REASON_CR, 3 << 4 | 0xfff1ULL << 16);
	assert_int_equal(cr->access, CR_LMSW);
	assert_int_equal(cr->lmsw, 0xfff1);
}

static void test_memory_exits(void **state)
{
	struct fixture *f = *state;
	const struct exit_memory *memory = &f->vcpu.exit.u.memory;

	vmcs[VMCS_GUEST_PHYSICAL] = 0xfee00030;
	decode(f, REASON_EPT_VIOLATION, 0x181);
	assert_int_equal(f->vcpu.exit.kind, EXIT_MEMORY);
	assert_int_equal(memory->gpa, 0xfee00030);
	assert_int_equal(memory->access, S2_READ);
	assert_false(memory->walk);
	assert_int_equal(f->vcpu.exit.instruction_length, 0);
	/* Read-modify-write counts as a write. */
	decode(f, REASON_EPT_VIOLATION, 0x183);
	assert_int_equal(memory->access, S2_WRITE);
	decode(f, REASON_EPT_VIOLATION, 0x184);
	assert_int_equal(memory->access, S2_EXEC);
	/* The guest's page walk; and an access that has no linear address (a PDPTE load). */
	decode(f, REASON_EPT_VIOLATION, 0x083);
	assert_true(memory->walk);
	decode(f, REASON_EPT_VIOLATION, 0x001);
	assert_true(memory->walk);

	/* An IRET that unblocked NMIs and then faulted. */
	decode(f, REASON_EPT_VIOLATION, 0x1181);
	assert_int_equal(vmcs[VMCS_INTERRUPTIBILITY], BLOCKING_NMI);
	/* With an interrupted delivery the bit means nothing. */
	vmcs[VMCS_INTERRUPTIBILITY] = 0;
	vmcs[VMCS_IDT_VECTORING] = 0x80000051;
	decode(f, REASON_EPT_VIOLATION, 0x1181);
	assert_int_equal(vmcs[VMCS_INTERRUPTIBILITY], 0);
	assert_true(f->vcpu.reinject.valid);
	/* The run loop looks there, and records where it was. */
	assert_int_equal(f->vcpu.requests, REQUEST_EVENTS);
	assert_int_equal(f->vcpu.valid, REG_RIP);
}

static void test_interrupted_delivery(void **state)
{
	struct fixture *f = *state;
	const struct vcpu_event *event = &f->vcpu.reinject;

	vmcs[VMCS_IDT_VECTORING] = 0x80000b0e;
	vmcs[VMCS_IDT_VECTORING_ERROR] = 6;
	decode(f, REASON_EPT_VIOLATION, 0x183);
	assert_true(event->valid);
	assert_int_equal(event->type, EVENT_EXCEPTION);
	assert_int_equal(event->vector, 14);
	assert_true(event->has_error);
	assert_int_equal(event->error, 6);

	vmcs[VMCS_IDT_VECTORING] = 0x80000603;
	vmcs[VMCS_EXIT_LENGTH] = 1;
	decode(f, REASON_EPT_VIOLATION, 0x183);
	assert_int_equal(event->type, EVENT_SOFTWARE_EXCEPTION);
	assert_int_equal(event->instruction_length, 1);
	assert_false(event->has_error);

	/* An NMI has not been delivered, so it does not block itself. */
	vmcs[VMCS_IDT_VECTORING] = 0x80000202;
	vmcs[VMCS_INTERRUPTIBILITY] = BLOCKING_NMI;
	decode(f, REASON_EPT_VIOLATION, 0x183);
	assert_int_equal(event->type, EVENT_NMI);
	assert_int_equal(vmcs[VMCS_INTERRUPTIBILITY], 0);
	/* What comes back is what goes in again. */
	vmx_inject(&f->vcpu, event);
	assert_int_equal(vmcs[VMCS_ENTRY_EVENT], 0x80000202);

	/* Where no delivery can be interrupted nobody looks. */
	decode(f, REASON_EXTERNAL_INTERRUPT, 0);
	assert_int_equal(f->vcpu.exit.kind, EXIT_HOST_INTERRUPT);
	assert_int_equal(total(reads), 1);
	decode(f, REASON_PREEMPTION_TIMER, 0);
	assert_int_equal(f->vcpu.exit.kind, EXIT_HOST_INTERRUPT);
}

static void test_exception_exits(void **state)
{
	struct fixture *f = *state;
	const struct exit_exception *exception = &f->vcpu.exit.u.exception;

	/* #DB by single step, in the shadow of STI: entry wants BS then. */
	vmcs[VMCS_EXIT_EVENT] = 0x80000301;
	vmcs[VMCS_INTERRUPTIBILITY] = BLOCKING_STI;
	vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED1 | RFLAGS_IF | RFLAGS_TF;
	decode(f, REASON_EXCEPTION_NMI, BIT(14));
	assert_int_equal(f->vcpu.exit.kind, EXIT_EXCEPTION);
	assert_int_equal(exception->vector, VECTOR_DB);
	assert_int_equal(exception->qualification, BIT(14));
	assert_false(exception->has_error);
	assert_int_equal(vmcs[VMCS_PENDING_DEBUG], PENDING_DEBUG_BS);

	vmcs[VMCS_EXIT_EVENT] = 0x80000b11;
	vmcs[VMCS_EXIT_ERROR] = 0;
	vmcs[VMCS_INTERRUPTIBILITY] = 0;
	decode(f, REASON_EXCEPTION_NMI, 0);
	assert_int_equal(exception->vector, VECTOR_AC);
	assert_true(exception->has_error);
	/* ... raised by an IRET out of an NMI handler. */
	vmcs[VMCS_EXIT_EVENT] |= EVENT_INFO_NMI_UNBLOCKED;
	decode(f, REASON_EXCEPTION_NMI, 0);
	assert_int_equal(vmcs[VMCS_INTERRUPTIBILITY], BLOCKING_NMI);

	/* INT1 is delivered again as what it is. */
	vmcs[VMCS_EXIT_EVENT] = 0x80000501;
	vmcs[VMCS_EXIT_LENGTH] = 1;
	decode(f, REASON_EXCEPTION_NMI, 0);
	assert_int_equal(f->vcpu.exit.kind, EXIT_HOST_INTERRUPT);
	assert_true(f->vcpu.reinject.valid);
	assert_int_equal(f->vcpu.requests, REQUEST_EVENTS);
	assert_int_equal(f->vcpu.reinject.type, EVENT_PRIVILEGED_EXCEPTION);
	assert_int_equal(f->vcpu.reinject.instruction_length, 1);

	/* An NMI of the host's. */
	vmcs[VMCS_EXIT_EVENT] = 0x80000202;
	decode(f, REASON_EXCEPTION_NMI, 0);
	assert_int_equal(f->vcpu.exit.kind, EXIT_HOST_INTERRUPT);

	decode(f, REASON_ENTRY_FAILED | REASON_MACHINE_CHECK, 0);
	assert_int_equal(f->vcpu.exit.kind, EXIT_EXCEPTION);
	assert_int_equal(exception->vector, VECTOR_MC);
}

static void test_window_exits(void **state)
{
	static const struct {
		enum vmx_exit_reason reason;
		enum exit_kind kind;
	} kinds[] = {
		{ REASON_INTERRUPT_WINDOW, EXIT_INTERRUPT_WINDOW },
		{ REASON_NMI_WINDOW, EXIT_NMI_WINDOW },
		{ REASON_MONITOR_TRAP, EXIT_NMI_WINDOW },
		{ REASON_TPR, EXIT_TPR },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		f->virtual_apic[VIRTUAL_APIC_TPR] = 0x60;
		f->vcpu.valid = 0;
		vmx_want_window(&f->vcpu, WINDOW_INTERRUPT | WINDOW_NMI, 5);
		assert_int_equal(vmcs[VMCS_TPR_THRESHOLD], 5);
		decode(f, kinds[i].reason, 0);
		assert_int_equal(f->vcpu.exit.kind, kinds[i].kind);
		assert_int_equal(vmcs[VMCS_PROC], vmx_controls.proc);
		assert_int_equal(vmcs[VMCS_TPR_THRESHOLD], 0);
	}
}

static void test_other_exits(void **state)
{
	struct fixture *f = *state;

	decode(f, REASON_TRIPLE_FAULT, 0);
	assert_int_equal(f->vcpu.exit.kind, EXIT_TRIPLE_FAULT);
	decode(f, REASON_INIT, 0);
	assert_int_equal(f->vcpu.exit.kind, EXIT_INIT);
	vmcs[VMCS_IDT_VECTORING] = 0x80000408;
	decode(f, REASON_TASK_SWITCH, 0x28);
	assert_int_equal(f->vcpu.exit.kind, EXIT_TASK_SWITCH);
	assert_true(f->vcpu.reinject.valid);
	decode(f, REASON_EPT_MISCONFIGURATION, 0);
	assert_int_equal(f->vcpu.exit.kind, EXIT_UNKNOWN);
	decode(f, REASON_ENTRY_FAILED | REASON_BAD_GUEST_STATE, 2);
	assert_int_equal(f->vcpu.exit.kind, EXIT_ENTRY_FAILED);
	assert_int_equal(f->vcpu.exit.info[0], 2);
	for (uint64_t reason = 71; reason < 200; reason++) {
		decode(f, reason, 0);
		assert_int_equal(f->vcpu.exit.kind, EXIT_UNKNOWN);
	}
	vmcs[VMCS_INSTRUCTION_ERROR] = 7;
	vmx_decode_refusal(&f->vcpu, 2);
	assert_int_equal(f->vcpu.exit.kind, EXIT_ENTRY_FAILED);
	assert_int_equal(f->vcpu.exit.info[0], 7);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

/* --- Cached translations ---------------------------------------------------------------------- */

static void load_on(struct fixture *f, unsigned int id)
{
	here = &cpus[id];
	vmx_tlb_load(&f->hw, here);
	f->hw.last = here;
}

static struct vmx_cpu *own_part(unsigned int id)
{
	free(cpus[id].hw_data);
	assert_int_equal(vmx_tlb_create(&cpus[id]), 0);
	return cpus[id].hw_data;
}

static void test_vpid_of_each_cpu(void **state)
{
	struct fixture *f = *state;

	own_part(0);
	own_part(1)->vpids.next = 40;
	load_on(f, 0);
	assert_int_equal(vmcs[VMCS_VPID], 1);
	load_on(f, 0); /* nobody else was there */
	assert_int_equal(writes[VMCS_VPID], 1);
	load_on(f, 1);
	assert_int_equal(vmcs[VMCS_VPID], 40);
	load_on(f, 0); /* the guest may have flushed on the other CPU, not here */
	assert_int_equal(vmcs[VMCS_VPID], 2);
	assert_int_equal(flushes, 0); /* none of these needs an instruction */
	vmx_flush_tlb(&f->vcpu, TLB_GUEST);
	assert_string_equal(flushed, "vpid 1 2");
	f->hw.eptp = 0x701e;
	vmx_flush_tlb(&f->vcpu, TLB_SECOND_LEVEL);
	assert_string_equal(flushed, "ept 1 701e");
	assert_int_equal(flushes, 2);
}

static void test_vpids_used_up(void **state)
{
	struct fixture *f = *state;
	struct vmx_cpu *own = own_part(0);
	struct vmx_vcpu other = { 0 };

	load_on(f, 0);
	own->vpids.next = 0xffff;
	vmx_tlb_load(&other, here);
	assert_int_equal(vmcs[VMCS_VPID], 0xffff);
	assert_int_equal(flushes, 0);
	other.vpid.generation = 0;
	vmx_tlb_load(&other, here); /* 1 again, and nothing is left of the first vCPU's 1 */
	assert_int_equal(vmcs[VMCS_VPID], 1);
	assert_string_equal(flushed, "vpid 2 0");
	load_on(f, 0);
	assert_int_equal(vmcs[VMCS_VPID], 2);
	assert_int_equal(flushes, 1);
}

/* CPUs that lack a type of invalidation use the next larger one. */
static void test_flush_fallbacks(void **state)
{
	struct fixture *f = *state;

	own_part(0);
	vmx_capabilities.ept_vpid &= ~(VPID_CAP_INVVPID_SINGLE | EPT_CAP_INVEPT_SINGLE);
	load_on(f, 0);
	vmx_flush_tlb(&f->vcpu, TLB_GUEST);
	assert_int_equal(vmcs[VMCS_VPID], 2);
	assert_int_equal(flushes, 0);
	vmx_flush_tlb(&f->vcpu, TLB_SECOND_LEVEL);
	assert_string_equal(flushed, "ept 2 0");
	/* Only one at a time: each is flushed as it is taken. */
	full_capabilities(&vmx_capabilities);
	vmx_capabilities.ept_vpid &= ~VPID_CAP_INVVPID_ALL;
	f->hw.last = NULL;
	load_on(f, 0);
	assert_string_equal(flushed, "vpid 1 3");
	/* Without VPIDs entries flush, but for second-level translations. */
	vmx_controls.proc2 &= ~PROC2_VPID;
	flushes = 0;
	f->hw.last = NULL;
	load_on(f, 0);
	vmx_flush_tlb(&f->vcpu, TLB_GUEST);
	assert_int_equal(flushes, 0);
	vmx_flush_tlb(&f->vcpu, TLB_SECOND_LEVEL);
	assert_int_equal(flushes, 1);
	own_part(1);
	free(cpus[0].hw_data);
	free(cpus[1].hw_data);
	cpus[0].hw_data = cpus[1].hw_data = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_capabilities),
		TEST(test_controls),
		TEST(test_ept_format),
		TEST(test_access_rights),
		TEST(test_segments_round_trip),
		TEST(test_control_registers),
		TEST(test_efer_and_pdptes),
		TEST(test_shadow),
		TEST(test_inject),
		TEST(test_windows),
		TEST(test_instruction_exits),
		TEST(test_port_exits),
		TEST(test_cr_exits),
		TEST(test_memory_exits),
		TEST(test_interrupted_delivery),
		TEST(test_exception_exits),
		TEST(test_window_exits),
		TEST(test_other_exits),
		cmocka_unit_test_setup(test_vpid_of_each_cpu, setup),
		cmocka_unit_test_setup(test_vpids_used_up, setup),
		cmocka_unit_test_setup(test_flush_fallbacks, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
