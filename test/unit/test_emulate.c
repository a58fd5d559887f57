/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The emulator where no other emulator can be asked: what it takes from the exit, faults in the
 * middle, budgets, ports, what must be refused, VEX, and the memory of decoded instructions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "host/x86.h"
#include "test/unit/fake_vcpu.h"
#include "vcpu/emulate.h"
#include "vcpu/lapic.h"
#include "vcpu/simd_registers.h"

#define CODE 0x10000ULL
#define DEVICE FAKE_DEVICE_START
#define UNMAPPED 0xffffffffff5fd000ULL /* where Linux has its LAPIC; not in the fake's tables */
#define P 1ULL
#define W 2ULL
#define U 4ULL

static uint64_t *gpr(void)
{
	return fake.vcpu.regs.gpr;
}

static uint64_t *page_entry(uint64_t linear)
{
	return (uint64_t *)(fake.ram + FAKE_TABLES + 3 * PAGE_SIZE) + linear / PAGE_SIZE;
}

/* Put code at CODE in a fresh guest. */
static void start(unsigned int mode_bits, const char *code, size_t bytes)
{
	fake_reset(mode_bits);
	memset(fake.ram + CODE, 0x90, 64);
	memcpy(fake.ram + CODE, code, bytes);
	fake.truth.rip = CODE;
	if (mode_bits == 16) {
		fake.truth.rip = 0;
		fake.truth.segments[SEG_CS].base = CODE;
	}
	fake_begin();
}

#define START(mode_bits, code) start(mode_bits, code, sizeof(code) - 1)

static enum exit_action go(void)
{
	enum exit_action action;

	fake_begin();
	action = emulate_instruction(&fake.vcpu, NULL, 0);
	fake_end();
	return action;
}

static void expect_done(unsigned int length)
{
	assert_int_equal(go(), ACTION_ADVANCE);
	assert_int_equal(fake.exceptions, 0);
	assert_int_equal(fake.vcpu.exit.instruction_length, length);
}

static void expect_exception(uint8_t vector)
{
	assert_int_equal(go(), ACTION_RESUME);
	assert_int_equal(fake.exceptions, 1);
	assert_int_equal(fake.vector, vector);
}

static void memory_exit(gpa_t gpa, uint64_t access)
{
	fake.vcpu.exit.kind = EXIT_MEMORY;
	fake.vcpu.exit.u.memory = (struct exit_memory){
		.gpa = gpa, .access = access, .lapic = lapic_claims(&fake.vcpu, gpa)};
}

static void expect_access(unsigned int i, uint64_t address, unsigned int size, bool write,
	uint64_t value)
{
	assert_true(fake.device_count > i);
	assert_int_equal(fake.device[i].address, address);
	assert_int_equal(fake.device[i].size, size);
	assert_int_equal(fake.device[i].write, write);
	assert_int_equal(fake.device[i].value, value);
}

/* ---- the address that the exit reports ---- */

/* The linear address is not mapped: only the reported one can have served. */
static void test_reported_address(void **state)
{
	(void)state;
	START(64, "\x8b\x04\x25\xb0\xd0\x5f\xff"); /* mov eax, [UNMAPPED + 0xb0] */
	memory_exit(LAPIC_DEFAULT_BASE + 0xb0, S2_READ);
	gpr()[GPR_RAX] = ~0ULL;
	expect_done(7);
	expect_access(0, LAPIC_DEFAULT_BASE + 0xb0, 4, false, 0x1234);
	assert_int_equal(gpr()[GPR_RAX], 0x1234);

	START(64, "\x44\x89\x10"); /* mov [rax], r10d */
	memory_exit(DEVICE + 0x300, S2_WRITE);
	gpr()[GPR_RAX] = UNMAPPED + 0x300;
	gpr()[GPR_R10] = 0xfeedfacecafebeef;
	expect_done(3);
	expect_access(0, DEVICE + 0x300, 4, true, 0xcafebeef);
	assert_int_equal(fake.device_count, 1);

	START(64, "\xc7\x44\xb1\x08\x78\x56\x34\x12"); /* mov dword [rcx + rsi * 4 + 8], imm */
	memory_exit(DEVICE + 0x20, S2_READ | S2_WRITE);
	gpr()[GPR_RCX] = UNMAPPED;
	gpr()[GPR_RSI] = 6;
	expect_done(8);
	expect_access(0, DEVICE + 0x20, 4, true, 0x12345678);

	START(64, "\x48\x01\x10"); /* add [rax], rdx: the general way */
	memory_exit(DEVICE + 0x40, S2_READ | S2_WRITE);
	gpr()[GPR_RAX] = UNMAPPED + 0x40;
	gpr()[GPR_RDX] = 5;
	fake.ram[DEVICE + 0x40] = 3;
	expect_done(3);
	expect_access(0, DEVICE + 0x40, 8, false, 3);
	expect_access(1, DEVICE + 0x40, 8, true, 8);
	assert_int_equal(fake.device_count, 2);
}

