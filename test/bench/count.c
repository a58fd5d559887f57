/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A QEMU TCG plugin that counts executed instructions on an emulated SVM machine with one CPU, from outside, without
 * changing a thing: those of the guest, from VMRUN to the exit, and those of its host, from the exit to the next
 * VMRUN. The host may be any hypervisor. With a table of Ballast's functions it also tells, for each kind of exit, in
 * which of them its instructions are, and what Ballast does before it enters a guest for the first time.
 *
 *   -plugin count.so,out=FILE[,symbols=FILE,entry=HEX,code=HEX,stop=NAME]
 *
 * symbols: lines "START SIZE NAME" (hexadecimal, sorted, relative to the image's base), entry: the image's entry point,
 * code: the bytes there, by which the place is found where the firmware has loaded it; stop: the function that ends
 * a VM.
 *
 * What is counted is split into sections. A guest begins one by the instruction NOPL name(RAX), name being the 32-bit
 * address of a string of its own, and ends it by NOPL 1(RAX); such an instruction does nothing anywhere else.
 *
 * A REP string instruction counts once for each iteration, as it does for QEMU's own instruction counter; how many of a
 * section's host instructions are such iterations, stores (zeroing) or moves (copying), is told beside; with a table
 * of functions, those of the image alone.
 */
#include "test/tools/plugin.h"

#define SECTIONS_MAX 128
#define KINDS_MAX 128
#define VMRUN_BYTES 3
#define VMRUN_SITES_MAX 16
#define SECTION_END 1

/* Names of sections that are not of a guest's making; those are addresses of strings. */
enum { FIRMWARE = 2, START, STOPPED, VM_FIRST = 16 };

/* What the guest did last before an exit, as far as it matters. */
enum instruction { OTHER, PORT_IN, PORT_OUT, PORT_STRING, CPUID, RDMSR, WRMSR, HLT, HYPERCALL, MOV_CR, WBINVD,
	XSETBV, PAUSE, INSTRUCTIONS };
static const char *const instruction_names[INSTRUCTIONS] = { "other", "in", "out", "ins-outs", "cpuid", "rdmsr",
	"wrmsr", "hlt", "hypercall", "mov-cr", "wbinvd", "xsetbv", "pause" };

struct function {
	uint64_t start, size;
	char name[64];
};

/* A kind of exit: the guest's instruction, and Ballast's handler for the exit (a function exit_...), if known. */
struct kind {
	enum instruction instruction;
	unsigned int handler; /* index into functions; function_count: none */
};

struct spent {
	uint64_t instructions, calls;
};

struct tally {
	uint64_t exits, host;
	struct spent *by_function;
};

struct section {
	uint64_t name;
	uint64_t host, guest, zeroed, copied, longest;
	struct tally *tallies; /* of each kind */
};

static FILE *out;
static struct function *functions;
static unsigned int function_count; /* one more entry stands for all outside the image */
static uint64_t image_end;
static const char *stop_name = "";

static struct section sections[SECTIONS_MAX];
static unsigned int section_count, current, vms_ended;
static struct kind kinds[KINDS_MAX];
static unsigned int kind_count;

static uint64_t total;                  /* instructions executed so far */
static uint64_t vmrun_sites[VMRUN_SITES_MAX], entered_from;
static unsigned int vmrun_count;
static bool in_guest, image_found, ever_in_guest;
static uint64_t guest_from, host_from;  /* `total` at the last change of sides */
static enum instruction last_instruction;
static uint64_t last_at;                /* `total` before it */

/* Of the host's stay that goes on now. */
static struct spent *stay;              /* by function */
static unsigned int *stay_functions, stay_count, stay_handler;
static uint64_t stay_zeroed, stay_copied, rep_pc, rep_at;

static unsigned int section_for(uint64_t name)
{
	unsigned int i;

	for (i = 0; i < section_count; i++) {
		if (sections[i].name == name)
			return i;
	}
	if (i == SECTIONS_MAX)
		return SECTIONS_MAX - 1;
	sections[i].name = name;
	sections[i].tallies = calloc(KINDS_MAX, sizeof(struct tally));
	section_count++;
	return i;
}

static unsigned int kind_for(enum instruction instruction, unsigned int handler)
{
	unsigned int i;

	for (i = 0; i < kind_count; i++) {
		if (kinds[i].instruction == instruction && kinds[i].handler == handler)
			return i;
	}
	if (i == KINDS_MAX)
		return KINDS_MAX - 1;
	kinds[i] = (struct kind){ instruction, handler };
	kind_count++;
	return i;
}

/* The host's stay is over: enter it into the section, and begin anew. */
static void close_stay(void)
{
	struct section *section = &sections[current];
	unsigned int kind = kind_for(last_instruction, stay_handler);
	struct tally *tally = &section->tallies[kind];
	uint64_t host = total - host_from;

	if (!tally->by_function)
		tally->by_function = calloc(function_count + 1, sizeof(struct spent));
	tally->exits++;
	tally->host += host;
	section->host += host;
	section->zeroed += stay_zeroed;
	section->copied += stay_copied;
	if (host > section->longest)
		section->longest = host;
	for (unsigned int i = 0; i < stay_count; i++) {
		struct spent *spent = &stay[stay_functions[i]];

		tally->by_function[stay_functions[i]].instructions += spent->instructions;
		tally->by_function[stay_functions[i]].calls += spent->calls;
		host -= spent->instructions;
		*spent = (struct spent){ 0, 0 };
	}
	tally->by_function[function_count].instructions += host;
	stay_count = 0;
	stay_zeroed = stay_copied = 0;
	stay_handler = function_count;
	host_from = total;
}

static void on_vmrun(unsigned int cpu, void *data)
{
	(void)cpu;
	if (in_guest)
		return; /* VMRUN of the guest's own, which exits */
	total++; /* VMRUN itself is the host's */
	close_stay();
	total--;
	if (!ever_in_guest || sections[current].name == STOPPED)
		current = section_for(VM_FIRST + vms_ended);
	ever_in_guest = true;
	in_guest = true;
	entered_from = (uint64_t)data;
	guest_from = total + 1;
	last_at = UINT64_MAX;
}

static void on_after_vmrun(unsigned int cpu, void *data)
{
	(void)cpu;
	if (!in_guest || entered_from + VMRUN_BYTES != (uint64_t)data)
		return;
	in_guest = false;
	sections[current].guest += total - guest_from;
	host_from = total;
	if (last_at == UINT64_MAX || last_at + 1 != total)
		last_instruction = OTHER;
}

/* An instruction of Ballast's. */
static void on_function(unsigned int cpu, void *data)
{
	unsigned int function = (uintptr_t)data;

	(void)cpu;
	if (in_guest)
		return;
	if (!stay[function].instructions++)
		stay_functions[stay_count++] = function;
}

static void on_call(unsigned int cpu, void *data)
{
	(void)cpu;
	if (!in_guest)
		stay[(uintptr_t)data].calls++;
}

static void on_handler(unsigned int cpu, void *data)
{
	(void)cpu;
	if (!in_guest && stay_handler == function_count)
		stay_handler = (uintptr_t)data;
}

static void on_stop(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	if (in_guest || !ever_in_guest)
		return;
	close_stay();
	if (sections[current].name != STOPPED)
		vms_ended++;
	current = section_for(STOPPED);
}

static void on_image(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	if (image_found)
		return;
	image_found = true;
	host_from = total;
	current = section_for(START);
}

static void count_iteration(uint64_t pc, uint64_t *counter)
{
	if (pc == rep_pc && total == rep_at + 1)
		(*counter)++;
	rep_pc = pc;
	rep_at = total;
}

static void on_rep_store(unsigned int cpu, void *data)
{
	(void)cpu;
	if (!in_guest)
		count_iteration((uint64_t)data, &stay_zeroed);
}

static void on_rep_move(unsigned int cpu, void *data)
{
	(void)cpu;
	if (!in_guest)
		count_iteration((uint64_t)data, &stay_copied);
}

static void on_guest_instruction(unsigned int cpu, void *data)
{
	(void)cpu;
	if (!in_guest)
		return;
	last_instruction = (uintptr_t)data;
	last_at = total;
}

static void on_mark(unsigned int cpu, void *data)
{
	uint64_t name = (uintptr_t)data;

	(void)cpu;
	if (!in_guest)
		return;
	sections[current].guest += total - guest_from;
	guest_from = total;
	current = section_for(name == SECTION_END ? VM_FIRST + vms_ended : name);
}

/* The length of the prefixes; *rep when one of them is F2 or F3. */
static size_t skip_prefixes(const uint8_t *code, size_t size, bool *rep)
{
	size_t at = 0;

	*rep = false;
	while (at < size && memchr("\x66\x67\xf2\xf3\x2e\x36\x3e\x26\x64\x65", code[at], 10)) {
		*rep |= (code[at] & 0xfe) == 0xf2;
		at++;
	}
	if (at < size && (code[at] & 0xf0) == 0x40)
		at++;
	return at;
}

static enum instruction classify_two_bytes(uint8_t second, uint8_t third)
{
	switch (second) {
	case 0xa2: return CPUID;
	case 0x32: return RDMSR;
	case 0x30: return WRMSR;
	case 0x20:
	case 0x22: return MOV_CR;
	case 0x08:
	case 0x09: return WBINVD;
	case 0x01:
		if (third == 0xd9 || third == 0xc1)
			return HYPERCALL;
		return third == 0xd1 ? XSETBV : OTHER;
	}
	return OTHER;
}

static enum instruction classify(const uint8_t *code, size_t size)
{
	bool rep;
	size_t at = skip_prefixes(code, size, &rep);

	if (at >= size)
		return OTHER;
	switch (code[at]) {
	case 0xe4: case 0xe5: case 0xec: case 0xed: return PORT_IN;
	case 0xe6: case 0xe7: case 0xee: case 0xef: return PORT_OUT;
	case 0x6c: case 0x6d: case 0x6e: case 0x6f: return PORT_STRING;
	case 0xf4: return HLT;
	case 0x90: return rep ? PAUSE : OTHER;
	case 0x0f: return at + 1 < size ? classify_two_bytes(code[at + 1], at + 2 < size ? code[at + 2] : 0) : OTHER;
	}
	return OTHER;
}

/* The function that holds the address, relative to the image's base; function_count: none. */
static unsigned int function_at(uint64_t address)
{
	unsigned int low = 0, high = function_count;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (functions[middle].start + functions[middle].size <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < function_count && functions[low].start <= address ? low : function_count;
}

static void instrument_repeated(struct qemu_plugin_insn *insn, uint64_t pc, const uint8_t *code, size_t size)
{
	bool rep;
	size_t at = skip_prefixes(code, size, &rep);

	if (rep && at < size && (code[at] & 0xfe) == 0xaa)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_rep_store, PLUGIN_NO_REGISTERS, (void *)pc);
	if (rep && at < size && (code[at] & 0xfe) == 0xa4)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_rep_move, PLUGIN_NO_REGISTERS, (void *)pc);
}

