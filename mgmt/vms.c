/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of VMs: how they come into it, change there and leave; see mgmt/vms.h. */
#include "mgmt/vms.h"

#include "host/machine.h"
#include "host/memory.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/config_words.h"
#include "mgmt/text.h"
#include "mgmt/vm_build.h"
#include "mgmt/vm_console.h"
#include "mgmt/vm_disks.h"
#include "mgmt/vm_life.h"
#include "mgmt/vm_nets.h"

static struct managed_vm *vms[VMS_MAX]; /* the file's first, then in the order of creation */
static size_t vm_total;

static struct managed_vm *add(const struct vm_config *config)
{
	struct managed_vm *managed = heap_alloc(sizeof(*managed), FRAME_HOST);

	if (!managed)
		return NULL;
	managed->config = config;
	vms[vm_total++] = managed;
	return managed;
}

int vms_init(const struct config *config)
{
	for (size_t i = 0; i < config->vm_count; i++)
		if (!add(&config->vms[i]))
			return -ENOMEM;
	return 0;
}

static void forget_config(struct managed_vm *managed)
{
	if (managed->own_config)
		heap_free((void *)(uintptr_t)managed->config);
	managed->own_config = false;
}

void vms_remove(struct managed_vm *managed)
{
	size_t at = 0;

	while (vms[at] != managed)
		at++;
	vm_total--;
	memmove(&vms[at], &vms[at + 1], (vm_total - at) * sizeof(vms[0]));
	forget_config(managed);
	heap_free(managed);
}

#ifdef BALLAST_UNIT_TEST
void vms_test_reset(void)
{
	while (vm_total) {
		vm_unbuild(vms[vm_total - 1]);
		vm_disks_close(vms[vm_total - 1]);
		vms_remove(vms[vm_total - 1]);
	}
}
#endif

size_t vms_count(void)
{
	return vm_total;
}

struct managed_vm *vms_at(size_t index)
{
	return vms[index];
}

struct managed_vm *vms_find(const char *name)
{
	for (size_t i = 0; i < vm_total; i++)
		if (strcmp(vms[i]->config->name, name) == 0)
			return vms[i];
	return NULL;
}

bool vms_any_running(void)
{
	for (size_t i = 0; i < vm_total; i++)
		if (managed_is_running(vms[i]))
			return true;
	return false;
}

static uint64_t promised_pages(const struct managed_vm *managed)
{
	uint64_t guaranteed = config_min_memory(managed->config) / PAGE_SIZE;

	return guaranteed - MIN(guaranteed, managed->vm->memory.resident_pages);
}

uint64_t vms_promised_bytes(void)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < vm_total; i++)
		if (managed_is_running(vms[i]))
			pages += promised_pages(vms[i]);
	return pages * PAGE_SIZE;
}

void vms_autostart(void)
{
	struct managed_vm *only = NULL;
	size_t wanted = 0;

	for (size_t i = 0; i < vm_total; i++) {
		if (vms[i]->config->error || !vms[i]->config->autostart)
			continue;
		wanted++;
		only = vms_start(vms[i]) ? NULL : vms[i];
	}
	if (wanted == 1 && only)
		console_attach(&only->port);
}

uint64_t vms_poll(void)
{
	uint64_t now = clock_now_ns(), again = 0;

	for (size_t i = 0; i < vm_total;) {
		struct managed_vm *managed = vms[i];

		again = clock_sooner(again, vm_life_poll(managed, now));
		/* It may have left the list. */
		if (i < vm_total && vms[i] == managed)
			i++;
	}
	return again;
}

/* --- Created and changed by words --- */

/* Of a file that is not in memory: which are. */
static int say_files(const char *key, const char *path, char *why, size_t size)
{
	char slashes[CONFIG_PATH_BYTES];
	const char *before = "are: ";
	size_t used;

	if (path) {
		config_path_slashes(path, slashes);
		snprintf(why, size, "%s %s is not in memory; there ", key, slashes);
	} else {
		snprintf(why, size, "it needs a %s; in memory there ", key);
	}
	for (size_t i = 0; i < machine.file_count; i++) {
		if (machine.files[i].error)
			continue;
		used = strlen(why);
		config_path_slashes(machine.files[i].path, slashes);
		if (used + strlen(slashes) + 8 >= size) {
			snprintf(why + used, size - used, ", ...");
			break;
		}
		snprintf(why + used, size - used, "%s%s", before, slashes);
		before = ", ";
	}
	used = strlen(why);
	if (before[0] != ',')
		snprintf(why + used, size - used, "are no files");
	return -ENOENT;
}

static int check_file(const char *key, const char *path, char *why, size_t size)
{
	const struct machine_file *file = path ? machine_find_file(path) : NULL;

	return file && !file->error ? 0 : say_files(key, path, why, size);
}

static int check_files(const struct vm_config *config, char *why, size_t size)
{
	int error = check_file("kernel", config->kernel, why, size);

	if (!error && config->initrd)
		error = check_file("initrd", config->initrd, why, size);
	for (size_t i = 0; i < config->module_count && !error; i++)
		error = check_file("module", config->modules[i].path, why, size);
	for (size_t i = 0; i < config->disk_count && !error; i++)
		if (config->disks[i].source[0] == '\\')
			error = check_file("disk", config->disks[i].source, why, size);
	return error;
}