/* What was reported is not for this access: then the guest's tables are asked. */
static void test_reported_otherwise(void **state)
{
	static const struct {
		const char *code;
		gpa_t gpa;
		uint64_t access;
		bool walk;
	} cases[] = {
		{"\x8b\x00", DEVICE + 0x44, S2_READ, false},         /* another offset */
		{"\x89\x00", DEVICE + 0x40, S2_READ, false},         /* a write, reported a read */
		{"\x01\x00", DEVICE + 0x40, S2_READ, false},
		{"\xff\x00", DEVICE + 0x40, S2_READ, false},
		{"\x8b\x00", DEVICE + 0x40, S2_READ, true},          /* the walk's own access */
		{"\x8b\x00", DEVICE + 0x40, S2_EXEC, false},
		{"\xff\x30", DEVICE + 0x40, S2_READ, false},         /* push [rax]: or the stack */
		{"\x48\xa5", DEVICE + 0x40, S2_READ, false},         /* movsq: or the target */
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		start(64, cases[i].code, 2);
		memory_exit(cases[i].gpa, cases[i].access);
		fake.vcpu.exit.u.memory.walk = cases[i].walk;
		fake.rsp = 0x20000;
		gpr()[GPR_RAX] = gpr()[GPR_RSI] = gpr()[GPR_RDI] = UNMAPPED + 0x40;
		expect_exception(VECTOR_PF);
		assert_int_equal(fake.fault_address, UNMAPPED + 0x40);
		assert_int_equal(fake.device_count, 0);
	}
	/* Crossing into another page: the second half's address is not known. */
	START(64, "\x8b\x00");
	memory_exit(DEVICE + 0xffe, S2_READ);
	gpr()[GPR_RAX] = UNMAPPED + 0xffe;
	expect_exception(VECTOR_PF);
}

/* ---- repetition ---- */

static void test_budget(void **state)
{
	unsigned int rounds = 0;

	(void)state;
	START(64, "\xf3\xab"); /* rep stosd */
	gpr()[GPR_RDI] = DEVICE;
	gpr()[GPR_RCX] = 1000;
	gpr()[GPR_RAX] = 0x01020304;
	while (go() == ACTION_RESUME) {
		rounds++;
		assert_int_equal(fake.exceptions, 0);
		assert_int_equal(gpr()[GPR_RCX], 1000 - rounds * EMULATE_REP_BUDGET);
		assert_int_equal(gpr()[GPR_RDI], DEVICE + rounds * EMULATE_REP_BUDGET * 4);
	}
	assert_int_equal(rounds, 1000 / EMULATE_REP_BUDGET);
	assert_int_equal(gpr()[GPR_RCX], 0);
	assert_int_equal(gpr()[GPR_RDI], DEVICE + 4000);
	assert_memory_equal(fake.ram + DEVICE + 3996, "\x04\x03\x02\x01\x00\x00\x00\x00", 8);

	/* Exactly the budget is done in one. */
	START(64, "\xf3\xaa");
	gpr()[GPR_RDI] = DEVICE;
	gpr()[GPR_RCX] = EMULATE_REP_BUDGET;
	expect_done(2);
	/* None at all touches nothing, not even a bad address. */
	START(64, "\xf3\xaa");
	gpr()[GPR_RDI] = UNMAPPED;
	gpr()[GPR_RCX] = 0;
	expect_done(2);
}

static void test_fault_in_repetition(void **state)
{
	(void)state;
	START(64, "\xf3\xa4"); /* rep movsb */
	*page_entry(0x42000) = 0;
	gpr()[GPR_RSI] = 0x20000;
	gpr()[GPR_RDI] = 0x41ffb;
	gpr()[GPR_RCX] = 9;
	memcpy(fake.ram + 0x20000, "abcdefghi", 9);
	expect_exception(VECTOR_PF);
	assert_int_equal(fake.fault_address, 0x42000);
	assert_int_equal(fake.error, PF_WRITE);
	assert_int_equal(gpr()[GPR_RSI], 0x20005);
	assert_int_equal(gpr()[GPR_RDI], 0x42000);
	assert_int_equal(gpr()[GPR_RCX], 4);
	assert_memory_equal(fake.ram + 0x41ffb, "abcde", 5);
	/* The guest maps the page and goes on. */
	*page_entry(0x42000) = 0x42000 | P | W | U;
	expect_done(2);
	assert_memory_equal(fake.ram + 0x41ffb, "abcdefghi", 9);
	assert_int_equal(gpr()[GPR_RCX], 0);
}

/* 32-bit addresses in 64-bit mode: registers are zero-extended, and wrap at 32 bits. */
static void test_narrow_counters(void **state)
{
	(void)state;
	START(64, "\x67\xf3\xaa");
	gpr()[GPR_RDI] = 0xffffffff00000000 | (DEVICE + 0x10);
	gpr()[GPR_RCX] = 0xffffffff00000003;
	expect_done(3);
	assert_int_equal(gpr()[GPR_RDI], DEVICE + 0x13);
	assert_int_equal(gpr()[GPR_RCX], 0);
	assert_int_equal(fake.device_count, 3);

	START(16, "\xf3\xaa"); /* DI and CX alone */
	fake.truth.segments[SEG_ES].base = DEVICE;
	gpr()[GPR_RDI] = 0x1234fffe;
	gpr()[GPR_RCX] = 0x56780003;
	expect_done(2);
	assert_int_equal(gpr()[GPR_RDI], 0x12340001);
	assert_int_equal(gpr()[GPR_RCX], 0x56780000);
	expect_access(2, DEVICE, 1, true, 0);
}

/* ---- ports ---- */

static void port_exit(uint16_t port)
{
	fake.vcpu.exit.kind = EXIT_PORT_STRING;
	fake.vcpu.exit.u.port = (struct exit_port){.port = port};
}