static void instrument_own(struct qemu_plugin_insn *insn, uint64_t pc)
{
	unsigned int function = function_at(pc - image_base);
	void *data = (void *)(uintptr_t)function;

	if (function < function_count && functions[function].start == pc - image_base) {
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_call, PLUGIN_NO_REGISTERS, data);
		if (!strncmp(functions[function].name, "exit_", 5))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_handler, PLUGIN_NO_REGISTERS, data);
		if (!strcmp(functions[function].name, stop_name))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_stop, PLUGIN_NO_REGISTERS, NULL);
	}
	if (function < function_count)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_function, PLUGIN_NO_REGISTERS, data);
}

static void instrument(struct qemu_plugin_insn *insn)
{
	const uint8_t *code = qemu_plugin_insn_data(insn);
	size_t size = qemu_plugin_insn_size(insn);
	uint64_t pc = qemu_plugin_insn_vaddr(insn);
	enum instruction instruction = classify(code, size);
	uint32_t displacement;

	for (unsigned int i = 0; i < vmrun_count; i++) {
		if (pc == vmrun_sites[i] + VMRUN_BYTES)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_after_vmrun, PLUGIN_NO_REGISTERS, (void *)pc);
	}
	if (image_base && pc >= image_base && pc < image_end)
		instrument_own(insn, pc);
	if (!function_count || (image_base && pc >= image_base && pc < image_end))
		instrument_repeated(insn, pc, code, size);
	if (size == VMRUN_BYTES && !memcmp(code, "\x0f\x01\xd8", VMRUN_BYTES)) {
		if (vmrun_count < VMRUN_SITES_MAX)
			vmrun_sites[vmrun_count++] = pc;
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_vmrun, PLUGIN_NO_REGISTERS, (void *)pc);
	}
	if (instruction != OTHER)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_guest_instruction, PLUGIN_NO_REGISTERS,
			(void *)(uintptr_t)instruction);
	if (size == 7 && !memcmp(code, "\x0f\x1f\x80", 3)) {
		memcpy(&displacement, code + 3, sizeof(displacement));
		if (displacement == SECTION_END || (displacement >= 0x100000 && displacement < 0x80000000))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, PLUGIN_NO_REGISTERS,
				(void *)(uintptr_t)displacement);
	}
	qemu_plugin_register_vcpu_insn_exec_inline(insn, PLUGIN_ADD_U64, &total, 1);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb);

	(void)id;
	if (image_begins(tb)) {
		const struct function *last = &functions[function_count - 1];

		image_end = image_base + last->start + last->size;
		qemu_plugin_register_vcpu_insn_exec_cb(qemu_plugin_tb_get_insn(tb, 0), on_image,
			PLUGIN_NO_REGISTERS, NULL);
	}
	for (size_t i = 0; i < count; i++)
		instrument(qemu_plugin_tb_get_insn(tb, i));
}

