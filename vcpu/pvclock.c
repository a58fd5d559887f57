/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM's paravirtual clock; see vcpu/pvclock.h. */
#include "vcpu/pvclock.h"

#include "vcpu/vm.h"

#define SYSTEM_ENABLED BIT(0)
#define FLAG_TSC_STABLE BIT(0)

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

static int write_system(struct vcpu *vcpu, gpa_t gpa)
{
	struct pvclock_system record = { .version = 2, .flags = FLAG_TSC_STABLE };
	uint64_t now = clock_tsc();

	record.tsc_timestamp = now + vcpu->tsc_offset;
	record.system_time = clock_ns_from_tsc(now) - vcpu->vm->started_ns;
	scale_of_frequency(clock_tsc_hz, &record.tsc_to_system_mul, &record.tsc_shift);
	return guest_memory_write(&vcpu->vm->memory, gpa, &record, sizeof(record));
}

/* The wall clock at the moment when system time was zero. */
static int write_wall(struct vcpu *vcpu, gpa_t gpa)
{
	uint64_t ns = clock_wall_ns() - (clock_now_ns() - vcpu->vm->started_ns);
	struct pvclock_wall record = { .version = 2, .seconds = ns / NS_PER_SEC,
		.nanoseconds = ns % NS_PER_SEC };

	return guest_memory_write(&vcpu->vm->memory, gpa, &record, sizeof(record));
}

int pvclock_rdmsr(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	*value = msr == MSR_PVCLOCK_WALL ? vcpu->msrs.pvclock_wall : vcpu->msrs.pvclock_system;
	return 0;
}

int pvclock_wrmsr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	if (msr == MSR_PVCLOCK_WALL) {
		vcpu->msrs.pvclock_wall = value;
		return write_wall(vcpu, value) ? -EIO : 0;
	}
	vcpu->msrs.pvclock_system = value;
	if (!(value & SYSTEM_ENABLED))
		return 0;
	return write_system(vcpu, value & ~SYSTEM_ENABLED) ? -EIO : 0;
}

void pvclock_tsc_changed(struct vcpu *vcpu)
{
	uint64_t where = vcpu->msrs.pvclock_system;

	/* The page was RAM when the guest named it; if it is none any more, nobody reads it. */
	if (where & SYSTEM_ENABLED)
		(void)!write_system(vcpu, where & ~SYSTEM_ENABLED);
}
