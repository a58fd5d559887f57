/* SPDX-License-Identifier: BSD-2-Clause */
/* From configuration to running VM and back; see mgmt/vms.h. */
#include "mgmt/vms.h"

#include "devices/platform.h"
#include "devices/uart.h"
#include "host/log.h"
#include "host/memory.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/guest_layout.h"
#include "mgmt/loader.h"
#include "mgmt/text.h"
#include "mgmt/vm_dump.h"

#define WHY_BYTES 200
/* Besides a guest's memory: its records, and page tables for all of it in the smallest pages. */
#define OVERHEAD_BYTES KIB(512)
#define OVERHEAD_SHIFT 9
/* A guest that resets itself this soon after its start, so often in a row, has to wait. */
#define QUICK_RESET_NS (10 * NS_PER_SEC)
#define QUICK_RESETS 3
#define RESTART_DOUBLINGS 5

static struct managed_vm *vms;
static size_t vm_total;

int vms_init(const struct config *config)
{
	if (!config->vm_count)
		return 0;
	vms = heap_alloc(config->vm_count * sizeof(*vms), FRAME_HOST);
	if (!vms)
		return -ENOMEM;
	vm_total = config->vm_count;
	for (size_t i = 0; i < vm_total; i++)
		vms[i].config = &config->vms[i];
	return 0;
}

size_t vms_count(void)
{
	return vm_total;
}

struct managed_vm *vms_at(size_t index)
{
	return &vms[index];
}

struct managed_vm *vms_find(const char *name)
{
	for (size_t i = 0; i < vm_total; i++)
		if (strcmp(vms[i].config->name, name) == 0)
			return &vms[i];
	return NULL;
}

bool vms_any_running(void)
{
	for (size_t i = 0; i < vm_total; i++)
		if (managed_is_running(&vms[i]))
			return true;
	return false;
}

/* The state line. It is shown whatever the guest did before: the log's own limits are passed by. */
static void tell(struct managed_vm *managed, const char *format, ...) __printf(2, 3);
static void tell(struct managed_vm *managed, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(managed->last_words, sizeof(managed->last_words), format, args);
	va_end(args);
	log_note("vm %s: %s", managed->config->name, managed->last_words);
	console_linef("vm %s: %s", managed->config->name, managed->last_words);
}

/* --- The guest's first serial port --- */

static size_t com1_output(struct uart *uart, const uint8_t *bytes, size_t count)
{
	return console_port_output(uart->owner, bytes, count);
}

static void com1_input_ready(struct uart *uart)
{
	console_port_input_ready(uart->owner);
}

static size_t port_input(struct console_port *port, const uint8_t *bytes, size_t count)
{
	struct managed_vm *managed = container_of(port, struct managed_vm, port);
	size_t taken;

	if (!managed_is_running(managed))
		return count;
	spin_lock(&managed->vm->lock);
	taken = uart_input(managed->platform->com1, bytes, count);
	spin_unlock(&managed->vm->lock);
	return taken;
}

static void port_output_ready(struct console_port *port)
{
	struct managed_vm *managed = container_of(port, struct managed_vm, port);

	spin_lock(&managed->vm->lock);
	uart_output_ready(managed->platform->com1);
	spin_unlock(&managed->vm->lock);
}

static int connect_console(struct managed_vm *managed)
{
	struct console_port *port = &managed->port;
	struct uart *uart = managed->platform->com1;

	port->name = managed->config->name;
	port->input = port_input;
	port->output_ready = port_output_ready;
	uart->owner = port;
	uart->output = com1_output;
	uart->input_ready = com1_input_ready;
	return console_port_init(port);
}

/* --- Memory --- */

static uint64_t vm_memory_in_use(void)
{
	struct memory_stats stats;

	frame_get_stats(&stats);
	return stats.frames[FRAME_VM] * PAGE_SIZE;
}

uint64_t vms_overhead_bytes(const struct managed_vm *managed)
{
	uint64_t tables;

	if (!managed->vm)
		return 0;
	tables = managed->vm->memory.s2.table_pages - managed->table_pages;
	return managed->overhead_bytes + tables * PAGE_SIZE;
}

uint64_t vms_promised_bytes(void)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < vm_total; i++)
		if (managed_is_running(&vms[i]))
			pages += vms[i].vm->memory.limit_pages - vms[i].vm->memory.resident_pages;
	return pages * PAGE_SIZE;
}

