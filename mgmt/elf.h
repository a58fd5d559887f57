/* SPDX-License-Identifier: BSD-2-Clause */
/* ELF programs for x86, 32 and 64 bit, as far as a boot loader reads them: segments and notes. */
#ifndef BALLAST_MGMT_ELF_H
#define BALLAST_MGMT_ELF_H

#include "lib/util.h"

/* More are not looked at: kernels have a handful. */
#define ELF_MAX_SEGMENTS 64
#define ELF_MAX_NOTES 256

struct elf {
	const uint8_t *data;
	uint64_t bytes;
	bool is_64bit;
	uint64_t entry; /* a virtual address */
	uint64_t headers;
	unsigned int header_bytes;
	unsigned int segment_count;
};

struct elf_segment {
	uint32_t type;         /* PT_... */
	uint64_t offset;       /* of its bytes in the file, which has them all */
	uint64_t file_bytes;   /* at most memory_bytes when type is PT_LOAD */
	uint64_t virtual_start;
	uint64_t physical_start;
	uint64_t memory_bytes; /* physical_start + memory_bytes does not wrap */
};

/*
 * 0 for a little-endian program for i386 or x86-64; -ENOEXEC when it is no ELF file at all, -EINVAL
 * when its headers are not sound, with what is wrong in *fault (static text).
 */
int elf_open(struct elf *elf, const uint8_t *data, uint64_t bytes, const char **fault)
	__must_check;
/* The segment at `index`, below segment_count. -EINVAL, with *fault, when it is not sound. */
int elf_get_segment(const struct elf *elf, unsigned int index, struct elf_segment *segment,
	const char **fault) __must_check;
/*
 * The description of the first note of that owner and type, at most 8 bytes of it, little-endian,
 * as a number. -ENOENT when there is none of 1 to 8 bytes.
 */
int elf_find_note(const struct elf *elf, const char *owner, uint32_t type, uint64_t *value)
	__must_check;
/* The entry as a physical address: where the segment around it is loaded. */
uint64_t elf_physical_entry(const struct elf *elf);

#endif
