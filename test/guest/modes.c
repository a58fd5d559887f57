/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 32-bit protected mode without paging, with 32-bit paging and with PAE: exits, device memory
 * through segments with a base, page faults. modes_code.asm does the switching.
 */
#include "guest.h"

struct findings {
	uint32_t cpuid_max;
	uint32_t scratch;
	uint32_t lapic_version;  /* through a segment whose base is not zero */
	uint32_t lapic_divide;   /* written and read back in 16-bit addressing */
	uint32_t string_end;
	uint32_t string_bytes;
	uint32_t fault_address;
	uint32_t fault_error;
	uint32_t done;
};

enum mode { NO_PAGING, PAGING_32, PAGING_PAE };

extern volatile struct findings modes_findings;
void modes_run(uint32_t cr3, uint32_t cr4);

static uint32_t directory[1024] __attribute__((aligned(4096)));
static uint64_t pdpt[4] __attribute__((aligned(4096)));
static uint64_t pae_directories[2048] __attribute__((aligned(4096)));

/* Identity mappings by 4 MiB and 2 MiB pages, but for the page at 0x40000000. */
static void build_tables(void)
{
	for (unsigned int i = 0; i < 1024; i++)
		directory[i] = i == 0x100 ? 0 : i << 22 | 0x83;
	for (unsigned int i = 0; i < 2048; i++)
		pae_directories[i] = i == 0x200 ? 0 : (uint64_t)i << 21 | 0x83;
	for (unsigned int i = 0; i < 4; i++)
		pdpt[i] = (uint64_t)&pae_directories[512 * i] | 1;
}

static void check_mode(enum mode mode)
{
	static const uint32_t cr4[] = { 0, 1 << 4, 1 << 5 };
	const uint64_t cr3[] = { 0, (uint64_t)directory, (uint64_t)pdpt };

	memset((void *)&modes_findings, 0, sizeof(modes_findings));
	modes_run(cr3[mode], cr4[mode]);
	CHECK_EQUAL(modes_findings.done, 0x600d);
	CHECK_EQUAL(modes_findings.cpuid_max, cpuid(0, 0).eax);
	CHECK_EQUAL(modes_findings.scratch, 0x5a);
	CHECK_EQUAL(modes_findings.lapic_version, lapic_read(0x30));
	CHECK_EQUAL(modes_findings.lapic_divide, 0xb);
	CHECK_EQUAL(modes_findings.string_bytes, 0x5a5a5a5a);
	CHECK_EQUAL(modes_findings.string_end, 4);
	if (mode != NO_PAGING) {
		CHECK_EQUAL(modes_findings.fault_address, 0x40000123);
		CHECK_EQUAL(modes_findings.fault_error, 2);
	}
	if (guest_failures())
		guest_print("in mode %d\n", mode);
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	build_tables();
	check_mode(NO_PAGING);
	check_mode(PAGING_32);
	check_mode(PAGING_PAE);
	CHECK_EQUAL(GUEST_TRY("ud2", : : : "memory"), 6);
	return guest_failures();
}