/* Every guest that runs must be able to use all the memory that it was told it has. */
static int admit(const struct managed_vm *managed, char *why, size_t size)
{
	uint64_t memory = managed->config->memory_bytes;
	uint64_t overhead = OVERHEAD_BYTES + (memory >> OVERHEAD_SHIFT);
	uint64_t promised = vms_promised_bytes();
	struct memory_stats stats;
	uint64_t free;

	frame_get_stats(&stats);
	free = stats.frames[FRAME_FREE] * PAGE_SIZE;
	if (free >= promised && free - promised >= memory + overhead)
		return 0;
	snprintf(why, size, "it needs %s and %s for its tables; %s are free, %s of these promised "
		"to running VMs", text_size(memory).chars, text_size(overhead).chars,
		text_size(free).chars, text_size(promised).chars);
	return -ENOMEM;
}

/* --- Creation and destruction --- */

static void destroy(struct managed_vm *managed)
{
	if (!managed->vm)
		return;
	if (managed->port.scrollback)
		console_port_destroy(&managed->port);
	vm_destroy(managed->vm);
	heap_free(managed->dump);
	managed->dump = NULL;
	managed->vm = NULL;
	managed->platform = NULL;
	managed->restart_ns = 0;
}

static int build(struct managed_vm *managed)
{
	const struct vm_config *config = managed->config;
	struct platform_options options = {.debug_exit = config->debug_exit};
	int error = guest_layout_add_memory(managed->vm, config->memory_bytes);

	if (error)
		return error;
	options.low_ram_bytes =
		MIN(config->memory_bytes, guest_layout_low_end(config->memory_bytes));
	options.high_ram_bytes = config->memory_bytes - options.low_ram_bytes;
	error = platform_create(managed->vm, &options, &managed->platform);
	if (error)
		return error;
	return connect_console(managed);
}

static int create(struct managed_vm *managed, char *why, size_t size)
{
	uint64_t before = vm_memory_in_use();
	int error = vm_create(managed->config->name, managed->config->vcpus, &managed->vm);

	if (error) {
		managed->vm = NULL;
	} else {
		managed->vm->overhead_bytes_before = before;
		error = build(managed);
		if (error)
			destroy(managed);
	}
	if (error) {
		snprintf(why, size, error == -ENOMEM ? "no memory for its records" :
			"it cannot be built (error %d)", -error);
		return error;
	}
	managed->overhead_bytes = vm_memory_in_use() - before;
	managed->table_pages = managed->vm->memory.s2.table_pages;
	return 0;
}

#ifdef BALLAST_UNIT_TEST
void vms_test_reset(void)
{
	for (size_t i = 0; i < vm_total; i++)
		destroy(&vms[i]);
	heap_free(vms);
	vms = NULL;
	vm_total = 0;
}
#endif

/* --- Start --- */

static void forget_last_run(struct managed_vm *managed)
{
	heap_free(managed->dump);
	managed->dump = NULL;
	managed->restart_ns = 0;
	managed->wish = WISH_NONE;
	managed->last_stop = VM_STOP_NONE;
}

static int prepare(struct managed_vm *managed, char *why, size_t size)
{
	struct loader_files files;
	int error;

	if (managed->config->error) {
		snprintf(why, size, "%s", managed->config->error);
		return -EINVAL;
	}
	if (!hw) {
		snprintf(why, size, "this CPU cannot run guests");
		return -ENOTSUP;
	}
	error = loader_find_files(managed->config, &files, why, size);
	if (!error)
		error = admit(managed, why, size);
	if (!error && !managed->vm)
		error = create(managed, why, size);
	if (!error)
		error = loader_load(managed->vm, managed->config, &files, why, size);
	return error;
}

/* Load and let run; the VM is new or reset. `said` is the state line when that works. */
static int start(struct managed_vm *managed, const char *said)
{
	char why[WHY_BYTES];
	int error;

	forget_last_run(managed);
	error = prepare(managed, why, sizeof(why));
	if (error) {
		destroy(managed);
		tell(managed, "could not start: %s", why);
		return error;
	}
	for (unsigned int i = 0; i < managed->vm->vcpu_count; i++)
		managed->vm->vcpus[i]->trace = managed->trace;
	tell(managed, "%s", said);
	vm_start(managed->vm);
	return 0;
}

int vms_start(struct managed_vm *managed)
{
	managed->quick_resets = 0;
	return start(managed, "started");
}

void vms_autostart(void)
{
	struct managed_vm *only = NULL;
	size_t wanted = 0;

	for (size_t i = 0; i < vm_total; i++) {
		if (vms[i].config->error || !vms[i].config->autostart)
			continue;
		wanted++;
		only = vms_start(&vms[i]) ? NULL : &vms[i];
	}
	if (wanted == 1 && only)
		console_attach(&only->port);
}