static const char *function_name(unsigned int function)
{
	return function < function_count ? functions[function].name : "-";
}

static void print_section(const struct section *section)
{
	if (section->name >= 0x100000)
		fprintf(out, "section 0x%llx", (unsigned long long)section->name);
	else if (section->name >= VM_FIRST)
		fprintf(out, "section vm%llu", (unsigned long long)(section->name - VM_FIRST + 1));
	else
		fprintf(out, "section %s", section->name == FIRMWARE ? "firmware" :
				section->name == START ? "start" : "stopped");
	fprintf(out, " host %llu guest %llu zeroed %llu copied %llu longest %llu\n", (unsigned long long)section->host,
		(unsigned long long)section->guest, (unsigned long long)section->zeroed,
		(unsigned long long)section->copied, (unsigned long long)section->longest);
	for (unsigned int i = 0; i < kind_count; i++) {
		const struct tally *tally = &section->tallies[i];

		if (!tally->exits)
			continue;
		fprintf(out, "exit %s %s count %llu host %llu\n", instruction_names[kinds[i].instruction],
			function_name(kinds[i].handler), (unsigned long long)tally->exits,
			(unsigned long long)tally->host);
		for (unsigned int f = 0; function_count && f <= function_count; f++) {
			const struct spent *spent = &tally->by_function[f];

			if (spent->instructions)
				fprintf(out, "in %s %llu %llu\n", function_name(f),
					(unsigned long long)spent->instructions, (unsigned long long)spent->calls);
		}
	}
}

