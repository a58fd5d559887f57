/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions on whole VMCSs, and invalidation of cached translations. */
#include "vmx/vmcs.h"

#include "host/log.h"
#include "host/memory.h"

#define REVISION_MASK 0x7fffffff

/* What INVEPT and INVVPID take from memory (Intel SDM vol. 2, "INVEPT", "INVVPID"). */
struct invalidation {
	uint64_t subject;
	uint64_t address;
};
_Static_assert(sizeof(struct invalidation) == 16, "INVEPT descriptor size");

void vmcs_format(hpa_t vmcs, uint64_t vmx_basic)
{
	*(uint32_t *)host_ptr(vmcs) = vmx_basic & REVISION_MASK;
}

/* These take a page that Ballast allocated and formatted itself: a failure is a bug of ours. */
void vmcs_clear(hpa_t vmcs)
{
	bool failed;

	__asm__ volatile("vmclear %1" : "=@ccbe"(failed) : "m"(vmcs) : "memory");
	if (unlikely(failed))
		panic("VMCLEAR of %llx failed", (unsigned long long)vmcs);
}

void vmcs_make_current(hpa_t vmcs)
{
	bool failed;

	__asm__ volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(vmcs) : "memory");
	if (unlikely(failed))
		panic("VMPTRLD of %llx failed", (unsigned long long)vmcs);
}

void vmx_invept(uint64_t type, uint64_t eptp)
{
	struct invalidation what = { .subject = eptp };
	bool failed;

	__asm__ volatile("invept %1, %2" : "=@ccbe"(failed) : "m"(what), "r"(type) : "memory");
	if (unlikely(failed))
		panic("INVEPT of type %u failed", (unsigned int)type);
}

void vmx_invvpid(uint64_t type, uint16_t vpid)
{
	struct invalidation what = { .subject = vpid };
	bool failed;

	__asm__ volatile("invvpid %1, %2" : "=@ccbe"(failed) : "m"(what), "r"(type) : "memory");
	if (unlikely(failed))
		panic("INVVPID of type %u failed", (unsigned int)type);
}