/* --- Stop --- */

static void ask_to_stop(struct managed_vm *managed, enum vm_wish wish)
{
	managed->wish = wish;
	vm_stop(managed->vm, VM_STOP_OPERATOR, 0, NULL);
}

void vms_stop(struct managed_vm *managed)
{
	if (managed_is_running(managed)) {
		ask_to_stop(managed, WISH_STOP);
		return;
	}
	managed->restart_ns = 0;
	managed->last_stop = VM_STOP_OPERATOR;
	console_port_ended(&managed->port);
	tell(managed, "stopped");
}

void vms_reset(struct managed_vm *managed)
{
	if (managed_is_running(managed))
		ask_to_stop(managed, WISH_RESET);
	else
		start(managed, "reset");
}

void vms_destroy(struct managed_vm *managed)
{
	if (managed_is_running(managed)) {
		ask_to_stop(managed, WISH_DESTROY);
		return;
	}
	destroy(managed);
	managed->last_stop = VM_STOP_NONE;
	tell(managed, "destroyed");
}

void vms_set_trace(struct managed_vm *managed, bool on)
{
	managed->trace = on;
	for (unsigned int i = 0; managed->vm && i < managed->vm->vcpu_count; i++)
		managed->vm->vcpus[i]->trace = on;
}

/* The guest reset itself. A boot loop must not take the machine's time, nor fill the console. */
static void reset_by_guest(struct managed_vm *managed, uint64_t ran_ns)
{
	unsigned int seconds;

	managed->quick_resets = ran_ns < QUICK_RESET_NS ? managed->quick_resets + 1 : 0;
	if (managed->quick_resets <= QUICK_RESETS) {
		start(managed, "reset");
		return;
	}
	seconds = 1U << MIN(managed->quick_resets - QUICK_RESETS, RESTART_DOUBLINGS);
	managed->restart_ns = managed->stopped_ns + seconds * NS_PER_SEC;
	tell(managed, "reset, again and again: starts in %u s", seconds);
}

static void say_why(struct managed_vm *managed, enum vm_stop stop, uint32_t status,
	const char *reason)
{
	switch (stop) {
	case VM_STOP_POWER_OFF:
		tell(managed, "powered off");
		break;
	case VM_STOP_EXIT:
		tell(managed, "exited with status %u", status);
		break;
	case VM_STOP_FAULT:
		tell(managed, "stopped: %s", reason);
		break;
	default:
		tell(managed, "stopped");
		break;
	}
}

/* All vCPUs are off their CPUs: put the VM to rest, then do what guest or operator wants. */
static void has_stopped(struct managed_vm *managed)
{
	struct vm *vm = managed->vm;
	enum vm_wish wish = managed->wish;
	enum vm_stop stop = vm->stop;
	uint32_t status = vm->stop_status;
	char reason[sizeof(vm->stop_reason)];
	uint64_t ran_ns;
	bool again;

	memcpy(reason, vm->stop_reason, sizeof(reason));
	managed->wish = WISH_NONE;
	managed->stopped_ns = clock_now_ns();
	ran_ns = managed->stopped_ns - vm->started_ns;
	again = wish == WISH_RESET || (wish == WISH_NONE && stop == VM_STOP_RESET);
	console_port_drain(&managed->port);
	if (!again)
		console_port_ended(&managed->port);
	if (stop == VM_STOP_FAULT)
		managed->dump = vm_dump_capture(vm);
	vm->state = VM_STOPPED;
	vm_reset(vm);
	managed->last_stop = stop;
	if (wish == WISH_RESET)
		start(managed, "reset");
	else if (again)
		reset_by_guest(managed, ran_ns);
	else if (wish != WISH_DESTROY || stop != VM_STOP_OPERATOR)
		say_why(managed, stop, status, reason);
	if (wish == WISH_DESTROY)
		vms_destroy(managed);
}

static uint64_t poll_one(struct managed_vm *managed, uint64_t now_ns)
{
	if (managed_is_running(managed) && vm_has_stopped(managed->vm))
		has_stopped(managed);
	if (managed->restart_ns && now_ns >= managed->restart_ns)
		start(managed, "started");
	return managed->restart_ns;
}

uint64_t vms_poll(void)
{
	uint64_t now = clock_now_ns(), again = 0;

	for (size_t i = 0; i < vm_total; i++) {
		uint64_t wanted = poll_one(&vms[i], now);

		if (wanted && (!again || wanted < again))
			again = wanted;
	}
	return again;
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
		return managed->wish ? "stopping" : "running";
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