static void test_port_strings(void **state)
{
	(void)state;
	START(64, "\xf3\x6d"); /* rep insd */
	port_exit(0x1f0);
	fake.port_value = 0xaabbccdd;
	gpr()[GPR_RDX] = 0x1f0;
	gpr()[GPR_RCX] = 2;
	gpr()[GPR_RDI] = 0x20000;
	expect_done(2);
	assert_int_equal(fake.port_count, 2);
	assert_int_equal(fake.ports[1].size, 4);
	assert_memory_equal(fake.ram + 0x20000, "\xdd\xcc\xbb\xaa\xde\xcc\xbb\xaa", 8);
	assert_int_equal(gpr()[GPR_RDI], 0x20008);

	START(32, "\xf3\x66\x64\x6f"); /* rep outsw from FS, downwards */
	port_exit(0x3f8);
	fake.truth.segments[SEG_FS].base = 0x20000;
	fake.truth.rflags |= RFLAGS_DF;
	gpr()[GPR_RDX] = 0xffff03f8;
	gpr()[GPR_RCX] = 2;
	gpr()[GPR_RSI] = 2;
	memcpy(fake.ram + 0x20000, "abcd", 4);
	expect_done(4);
	assert_int_equal(fake.ports[0].value, 'c' | 'd' << 8);
	assert_int_equal(fake.ports[1].value, 'a' | 'b' << 8);
	assert_int_equal(fake.ports[1].address, 0x3f8);
	assert_int_equal((uint32_t)gpr()[GPR_RSI], 0xfffffffe);

	START(64, "\x48\x6d"); /* REX.W does not make it wider */
	port_exit(1);
	gpr()[GPR_RDX] = 1;
	gpr()[GPR_RDI] = 0x20000;
	expect_done(2);
	assert_int_equal(fake.ports[0].size, 4);
	assert_int_equal(gpr()[GPR_RDI], 0x20004);
}

/* A port is not read when what it gives cannot be stored. */
static void test_port_fault(void **state)
{
	(void)state;
	START(64, "\x6c");
	port_exit(0x60);
	gpr()[GPR_RDX] = 0x60;
	gpr()[GPR_RDI] = UNMAPPED;
	expect_exception(VECTOR_PF);
	assert_int_equal(fake.port_count, 0);
}

/* A program that turns a memory access into port I/O under Ballast's eyes gains nothing. */
static void test_port_privilege(void **state)
{
	static const char *const codes[] = {"\xec", "\xee", "\x6c", "\x6e", "\xe6\x80"};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(codes); i++) {
		start(64, codes[i], strlen(codes[i]));
		memory_exit(DEVICE, S2_READ);
		fake.truth.cpl = 3;
		gpr()[GPR_RSI] = gpr()[GPR_RDI] = 0x20000;
		assert_int_equal(go(), ACTION_RESUME); /* the processor is to look at it */
		assert_int_equal(fake.port_count, 0);
		assert_int_equal(fake.exceptions, 0);
		fake.truth.rflags |= 3 << 12; /* IOPL 3 */
		assert_int_equal(go(), ACTION_ADVANCE);
		assert_int_equal(fake.port_count, 1);
	}
	START(64, "\x66\xe5\x70"); /* in ax, 0x70: plain, of the port that exited */
	fake.vcpu.exit.kind = EXIT_PORT;
	fake.vcpu.exit.u.port.port = 0x70;
	fake.truth.cpl = 3;
	fake.port_value = 0x12345;
	gpr()[GPR_RAX] = 0xffffffffffffffff;
	expect_done(3);
	assert_int_equal(gpr()[GPR_RAX], 0xffffffffffff2345);
}

/* ---- faults leave everything as it was ---- */

static void test_faults_commit_nothing(void **state)
{
	static const char codes[][5] = {
		"\x0f\xc1\x18",         /* xadd [rax], ebx */
		"\x87\x18",             /* xchg */
		"\x0f\xb1\x18",         /* cmpxchg */
		"\x0f\xc7\x08",         /* cmpxchg8b */
		"\xff\x00",             /* inc */
		"\x83\x00\x05",         /* add [rax], 5 */
		"\xc1\x20\x03",         /* shl */
		"\x0f\xab\x18",         /* bts */
		"\x0f\xa4\x18\x05",     /* shld */
		"\x8f\x00",             /* pop [rax] */
		"\x0f\x94\x00",         /* sete */
		"\xaa",                 /* stosb */
		"\xa4",                 /* movsb */
	};
	uint64_t before[16];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(codes); i++) {
		start(64, codes[i], sizeof(codes[i]));
		fake.truth.cr0 |= CR0_WP;
		*page_entry(0x21000) = 0x21000 | P | U; /* read-only */
		memset(gpr(), 0, sizeof(before));
		gpr()[GPR_RAX] = gpr()[GPR_RDI] = 0x21000;
		gpr()[GPR_RSI] = 0x20000;
		gpr()[GPR_RBX] = 1;
		fake.rsp = 0x20100;
		fake.truth.rflags = RFLAGS_FIXED1 | RFLAGS_CF;
		fake.ram[0x21000] = 0x55;
		memcpy(before, gpr(), sizeof(before));
		before[GPR_RSP] = fake.rsp;
		expect_exception(VECTOR_PF);
		assert_int_equal(fake.error, PF_PRESENT | PF_WRITE);
		assert_memory_equal(before, gpr(), sizeof(before));
		assert_int_equal(fake.truth.rflags, RFLAGS_FIXED1 | RFLAGS_CF);
		assert_int_equal(fake.ram[0x21000], 0x55);
	}
}

static void test_user_and_supervisor(void **state)
{
	(void)state;
	START(64, "\x8b\x00");
	*page_entry(0x21000) = 0x21000 | P | W;
	gpr()[GPR_RAX] = 0x21000;
	expect_done(2);
	fake.truth.cpl = 3;
	gpr()[GPR_RAX] = 0x21000;
	expect_exception(VECTOR_PF);
	assert_int_equal(fake.error, PF_PRESENT | PF_USER);
}

