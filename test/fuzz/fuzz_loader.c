/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a kernel file: the loader returns, says why when it refuses, and leaves a vCPU that
 * begins in the guest's RAM when it does not. The last bytes of the input choose the configuration.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/guest_firmware.h"
#include "mgmt/guest_layout.h"
#include "mgmt/loader.h"
#include "test/unit/fake_guest_memory.h"
#include "vcpu/cpuid.h"
#include "vcpu/vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHOICE_BYTES 2

/* The tables that iasl makes are not what is looked at here. */
const uint8_t guest_dsdt[] = { 'D', 'S', 'D', 'T' };
const size_t guest_dsdt_bytes = sizeof(guest_dsdt);

static struct cpuid_table policy = { .physical_bits = 36 };
static struct vcpu vcpu;
static struct vm vm = { .cpuid = &policy, .vcpus = { &vcpu }, .vcpu_count = 1 };

static void choose(const uint8_t *choice, struct vm_config *config, struct loader_files *files)
{
	static const uint64_t sizes[] = { MIB(1), MIB(2), MIB(20), MIB(80) };
	static const uint8_t extra[5000];

	config->memory_bytes = sizes[choice[0] & 3];
	config->boot = choice[0] >> 2 & 3;
	config->initrd = choice[0] & 0x10 ? "\\initrd" : NULL;
	config->module_count = choice[0] >> 5 & 3;
	config->cmdline = choice[0] & 0x80 ? "console=ttyS0" : "";
	files->initrd = (struct loader_file){ extra, 1 + choice[1] * 16U };
	for (size_t i = 0; i < config->module_count; i++) {
		config->modules[i] = (struct config_module){ "\\module", "words" };
		files->modules[i] = (struct loader_file){ extra, 1 + choice[1] * 16U };
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vm_config config = { .name = "fuzz", .kernel = "\\kernel" };
	struct loader_files files = { 0 };
	uint8_t *copy;
	char why[160] = "";
	int error;

	if (size <= CHOICE_BYTES)
		return 0;
	size -= CHOICE_BYTES;
	choose(data + size, &config, &files);
	copy = malloc(size);
	memcpy(copy, data, size);
	files.kernel = (struct loader_file){ copy, size };
	fake_guest_memory_reset(&vm.memory);
	error = guest_layout_add_memory(&vm, config.memory_bytes);
	assert(error == 0);
	vcpu.dirty = vcpu.valid = 0;
	error = loader_load(&vm, &config, &files, why, sizeof(why));
	free(copy);
	if (error) {
		assert(error == -EINVAL || error == -ENOTSUP || error == -ENOSPC);
		assert(why[0] && memchr(why, 0, sizeof(why)));
	} else {
		assert(vcpu.dirty == REG_ALL);
		assert(vcpu.special.rip < guest_layout_low_end(config.memory_bytes));
	}
	return 0;
}
