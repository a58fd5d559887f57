/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/vm_disks.h"

#include "devices/platform.h"
#include "devices/virtio/blk.h"
#include "host/log.h"
#include "host/machine.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/text.h"
#include "mgmt/vm_life.h"

#define SERIAL_BYTES 20

struct disk_name vm_disk_name(const struct config_disk *disk)
{
	struct disk_name name;

	config_path_slashes(disk->source, name.chars);
	return name;
}

static bool is_image(const struct config_disk *disk)
{
	return disk->source[0] == '\\';
}

/* --- Why not --- */

static int say_absent(const struct config_disk *disk, char *why, size_t size)
{
	const struct machine_file *file = is_image(disk) ? machine_find_file(disk->source) : NULL;
	struct disk_name name = vm_disk_name(disk);

	if (!is_image(disk))
		snprintf(why, size, "disk '%s': there is no such disk; 'disk list' shows those"
			" there are", name.chars);
	else if (!file)
		snprintf(why, size, "disk '%s': it is not in memory; name it in ballast.conf, for"
			" a VM or by 'load'", name.chars);
	else if (file->error == -ENOMEM)
		snprintf(why, size, "disk '%s': it did not fit into the machine's memory",
			name.chars);
	else
		snprintf(why, size, "disk '%s': it %s", name.chars, file->error == -ENOENT ?
			"is not on the boot volume" : "could not be read from the boot volume");
	return -ENOENT;
}

/* Have they sectors in common? */
static bool overlap(const struct block_device *a, const struct block_device *b)
{
	return a == b || a->parent == b || b->parent == a;
}

static const struct managed_vm *who_has(const struct block_device *device,
	const struct managed_disk **disk)
{
	for (size_t i = 0; i < vms_count(); i++) {
		const struct managed_vm *managed = vms_at(i);

		for (size_t at = 0; at < CONFIG_MAX_DISKS; at++) {
			*disk = &managed->disks[at];
			if ((*disk)->base && overlap((*disk)->base, device))
				return managed;
		}
	}
	return NULL;
}

static int say_busy(const struct managed_vm *managed, const struct config_disk *disk,
	const struct block_device *device, char *why, size_t size)
{
	const struct managed_disk *theirs;
	const struct managed_vm *who = who_has(device, &theirs);
	struct disk_name name = vm_disk_name(disk);

	if (!who)
		snprintf(why, size, "disk '%s': it, or a part of it, is the swap disk of"
			" ballast.conf", name.chars);
	else if (who == managed)
		snprintf(why, size, "disk '%s': this VM has it, or a part of it, already",
			name.chars);
	else if (theirs->how == BLOCK_OPEN_WRITE)
		snprintf(why, size, "disk '%s': it is in use by vm %s for writing; 'vm destroy %s'"
			" gives it back", name.chars, who->config->name, who->config->name);
	else
		snprintf(why, size, "disk '%s': vm %s relies on it; take it with cow or ro, or"
			" 'vm destroy %s' first", name.chars, who->config->name,
			who->config->name);
	return -EBUSY;
}

static int say_error(const struct config_disk *disk, int error, char *why, size_t size)
{
	struct disk_name name = vm_disk_name(disk);

	if (error == -EROFS)
		snprintf(why, size, "disk '%s': it cannot be written; take it with cow or ro",
			name.chars);
	else if (error == -ENOMEM)
		snprintf(why, size, "disk '%s': no memory for its records", name.chars);
	else if (error == -EFBIG)
		snprintf(why, size, "disk '%s': it is too large for cow: 64 TiB at most",
			name.chars);
	else if (error == -ENOSPC)
		snprintf(why, size, "disk '%s': the VM has no room for one more device",
			name.chars);
	else
		snprintf(why, size, "disk '%s': error %d", name.chars, -error);
	return error;
}

/* --- Open and close --- */

static void close_disk(struct managed_disk *disk)
{
	if (disk->overlay) {
		block_close(disk->overlay, BLOCK_OPEN_WRITE);
		overlay_destroy(disk->overlay);
	}
	if (disk->base)
		block_close(disk->base, disk->how);
	memset(disk, 0, sizeof(*disk));
}