static void test_alignment(void **state)
{
	(void)state;
	START(64, "\x8b\x00");
	fake.truth.cr0 |= CR0_AM;
	fake.truth.rflags |= RFLAGS_AC;
	gpr()[GPR_RAX] = 0x20001;
	expect_done(2); /* not at CPL 0 */
	fake.truth.cpl = 3;
	gpr()[GPR_RAX] = 0x20001;
	expect_exception(VECTOR_AC);
	gpr()[GPR_RAX] = 0x20004;
	expect_done(2);

	START(64, "\x48\x0f\xc7\x08"); /* cmpxchg16b */
	gpr()[GPR_RAX] = DEVICE + 8;
	expect_exception(VECTOR_GP);
	gpr()[GPR_RAX] = DEVICE + 16;
	expect_done(4);
	START(64, "\x66\x0f\x6f\x00"); /* movdqa */
	gpr()[GPR_RAX] = DEVICE + 8;
	expect_exception(VECTOR_GP);
	START(64, "\x0f\x2b\x00"); /* movntps */
	gpr()[GPR_RAX] = DEVICE + 4;
	expect_exception(VECTOR_GP);
}

static void test_divide_error(void **state)
{
	(void)state;
	START(64, "\xf7\x30"); /* div dword [rax] */
	gpr()[GPR_RAX] = DEVICE;
	gpr()[GPR_RDX] = 7;
	fake.ram[DEVICE] = 7; /* the quotient needs 33 bits */
	expect_exception(VECTOR_DE);
	assert_int_equal(gpr()[GPR_RDX], 7);
	assert_false(fake.has_error);
}

/* ---- what is no instruction, or none that Ballast knows ---- */

static void test_illegal(void **state)
{
	static const struct {
		const char *code;
		size_t bytes;
		unsigned int mode_bits;
	} cases[] = {
		{"\xf0\x89\x00", 3, 64},     /* lock mov */
		{"\xf0\x01\xc0", 3, 64},     /* lock add to a register */
		{"\xf0\x39\x00", 3, 32},     /* lock cmp */
		{"\xf0\x0f\xa3\x00", 4, 32}, /* lock bt */
		{"\x06", 1, 64},             /* push es */
		{"\xff\xf8", 2, 32},         /* group 5, 7 */
		{"\x8e\x08", 2, 16},         /* mov cs */
		{"\xc5\xfb\xd6\x00", 4, 64}, /* VEX with a wrong prefix for this opcode */
		{"\xc4\xe1\xfd\x7e\x00", 5, 64}, /* vmovq with VEX.L */
		{"\xc5\xe9\x6f\x00", 4, 64}, /* vmovdqa with a second source */
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		start(cases[i].mode_bits, cases[i].code, cases[i].bytes);
		gpr()[GPR_RAX] = DEVICE;
		if (i == 7) { /* decoded, not known */
			assert_int_equal(go(), ACTION_STOP);
			continue;
		}
		expect_exception(VECTOR_UD);
		assert_false(fake.has_error);
	}
	START(64, "\x90"); /* code in a device reads all ones */
	fake.truth.rip = DEVICE;
	expect_exception(VECTOR_UD);
}

static void test_unknown(void **state)
{
	(void)state;
	START(64, "\x48\x0f\xae\x00"); /* fxsave64 [rax] */
	assert_int_equal(go(), ACTION_STOP);
	assert_int_equal(fake.stops, 1);
	assert_string_equal(fake.reason, "cannot emulate 48 0f ae 00 at 0x10000");
	assert_int_equal(fake.exceptions, 0);
}

/* An instruction that runs into a page which is not there, or the end of its segment. */
static void test_fetch_faults(void **state)
{
	(void)state;
	START(64, "");
	fake.truth.rip = 0x10ffd;
	memcpy(fake.ram + 0x10ffd, "\xc7\x04\x25", 3);
	*page_entry(0x11000) = 0;
	expect_exception(VECTOR_PF);
	assert_int_equal(fake.fault_address, 0x11000);
	assert_int_equal(fake.error, PF_FETCH);

	START(16, "\xc7\x06\x00\x00");
	fake.truth.segments[SEG_CS].limit = 3;
	expect_exception(VECTOR_GP);
	START(16, "\x88\x07");
	fake.truth.segments[SEG_CS].limit = 1;
	gpr()[GPR_RBX] = 0x1000;
	expect_done(2);
}

/* ---- bytes that the hardware fetched ---- */

static void test_given_bytes(void **state)
{
	static const uint8_t load[15] = {0x8b, 0x00, 0x90};
	static const uint8_t part[4] = {0xc7, 0x00, 0x78, 0x56};

	(void)state;
	START(64, "\x0f\x0b"); /* memory holds something else, meanwhile */
	gpr()[GPR_RAX] = DEVICE + 4;
	fake.ram[DEVICE + 4] = 9;
	fake_begin();
	assert_int_equal(emulate_instruction(&fake.vcpu, load, 15), ACTION_ADVANCE);
	assert_int_equal(fake.vcpu.exit.instruction_length, 2);
	assert_int_equal(gpr()[GPR_RAX], 9);
	/* The next time, without bytes given, what is remembered of it does not count. */
	memory_exit(DEVICE, S2_READ);
	assert_int_equal(go(), ACTION_RESUME); /* UD2 is for the processor to execute */
	assert_int_equal(fake.exceptions + fake.stops, 0);
	fake.vcpu.exit.kind = EXIT_UNKNOWN;

	START(64, "\xc7\x00\x78\x56\x34\x12"); /* too few were given */
	gpr()[GPR_RAX] = DEVICE;
	fake_begin();
	assert_int_equal(emulate_instruction(&fake.vcpu, part, 4), ACTION_ADVANCE);
	assert_int_equal(fake.vcpu.exit.instruction_length, 6);
	expect_access(0, DEVICE, 4, true, 0x12345678);
}

