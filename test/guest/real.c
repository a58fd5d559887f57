/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real mode: exits, interrupts and device memory from 16-bit code. real_code.asm goes there and
 * back; what it found stands in a record below 64 KiB.
 */
#include "guest.h"

#define MS 1000000ULL

/* At 0x7000; the order is real_code.asm's. */
struct findings {
	uint32_t cpuid_max;
	uint32_t scratch;
	uint32_t string_end;     /* DI behind REP INSB */
	uint32_t string_bytes;
	uint32_t software_interrupts;
	uint32_t divide_errors;
	uint32_t limit_faults;
	uint32_t ticks;          /* PIT interrupts taken in HLT */
	uint32_t lapic_version;  /* through a 4 GiB segment: "unreal" mode */
	uint32_t lapic_after_write;
	uint32_t cr0;
	uint32_t done;
};

extern const uint8_t real_blob[], real_blob_end[];
void real_run(void);

static void start_pit(void)
{
	out8(0x43, 0x34);
	out8(0x40, 11932 & 0xff);
	out8(0x40, 11932 >> 8);
	out8(0x21, 0xfe);
}

int guest_main(void)
{
	const volatile struct findings *found = (const volatile void *)0x7000;

	guest_idt_init();
	pic_init();
	memset((void *)0x7000, 0, 0x100);
	memcpy((void *)0x8000, real_blob, real_blob_end - real_blob);
	start_pit();
	real_run();
	out8(0x21, 0xff);
	CHECK_EQUAL(found->done, 0x600d);
	CHECK_EQUAL(found->cpuid_max, cpuid(0, 0).eax);
	CHECK_EQUAL(found->scratch, 0x3c);
	CHECK_EQUAL(found->string_end, 0x7204);
	CHECK_EQUAL(found->string_bytes, 0x3c3c3c3c);
	CHECK_EQUAL(found->software_interrupts, 1);
	CHECK_EQUAL(found->divide_errors, 1);
	if (!guest_cpu_is_lax())
		CHECK_EQUAL(found->limit_faults, 1);
	CHECK_EQUAL(found->ticks, 3);
	CHECK_EQUAL(found->lapic_version, lapic_read(0x30));
	CHECK_EQUAL(found->lapic_after_write, 0xb);
	CHECK_EQUAL(found->cr0 & 1, 0);
	/* Back in long mode everything still works. */
	CHECK_EQUAL(GUEST_TRY("ud2", : : : "memory"), 6);
	return guest_failures();
}
