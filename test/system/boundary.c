/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A QEMU TCG plugin that watches what Ballast executes at the boundary of its guests on emulated SVM, from outside:
 * predictor barriers, VERW and return stack fills, each against the entry or exit to which it belongs. VMs have one
 * vCPU each in the tests that use it: the vCPU's address, seen where the entry code loads registers from it, tells
 * them apart.
 *
 *   -plugin boundary.so,out=FILE,entry=HEX,code=HEX,barrier=HEX+HEX,plain=HEX+HEX,mitigated=HEX+HEX
 *
 * entry, code: the image's entry point and the bytes there, by which the place is found where the firmware has loaded
 * it; the others: the start and size of Ballast's functions.
 */
#include <inttypes.h>

#include "test/tools/plugin.h"

#define CPUS 16
#define RSB_ENTRIES 32

struct range {
	uint64_t start, size;
};

static FILE *out;
static struct range barrier, plain, mitigated;

static struct cpu {
	uint64_t vcpu, last_vcpu;  /* about to be entered, and entered last */
	uint64_t last_pc, verw_pc; /* of the longer entry code; 0: not since the last entry */
	unsigned int barriers;     /* since the last entry */
	unsigned int calls;        /* since the last exit */
	bool exited, longer;       /* after an exit and before STGI; by the longer code */
	uint64_t entries, longer_entries, changes, changes_without, barriers_more;
	uint64_t verw_last, verw_elsewhere, filled, filled_otherwise, returns_before;
} cpus[CPUS];

static struct cpu *at(unsigned int cpu)
{
	return &cpus[cpu % CPUS];
}

static void on_barrier(unsigned int cpu, void *data)
{
	(void)data;
	at(cpu)->barriers++;
}

/* The entry code loads RCX from [RDI + 8], RDI being the vCPU. */
static void on_vcpu(unsigned int cpu, uint32_t info, uint64_t address, void *data)
{
	(void)info;
	(void)data;
	at(cpu)->vcpu = address - 8;
}

static void on_instruction(unsigned int cpu, void *data)
{
	at(cpu)->last_pc = (uint64_t)data;
}

static void on_verw(unsigned int cpu, void *data)
{
	at(cpu)->verw_pc = (uint64_t)data;
}

static void on_vmrun(unsigned int cpu, void *data)
{
	struct cpu *c = at(cpu);

	c->longer = data;
	c->entries++;
	c->longer_entries += c->longer;
	if (c->vcpu != c->last_vcpu) {
		c->changes++;
		c->changes_without += c->barriers == 0;
		c->barriers_more += c->barriers ? c->barriers - 1 : 0;
	} else {
		c->barriers_more += c->barriers;
	}
	if (c->verw_pc && c->verw_pc == c->last_pc)
		c->verw_last++;
	else if (c->verw_pc)
		c->verw_elsewhere++;
	c->last_vcpu = c->vcpu;
	c->barriers = 0;
	c->verw_pc = 0;
}

static void on_exit_(unsigned int cpu, void *data)
{
	(void)data;
	at(cpu)->exited = true;
	at(cpu)->calls = 0;
}

static void on_call(unsigned int cpu, void *data)
{
	(void)data;
	if (at(cpu)->exited)
		at(cpu)->calls++;
}

static void on_return(unsigned int cpu, void *data)
{
	(void)data;
	if (at(cpu)->exited)
		at(cpu)->returns_before++;
}

/* The host may be interrupted again: the exit's own code is through. */
static void on_stgi(unsigned int cpu, void *data)
{
	struct cpu *c = at(cpu);

	(void)data;
	if (!c->exited)
		return;
	c->exited = false;
	if (c->calls == RSB_ENTRIES)
		c->filled++;
	else if (c->calls)
		c->filled_otherwise++;
}

static bool within(const struct range *range, uint64_t pc)
{
	return pc - image_base - range->start < range->size;
}

static void watch(struct qemu_plugin_insn *insn, void (*executed)(unsigned int, void *), uint64_t data)
{
	qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, PLUGIN_NO_REGISTERS, (void *)(uintptr_t)data);
}

static void instrument_entry(struct qemu_plugin_insn *insn, uint64_t pc, const uint8_t *code, size_t size, bool longer)
{
	/* Before what makes a note of this very instruction. */
	if (size == 3 && !memcmp(code, "\x0f\x01\xd8", 3))
		watch(insn, on_vmrun, longer);
	if (longer)
		watch(insn, on_instruction, pc);
	if (size == 4 && !memcmp(code, "\x48\x8b\x4f\x08", 4))
		qemu_plugin_register_vcpu_mem_cb(insn, on_vcpu, PLUGIN_NO_REGISTERS, PLUGIN_ACCESSES, NULL);
	if (size > 2 && code[0] == 0x0f && code[1] == 0x00 && (code[2] >> 3 & 7) == 5)
		watch(insn, on_verw, pc);
	if (size == 3 && !memcmp(code, "\x0f\x01\xdb", 3)) /* VMSAVE, the first after an exit */
		watch(insn, on_exit_, pc);
	if (size == 5 && code[0] == 0xe8)
		watch(insn, on_call, pc);
	if (size == 3 && !memcmp(code, "\x0f\x01\xdc", 3))
		watch(insn, on_stgi, pc);
}

static void instrument(struct qemu_plugin_insn *insn)
{
	const uint8_t *code = qemu_plugin_insn_data(insn);
	size_t size = qemu_plugin_insn_size(insn);
	uint64_t pc = qemu_plugin_insn_vaddr(insn);

	if (within(&barrier, pc) && size == 2 && !memcmp(code, "\x0f\x30", 2))
		watch(insn, on_barrier, pc);
	if (within(&plain, pc))
		instrument_entry(insn, pc, code, size, false);
	if (within(&mitigated, pc))
		instrument_entry(insn, pc, code, size, true);
	if (size == 1 && code[0] == 0xc3)
		watch(insn, on_return, pc);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb);

	(void)id;
	image_begins(tb);
	for (size_t i = 0; image_base && i < count; i++)
		instrument(qemu_plugin_tb_get_insn(tb, i));
}

#define TELL(field) fprintf(out, " " #field "=%" PRIu64, cpus[i].field)

static void at_end(qemu_plugin_id_t id, void *data)
{
	(void)id;
	(void)data;
	for (unsigned int i = 0; i < CPUS; i++) {
		if (!cpus[i].entries)
			continue;
		fprintf(out, "cpu=%u", i);
		TELL(entries);
		TELL(longer_entries);
		TELL(changes);
		TELL(changes_without);
		TELL(barriers_more);
		TELL(verw_last);
		TELL(verw_elsewhere);
		TELL(filled);
		TELL(filled_otherwise);
		TELL(returns_before);
		fprintf(out, "\n");
	}
	fclose(out);
}

static void read_range(const char *text, struct range *range)
{
	char *end;

	range->start = strtoull(text, &end, 16);
	range->size = strtoull(end + 1, NULL, 16);
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			return -1;
		*value++ = '\0';
		if (!strcmp(argv[i], "out"))
			out = fopen(value, "w");
		else if (!strcmp(argv[i], "barrier"))
			read_range(value, &barrier);
		else if (!strcmp(argv[i], "plain"))
			read_range(value, &plain);
		else if (!strcmp(argv[i], "mitigated"))
			read_range(value, &mitigated);
		else
			image_argument(argv[i], value);
	}
	if (!out || !image_code_bytes)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, at_end, NULL);
	return 0;
}
