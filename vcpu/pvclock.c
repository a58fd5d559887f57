/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM's paravirtual clock; see vcpu/pvclock.h. */
#include "vcpu/pvclock.h"

#include "vcpu/vm.h"

#define SYSTEM_ENABLED BIT(0)
#define ADDRESS_RESERVED BIT(1)
#define FLAG_TSC_STABLE BIT(0)
#define FLAG_GUEST_STOPPED BIT(1) /* the guest takes it away when it has seen it */

/* The ABI's two records, in guest memory. `version` is odd while the rest changes. */
struct pvclock_system {
	uint32_t version;
	uint32_t pad;
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad2[2];
};
_Static_assert(sizeof(struct pvclock_system) == 32, "the ABI's record");

struct pvclock_wall {
	uint32_t version;
	uint32_t seconds;
	uint32_t nanoseconds;
};
_Static_assert(sizeof(struct pvclock_wall) == 12, "the ABI's record");

/*
 * ns = ((ticks << shift) * multiplier) >> 32, a negative shift going right. The multiplier keeps
 * 32 significant bits: the frequency is brought into (2^31, 2^32] ticks a "second" by shifting.
 */
static void scale_of_frequency(uint64_t hz, uint32_t *multiplier, int8_t *shift)
{
	uint64_t scaled = hz;

	*shift = 0;
	while (scaled > 2 * NS_PER_SEC) {
		scaled >>= 1;
		--*shift;
	}
	while (scaled <= NS_PER_SEC) {
		scaled <<= 1;
		++*shift;
	}
	*multiplier = mul_div(NS_PER_SEC, BIT(32), scaled);
}

/*
 * Do all vCPUs have the same TSC? Only then may one use another's record. A vCPU that moves its TSC
 * stores it first and looks then, so of two that do so at once one sees the other.
 */
static bool tscs_agree(const struct vm *vm)
{
	uint64_t first = __atomic_load_n(&vm->vcpus[0]->tsc_offset, __ATOMIC_SEQ_CST);

	for (unsigned int i = 1; i < vm->vcpu_count; i++) {
		if (__atomic_load_n(&vm->vcpus[i]->tsc_offset, __ATOMIC_SEQ_CST) != first)
			return false;
	}
	return true;
}

static void fill_system(struct vcpu *vcpu, struct pvclock_system *record)
{
	uint64_t now = clock_tsc();

	record->tsc_timestamp = vcpu_scale_tsc(vcpu, now) + vcpu->tsc_offset;
	record->system_time = clock_ns_from_tsc(now) - vcpu->vm->started_ns;
	scale_of_frequency(vcpu->vm->tsc_hz, &record->tsc_to_system_mul, &record->tsc_shift);
	record->flags = tscs_agree(vcpu->vm) ? FLAG_TSC_STABLE : 0;
	if (__atomic_exchange_n(&vcpu->pv.paused, false, __ATOMIC_RELAXED))
		record->flags |= FLAG_GUEST_STOPPED;
}

/*
 * The record as it is now, while others may be reading it: `keep` flags stay as they are. -EFAULT
 * when not all of it is RAM, -EAGAIN when it cannot be had now; it is not as it should be then.
 */
static int write_system(struct vcpu *vcpu, gpa_t gpa, uint8_t keep)
{
	struct guest_memory *memory = &vcpu->vm->memory;
	struct pvclock_system record, new = { 0 };
	int error = guest_memory_read(memory, gpa, &record, sizeof(record));

	if (error)
		return error;
	new.version = record.version | 1;
	error = guest_memory_write(memory, gpa, &new.version, sizeof(new.version));
	if (error)
		return error;
	fill_system(vcpu, &new);
	new.flags |= record.flags & keep;
	error = guest_memory_write(memory, gpa, &new, sizeof(new));
	if (error)
		return error;
	new.version++;
	return guest_memory_write(memory, gpa, &new.version, sizeof(new.version));
}

