/* SPDX-License-Identifier: BSD-2-Clause */
/* The boot CPU's loop, and the beginning and the end of it. */
#include "mgmt/mgmt.h"

#include "balloon/economy.h"
#include "balloon/swap.h"
#include "host/block/block.h"
#include "host/clock.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/memory.h"
#include "host/mitigation.h"
#include "host/topology.h"
#include "host/watchdog.h"
#include "lib/printf.h"
#include "mgmt/banner.h"
#include "mgmt/config.h"
#include "mgmt/console.h"
#include "mgmt/console_log.h"
#include "mgmt/cpu_load.h"
#include "mgmt/mem_view.h"
#include "mgmt/shell.h"
#include "mgmt/vm_nets.h"
#include "mgmt/vms.h"
#include "vcpu/hw.h"
#include "vcpu/sched.h"

/* A vCPU leaves its guest at once when asked; should one not, the machine ends all the same. */
#define END_LIMIT_NS (2 * NS_PER_SEC)
#define ERASE_REST 19 /* times as long as a step of erasing took */

/* More swap than this only costs memory, for its records. */
#define SWAP_PER_RAM 4

static struct config *config;
static struct timer wake_timer;
static uint64_t wake_ns; /* the timer is armed for then; 0: it is not */

static struct {
	bool wanted;
	bool reboot;
	uint64_t limit_ns;
} end;

static void wake(struct timer *timer)
{
	(void)timer;
	wake_ns = 0;
	cpu_notify(this_cpu());
}

static void print_line(const char *line)
{
	console_print("%s\n", line);
}

static void print_banner(void)
{
	char model[CPU_MODEL_BYTES], summary[200] = "none: this build has no vendor's layer";
	struct memory_stats stats;
	struct banner banner = {
		.version = BALLAST_VERSION,
		.cpu = model,
		.cpu_count = cpu_count(),
		.tsc_hz = clock_tsc_hz,
		.virtualization = summary,
		.found_bytes = machine.ram_bytes,
	};

	cpu_model(model);
	if (hw)
		hw->summary(summary, sizeof(summary));
	frame_get_stats(&stats);
	banner.kept_bytes = stats.frames[FRAME_FREE] * PAGE_SIZE;
	print_line("");
	banner_write(&banner, print_line);
	log_note("Ballast %s on %s, firmware %s", BALLAST_VERSION, model, machine.firmware);
}

static void check_loaded(const char *path)
{
	const struct machine_file *file = machine_find_file(path);
	char slashes[CONFIG_PATH_BYTES];

	config_path_slashes(path, slashes);
	if (!file || file->error)
		log_line("ballast.conf: the file to load %s %s", slashes, !file ?
			"is one file too many" : file->error == -ENOENT ?
			"is not on the boot volume" : "could not be read");
}

/* What is wrong costs single VMs; a configuration without any still gives a shell. */
static void read_config(void)
{
	config = heap_alloc(sizeof(*config), FRAME_HOST);
	if (!config)
		panic("no memory for the configuration");
	if (!machine.config_text) {
		log_line("%s: there are no VMs", machine.config_error ? machine.config_error :
			"the boot volume has no \\ballast\\ballast.conf");
		return;
	}
	config_parse(machine.config_text, machine.config_bytes, config);
	for (size_t i = 0; i < config->diagnostic_count; i++)
		log_line("%s", config->diagnostics[i].text);
	if (config->diagnostics_lost)
		log_line("ballast.conf: %zu more mistakes", config->diagnostics_lost);
	for (size_t i = 0; i < config->ballast.load_count; i++)
		check_loaded(config->ballast.loads[i]);
	if (!config->vm_count)
		log_line("ballast.conf: no [vm NAME] section: there are no VMs");
}

static void apply_mitigations(void)
{
	const enum mitigation_mode *modes = config->ballast.mitigations;

	for (unsigned int i = 0; i < MITIGATIONS; i++)
		if (modes[i] != MITIGATION_AUTO && mitigation_set((enum mitigation)i, modes[i]))
			log_line("mitigation %s: not possible: %s", mitigation_name(i),
				mitigation_plan.parts[i].reason);
}

