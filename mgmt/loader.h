/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest loaders: a kernel file becomes guest memory and the boot vCPU's registers. Linux bzImage
 * (Documentation/arch/x86/boot.rst of the Linux source), Multiboot 1, and PVH ELF. Kernel files are
 * read with suspicion: every offset in them is checked.
 */
#ifndef BALLAST_MGMT_LOADER_H
#define BALLAST_MGMT_LOADER_H

#include "mgmt/config.h"

struct vm;

/* Files are in host memory and stay as they are; data NULL: there is no such file. */
struct loader_file {
	const uint8_t *data;
	uint64_t bytes;
};

struct loader_files {
	struct loader_file kernel;
	struct loader_file initrd;
	struct loader_file modules[CONFIG_MAX_MODULES];
};

/*
 * Look up the files that `config` names among those read at boot (machine_find_file()). 0, or
 * -ENOENT (or why the file could not be read) with a sentence in `why` that names the path.
 */
int loader_find_files(const struct vm_config *config, struct loader_files *files, char *why,
	size_t size) __must_check;

/*
 * Make a stopped VM with reset vCPUs, devices and cleared memory ready to run `config`: firmware
 * tables, kernel, modules and command line in its memory, the boot vCPU (vcpus[0]) at the kernel's
 * entry with all its registers dirty. Its RAM slots are those of guest_layout_add_memory(). Boot
 * CPU; no vCPU of the VM runs.
 *
 * 0; else the VM must not be started, and `why` holds one sentence: -EINVAL for a file that is
 * not what it should be, -ENOTSUP for what Ballast cannot load, -ENOSPC when the guest's memory is
 * too small, -ENOMEM when the host has no memory left.
 */
int loader_load(struct vm *vm, const struct vm_config *config, const struct loader_files *files,
	char *why, size_t size) __must_check;

#endif