/* A copy on the heap; NULL when there is no memory, which is said. */
static struct vm_config *keep_config(const struct vm_config *config, char *why, size_t size)
{
	struct vm_config *copy = heap_alloc(config_clone_bytes(config), FRAME_HOST);

	if (copy)
		config_clone(config, copy);
	else
		snprintf(why, size, "there is no memory for it");
	return copy;
}

/* What the VM is before its own words. */
static int begin_config(struct vm_config *config, const char *settings, char *why, size_t size)
{
	const struct managed_vm *like;
	char name[CONFIG_NAME_BYTES];

	config_vm_init(config);
	if (!config_words_like(settings, name))
		return 0;
	like = vms_find(name);
	if (!like || like->config->error) {
		snprintf(why, size, "like '%s' %s", name,
			like ? "is misconfigured" : "is no VM; 'vm list' shows them all");
		return -EINVAL;
	}
	*config = *like->config;
	config->autostart = false;
	/* Two NICs of one address do not go together. */
	for (size_t i = 0; i < config->net_count; i++)
		config->nets[i].has_mac = false;
	return 0;
}

static int check_name(const char *name, char *why, size_t size)
{
	char error[CONFIG_DIAGNOSTIC_BYTES];

	if (config_words_name(name, error))
		snprintf(why, size, "%s", error);
	else if (vms_find(name))
		snprintf(why, size, "there is a VM '%s' already", name);
	else if (vm_total == VMS_MAX)
		snprintf(why, size, "there are %d VMs already, which is the limit", VMS_MAX);
	else
		return 0;
	return -EINVAL;
}

#define FILE_KEYS                                                                                  \
	(BIT(CONFIG_KEY_KERNEL) | BIT(CONFIG_KEY_INITRD) | BIT(CONFIG_KEY_MODULE) |                \
		BIT(CONFIG_KEY_DISK))

static int parse_words(struct config_words *words, const char *settings, char *why, size_t size)
{
	int error = config_words_parse(words, settings);

	if (error)
		snprintf(why, size, "%s", words->error);
	else if (words->like || (words->given & FILE_KEYS))
		error = check_files(&words->vm, why, size);
	return error;
}

int vms_create(const char *name, const char *settings, char *why, size_t size)
{
	struct config_words words = { .like = true };
	struct managed_vm *managed;
	struct vm_config *config;
	int error = check_name(name, why, size);

	if (!error)
		why[0] = '\0';
	if (!error)
		error = begin_config(&words.vm, settings, why, size);
	if (!error)
		error = parse_words(&words, settings, why, size);
	if (error)
		return error;
	memset(words.vm.name, 0, sizeof(words.vm.name));
	memcpy(words.vm.name, name, strlen(name));
	words.vm.line = 0;
	config = keep_config(&words.vm, why, size);
	if (!config)
		return -ENOMEM;
	managed = add(config);
	if (!managed) {
		heap_free(config);
		snprintf(why, size, "there is no memory for it");
		return -ENOMEM;
	}
	managed->created = managed->own_config = true;
	vm_tell(managed, "created");
	return config->autostart ? vms_start(managed) : 0;
}

/* What a VM gets of the machine; that goes for one that runs, too. */
#define LIVE_KEYS                                                                                  \
	(BIT(CONFIG_KEY_WEIGHT) | BIT(CONFIG_KEY_CAP) | BIT(CONFIG_KEY_CPUS) |                     \
		BIT(CONFIG_KEY_MEMORY) | BIT(CONFIG_KEY_MIN) | BIT(CONFIG_KEY_SHARES))
#define MEMORY_KEYS (BIT(CONFIG_KEY_MEMORY) | BIT(CONFIG_KEY_MIN))
/* These are built into a VM: what there is of it has to go. */
#define BUILT_KEYS                                                                                 \
	(BIT(CONFIG_KEY_MEMORY) | BIT(CONFIG_KEY_MAXMEM) | BIT(CONFIG_KEY_VCPUS) |                 \
		BIT(CONFIG_KEY_DEBUG_EXIT) | BIT(CONFIG_KEY_GROUP) |                               \
		BIT(CONFIG_KEY_TSC) | BIT(CONFIG_KEY_DISK) | BIT(CONFIG_KEY_NET) |                 \
		BIT(CONFIG_KEY_CONSOLE) | BIT(CONFIG_KEY_RNG) | BIT(CONFIG_KEY_BALLOON) |   \
		BIT(CONFIG_KEY_HOTPLUG))

/* It runs, or waits to start again. */
static bool is_alive(const struct managed_vm *managed)
{
	return managed_is_running(managed) || managed->restart_ns;
}

