/* SPDX-License-Identifier: BSD-2-Clause */
/* Switching extended state; Intel SDM vol. 1, "Managing State Using the XSAVE Feature Set". */
#include "vcpu/fpu.h"

#include "host/memory.h"
#include "host/x86.h"
#include "lib/string.h"

#define CPUID_1_ECX_XSAVE BIT(26)
#define FXSAVE_BYTES 512
#define FXSAVE_FCW 0
#define FXSAVE_MXCSR 24
#define XSAVE_HEADER_BYTES 64

/* x87, SSE, AVX, the three of AVX-512, PKRU. AMX is left out: its 8 KiB cost each switch. */
#define COMPONENTS_KNOWN (BIT(0) | BIT(1) | BIT(2) | BIT(5) | BIT(6) | BIT(7) | BIT(9))

static uint64_t components; /* [I] after the boot CPU's fpu_cpu_init() */
static size_t area_bytes = FXSAVE_BYTES;

void fpu_cpu_init(void)
{
	uint64_t cr4 = read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT;
	bool has_xsave = cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE;

	write_cr0((read_cr0() | CR0_MP | CR0_NE) & ~(CR0_EM | CR0_TS));
	if (!has_xsave) {
		write_cr4(cr4);
		return;
	}
	write_cr4(cr4 | CR4_OSXSAVE);
	if (!components) {
		struct cpuid_result size = cpuid(0xd, 0);

		components = (((uint64_t)size.edx << 32) | size.eax) & COMPONENTS_KNOWN;
		xsetbv(0, components);
		area_bytes = MAX(cpuid(0xd, 0).ebx, FXSAVE_BYTES + XSAVE_HEADER_BYTES);
	}
	xsetbv(0, components);
}

uint64_t fpu_components(void)
{
	return components;
}

void *fpu_alloc(void)
{
	/* Whole pages: XSAVE wants 64-byte alignment, the heap promises that only for pages. */
	return heap_alloc(MAX(area_bytes, PAGE_SIZE), FRAME_VM);
}

void fpu_reset(void *area)
{
	uint16_t fcw = 0x40; /* Intel SDM vol. 3, "Processor State After Reset" */
	uint32_t mxcsr = 0x1f80;

	memset(area, 0, area_bytes);
	memcpy((char *)area + FXSAVE_FCW, &fcw, sizeof(fcw));
	memcpy((char *)area + FXSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
	if (components)
		/* Only x87 is not in its initial configuration (that of XRSTOR has FCW 37f). */
		*(uint64_t *)((char *)area + FXSAVE_BYTES) = XCR0_X87;
}

uint64_t fpu_guest_xcr0(void)
{
	return components ? xgetbv(0) : 0;
}

void fpu_save(void *area, uint64_t *xcr0)
{
	if (!components) {
		__asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
		return;
	}
	*xcr0 = xgetbv(0);
	xsetbv(0, components);
	__asm__ volatile("xsave64 (%0)"
		: : "r"(area), "a"((uint32_t)components), "d"((uint32_t)(components >> 32))
		: "memory");
}

void fpu_restore(const void *area, uint64_t xcr0)
{
	if (!components) {
		__asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
		return;
	}
	xsetbv(0, components);
	__asm__ volatile("xrstor64 (%0)"
		: : "r"(area), "a"((uint32_t)components), "d"((uint32_t)(components >> 32))
		: "memory");
	xsetbv(0, xcr0);
}