/* `limit_bytes` is 0 for none. */
static int create_overlay(struct managed_disk *disk, uint64_t limit_bytes)
{
	struct block_device *overlay;
	int error = overlay_create(disk->base, limit_bytes ? limit_bytes : ~0ULL, &overlay);

	if (error)
		return error;
	error = block_open(overlay, BLOCK_OPEN_WRITE);
	if (error)
		overlay_destroy(overlay);
	else
		disk->overlay = overlay;
	return error;
}

static int open_disk(struct managed_vm *managed, size_t index, char *why, size_t size)
{
	const struct config_disk *config = &managed->config->disks[index];
	struct managed_disk *disk = &managed->disks[index];
	struct block_device *base = block_find(config->source);
	enum block_open how =
		config->cow || config->read_only ? BLOCK_OPEN_READ : BLOCK_OPEN_WRITE;
	int error;

	if (!base)
		return say_absent(config, why, size);
	error = block_open(base, how);
	if (error == -EBUSY)
		return say_busy(managed, config, base, why, size);
	if (error)
		return say_error(config, error, why, size);
	*disk = (struct managed_disk){ .base = base, .how = how };
	if (!config->cow)
		return 0;
	error = create_overlay(disk, config->limit_bytes);
	if (error) {
		close_disk(disk);
		return say_error(config, error, why, size);
	}
	return 0;
}

int vm_disks_open(struct managed_vm *managed, char *why, size_t size)
{
	int error = 0;

	for (size_t i = 0; i < managed->config->disk_count && !error; i++)
		if (!managed->disks[i].base)
			error = open_disk(managed, i, why, size);
	return error;
}

static int create_device(struct managed_vm *managed, size_t index, char *why, size_t size)
{
	struct managed_disk *disk = &managed->disks[index];
	char serial[SERIAL_BYTES + 1];
	int error;

	snprintf(serial, sizeof(serial), "ballast-%u", (unsigned int)index % 100);
	error = virtio_blk_create(managed->vm, managed->platform->pci,
		disk->overlay ? disk->overlay : disk->base, serial, &disk->blk);
	return error ? say_error(&managed->config->disks[index], error, why, size) : 0;
}

int vm_disks_create(struct managed_vm *managed, char *why, size_t size)
{
	int error = 0;

	for (size_t i = 0; i < managed->config->disk_count && !error; i++)
		error = create_device(managed, i, why, size);
	return error;
}

int vm_disks_plug(struct managed_vm *managed, char *why, size_t size)
{
	size_t index = managed->config->disk_count - 1;
	int error;

	/* A device that could not be made goes with the VM; until then it may point there. */
	if (managed->disks[index].base) {
		snprintf(why, size, "this did not work before; stop the VM first");
		return -EBUSY;
	}
	error = open_disk(managed, index, why, size);
	return error ? error : create_device(managed, index, why, size);
}

void vm_disks_forget(struct managed_vm *managed)
{
	for (size_t i = 0; i < CONFIG_MAX_DISKS; i++) {
		managed->disks[i].blk = NULL;
		/* Also what could not be plugged in. */
		if (!managed->disks[i].overlay || i >= managed->config->disk_count)
			close_disk(&managed->disks[i]);
	}
}

void vm_disks_close(struct managed_vm *managed)
{
	for (size_t i = 0; i < CONFIG_MAX_DISKS; i++)
		close_disk(&managed->disks[i]);
}

void vm_disks_change(struct managed_vm *managed, const struct vm_config *config)
{
	const struct vm_config *old = managed->config;

	for (size_t i = 0; i < CONFIG_MAX_DISKS; i++) {
		bool same = i < config->disk_count && i < old->disk_count &&
			strcmp(config->disks[i].source, old->disks[i].source) == 0 &&
			config->disks[i].cow == old->disks[i].cow &&
			config->disks[i].read_only == old->disks[i].read_only &&
			config->disks[i].limit_bytes == old->disks[i].limit_bytes;

		if (!same)
			close_disk(&managed->disks[i]);
	}
}

/* --- What a disk has of its own --- */

bool vm_disk_overlay(const struct managed_vm *managed, size_t index, struct overlay_stats *stats)
{
	struct block_device *overlay = managed->disks[index].overlay;

	if (overlay)
		overlay_get_stats(overlay, stats);
	return overlay;
}

uint64_t vm_disks_overlay_bytes(const struct managed_vm *managed)
{
	struct overlay_stats stats;
	uint64_t bytes = 0;

	for (size_t i = 0; i < CONFIG_MAX_DISKS; i++)
		if (vm_disk_overlay(managed, i, &stats))
			bytes += stats.pages * PAGE_SIZE + stats.overhead_bytes;
	return bytes;
}