static int apply(struct managed_vm *managed, const struct config_words *words, char *why,
	size_t size)
{
	bool alive = is_alive(managed);

	if (alive && (words->given & ~LIVE_KEYS)) {
		snprintf(why, size, "'%s' runs: only weight, cap, cpus, memory, min and shares can"
			" be set now; stop it for the rest", managed->config->name);
		return -EBUSY;
	}
	if (managed_is_running(managed) && (words->given & MEMORY_KEYS) &&
		vm_build_admit(managed, &words->vm, why, size))
		return -ENOMEM;
	if (vm_disks_busy(managed)) {
		snprintf(why, size, "a disk is being written to its base; wait for that");
		return -EBUSY;
	}
	if (!alive && (words->given & BUILT_KEYS))
		vm_unbuild(managed);
	if (words->given & BIT(CONFIG_KEY_DISK))
		vm_disks_change(managed, &words->vm);
	if (!managed->vm || !sched_set(managed->vm, &words->vm.sched))
		return 0;
	snprintf(why, size, "none of these cpus runs guests; 'cpu' shows which there are");
	return -EINVAL;
}

/* What the words make of the VM's configuration is its configuration from now on. */
static int change(struct managed_vm *managed, const struct config_words *words, char *why,
	size_t size)
{
	struct vm_config *config = keep_config(&words->vm, why, size);
	int error = config ? apply(managed, words, why, size) : -ENOMEM;

	if (error) {
		heap_free(config);
		return error;
	}
	forget_config(managed);
	managed->config = config;
	managed->own_config = true;
	vm_console_rename(managed);
	if (managed->vm)
		vm_build_set_memory(managed);
	return 0;
}

/* The same of a VM that runs, where all that is new is one more device. */
static int plug(struct managed_vm *managed, enum config_vm_key key,
	const struct config_words *words, char *why, size_t size)
{
	const struct vm_config *before = managed->config;
	struct vm_config *config = keep_config(&words->vm, why, size);
	int error;

	if (!config)
		return -ENOMEM;
	managed->config = config;
	error = key == CONFIG_KEY_DISK ? vm_disks_plug(managed, why, size) :
		vm_nets_plug(managed, why, size);
	managed->config = before;
	if (error) {
		heap_free(config);
		return error;
	}
	forget_config(managed);
	managed->config = config;
	managed->own_config = true;
	vm_console_rename(managed);
	return 0;
}

static int check_configured(const struct managed_vm *managed, char *why, size_t size)
{
	if (!managed->config->error)
		return 0;
	snprintf(why, size, "'%s' is misconfigured: %s", managed->config->name,
		managed->config->error);
	return -EINVAL;
}

/* What its guest has been told stays, whatever it may use of it. */
static int keep_maxmem(const struct managed_vm *managed, struct config_words *words, char *why,
	size_t size)
{
	uint64_t most = config_max_memory(managed->config);

	if (!(words->given & BIT(CONFIG_KEY_MEMORY)))
		return 0;
	words->vm.maxmem_bytes = most;
	if (words->vm.memory_bytes <= most)
		return 0;
	snprintf(why, size, "'%s' runs, and its maxmem is %s: it can have no more; stop it, and"
		" set maxmem", managed->config->name, text_size(most).chars);
	return -EINVAL;
}

int vms_set(struct managed_vm *managed, const char *settings, char *why, size_t size)
{
	struct config_words words = { .vm = *managed->config };
	int error = check_configured(managed, why, size);

	if (!error)
		error = parse_words(&words, settings, why, size);
	if (!error && is_alive(managed))
		error = keep_maxmem(managed, &words, why, size);
	return error ? error : change(managed, &words, why, size);
}

int vms_add(struct managed_vm *managed, enum config_vm_key key, const char *text, char *why,
	size_t size)
{
	struct config_words words = { .vm = *managed->config };
	int error = check_configured(managed, why, size);

	if (error)
		return error;
	if (managed->wish || managed->restart_ns) {
		snprintf(why, size, "'%s' is %s; wait for that", managed->config->name,
			vms_state_name(managed));
		return -EBUSY;
	}
	error = config_words_add(&words, key, text);
	if (error)
		snprintf(why, size, "%s", words.error);
	else if (key == CONFIG_KEY_DISK)
		error = check_files(&words.vm, why, size);
	if (error)
		return error;
	if (managed_is_running(managed))
		return plug(managed, key, &words, why, size);
	return change(managed, &words, why, size);
}

/* --- For the shell --- */

const char *vms_state_name(const struct managed_vm *managed)
{
	static const char *const names[] = {
		[VM_STOP_NONE] = "not started",
		[VM_STOP_OPERATOR] = "stopped",
		[VM_STOP_POWER_OFF] = "powered off",
		[VM_STOP_RESET] = "stopped",
		[VM_STOP_EXIT] = "exited",
		[VM_STOP_FAULT] = "faulted",
	};

	if (managed->config->error)
		return "misconfigured";
	if (managed_is_running(managed))
		return managed->wish ? "stopping" :
			managed_is_paused(managed) ? "paused" : "running";
	if (managed->restart_ns)
		return "waiting";
	return names[managed->last_stop];
}

uint64_t vms_uptime_ns(const struct managed_vm *managed)
{
	if (managed_is_running(managed))
		return clock_now_ns() - managed->vm->started_ns;
	if (!managed->vm || !managed->stopped_ns)
		return 0;
	return managed->stopped_ns - managed->vm->started_ns;
}
