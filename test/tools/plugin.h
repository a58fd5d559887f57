/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests' TCG plugins share: QEMU's interface for them, as far as it is used, for its header is in no binary
 * package of Debian's; and the place to which the firmware has loaded Ballast's image, found by the bytes at its entry
 * point. A plugin is one file, which includes this.
 */
#ifndef BALLAST_TEST_PLUGIN_H
#define BALLAST_TEST_PLUGIN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t qemu_plugin_id_t;
#define PLUGIN_NO_REGISTERS 0
#define PLUGIN_ADD_U64 0
#define PLUGIN_ACCESSES 3 /* reads alone (1) are not told of by QEMU 7.2 */
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
	void (*translated)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*end)(qemu_plugin_id_t id, void *data), void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
	void (*executed)(unsigned int cpu, void *data), int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int operation, void *counter,
	uint64_t value);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
	void (*accessed)(unsigned int cpu, uint32_t info, uint64_t address, void *data), int flags, int kind,
	void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = 1;
EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv);

static uint64_t image_base; /* 0: not found yet */
static uint64_t image_entry;
static uint8_t image_code[64]; /* what is at its entry point */
static size_t image_code_bytes;

static void image_read_code(const char *hex)
{
	unsigned int byte;

	while (image_code_bytes < sizeof(image_code) && sscanf(hex, "%2x", &byte) == 1) {
		image_code[image_code_bytes++] = (uint8_t)byte;
		hex += 2;
	}
}

/* The arguments entry=HEX, relative to the image's base, and code=HEX, the bytes there. False: it is another. */
static bool image_argument(const char *name, const char *value)
{
	if (!strcmp(name, "entry"))
		image_entry = strtoull(value, NULL, 16);
	else if (!strcmp(name, "code"))
		image_read_code(value);
	else
		return false;
	return true;
}

static bool image_is_entry(const struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb), matched = 0;

	for (size_t i = 0; i < count && matched < image_code_bytes; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		size_t size = qemu_plugin_insn_size(insn);

		if (size > image_code_bytes - matched)
			size = image_code_bytes - matched;
		if (memcmp(qemu_plugin_insn_data(insn), image_code + matched, size))
			return false;
		matched += size;
	}
	return image_code_bytes && matched == image_code_bytes;
}

/* Is this block, the first such, where the image begins to run? From now on its base is known. */
static bool image_begins(const struct qemu_plugin_tb *tb)
{
	if (image_base || !image_is_entry(tb))
		return false;
	image_base = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0)) - image_entry;
	return true;
}

#endif
