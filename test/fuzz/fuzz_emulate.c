/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing decoder, page walk and emulator together: the input is the guest's registers, its page
 * tables and its code. Nothing may crash, and whatever the guest does, an emulation touches
 * devices a bounded number of times and ends in one of the promised ways.
 */
#include <stdlib.h>
#include <string.h>

#include "host/x86.h"
#include "test/unit/fake_vcpu.h"
#include "vcpu/emulate.h"
#include "vcpu/insn.h"
#include "vcpu/simd_registers.h"

#define CODE 0x10000ULL
#define TABLES 0x100000ULL
#define TABLE_BYTES 0x8000ULL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct setup {
	uint8_t mode, exit, segments, count;
	uint32_t rflags, controls;
	uint64_t gpr[16];
	uint64_t gpa;
	uint8_t code[20];
};

/* The input goes on for ever: it is repeated. */
static void take(void *to, size_t bytes, const uint8_t **data, size_t *left,
	const uint8_t *start, size_t size)
{
	uint8_t *p = to;

	while (bytes--) {
		if (!*left) {
			*data = start;
			*left = size;
		}
		*p++ = *(*data)++;
		--*left;
	}
}

/* Addresses where something is, most of the time. */
static uint64_t plausible(uint64_t value)
{
	switch (value & 7) {
	case 0:
		return value;
	case 1:
		return LAPIC_DEFAULT_BASE | (value >> 8 & 0xfff);
	case 2:
		return (value >> 8 & 0xfff) | 0xfffff000;
	default:
		return value >> 8 & 0x3ffff;
	}
}

static void set_registers(const struct setup *setup)
{
	struct special_regs *truth = &fake.truth;
	unsigned int i;

	for (i = 0; i < 16; i++)
		fake.vcpu.regs.gpr[i] = plausible(setup->gpr[i]);
	fake.rsp = plausible(setup->gpr[GPR_RSP]);
	truth->rip = setup->mode & 0x40 ? plausible(setup->gpr[GPR_RBP]) : CODE + 0xff0;
	truth->rflags = (setup->rflags & ~RFLAGS_TF) | RFLAGS_FIXED1;
	truth->cpl = setup->mode & 8 ? 3 : 0;
	if (setup->controls & BIT(0))
		truth->cr4 |= CR4_SMEP;
	if (setup->controls & BIT(1))
		truth->cr4 |= CR4_SMAP;
	if (setup->controls & BIT(2))
		truth->cr4 |= CR4_LA57;
	if (setup->controls & BIT(3))
		truth->cr0 |= CR0_WP;
	if (setup->controls & BIT(4))
		truth->cr4 |= CR4_PSE;
	if (setup->controls & BIT(5))
		truth->cr0 |= CR0_AM;
	for (i = 0; i < 6; i++) {
		if (!(setup->segments >> i & 1))
			continue;
		truth->segments[i].base = setup->gpr[i] & 0xfffff;
		truth->segments[i].limit = setup->gpr[i + 6] & 0xffffff;
		truth->segments[i].attributes = (setup->gpr[i] >> 24 & 0xff) | SEGMENT_P;
	}
}

static void set_exit(const struct setup *setup)
{
	struct vcpu_exit *exit = &fake.vcpu.exit;

	memset(exit, 0, sizeof(*exit));
	switch (setup->exit & 3) {
	case 0:
		exit->kind = EXIT_MEMORY;
		exit->u.memory.gpa = setup->gpa & 0x3ffffffff;
		exit->u.memory.access = setup->exit >> 2 & 7;
		exit->u.memory.walk = setup->exit & 0x40;
		exit->u.memory.lapic = lapic_claims(&fake.vcpu, exit->u.memory.gpa);
		break;
	case 1:
		exit->kind = EXIT_PORT_STRING;
		exit->u.port.port = setup->gpr[GPR_RDX];
		break;
	default:
		exit->kind = setup->exit % EXIT_KINDS;
	}
}

/* Paging: the first tables come from the input too, its pages pointing at what there is. */
static void set_tables(const uint8_t **data, size_t *left, const uint8_t *start, size_t size)
{
	uint64_t *table = (uint64_t *)(fake.ram + TABLES);
	size_t i;

	for (i = 0; i < 24; i++) {
		uint64_t at, value;

		take(&at, sizeof(at), data, left, start, size);
		take(&value, sizeof(value), data, left, start, size);
		if (value & BIT(62))
			value &= 0x80000000001fffff;
		table[at % (TABLE_BYTES / 8)] = value;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned int modes[4] = {16, 32, 64, 64};
	const uint8_t *start = data;
	struct setup setup;
	enum exit_action action;
	size_t left = size;
	unsigned int mode;

	if (size < 16)
		return 0;
	take(&setup, sizeof(setup), &data, &left, start, size);
	mode = modes[setup.mode & 3];
	fake_reset(mode);
	set_registers(&setup);
	if (mode == 32 && setup.mode & 4) {
		fake.truth.cr0 |= CR0_PG;
		fake.truth.cr3 = TABLES;
		if (setup.mode & 0x20)
			fake.truth.cr4 |= CR4_PAE;
	}
	if (setup.mode & 0x10)
		set_tables(&data, &left, start, size);
	memcpy(fake.ram + CODE + 0xff0, setup.code, sizeof(setup.code));
	set_exit(&setup);
	fake_begin();
	if (setup.mode & 0x80)
		action = emulate_instruction(&fake.vcpu, setup.code, 1 + setup.count % 15);
	else
		action = emulate_instruction(&fake.vcpu, NULL, 0);
	fake_end();
	if (action == ACTION_STOP && !fake.stops)
		abort();
	if (action == ACTION_ADVANCE &&
		(fake.vcpu.exit.instruction_length == 0 ||
			fake.vcpu.exit.instruction_length > INSN_MAX_BYTES || fake.exceptions))
		abort();
	if (action == ACTION_RESUME && fake.exceptions > 1)
		abort();
	if (fake.device_count > EMULATE_REP_BUDGET * 16 + 16)
		abort();
	fake_begin();
	if (emulate_instruction_length(&fake.vcpu) > INSN_MAX_BYTES)
		abort();
	return 0;
}