/* ---- lengths, and what is remembered of code ---- */

static unsigned int length(void)
{
	unsigned int result;

	fake_begin();
	result = emulate_instruction_length(&fake.vcpu);
	fake_end();
	return result;
}

static void test_lengths(void **state)
{
	static const struct {
		const char *code;
		unsigned int length;
	} cases[] = {
		{"\x0f\xa2", 2}, {"\x0f\x32", 2}, {"\x0f\x30", 2}, {"\xf4", 1}, {"\x0f\x01\xd9", 3},
		{"\x0f\x01\xc1", 3}, {"\x0f\x01\xd1", 3}, {"\x0f\x09", 2}, {"\xf3\x0f\x09", 3},
		{"\xf3\x90", 2}, {"\x0f\x20\xd8", 3}, {"\x44\x0f\x22\xc0", 4},
		{"\x66\x2e\x0f\xa2", 4}, {"\x0f\x33", 2}, {"\xcd\x80", 2},
	};
	static const unsigned int modes[] = {16, 32, 64};
	size_t i, m;

	(void)state;
	for (m = 0; m < 3; m++) {
		for (i = 0; i < ARRAY_SIZE(cases); i++) {
			if (modes[m] != 64 && cases[i].code[0] == 0x44)
				continue;
			start(modes[m], cases[i].code, strlen(cases[i].code));
			assert_int_equal(length(), cases[i].length);
			assert_int_equal(length(), cases[i].length); /* now from memory */
		}
	}
}

/* The guest changes its code: what is remembered of it must not be believed. */
static void test_code_changes(void **state)
{
	(void)state;
	START(64, "\x0f\xa2");
	assert_int_equal(length(), 2);
	memcpy(fake.ram + CODE, "\x66\x0f\xa2", 3);
	assert_int_equal(length(), 3);
	fake.ram[CODE + 14] ^= 0xff; /* far behind it: decoded again, to the same */
	assert_int_equal(length(), 3);
	memcpy(fake.ram + CODE, "\xf4", 1);
	assert_int_equal(length(), 1);
}

/* The guest changes its mappings, at any level, without a word. */
static void test_mapping_changes(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 0; level < 4; level++) {
		uint64_t *entry, old;

		START(64, "\x0f\xa2");
		fake_map_identity(0x120000);
		memcpy(fake.ram + 0x30000, "\xf4", 1);
		*(page_entry(CODE) + (0x20000 / 8)) = 0x30000 | P | W | U; /* in the other tables */
		assert_int_equal(length(), 2);
		entry = (uint64_t *)(fake.ram + FAKE_TABLES + (3 - level) * PAGE_SIZE);
		if (level == 0)
			entry += CODE / PAGE_SIZE;
		old = *entry;
		*entry = *(entry + 0x20000 / 8);
		assert_int_equal(length(), 1);
		*entry = old;
		assert_int_equal(length(), 2);
		*entry = old & ~P;
		assert_int_equal(length(), 0);
		assert_int_equal(fake.vector, VECTOR_PF);
		*entry = old | BIT(63);
		assert_int_equal(length(), 0);
		assert_int_equal(fake.error, PF_PRESENT | PF_FETCH);
		*entry = old;
		assert_int_equal(length(), 2);
	}
}

static void test_context_changes(void **state)
{
	(void)state;
	START(64, "\x0f\xa2");
	fake_map_identity(0x120000);
	assert_int_equal(length(), 2);
	/* Another root that shares the tables below: found again; one that does not: walked. */
	memcpy(fake.ram + 0x128000, fake.ram + FAKE_TABLES, PAGE_SIZE);
	fake.truth.cr3 = 0x128000;
	assert_int_equal(length(), 2);
	memcpy(fake.ram + 0x30000, "\xf4", 1);
	*(uint64_t *)(fake.ram + 0x123000 + CODE / PAGE_SIZE * 8) = 0x30000 | P | W | U;
	fake.truth.cr3 = 0x120000;
	assert_int_equal(length(), 1);
	fake.truth.cr3 = 0x128000;
	assert_int_equal(length(), 2);
	fake.truth.cr3 = FAKE_DEVICE_START;
	assert_int_equal(length(), 0);

	/* The same bytes mean something else in another mode. */
	START(64, "\x48\x0f\xa2");
	assert_int_equal(length(), 3);
	fake.truth.segments[SEG_CS].attributes = 0x9b | SEGMENT_G | SEGMENT_DB;
	assert_int_equal(length(), 1); /* dec eax */
	fake.truth.segments[SEG_CS].attributes = 0x9b | SEGMENT_G | SEGMENT_L;
	assert_int_equal(length(), 3);

	/* User code on a supervisor's page; SMEP on a user's. */
	START(64, "\x0f\xa2");
	assert_int_equal(length(), 2);
	fake.truth.cr4 |= CR4_SMEP;
	assert_int_equal(length(), 0);
	fake.truth.cpl = 3;
	assert_int_equal(length(), 2);
	*page_entry(CODE) &= ~U;
	assert_int_equal(length(), 0);

	/* Found for the supervisor, and not to be had for the user. */
	START(64, "\x0f\xa2");
	*page_entry(CODE) &= ~U;
	assert_int_equal(length(), 2);
	fake.truth.cpl = 3;
	assert_int_equal(length(), 0);
	assert_int_equal(fake.error, PF_PRESENT | PF_USER | PF_FETCH);

	/* The guest's memory is somewhere else after a reset: pointers are stale. */
	START(64, "\x0f\xa2");
	assert_int_equal(length(), 2);
	fake.vm.memory.generation++;
	fake.vm.memory.slots[0].bytes = 0x10000; /* the code's page is gone */
	assert_int_equal(length(), 0);
}

