/* SPDX-License-Identifier: BSD-2-Clause */
/* vm show: all that is known about one VM. */
#include "devices/virtio/mem.h"
#include "host/clock.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/commands.h"
#include "mgmt/console.h"
#include "mgmt/text.h"
#include "mgmt/vm_disks.h"
#include "mgmt/vm_load.h"
#include "mgmt/vm_nets.h"
#include "vcpu/balloon_port.h"
#include "vcpu/sched.h"

static void show_file(const char *what, const char *path, const char *words)
{
	char slashes[CONFIG_PATH_BYTES];

	config_path_slashes(path, slashes);
	console_print("  %s    %s%s%s\n", what, slashes, words[0] ? " " : "", words);
}

static void show_configuration(const struct vm_config *config)
{
	show_file("kernel", config->kernel, "");
	if (config->initrd)
		show_file("initrd", config->initrd, "");
	for (size_t i = 0; i < config->module_count; i++)
		show_file("module", config->modules[i].path, config->modules[i].words);
	if (config->cmdline[0])
		console_print("  cmdline   %s\n", config->cmdline);
	if (config->tsc_hz)
		console_print("  tsc       %llu kHz\n",
			(unsigned long long)(config->tsc_hz / 1000));
}

/* As `vm disk list` and `vm net list` say at greater length. */
static void show_devices(const struct managed_vm *managed)
{
	const struct vm_config *config = managed->config;
	struct overlay_stats stats;

	for (size_t i = 0; i < config->disk_count; i++) {
		const struct config_disk *disk = &config->disks[i];

		console_print("  disk %zu    %s%s", i, vm_disk_name(disk).chars,
			disk->cow ? ", cow" : disk->read_only ? ", ro" : "");
		if (vm_disk_overlay(managed, i, &stats))
			console_print(": %s of its own",
				text_size(stats.pages * PAGE_SIZE).chars);
		console_print("\n");
	}
	for (size_t i = 0; i < config->net_count; i++)
		console_print("  net %zu     %s%s%s\n", i, config->nets[i].name,
			managed->nics[i].has_mac ? ", " : "",
			managed->nics[i].has_mac ? mac_text(managed->nics[i].mac).chars : "");
	if (config->console || config->rng)
		console_print("  virtio    %s%s%s\n", config->console ? "console" : "",
			config->console && config->rng ? ", " : "", config->rng ? "rng" : "");
}

static void show_memory(const struct managed_vm *managed)
{
	const struct guest_memory *memory = &managed->vm->memory;

	console_print("  memory    %s given, %s in use, %s of Ballast's own for it\n",
		text_size(managed->config->memory_bytes).chars,
		text_size(memory->resident_pages * PAGE_SIZE).chars,
		text_size(vms_overhead_bytes(managed)).chars);
}

static struct text pages(const uint64_t *count)
{
	return text_size(__atomic_load_n(count, __ATOMIC_RELAXED) * PAGE_SIZE);
}

/* What the guest says of itself, which may be anything. */
static void show_told(const struct vm_balloon *balloon)
{
	uint64_t told_ns = __atomic_load_n(&balloon->stats_ns, __ATOMIC_RELAXED);
	uint64_t total = __atomic_load_n(&balloon->stats[VIRTIO_BALLOON_S_MEMTOT],
		__ATOMIC_RELAXED);
	uint64_t available = __atomic_load_n(&balloon->stats[VIRTIO_BALLOON_S_AVAIL],
		__ATOMIC_RELAXED);

	if (told_ns && total != BALLOON_STAT_UNKNOWN && available != BALLOON_STAT_UNKNOWN)
		console_print("; %s of %s available %s ago", text_size(available).chars,
			text_size(total).chars, text_duration(clock_now_ns() - told_ns).chars);
}

static void show_balloon(const struct vm_balloon *balloon)
{
	if (!__atomic_load_n(&balloon->live, __ATOMIC_RELAXED)) {
		console_print("  balloon   %s wanted; the guest has no driver for it\n",
			pages(&balloon->target_pages).chars);
		return;
	}
	console_print("  balloon   %s of %s wanted, %s reported free",
		pages(&balloon->actual_pages).chars, pages(&balloon->target_pages).chars,
		pages(&balloon->reported_pages).chars);
	if (__atomic_load_n(&balloon->skipped_pages, __ATOMIC_RELAXED))
		console_print(", %s named that are none of its RAM",
			pages(&balloon->skipped_pages).chars);
	show_told(balloon);
	console_print("\n");
}

static void show_hotplug(const struct virtio_mem *mem)
{
	struct virtio_mem_state state = virtio_mem_look(mem);

	console_print("  hotplug   %s of %s wanted plugged in%s\n",
		text_size(state.plugged_bytes).chars, text_size(state.requested_bytes).chars,
		state.live ? "" : "; the guest has no driver for it");
}

/* "1234.567 s" */
static struct text seconds(uint64_t ns)
{
	struct text text;

	snprintf(text.chars, sizeof(text.chars), "%llu.%03llu s",
		(unsigned long long)(ns / NS_PER_SEC),
		(unsigned long long)(ns % NS_PER_SEC / NS_PER_MS));
	return text;
}

