/* SPDX-License-Identifier: BSD-2-Clause */
/* The keys of a VM. */
#include "mgmt/config_parser.h"

static void set_vcpus(struct config_parser *p, const char *key, struct span raw)
{
	uint64_t number;

	if (config_take_number(p, key, raw, 1, CONFIG_MAX_VCPUS, &number))
		p->vm->vcpus = (unsigned int)number;
}

static void set_kernel(struct config_parser *p, const char *key, struct span raw)
{
	p->vm->kernel = config_take_path(p, key, raw);
}

static void set_initrd(struct config_parser *p, const char *key, struct span raw)
{
	p->vm->initrd = config_take_path(p, key, raw);
}

static void set_module(struct config_parser *p, const char *key, struct span raw)
{
	struct config_module module;

	if (!config_take_module(p, key, raw, &module))
		return;
	if (p->vm->module_count == CONFIG_MAX_MODULES)
		config_diagnose(p, "one module too many; expected at most %d", CONFIG_MAX_MODULES);
	else
		p->vm->modules[p->vm->module_count++] = module;
}

static void set_cmdline(struct config_parser *p, const char *key, struct span raw)
{
	struct span value;

	if (config_take_value(p, key, raw, &value))
		p->vm->cmdline = config_keep(p, value);
}

static void set_boot(struct config_parser *p, const char *key, struct span raw)
{
	int choice = config_take_choice(p, key, raw, config_boot_names, CONFIG_BOOTS);

	if (choice >= 0)
		p->vm->boot = (enum config_boot)choice;
}

static void set_autostart(struct config_parser *p, const char *key, struct span raw)
{
	config_take_switch(p, key, raw, &p->vm->autostart);
}

static void set_debug_exit(struct config_parser *p, const char *key, struct span raw)
{
	config_take_switch(p, key, raw, &p->vm->debug_exit);
}

static void set_weight(struct config_parser *p, const char *key, struct span raw)
{
	uint64_t number;

	if (config_take_number(p, key, raw, 1, SCHED_WEIGHT_MAX, &number))
		p->vm->sched.weight = (uint32_t)number;
}

/* "25%", "25", "none" */
static void set_cap(struct config_parser *p, const char *key, struct span raw)
{
	char word[CONFIG_WORD_BYTES];
	struct span value, rest;
	uint64_t number = 0;

	if (!config_take_value(p, key, raw, &value))
		return;
	if (!span_equals(value, "none") &&
		(!config_number(value, &number, &rest) ||
			(rest.length && !span_equals(rest, "%")) || number > CONFIG_MAX_CAP))
		config_diagnose(p, "%s '%s' is no share of CPUs; expected 1%% to %d%%, or none",
			key, config_show(value, word), CONFIG_MAX_CAP);
	else
		p->vm->sched.cap_percent = (uint32_t)number;
}

static void set_cpus(struct config_parser *p, const char *key, struct span raw)
{
	config_take_cpus(p, key, raw, &p->vm->sched.cpus);
}

/* "2000MHz" */
static bool read_frequency(struct span text, uint64_t *hz)
{
	static const struct {
		const char *name;
		uint64_t hz;
	} units[] = { { "kHz", 1000 }, { "MHz", 1000000 }, { "GHz", 1000000000 } };
	struct span unit;

	if (!config_number(text, hz, &unit))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (span_equals(unit, units[i].name)) {
			*hz = MIN(*hz, 2 * CONFIG_MAX_TSC_HZ / units[i].hz) * units[i].hz;
			return true;
		}
	}
	return false;
}

static void set_tsc(struct config_parser *p, const char *key, struct span raw)
{
	char word[CONFIG_WORD_BYTES];
	struct span value;
	uint64_t hz = 0;

	if (!config_take_value(p, key, raw, &value))
		return;
	if (span_equals(value, "machine"))
		p->vm->tsc_hz = 0;
	else if (!read_frequency(value, &hz) || hz < CONFIG_MIN_TSC_HZ || hz > CONFIG_MAX_TSC_HZ)
		config_diagnose(p,
			"%s '%s' is no frequency; expected 1MHz to 10GHz, such as 2000MHz, or"
			" machine", key, config_show(value, word));
	else
		p->vm->tsc_hz = hz;
}

const char *const config_boot_names[CONFIG_BOOTS] = {
	[CONFIG_BOOT_AUTO] = "auto",
	[CONFIG_BOOT_LINUX] = "linux",
	[CONFIG_BOOT_MULTIBOOT] = "multiboot",
	[CONFIG_BOOT_PVH] = "pvh",
};

static const struct config_key keys[CONFIG_VM_KEYS] = {
	[CONFIG_KEY_MEMORY] = { .name = "memory", .set = config_set_memory },
	[CONFIG_KEY_MAXMEM] = { .name = "maxmem", .set = config_set_maxmem },
	[CONFIG_KEY_MIN] = { .name = "min", .set = config_set_min },
	[CONFIG_KEY_SHARES] = { .name = "shares", .set = config_set_shares },
	[CONFIG_KEY_GROUP] = { .name = "group", .set = config_set_group },
	[CONFIG_KEY_VCPUS] = { .name = "vcpus", .set = set_vcpus },
	[CONFIG_KEY_KERNEL] = { .name = "kernel", .set = set_kernel },
	[CONFIG_KEY_INITRD] = { .name = "initrd", .set = set_initrd },
	[CONFIG_KEY_MODULE] = { .name = "module", .set = set_module, .repeats = true },
	[CONFIG_KEY_CMDLINE] = { .name = "cmdline", .set = set_cmdline },
	[CONFIG_KEY_BOOT] = { .name = "boot", .set = set_boot },
	[CONFIG_KEY_AUTOSTART] = { .name = "autostart", .set = set_autostart },
	[CONFIG_KEY_DEBUG_EXIT] = { .name = "debug-exit", .set = set_debug_exit },
	[CONFIG_KEY_WEIGHT] = { .name = "weight", .set = set_weight },
	[CONFIG_KEY_CAP] = { .name = "cap", .set = set_cap },
	[CONFIG_KEY_CPUS] = { .name = "cpus", .set = set_cpus },
	[CONFIG_KEY_TSC] = { .name = "tsc", .set = set_tsc },
	[CONFIG_KEY_DISK] = { .name = "disk", .set = config_set_disk, .repeats = true },
	[CONFIG_KEY_NET] = { .name = "net", .set = config_set_net, .repeats = true },
	[CONFIG_KEY_CONSOLE] = { .name = "console", .set = config_set_console, .bare = true },
	[CONFIG_KEY_RNG] = { .name = "rng", .set = config_set_rng, .bare = true },
	[CONFIG_KEY_BALLOON] = { .name = "balloon", .set = config_set_balloon, .bare = true },
	[CONFIG_KEY_HOTPLUG] = { .name = "hotplug", .set = config_set_hotplug, .bare = true },
};
_Static_assert(CONFIG_VM_KEYS <= CONFIG_MAX_KEYS, "each has its line");

const struct config_keys config_vm_keys = { keys, CONFIG_VM_KEYS, "" };

void config_vm_init(struct vm_config *vm)
{
	*vm = (struct vm_config){
		.memory_bytes = CONFIG_DEFAULT_MEMORY,
		.min_percent = 100,
		.shares_per_mib = CONFIG_SHARES_NORMAL,
		.vcpus = 1,
		.cmdline = "",
		.balloon = true,
		.sched = { SCHED_WEIGHT_DEFAULT, 0, CPU_SET_ALL },
	};
}

const char *config_key_name(size_t index)
{
	return index < CONFIG_VM_KEYS ? keys[index].name : NULL;
}
