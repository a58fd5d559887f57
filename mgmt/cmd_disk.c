/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands about disks: the machine's, and the VMs'. */
#include "host/machine.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/commands.h"
#include "mgmt/console.h"
#include "mgmt/text.h"
#include "mgmt/vm_disks.h"

/* Of a name in a column; a longer one pushes the others aside. */
#define NAME_COLUMN 20

static uint64_t disk_bytes(const struct block_device *device)
{
	return device->sectors * SECTOR_BYTES;
}

static void list_device(const struct block_device *device)
{
	char name[BLOCK_NAME_BYTES + 4], use[32] = "free";

	snprintf(name, sizeof(name), "%s%s", device->parent ? "  " : "", device->name);
	config_path_slashes(name, name);
	if (device->writers)
		snprintf(use, sizeof(use), "written");
	else if (device->readers)
		snprintf(use, sizeof(use), "read by %u", device->readers);
	console_print("%-*s  %9s  %-11s  %8llu  %8llu  %6llu  %s\n", NAME_COLUMN, name,
		text_size(disk_bytes(device)).chars, use, (unsigned long long)device->reads,
		(unsigned long long)device->writes, (unsigned long long)device->errors,
		device->description);
}

static void list_partitions(const struct block_device *disk)
{
	const struct block_device *part;

	for (size_t i = 0; (part = block_at(i)) != NULL; i++)
		if (part->parent == disk)
			list_device(part);
}

static bool is_listed_file(const struct machine_file *file)
{
	const struct block_device *device;

	for (size_t i = 0; (device = block_at(i)) != NULL; i++)
		if (strcmp(device->name, file->path) == 0)
			return true;
	return false;
}

void cmd_disk_list(const struct shell_call *call)
{
	const struct block_device *device;
	char slashes[CONFIG_PATH_BYTES];

	(void)call;
	console_print("%-*s  %9s  %-11s  %8s  %8s  %6s  %s\n", NAME_COLUMN, "NAME", "SIZE", "USE",
		"READS", "WRITES", "ERRORS", "WHAT");
	for (size_t i = 0; (device = block_at(i)) != NULL; i++) {
		if (device->parent)
			continue;
		list_device(device);
		list_partitions(device);
	}
	for (size_t i = 0; i < machine.file_count; i++) {
		const struct machine_file *file = &machine.files[i];

		if (file->error || is_listed_file(file))
			continue;
		config_path_slashes(file->path, slashes);
		console_print("%-*s  %9s  file in memory\n", NAME_COLUMN, slashes,
			text_size(file->bytes).chars);
	}
}

/* --- The VMs' --- */

static void list_disk(const struct managed_vm *managed, size_t index)
{
	const struct config_disk *config = &managed->config->disks[index];
	const struct managed_disk *disk = &managed->disks[index];
	struct overlay_stats stats;
	struct text size = {"-"};

	if (disk->base)
		size = text_size(disk_bytes(disk->base));
	console_print("%-12s  %2zu  %-*s  %9s  %s", managed->config->name, index, NAME_COLUMN,
		vm_disk_name(config).chars, size.chars,
		config->cow ? "cow" : config->read_only ? "ro" : "rw");
	if (vm_disk_overlay(managed, index, &stats)) {
		console_print(": %s of its own", text_size(stats.pages * PAGE_SIZE).chars);
		if (config->limit_bytes)
			console_print(" of %s", text_size(config->limit_bytes).chars);
		if (stats.refused)
			console_print(", %llu writes failed: no room",
				(unsigned long long)stats.refused);
	}
	if (disk->committing)
		console_print("; being written to its base");
	console_print("\n");
}

static size_t list_disks(const struct managed_vm *managed)
{
	if (managed->config->error)
		return 0;
	for (size_t i = 0; i < managed->config->disk_count; i++)
		list_disk(managed, i);
	return managed->config->disk_count;
}

void cmd_vm_disk_list(const struct shell_call *call)
{
	size_t count = 0;

	console_print("%-12s  %2s  %-*s  %9s  %s\n", "VM", "N", NAME_COLUMN, "DISK", "SIZE", "USE");
	for (size_t i = 0; i < vms_count(); i++)
		if (!call->vm || call->vm == vms_at(i))
			count += list_disks(vms_at(i));
	if (!count)
		console_print("There are none; 'vm disk add' gives a VM one.\n");
}

void cmd_vm_disk_add(const struct shell_call *call)
{
	char why[SHELL_ERROR_BYTES];

	if (vms_add(call->vm, CONFIG_KEY_DISK, call->rest, why, sizeof(why)))
		console_print("vm disk add: %s\n", why);
	else
		console_print("vm %s has disk %zu%s\n", call->vm->config->name,
			call->vm->config->disk_count - 1,
			managed_is_running(call->vm) ? "" : " from its next start on");
}

void cmd_vm_disk_commit(const struct shell_call *call)
{
	char why[SHELL_ERROR_BYTES];

	if (vm_disk_commit(call->vm, call->number, why, sizeof(why)))
		console_print("vm disk commit: %s\n", why);
}

void cmd_vm_disk_discard(const struct shell_call *call)
{
	char why[SHELL_ERROR_BYTES];

	if (vm_disk_discard(call->vm, call->number, why, sizeof(why)))
		console_print("vm disk discard: %s\n", why);
	else
		console_print("disk %llu of vm %s is as its base again\n",
			(unsigned long long)call->number, call->vm->config->name);
}