/* Sibling threads run guests only when that is allowed: then those that are able are opened now. */
static void apply_smt(void)
{
	if (config->ballast.smt == CONFIG_SMT_OFF ||
		(config->ballast.smt == CONFIG_SMT_AUTO && mitigation_plan.smt_leaks))
		return;
	__atomic_store_n(&topology_siblings_allowed, true, __ATOMIC_SEQ_CST);
	for (unsigned int id = 1; id < cpu_count(); id++) {
		struct cpu *cpu = cpu_by_id(id);

		if (__atomic_load_n(&cpu->runs_guests, __ATOMIC_SEQ_CST) &&
			topology_is_sibling(cpu))
			sched_open(cpu);
	}
}

void mgmt_end(bool reboot)
{
	console_line(reboot ? "Ballast: restarting the machine" : "Ballast: switching off");
	console_close();
	end.wanted = true;
	end.reboot = reboot;
	end.limit_ns = clock_now_ns() + END_LIMIT_NS;
	for (size_t i = 0; i < vms_count(); i++)
		if (managed_is_running(vms_at(i)) || vms_at(i)->restart_ns)
			vms_stop(vms_at(i));
}

static void poll_end(void)
{
	if (!end.wanted || (vms_any_running() && clock_now_ns() < end.limit_ns))
		return;
	console_flush();
	if (end.reboot)
		machine_reboot();
	machine_power_off();
}

/* What is promised to guests, with page tables for it, is not for what others write to disks. */
static void keep_promises(void)
{
	uint64_t promised = vms_promised_bytes();

	frame_set_reserve((promised + (promised >> 9)) >> PAGE_SHIFT);
}

/* What was given back is erased beside all else, in a twentieth of this CPU's time at most. */
static uint64_t erase_poll(void)
{
	static uint64_t due_ns;
	uint64_t now_ns = clock_now_ns();

	if (now_ns < due_ns)
		return due_ns;
	if (!frame_erase())
		return 0;
	due_ns = clock_now_ns() + ERASE_REST * (clock_now_ns() - now_ns);
	return due_ns;
}

/* The VMs first: what has become of them should be read before the next prompt. */
static uint64_t poll_all(void)
{
	uint64_t again = vms_poll();

	watchdog_poll();
	block_poll();
	poll_end();
	again = clock_sooner(again, console_poll());
	again = clock_sooner(again, console_log_poll());
	again = clock_sooner(again, cpu_load_poll());
	again = clock_sooner(again, economy_poll());
	again = clock_sooner(again, mem_history_poll());
	again = clock_sooner(again, erase_poll());
	keep_promises();
	return end.wanted ? clock_sooner(again, end.limit_ns) : again;
}

static void wake_at(uint64_t ns)
{
	if (ns == wake_ns)
		return;
	timer_cancel(&wake_timer);
	if (ns)
		timer_set(&wake_timer, clock_tsc_from_ns(ns));
	wake_ns = ns;
}

/* Guests can do without; what is wrong is in the log. */
static void open_swap(void)
{
	const struct config_swap *wanted = &config->ballast.swap;
	unsigned int allowed = wanted->erase * SWAP_OPEN_ERASE | wanted->trial * SWAP_OPEN_TRIAL;
	uint64_t most = wanted->limit_bytes;

	if (!most)
		most = SWAP_PER_RAM * machine.ram_bytes;
	if (wanted->disk && swap_open(wanted->disk, allowed, most))
		log_line("guests' memory is not swapped");
}

void mgmt_main(void)
{
	timer_init(&wake_timer, wake);
	if (console_init())
		panic("no memory for the console");
	shell_init();
	print_banner();
	console_log_init();
	read_config();
	apply_mitigations();
	apply_smt();
	policy_settings.tax_percent = config->ballast.memory_tax_percent;
	nets_plug_nics(config);
	open_swap();
	if (economy_init())
		panic("no memory for the memory economy");
	if (vms_init(config))
		panic("no memory for the list of VMs");
	vms_autostart();
	cpu_notify(this_cpu());
	for (;;) {
		if (cpu_take_work())
			wake_at(poll_all());
		sched_run(this_cpu());
	}
}