bool vm_disks_any(const struct managed_vm *managed)
{
	for (size_t i = 0; i < CONFIG_MAX_DISKS; i++)
		if (managed->disks[i].base)
			return true;
	return false;
}

bool vm_disks_busy(const struct managed_vm *managed)
{
	for (size_t i = 0; i < CONFIG_MAX_DISKS; i++)
		if (managed->disks[i].committing)
			return true;
	return false;
}

/* The disk, if it has an overlay that is at rest. */
static struct managed_disk *find_overlay(struct managed_vm *managed, size_t index, char *why,
	size_t size)
{
	const struct vm_config *config = managed->config;

	if (config->error || index >= config->disk_count)
		snprintf(why, size, "it has no disk %zu; 'vm disk list %s' shows its disks", index,
			config->name);
	else if (!config->disks[index].cow)
		snprintf(why, size, "disk %zu is without cow: what is written to it is there"
			" already", index);
	else if (managed_is_running(managed) || managed->restart_ns)
		snprintf(why, size, "it runs; 'vm stop %s' first", config->name);
	else if (vm_disks_busy(managed))
		snprintf(why, size, "a disk is being written to its base; wait for that");
	else if (!managed->disks[index].overlay)
		snprintf(why, size, "disk %zu has nothing of its own", index);
	else
		return &managed->disks[index];
	return NULL;
}

/* The base is everybody's to read again, whatever came of it. */
static void committed(void *argument, int error)
{
	struct managed_disk *disk = argument;
	struct managed_vm *managed = disk->owner;
	size_t index = (size_t)(disk - managed->disks);
	struct disk_name name = vm_disk_name(&managed->config->disks[index]);

	block_close(disk->base, BLOCK_OPEN_WRITE);
	disk->how = BLOCK_OPEN_READ;
	disk->committing = false;
	/* Nobody can have come in between. */
	if (block_open(disk->base, disk->how))
		panic("a disk's base is not to be had any more");
	if (error)
		vm_tell(managed, "disk %zu could not be written to %s (error %d): it keeps what"
			" it has", index, name.chars, -error);
	else
		vm_tell(managed, "disk %zu: %s written to %s", index,
			text_size(disk->committed_bytes).chars, name.chars);
}

/* From reading to writing, if nobody else reads it. */
static int open_for_commit(const struct managed_vm *managed, struct managed_disk *disk, char *why,
	size_t size)
{
	struct block_device *base = disk->base;
	const struct managed_disk *theirs;
	const struct managed_vm *who;
	int error, again;

	block_close(base, BLOCK_OPEN_READ);
	error = block_open(base, BLOCK_OPEN_WRITE);
	if (!error) {
		disk->how = BLOCK_OPEN_WRITE;
		return 0;
	}
	disk->base = NULL;
	who = error == -EBUSY ? who_has(base, &theirs) : NULL;
	disk->base = base;
	if (who == managed)
		snprintf(why, size, "another of this VM's disks relies on its base");
	else if (who)
		snprintf(why, size, "vm %s relies on its base; 'vm destroy %s' first",
			who->config->name, who->config->name);
	else
		snprintf(why, size, "its base cannot be written (error %d)", -error);
	again = block_open(base, BLOCK_OPEN_READ); /* as it was a moment ago */
	return again ? again : error;
}

int vm_disk_commit(struct managed_vm *managed, size_t index, char *why, size_t size)
{
	struct managed_disk *disk = find_overlay(managed, index, why, size);
	struct overlay_stats stats;
	int error;

	if (!disk)
		return -EINVAL;
	error = open_for_commit(managed, disk, why, size);
	if (error)
		return error;
	overlay_get_stats(disk->overlay, &stats);
	disk->committed_bytes = stats.pages * PAGE_SIZE;
	disk->owner = managed;
	disk->committing = true;
	overlay_commit(disk->overlay, committed, disk);
	return 0;
}

int vm_disk_discard(struct managed_vm *managed, size_t index, char *why, size_t size)
{
	struct managed_disk *disk = find_overlay(managed, index, why, size);

	if (!disk)
		return -EINVAL;
	overlay_discard(disk->overlay);
	return 0;
}
