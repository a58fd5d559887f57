/* SPDX-License-Identifier: BSD-2-Clause */
/* What the loaders of the three kinds of kernel share. For mgmt/loader*.c alone. */
#ifndef BALLAST_MGMT_LOADER_COMMON_H
#define BALLAST_MGMT_LOADER_COMMON_H

#include "mgmt/elf.h"
#include "mgmt/guest_layout.h"
#include "mgmt/loader.h"
#include "vcpu/vm.h"

/* One loading. */
struct loader {
	struct vm *vm;
	const struct vm_config *config;
	const struct loader_files *files;
	uint64_t memory_bytes; /* of guest_layout_add_memory() */
	gpa_t rsdp;
	gpa_t next_boot; /* next free byte between LAYOUT_BOOT and LAYOUT_BOOT_END */
	char *why;
	size_t why_bytes;
};

/* A module in guest memory, page aligned, with its command line. */
struct loaded_module {
	gpa_t start;
	uint64_t bytes;
	gpa_t words;
};

/* Write the sentence and return `error`. */
int loader_fail(struct loader *loader, int error, const char *format, ...) __printf(3, 4);

/* Copy to guest memory that the layout says is RAM; fails only when the host has none left. */
int loader_write(struct loader *loader, gpa_t gpa, const void *data, uint64_t bytes) __must_check;

/* Copy to the next place for boot information; `align` is a power of two. */
int loader_place(struct loader *loader, const void *data, uint64_t bytes, uint64_t align,
	gpa_t *at) __must_check;
/* The next whole page for boot information, zero; NULL when loader_place() would fail. */
void *loader_place_page(struct loader *loader, gpa_t *at);
/* The two strings as one, a blank between them unless one is empty. */
int loader_place_words(struct loader *loader, const char *first, const char *second, gpa_t *at)
	__must_check;

/* Copy the loadable segments of a program; *end is where the highest of them ends. */
int loader_load_elf(struct loader *loader, const struct elf *elf, gpa_t *end) __must_check;

/*
 * Copy a file to the first whole page at or above *next, which moves behind it. `what` names it
 * in the sentence of a failure.
 */
int loader_load_module(struct loader *loader, const char *path, const struct loader_file *file,
	gpa_t *next, struct loaded_module *module) __must_check;

/* Registers of the boot vCPU: 32-bit protected mode without paging, flat segments. */
int loader_enter_protected(struct loader *loader, uint32_t entry) __must_check;
/* 64-bit mode, the first 4 GiB mapped to themselves. */
int loader_enter_long(struct loader *loader, uint64_t entry) __must_check;

/* Does the file look like a kernel of this kind? */
bool loader_linux_matches(const struct loader_file *kernel);
bool loader_multiboot_matches(const struct loader_file *kernel);
bool loader_pvh_matches(const struct loader_file *kernel);

/* Load it; results as loader_load(). */
int loader_linux_load(struct loader *loader) __must_check;
int loader_multiboot_load(struct loader *loader) __must_check;
int loader_pvh_load(struct loader *loader) __must_check;

#endif
