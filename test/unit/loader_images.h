/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM with fake memory for the loaders, and kernel files made up byte by byte. */
#ifndef BALLAST_TEST_UNIT_LOADER_IMAGES_H
#define BALLAST_TEST_UNIT_LOADER_IMAGES_H

#include "fake_guest_memory.h"
#include "mgmt/loader.h"
#include "vcpu/vm.h"

#define IMAGE_BYTES 65536

struct load_case {
	struct vm_config config;
	struct loader_files files;
	uint8_t image[IMAGE_BYTES]; /* the kernel; files.kernel.bytes of it */
	char why[200];
};

extern struct vm test_vm;

/* A VM with fresh memory of `memory_bytes`, and a config for it with a kernel \k. */
void load_case_init(struct load_case *load, uint64_t memory_bytes);
/* loader_load(); the kernel is copied first, so that ASan sees a read past its end. */
int load_case_run(struct load_case *load);
/* It must succeed, or fail so. */
void load_runs(struct load_case *load);
void load_fails(struct load_case *load, int error, const char *why);

void put16(uint8_t *at, uint64_t value);
void put32(uint8_t *at, uint64_t value);
void put64(uint8_t *at, uint64_t value);
uint64_t guest_get(gpa_t gpa, unsigned int bytes);

/* A bzImage of one setup sector with protocol 2.15: relocatable, 64-bit, 16 MiB preferred, init
 * size 8 MiB, and a protected-mode part of 4000 bytes of 0xc0 and up. */
void image_linux(struct load_case *load);

#define IMAGE_ELF_DATA 0x1000 /* where the first segment's bytes are */

struct image_segment {
	uint32_t type;
	uint64_t offset, file_bytes, virtual_start, physical_start, memory_bytes;
};

/* An ELF file of these segments; its bytes beyond the headers are made up. */
void image_elf(struct load_case *load, bool is_64bit, uint64_t entry,
	const struct image_segment *segments, unsigned int count);
/* A Multiboot header of 48 bytes at `offset` of the image. */
void image_multiboot_header(struct load_case *load, uint64_t offset, uint32_t flags);
/* A note at `offset`; returns its size. */
uint64_t image_note(struct load_case *load, uint64_t offset, const char *owner, uint32_t type,
	const void *description, uint32_t bytes);

#endif