/* ---- vectors ---- */

static void test_vex(void **state)
{
	unsigned int i;

	(void)state;
	START(64, "\xc5\xfe\x6f\x10"); /* vmovdqu ymm2, [rax] */
	gpr()[GPR_RAX] = DEVICE + 3;
	for (i = 0; i < 32; i++)
		fake.ram[DEVICE + 3 + i] = i + 1;
	expect_done(4);
	assert_memory_equal(fake_vectors[2], fake.ram + DEVICE + 3, 32);

	START(64, "\xc4\x41\x7d\x7f\x00"); /* vmovdqa [r8], ymm8 */
	gpr()[GPR_R8] = DEVICE + 64;
	memset(fake_vectors[8], 0x5a, 32);
	expect_done(5);
	assert_memory_equal(fake.ram + DEVICE + 64, fake_vectors[8], 32);
	assert_int_equal(fake.device_count, 4);
	assert_int_equal(fake.device[3].size, 8);
	gpr()[GPR_R8] = DEVICE + 16;
	expect_exception(VECTOR_GP);

	START(64, "\xc5\xf8\x28\x18"); /* vmovaps xmm3, [rax]: clears what is above */
	gpr()[GPR_RAX] = 0x20000;
	memset(fake_vectors[3], 0xff, 32);
	expect_done(4);
	for (i = 0; i < 32; i++)
		assert_int_equal(fake_vectors[3][i], 0);

	START(64, "\xc5\xe8\x16\x08"); /* vmovhps xmm1, xmm2, [rax] */
	gpr()[GPR_RAX] = 0x20000;
	memset(fake.ram + 0x20000, 7, 8);
	memset(fake_vectors[2], 9, 32);
	memset(fake_vectors[1], 0xff, 32);
	expect_done(4);
	assert_int_equal(fake_vectors[1][7], 9);
	assert_int_equal(fake_vectors[1][8], 7);
	assert_int_equal(fake_vectors[1][15], 7);
	assert_int_equal(fake_vectors[1][16], 0);

	START(64, "\xc4\xe1\xf9\x6e\x28"); /* vmovq xmm5, [rax], by VEX.W */
	gpr()[GPR_RAX] = 0x20000;
	memset(fake_vectors[5], 0xff, 32);
	memset(fake.ram + 0x20000, 3, 8);
	expect_done(5);
	assert_int_equal(fake_vectors[5][7], 3);
	assert_int_equal(fake_vectors[5][8], 0);
}

static void test_vector_state(void **state)
{
	(void)state;
	START(64, "\xc5\xfe\x6f\x10");
	gpr()[GPR_RAX] = DEVICE;
	fake.vcpu.xcr0 = XCR0_X87 | XCR0_SSE;
	expect_exception(VECTOR_UD);
	fake.vcpu.xcr0 |= XCR0_AVX;
	fake.truth.cr4 &= ~CR4_OSXSAVE;
	expect_exception(VECTOR_UD);
	fake.truth.cr4 |= CR4_OSXSAVE;
	fake.truth.cr0 |= CR0_TS;
	expect_exception(VECTOR_NM);
	START(64, "\x0f\x10\x10");
	gpr()[GPR_RAX] = DEVICE;
	fake.truth.cr4 &= ~CR4_OSFXSR;
	expect_exception(VECTOR_UD);
	START(64, "\x0f\x10\x10");
	gpr()[GPR_RAX] = DEVICE;
	fake.truth.cr0 |= CR0_EM;
	expect_exception(VECTOR_UD);
	/* MMX stops the VM: the reason says what to report. */
	START(64, "\x0f\x6f\x00");
	assert_int_equal(go(), ACTION_STOP);
}

/* ---- the rest of what Unicorn does not know ---- */

static void test_byte_swaps_and_counts(void **state)
{
	uint64_t value = 0x0102030405060708;

	(void)state;
	START(64, "\x48\x0f\x38\xf0\x08"); /* movbe rcx, [rax] */
	memcpy(fake.ram + DEVICE, &value, 8);
	gpr()[GPR_RAX] = DEVICE;
	expect_done(5);
	assert_int_equal(gpr()[GPR_RCX], 0x0807060504030201);
	START(64, "\x66\x0f\x38\xf1\x08"); /* movbe [rax], cx */
	gpr()[GPR_RAX] = DEVICE;
	gpr()[GPR_RCX] = 0xaabbccdd;
	expect_done(5);
	expect_access(0, DEVICE, 2, true, 0xddcc);
	START(64, "\xf3\x0f\xb8\x08"); /* popcnt ecx, [rax] */
	memcpy(fake.ram + DEVICE, &value, 8);
	gpr()[GPR_RAX] = DEVICE;
	fake.truth.rflags |= RFLAGS_CF | RFLAGS_OF;
	expect_done(4);
	assert_int_equal(gpr()[GPR_RCX], 2 + 2 + 3 + 1);
	assert_int_equal(fake.truth.rflags, RFLAGS_FIXED1);
}