/* The wall clock at the moment when system time was zero. */
static int write_wall(struct vcpu *vcpu, gpa_t gpa)
{
	uint64_t ns = clock_wall_ns() - (clock_now_ns() - vcpu->vm->started_ns);
	struct pvclock_wall record = { .version = 2, .seconds = ns / NS_PER_SEC,
		.nanoseconds = ns % NS_PER_SEC };

	return guest_memory_write(&vcpu->vm->memory, gpa, &record, sizeof(record));
}

static void unpin_system(struct vcpu *vcpu, uint64_t msr)
{
	if (msr & SYSTEM_ENABLED)
		guest_memory_unpin(&vcpu->vm->memory, msr & ~SYSTEM_ENABLED,
			sizeof(struct pvclock_system));
}

/* Its page stays where it is: other vCPUs' doings renew the record when there is no way to wait. */
static int set_system(struct vcpu *vcpu, uint64_t msr)
{
	gpa_t gpa = msr & ~SYSTEM_ENABLED;
	int error = 0;

	if (msr & SYSTEM_ENABLED) {
		if ((msr & ADDRESS_RESERVED) ||
			guest_memory_pin(&vcpu->vm->memory, gpa, sizeof(struct pvclock_system)))
			return -EIO;
		error = write_system(vcpu, gpa, 0);
	}
	unpin_system(vcpu, error ? msr : vcpu->msrs.pvclock_system);
	if (!error)
		vcpu->msrs.pvclock_system = msr;
	return error;
}

void pvclock_forget(struct vcpu *vcpu)
{
	unpin_system(vcpu, vcpu->msrs.pvclock_system);
	vcpu->msrs.pvclock_system = 0;
}

static bool is_wall(uint32_t msr)
{
	return msr == MSR_PVCLOCK_WALL || msr == MSR_PVCLOCK_WALL_OLD;
}

int pvclock_rdmsr(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	*value = is_wall(msr) ? vcpu->msrs.pvclock_wall : vcpu->msrs.pvclock_system;
	return 0;
}

int pvclock_wrmsr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	int error = is_wall(msr) ? write_wall(vcpu, value) : set_system(vcpu, value);

	if (!error && is_wall(msr))
		vcpu->msrs.pvclock_wall = value;
	return error && error != -EAGAIN ? -EIO : error;
}

void pvclock_update(struct vcpu *vcpu)
{
	uint64_t where = vcpu->msrs.pvclock_system;

	/* The page was RAM when the guest named it; if it is none any more, nobody reads it. */
	if (where & SYSTEM_ENABLED)
		(void)!write_system(vcpu, where & ~SYSTEM_ENABLED, FLAG_GUEST_STOPPED);
}

/*
 * Firmware and kernels give all CPUs one TSC by writing it on each in turn, or on all at once. The
 * moments at which vCPUs come to execute that are far apart where they share CPUs. So what is
 * within a second of what another one wrote is meant to be the same.
 */
static void set_offset(struct vcpu *vcpu, uint64_t offset)
{
	struct vm *vm = vcpu->vm;

	spin_lock(&vm->lock);
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		const struct vcpu *other = vm->vcpus[i];

		if (other != vcpu && other->tsc_written &&
			offset - other->tsc_offset + vm->tsc_hz < 2 * vm->tsc_hz) {
			offset = other->tsc_offset;
			break;
		}
	}
	vcpu->tsc_written = true;
	__atomic_store_n(&vcpu->tsc_offset, offset, __ATOMIC_SEQ_CST);
	spin_unlock(&vm->lock);
}

void pvclock_set_tsc(struct vcpu *vcpu, uint64_t tsc)
{
	struct vm *vm = vcpu->vm;
	bool agreed = tscs_agree(vm);

	set_offset(vcpu, tsc - vcpu_scale_tsc(vcpu, clock_tsc()));
	vcpu_set_dirty(vcpu, REG_TSC);
	pvclock_update(vcpu);
	if (tscs_agree(vm) == agreed)
		return;
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vcpu_request(vm->vcpus[i], REQUEST_CLOCK);
}

void pvclock_vm_paused(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		__atomic_store_n(&vm->vcpus[i]->pv.paused, true, __ATOMIC_RELAXED);
		__atomic_fetch_or(&vm->vcpus[i]->requests, REQUEST_CLOCK, __ATOMIC_RELEASE);
	}
}
