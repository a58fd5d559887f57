/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hypercalls of KVM's ABI (Linux, Documentation/virt/kvm/x86/hypercalls.rst): the number in RAX,
 * arguments in RBX, RCX, RDX, RSI, the answer in RAX; 32 bits of each outside 64-bit mode. By
 * VMCALL on Intel's CPUs, VMMCALL on AMD's: the other vendor's instruction is undefined there and
 * raises #UD in the guest, without an exit.
 */
#include "host/x86.h"
#include "vcpu/exits.h"
#include "vcpu/lapic.h"
#include "vcpu/sched.h"
#include "vcpu/vm.h"

/* Answers, negated. */
#define HYPERCALL_EPERM 1
#define HYPERCALL_EINVAL 22
#define HYPERCALL_ENOSYS 1000

enum { VAPIC_POLL_IRQ = 1, KICK_CPU = 5, SEND_IPI = 10, SCHED_YIELD = 11 };

struct hypercall {
	uint64_t arguments[4];
	unsigned int bits; /* of each: 32 or 64 */
};

static struct vcpu *find_vcpu(struct vm *vm, uint64_t apic_id)
{
	return apic_id < vm->vcpu_count ? vm->vcpus[apic_id] : NULL;
}

/* The exit is all that it is for: pending interrupts come before the next entry. */
static int64_t poll_irq(struct vcpu *vcpu, const struct hypercall *call)
{
	(void)vcpu, (void)call;
	return 0;
}

/* (flags, APIC id): end that vCPU's HLT, or its next one, as an interrupt would. */
static int64_t kick_cpu(struct vcpu *vcpu, const struct hypercall *call)
{
	struct vcpu *target = find_vcpu(vcpu->vm, call->arguments[1]);

	if (target)
		vcpu_request(target, REQUEST_UNHALT);
	return 0;
}

#define ICR_VECTOR 0xffULL
#define ICR_DELIVERY 0x700ULL
#define ICR_ASSERT BIT(14)
#define FIRST_VECTOR 16

/* Only what a bitmap of receivers makes sense with: vectors and NMIs, edges. */
static bool icr_to_message(uint64_t icr, struct apic_message *message)
{
	*message = (struct apic_message){ .assert = true, .delivery = (icr & ICR_DELIVERY) >> 8,
		.vector = icr };
	if (icr & ~(ICR_VECTOR | ICR_DELIVERY | ICR_ASSERT))
		return false;
	if (message->delivery == DELIVERY_FIXED)
		return message->vector >= FIRST_VECTOR;
	return message->delivery == DELIVERY_NMI;
}

static unsigned int send_to(struct vm *vm, struct apic_message *message, uint64_t bitmap,
	uint64_t first_id)
{
	unsigned int sent = 0;

	for (; bitmap; bitmap &= bitmap - 1) {
		uint64_t id = first_id + __builtin_ctzll(bitmap);

		if (id >= vm->vcpu_count)
			break;
		message->destination = id;
		lapic_deliver(vm, message);
		sent++;
	}
	return sent;
}

/* (bitmap, its upper half, the APIC id of its first bit, ICR): how many it was sent to. */
static int64_t send_ipi(struct vcpu *vcpu, const struct hypercall *call)
{
	struct apic_message message;
	uint64_t first_id = call->arguments[2];

	if (!icr_to_message(call->arguments[3], &message))
		return -HYPERCALL_EINVAL;
	if (first_id >= vcpu->vm->vcpu_count)
		return 0;
	return send_to(vcpu->vm, &message, call->arguments[0], first_id) +
		send_to(vcpu->vm, &message, call->arguments[1], first_id + call->bits);
}

/* (APIC id): that one first, the caller waits for it. */
static int64_t sched_yield(struct vcpu *vcpu, const struct hypercall *call)
{
	struct vcpu *target = find_vcpu(vcpu->vm, call->arguments[0]);

	if (target && target != vcpu)
		sched_yield_to(vcpu, target);
	return 0;
}

static int64_t (*const calls[])(struct vcpu *vcpu, const struct hypercall *call) = {
	[VAPIC_POLL_IRQ] = poll_irq,
	[KICK_CPU] = kick_cpu,
	[SEND_IPI] = send_ipi,
	[SCHED_YIELD] = sched_yield,
};

static int64_t perform(struct vcpu *vcpu, uint32_t number)
{
	const uint64_t *gpr = vcpu->regs.gpr;
	struct hypercall call = { { gpr[GPR_RBX], gpr[GPR_RCX], gpr[GPR_RDX], gpr[GPR_RSI] }, 64 };

	vcpu_need(vcpu, REG_SS);
	if (vcpu->special.cpl != 0)
		return -HYPERCALL_EPERM;
	if (guest_mode_bits(vcpu) != 64) {
		call.bits = 32;
		for (unsigned int i = 0; i < ARRAY_SIZE(call.arguments); i++)
			call.arguments[i] = (uint32_t)call.arguments[i];
	} else if (gpr[GPR_RAX] >> 32) {
		return -HYPERCALL_ENOSYS;
	}
	return calls[number](vcpu, &call);
}

/* Apart: a call that nobody knows is to cost as little as it can. */
static __attribute__((noinline)) enum exit_action known_call(struct vcpu *vcpu, uint32_t number)
{
	/* Outside 64-bit mode only the lower half is there to be seen. */
	vcpu->regs.gpr[GPR_RAX] = perform(vcpu, number);
	return ACTION_ADVANCE;
}

enum exit_action exit_hypercall(struct vcpu *vcpu)
{
	uint32_t number = vcpu->regs.gpr[GPR_RAX];

	if (number < ARRAY_SIZE(calls) && calls[number])
		return known_call(vcpu, number);
	vcpu->regs.gpr[GPR_RAX] = (uint64_t)-HYPERCALL_ENOSYS;
	return ACTION_ADVANCE;
}