/* Compared with what this very machine does. */
static void test_zero_counts(void **state)
{
	static const uint32_t values[] = {0, 1, 0x80000000, 0x00f00000, 0xffffffff};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(values); i++) {
		uint32_t trailing = 77, leading = 77;

		__asm__("rep bsfl %1, %0" : "+r"(trailing) : "r"(values[i]) : "cc");
		__asm__("rep bsrl %1, %0" : "+r"(leading) : "r"(values[i]) : "cc");
		START(64, "\xf3\x0f\xbc\x08");
		memcpy(fake.ram + DEVICE, &values[i], 4);
		gpr()[GPR_RAX] = DEVICE;
		gpr()[GPR_RCX] = 77;
		expect_done(4);
		assert_int_equal(gpr()[GPR_RCX], trailing);
		START(64, "\xf3\x0f\xbd\x08");
		memcpy(fake.ram + DEVICE, &values[i], 4);
		gpr()[GPR_RAX] = DEVICE;
		gpr()[GPR_RCX] = 77;
		expect_done(4);
		assert_int_equal(gpr()[GPR_RCX], leading);
	}
}

static void test_segment_moves(void **state)
{
	(void)state;
	START(16, "\x8c\x1e\x00\x10"); /* mov [0x1000], ds */
	fake.truth.segments[SEG_DS].base = DEVICE;
	fake.truth.segments[SEG_DS].selector = 0x4000;
	expect_done(4);
	expect_access(0, DEVICE + 0x1000, 2, true, 0x4000);
	START(16, "\x8e\x06\x00\x10"); /* mov es, [0x1000] */
	memcpy(fake.ram + 0x1000, "\x34\x12", 2);
	expect_done(4);
	assert_int_equal(fake.truth.segments[SEG_ES].selector, 0x1234);
	assert_int_equal(fake.truth.segments[SEG_ES].base, 0x12340);
	assert_int_equal(fake.truth.segments[SEG_ES].limit, 0xffff);
}

/* CALL and POP in order: an address with RSP in it, and a branch to nowhere. */
static void test_stack_order(void **state)
{
	(void)state;
	START(64, "\x8f\x44\x24\x08"); /* pop [rsp + 8] uses the new RSP */
	fake.rsp = DEVICE + 0x100;
	fake.ram[DEVICE + 0x100] = 0x77;
	expect_done(4);
	assert_int_equal(fake.rsp, DEVICE + 0x108);
	assert_int_equal(fake.ram[DEVICE + 0x110], 0x77);
	START(64, "\xff\x10"); /* call [rax] to a non-canonical address pushes nothing */
	gpr()[GPR_RAX] = DEVICE;
	memcpy(fake.ram + DEVICE, "\0\0\0\0\0\0\0\x10", 8);
	fake.rsp = 0x20000;
	memset(fake.ram + 0x1fff8, 0, 8);
	expect_exception(VECTOR_GP);
	assert_int_equal(fake.rsp, 0x20000);
	START(64, "\xff\x14\x24"); /* call [rsp]: read before it is moved */
	fake.rsp = 0x20000;
	memcpy(fake.ram + 0x20000, "\x00\x30\x01\0\0\0\0\0", 8);
	expect_done(3);
	assert_int_equal(fake.truth.rip + 3, 0x13000);
	assert_int_equal(fake.rsp, 0x1fff8);
	assert_memory_equal(fake.ram + 0x1fff8, "\x03\x00\x01\0\0\0\0\0", 8);
}

/* Memory that the host cannot give now is waited for. */
static void test_exhausted(void **state)
{
	(void)state;
	START(64, "\x8b\x00");
	fake.ram_exhausted = true;
	assert_int_equal(go(), ACTION_WAIT);
	assert_int_equal(fake.stops, 0);
	assert_int_equal(fake.exceptions, 0);
}

/* Two places in RAM whose second pages begin soon, one on the stack, and the device. */
#define AWAY_FROM 0x30ffeULL
#define AWAY_TO 0x70ffeULL
#define AWAY_STACK 0x80004ULL

static const struct {
	const char *code;
	unsigned int bytes;
	bool port;
	uint64_t rsi, rdi, rcx;
} restarted[] = {
	{ "\xa5", 1, false, AWAY_FROM, AWAY_TO, 0 },             /* movsd */
	{ "\xa5", 1, false, DEVICE, AWAY_TO, 0 },
	{ "\xa5", 1, false, AWAY_FROM, DEVICE, 0 },
	{ "\xf3\xa5", 2, false, DEVICE, AWAY_TO - 8, 4 },        /* rep movsd */
	{ "\xf3\xa5", 2, false, AWAY_FROM - 8, DEVICE, 4 },
	{ "\xa7", 1, false, DEVICE, AWAY_TO, 0 },                /* cmpsd */
	{ "\xf3\xa7", 2, false, AWAY_FROM - 8, DEVICE, 4 },
	{ "\xab", 1, false, 0, AWAY_TO, 0 },                     /* stosd */
	{ "\xf3\xab", 2, false, 0, AWAY_TO - 8, 4 },
	{ "\x6d", 1, true, 0, AWAY_TO, 0 },                      /* insd */
	{ "\xf3\x6d", 2, true, 0, AWAY_TO - 8, 4 },
	{ "\x6f", 1, true, AWAY_FROM, 0, 0 },                    /* outsd */
	{ "\xff\x36", 2, false, DEVICE, 0, 0 },                  /* push [rsi] */
	{ "\xff\x36", 2, false, AWAY_FROM, 0, 0 },
	{ "\x8f\x06", 2, false, DEVICE, 0, 0 },                  /* pop [rsi] */
	{ "\x8f\x06", 2, false, AWAY_FROM, 0, 0 },
	{ "\xff\x16", 2, false, AWAY_FROM, 0, 0 },               /* call [rsi] */
	{ "\x01\x06", 2, false, AWAY_FROM, 0, 0 },               /* add [rsi], eax */
	{ "\x87\x06", 2, false, AWAY_FROM, 0, 0 },               /* xchg */
	{ "\x0f\xb1\x06", 3, false, AWAY_FROM, 0, 0 },           /* cmpxchg */
	{ "\x0f\xc1\x06", 3, false, AWAY_FROM, 0, 0 },           /* xadd */
	{ "\x0f\xc7\x0e", 3, false, AWAY_FROM, 0, 0 },           /* cmpxchg8b */
	{ "\x0f\xab\x06", 3, false, AWAY_FROM, 0, 0 },           /* bts */
	{ "\xd1\x06", 2, false, AWAY_FROM, 0, 0 },               /* rol */
	{ "\xf7\x1e", 2, false, AWAY_FROM, 0, 0 },               /* neg */
	{ "\x0f\x11\x06", 3, false, AWAY_FROM, 0, 0 },           /* movups [rsi], xmm0 */
	{ "\x0f\x10\x06", 3, false, AWAY_FROM, 0, 0 },           /* movups xmm0, [rsi] */
};