/* How quick the guest is for whoever types: when it last wrote, by its serial port. */
static void show_answer(struct console_port *port)
{
	uint64_t ns;

	if (console_port_answer_ns(port, &ns))
		console_print("  console   last written to %llu us after the last key\n",
			(unsigned long long)(ns / NS_PER_US));
}

/* All vCPUs together. */
static void show_time(const struct managed_vm *managed)
{
	struct sched_times sum = {0}, times;
	uint64_t yields = 0;

	console_print("  share     %s\n            %s\n",
		text_sched(&managed->config->sched).chars, text_memory(managed->config).chars);
	console_print("  uptime    %s\n", text_duration(vms_uptime_ns(managed)).chars);
	if (!managed_is_running(managed))
		return;
	for (unsigned int i = 0; i < managed->vm->vcpu_count; i++) {
		sched_times(managed->vm->vcpus[i], &times);
		sum.run_ns += times.run_ns;
		sum.steal_ns += times.steal_ns;
		sum.halted_ns += times.halted_ns;
		yields += managed->vm->vcpus[i]->pause_yields;
	}
	console_print("  vcpu time %s run, %s stolen, %s halted\n", seconds(sum.run_ns).chars,
		seconds(sum.steal_ns).chars, seconds(sum.halted_ns).chars);
	if (managed->vm->vcpu_count > 1)
		console_print("  yields    %llu turns of vCPUs that waited in PAUSE loops\n",
			(unsigned long long)yields);
}

static bool is_on_cpu(const struct vcpu *vcpu)
{
	struct sched_occupant occupant;

	return sched_occupant(vcpu->cpu, &occupant) && occupant.vcpu_id == vcpu->id &&
		strcmp(occupant.vm_name, vcpu->vm->name) == 0;
}

static const char *vcpu_state_name(const struct vcpu *vcpu)
{
	switch (vcpu->state) {
	case VCPU_STOPPED:
		return "stopped";
	case VCPU_RUNNABLE:
		return is_on_cpu(vcpu) ? "runs" : "waits";
	case VCPU_HALTED:
		return "halted";
	case VCPU_WAIT_SIPI:
		return "not started by the guest";
	}
	return "?";
}

/* The vCPU may be running elsewhere: its registers are those of its last exit. */
static void show_vcpu(const struct vcpu *vcpu)
{
	const struct exit_record *last = &vcpu->history[(vcpu->history_next - 1) % VCPU_HISTORY];
	struct sched_times times;

	sched_times(vcpu, &times);
	console_print("  vcpu %-3u  %s on cpu %u, run %s, stolen %s; last exit at %llx: %s\n",
		vcpu->id, vcpu_state_name(vcpu), vcpu->cpu->id, seconds(times.run_ns).chars,
		seconds(times.steal_ns).chars, (unsigned long long)last->rip,
		vcpu->history_next ? exit_kind_name(last->kind) : "none yet");
}

/* The most frequent first. */
static void show_exits(const struct vm *vm)
{
	uint64_t counts[EXIT_KINDS] = {0}, total = 0;

	vm_load_add_exits(vm, counts);
	for (unsigned int kind = 0; kind < EXIT_KINDS; kind++)
		total += counts[kind];
	console_print("  exits     %llu since its start\n", (unsigned long long)total);
	for (;;) {
		enum exit_kind most = vm_load_commonest(counts);

		if (!counts[most])
			return;
		console_print("            %-17s %12llu  %6s\n", exit_kind_name(most),
			(unsigned long long)counts[most], text_share(counts[most], total).chars);
		counts[most] = 0;
	}
}

static void show_dump(const char *dump)
{
	while (*dump) {
		const char *end = strchr(dump, '\n');

		console_print("%.*s\n", (int)(end - dump), dump);
		dump = end + 1;
	}
}

static void show_headline(const struct managed_vm *managed)
{
	const struct vm_config *config = managed->config;

	if (managed_is_running(managed) || !managed->last_words[0])
		console_print("vm %s is %s%s\n", config->name, vms_state_name(managed),
			managed->trace ? ", and traced" : "");
	else
		console_print("vm %s: %s\n", config->name, managed->last_words);
}

void cmd_vm_show(const struct shell_call *call)
{
	const struct managed_vm *managed = call->vm;
	const struct vm *vm = managed->vm;

	show_headline(managed);
	if (managed->config->error) {
		console_print("  %s\n", managed->config->error);
		return;
	}
	show_configuration(managed->config);
	show_devices(managed);
	if (!vm) {
		console_print("  memory    %s when it is started\n",
			text_size(managed->config->memory_bytes).chars);
		console_print("  share     %s\n            %s\n",
			text_sched(&managed->config->sched).chars,
			text_memory(managed->config).chars);
		return;
	}
	show_memory(managed);
	if (managed_is_running(managed) && vm->balloon)
		show_balloon(vm->balloon);
	if (managed_is_running(managed) && managed->hotplug)
		show_hotplug(managed->hotplug);
	show_answer(&call->vm->port);
	show_time(managed);
	if (managed_is_running(managed))
		for (unsigned int i = 0; i < vm->vcpu_count; i++)
			show_vcpu(vm->vcpus[i]);
	show_exits(vm);
	if (managed->dump)
		show_dump(managed->dump);
}
