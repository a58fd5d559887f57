/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_svm.h. */
#include "host/watchdog.h" /* before what calls a variable `cpu` */

#include "test/unit/fake_svm.h"

#include "host/apic.h"
#include "host/log.h"
#include "host/memory.h"
#include "vcpu/guest_access.h"
#include "vcpu/insn.h"
#include "vcpu/msr.h"
#include "vcpu/vm.h"

/* What the code under test calls in other folders. */

const uint32_t msr_passthrough[] = { MSR_SYSENTER_CS, MSR_STAR, MSR_KERNEL_GS_BASE, MSR_TSC_AUX };
const size_t msr_passthrough_count = ARRAY_SIZE(msr_passthrough);

char lines[4096];

void collect(const char *format, ...)
{
	size_t used = strlen(lines);
	va_list args;

	va_start(args, format);
	vsnprintf(lines + used, sizeof(lines) - used, format, args);
	va_end(args);
	strncat(lines, "\n", sizeof(lines) - strlen(lines) - 1);
}

void log_line(const char *format, ...)
{
	(void)format;
}

hpa_t frame_alloc(unsigned int order, enum frame_use use)
{
	(void)use;
	return (hpa_t)(uintptr_t)aligned_alloc(PAGE_SIZE, PAGE_SIZE << order);
}

hpa_t frame_alloc_zeroed(unsigned int order, enum frame_use use)
{
	hpa_t frame = frame_alloc(order, use);

	memset(host_ptr(frame), 0, PAGE_SIZE << order);
	return frame;
}

void frame_free(hpa_t start, unsigned int order)
{
	(void)order;
	free(host_ptr(start));
}

const uint8_t *fetched;
int fetch_error;

int guest_fetch(struct vcpu *asked, uint8_t bytes[15], size_t *count)
{
	assert_ptr_equal(asked, &vcpu);
	if (fetch_error)
		return fetch_error;
	memcpy(bytes, fetched, 4);
	*count = 4;
	return 0;
}

unsigned int guest_mode_bits(struct vcpu *asked)
{
	assert_ptr_equal(asked, &vcpu);
	return 64;
}

/* Knows MOV to CR8 with a REX prefix, which is all that is asked of it here. */
int insn_decode(struct insn *insn, const uint8_t *bytes, size_t count, unsigned int mode_bits)
{
	assert_int_equal(mode_bits, 64);
	if (count < 4 || bytes[0] >> 4 != 4 || bytes[1] != 0x0f || bytes[2] != 0x22)
		return -EINVAL;
	*insn = (struct insn){ .length = 4, .has_modrm = true, .modrm = bytes[3],
		.rm = (bytes[3] & 7) | (bytes[0] & 1) << 3 };
	return 0;
}

uint64_t written_cr2;

void svm_write_cr2(uint64_t value)
{
	written_cr2 = value;
}

static const struct hw_ops test_ops = { .pull = svm_pull };
const struct hw_ops *hw = &test_ops;

/* One vCPU on one CPU, and the hardware in place of entry.asm: it sees the VMCB as VMRUN would. */

struct vmcb vmcb __aligned(4096);
struct svm_cpu cpu;
struct svm_vcpu svm;
struct vcpu vcpu;
static struct vm vm;
void (*hardware)(struct vmcb *vmcb);

uint64_t watchdog_guest_rip;
const uint8_t svm_run_guest_open[1];

void svm_run_guest(struct vcpu *entered, hpa_t guest_vmcb, hpa_t host_vmcb)
{
	assert_ptr_equal(entered, &vcpu);
	assert_ptr_equal(host_ptr(guest_vmcb), &vmcb);
	assert_int_equal(host_vmcb, cpu.host_vmcb);
	vmcb.control.exit_int_info = 0;
	hardware(&vmcb);
	vmcb.control.event_inj &= ~EVENT_VALID;
	svm_decode_exit(entered);
}

struct cpu *this_cpu(void)
{
	static struct cpu own;

	return &own;
}

unsigned int pokes, offers;
bool apic_forgetful, sched_spares_boot_cpu;

void cpu_poke(struct cpu *poked)
{
	assert_ptr_equal(poked, this_cpu());
	pokes++;
}

void apic_offer_again(void)
{
	offers++;
}

unsigned int mitigated_runs;

void svm_run_guest_mitigated(struct vcpu *entered, hpa_t guest_vmcb, hpa_t host_vmcb)
{
	mitigated_runs++;
	svm_run_guest(entered, guest_vmcb, host_vmcb);
}

int setup(void **state)
{
	(void)state;
	svm_features = (struct svm_features){ .asids = 4 };
	memset(&vmcb, 0, sizeof(vmcb));
	memset(&svm, 0, sizeof(svm));
	memset(&vcpu, 0, sizeof(vcpu));
	cpu = (struct svm_cpu){ .host_vmcb = 0x5000, .flush_all = true };
	tlb_tags_init(&cpu.asids, 4);
	svm.vmcb = &vmcb;
	vcpu.hw = &svm;
	vcpu.vm = &vm;
	svm_init_controls(&vmcb);
	svm_tlb_load(&svm, &cpu);
	vcpu.special.rip = 0x1000;
	vcpu.special.rflags = RFLAGS_FIXED1 | RFLAGS_IF;
	vcpu.special.efer = EFER_LME | EFER_LMA;
	vcpu_set_dirty(&vcpu, REG_ALL);
	lines[0] = 0;
	fetch_error = 0;
	pokes = offers = 0;
	return 0;
}

static uint64_t next_code, next_info1, next_info2;

static void hardware_exits(struct vmcb *v)
{
	v->control.exit_code = next_code;
	v->control.exit_info1 = next_info1;
	v->control.exit_info2 = next_info2;
}

enum exit_kind run(uint64_t code, uint64_t info1, uint64_t info2)
{
	hardware = hardware_exits;
	next_code = code;
	next_info1 = info1;
	next_info2 = info2;
	svm_enter(&vcpu);
	return vcpu.exit.kind;
}