/* What an instruction may change. */
struct outcome {
	uint64_t gprs[16], rip, rflags, rsp;
	unsigned int device_count, port_count;
	struct fake_access device[FAKE_LOG], ports[FAKE_LOG];
	uint8_t memory[0x90000];
};

static void begin_restarted(unsigned int which)
{
	start(64, restarted[which].code, restarted[which].bytes);
	for (unsigned int i = 0; i < 0x60000; i++)
		fake.ram[0x28000 + i] = (uint8_t)(i * 7 + (i >> 8));
	memcpy(fake.ram + AWAY_FROM, "\x34\x12\0\0\0\0\0\0", 8); /* a good place to call */
	memcpy(fake.ram + DEVICE, "\x35\x12\0\0\0\0\0\0", 8);
	fake.port_value = 0x11223344;
	fake.rsp = AWAY_STACK;
	gpr()[GPR_RSI] = restarted[which].rsi;
	gpr()[GPR_RDI] = restarted[which].rdi;
	gpr()[GPR_RCX] = restarted[which].rcx;
	gpr()[GPR_RAX] = 0x18;
	gpr()[GPR_RDX] = 0x200;
	if (restarted[which].port) {
		fake.vcpu.exit.kind = EXIT_PORT_STRING;
		fake.vcpu.exit.u.port.port = 0x200;
	}
}

static void take_outcome(struct outcome *outcome)
{
	memcpy(outcome->gprs, gpr(), sizeof(outcome->gprs));
	outcome->gprs[GPR_RSP] = 0;
	outcome->rip = fake.truth.rip;
	outcome->rflags = fake.truth.rflags;
	outcome->rsp = fake.rsp;
	outcome->device_count += fake.device_count;
	outcome->port_count += fake.port_count;
	memcpy(outcome->memory, fake.ram, sizeof(outcome->memory));
}

/*
 * Each page away in turn, and come before the second attempt: what was read from a device or a port is read once, what
 * was written is written once, and all is as it would have been.
 */
static void test_restarts(void **state)
{
	static const gpa_t pages[] = { 0x30000, 0x31000, 0x70000, 0x71000, 0x7f000, 0x80000, CODE & ~0xfffULL,
		FAKE_TABLES, FAKE_TABLES + 3 * PAGE_SIZE };
	static struct outcome once, twice;
	unsigned int waits = 0;

	(void)state;
	for (unsigned int which = 0; which < ARRAY_SIZE(restarted); which++) {
		begin_restarted(which);
		memset(&once, 0, sizeof(once));
		if (go() != ACTION_ADVANCE)
			fail_msg("instruction %u is not done", which);
		take_outcome(&once);
		for (unsigned int page = 0; page < ARRAY_SIZE(pages); page++) {
			enum exit_action action;

			begin_restarted(which);
			memset(&twice, 0, sizeof(twice));
			fake.ram_away = pages[page];
			action = go();
			fake.ram_away = 0;
			if (action == ACTION_WAIT) {
				waits++;
				take_outcome(&twice);
				if (twice.rip != CODE || twice.rsp != AWAY_STACK)
					fail_msg("instruction %u has moved on though 0x%llx is away", which,
						(unsigned long long)pages[page]);
				action = go();
			}
			if (action != ACTION_ADVANCE)
				fail_msg("instruction %u is not done after 0x%llx has come", which,
					(unsigned long long)pages[page]);
			take_outcome(&twice);
			if (memcmp(&once, &twice, sizeof(once)))
				fail_msg("instruction %u differs when 0x%llx was away: %u device accesses, not %u",
					which, (unsigned long long)pages[page], twice.device_count,
					once.device_count);
		}
	}
	/* Each waits for its code and two tables at least. */
	assert_true(waits > ARRAY_SIZE(restarted) * 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reported_address),
		cmocka_unit_test(test_reported_otherwise),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_fault_in_repetition),
		cmocka_unit_test(test_narrow_counters),
		cmocka_unit_test(test_port_strings),
		cmocka_unit_test(test_port_fault),
		cmocka_unit_test(test_port_privilege),
		cmocka_unit_test(test_faults_commit_nothing),
		cmocka_unit_test(test_user_and_supervisor),
		cmocka_unit_test(test_alignment),
		cmocka_unit_test(test_divide_error),
		cmocka_unit_test(test_illegal),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_fetch_faults),
		cmocka_unit_test(test_given_bytes),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_code_changes),
		cmocka_unit_test(test_mapping_changes),
		cmocka_unit_test(test_context_changes),
		cmocka_unit_test(test_vex),
		cmocka_unit_test(test_vector_state),
		cmocka_unit_test(test_byte_swaps_and_counts),
		cmocka_unit_test(test_zero_counts),
		cmocka_unit_test(test_segment_moves),
		cmocka_unit_test(test_stack_order),
		cmocka_unit_test(test_exhausted),
		cmocka_unit_test(test_restarts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