static void at_end(qemu_plugin_id_t id, void *data)
{
	(void)id;
	(void)data;
	fprintf(out, "total %llu base 0x%llx\n", (unsigned long long)total, (unsigned long long)image_base);
	for (unsigned int i = 0; i < section_count; i++)
		print_section(&sections[i]);
	fclose(out);
}

static bool read_symbols(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned int room = 0;
	struct function one;
	unsigned long long start, size;

	if (!file)
		return false;
	while (fscanf(file, "%llx %llx %63s", &start, &size, one.name) == 3) {
		if (function_count == room) {
			room = room ? room * 2 : 1024;
			functions = realloc(functions, room * sizeof(one));
		}
		one.start = start;
		one.size = size;
		functions[function_count++] = one;
	}
	fclose(file);
	return function_count > 0;
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
		else if (!strcmp(argv[i], "symbols") && !read_symbols(value))
			return -1;
		else if (!strcmp(argv[i], "stop"))
			stop_name = strdup(value);
		else
			image_argument(argv[i], value);
	}
	if (!out)
		return -1;
	stay = calloc(function_count + 1, sizeof(*stay));
	stay_functions = calloc(function_count + 1, sizeof(*stay_functions));
	stay_handler = function_count;
	current = section_for(FIRMWARE);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, at_end, NULL);
	return 0;
}
