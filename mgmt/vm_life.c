/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's life: starts, stops, and what becomes of it then; see mgmt/vms.h. */
#include "host/log.h"
#include "host/memory.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/loader.h"
#include "mgmt/vm_build.h"
#include "mgmt/vm_console.h"
#include "mgmt/vm_disks.h"
#include "mgmt/vm_dump.h"
#include "mgmt/vm_life.h"
#include "vcpu/pvclock.h"
#include "vcpu/sched.h"

#define WHY_BYTES 200
/* A guest that resets itself this soon after its start, so often in a row, has to wait. */
#define QUICK_RESET_NS (10 * NS_PER_SEC)
#define QUICK_RESETS 3
#define RESTART_DOUBLINGS 5
/* One that waits for memory to start with looks for it so often. */
#define ROOM_NS (100 * NS_PER_MS)
#define ROOM_PATIENCE_NS (300 * NS_PER_SEC)

void vm_tell(struct managed_vm *managed, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(managed->last_words, sizeof(managed->last_words), format, args);
	va_end(args);
	log_note("vm %s: %s", managed->config->name, managed->last_words);
	console_linef("vm %s: %s", managed->config->name, managed->last_words);
}

/* --- Start --- */

static void forget_last_run(struct managed_vm *managed)
{
	heap_free(managed->dump);
	managed->dump = NULL;
	managed->restart_ns = 0;
	managed->wish = WISH_NONE;
	managed->last_stop = VM_STOP_NONE;
}

/* -EAGAIN: memory for it is on its way. */
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
	if (vm_disks_busy(managed)) {
		snprintf(why, size, "a disk is being written to its base; wait for that");
		return -EBUSY;
	}
	error = loader_find_files(managed->config, &files, why, size);
	if (!error)
		error = vm_build_admit(managed, managed->config, why, size);
	if (!error && !vm_build_has_room(managed, &files, why, size))
		return -EAGAIN;
	if (!error && !managed->vm)
		error = vm_build(managed, why, size);
	if (!error)
		error = loader_load(managed->vm, managed->config, &files, why, size);
	return error;
}

/* False: it has waited long enough, and others wait because of it. */
static bool wait_for_room(struct managed_vm *managed, const char *why)
{
	uint64_t now_ns = clock_now_ns();

	if (!managed->room_since_ns) {
		vm_tell(managed, "waits to start: %s", why);
		managed->room_since_ns = now_ns;
	}
	if (now_ns - managed->room_since_ns >= ROOM_PATIENCE_NS)
		return false;
	managed->restart_ns = now_ns + ROOM_NS;
	return true;
}

/* Load and let run; the VM is new or reset. `said` is the state line when that works. */
static int start(struct managed_vm *managed, const char *said)
{
	char why[WHY_BYTES];
	int error;

	forget_last_run(managed);
	error = prepare(managed, why, sizeof(why));
	if (error == -EAGAIN && wait_for_room(managed, why))
		return error;
	managed->room_since_ns = 0;
	if (error) {
		vm_unbuild(managed);
		vm_tell(managed, "could not start: %s", why);
		return error;
	}
	for (unsigned int i = 0; i < managed->vm->vcpu_count; i++)
		managed->vm->vcpus[i]->trace = managed->trace;
	vm_tell(managed, "%s", said);
	vm_start(managed->vm);
	return 0;
}

int vms_start(struct managed_vm *managed)
{
	managed->quick_resets = 0;
	managed->room_since_ns = 0;
	return start(managed, "started");
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
	vm_console_ended(managed);
	vm_tell(managed, "stopped");
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
	vm_unbuild(managed);
	vm_disks_close(managed);
	managed->restart_ns = 0;
	managed->last_stop = VM_STOP_NONE;
	vm_tell(managed, "destroyed");
	if (managed->created)
		vms_remove(managed);
}

void vms_pause(struct managed_vm *managed)
{
	sched_pause(managed->vm);
	vm_tell(managed, "paused");
}

void vms_resume(struct managed_vm *managed)
{
	pvclock_vm_paused(managed->vm);
	sched_resume(managed->vm);
	vm_tell(managed, "resumed");
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
	vm_tell(managed, "reset, again and again: starts in %u s", seconds);
}

static void say_why(struct managed_vm *managed, enum vm_stop stop, uint32_t status,
	const char *reason)
{
	switch (stop) {
	case VM_STOP_POWER_OFF:
		vm_tell(managed, "powered off");
		break;
	case VM_STOP_EXIT:
		vm_tell(managed, "exited with status %u", status);
		break;
	case VM_STOP_FAULT:
		vm_tell(managed, "stopped: %s", reason);
		break;
	default:
		vm_tell(managed, "stopped");
		break;
	}
}

/*
 * All vCPUs are off their CPUs: put the VM to rest, then do what guest or operator wants. Returns
 * when it starts again; the VM may be gone.
 */
static uint64_t has_stopped(struct managed_vm *managed)
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
	vm_console_drain(managed);
	if (!again)
		vm_console_ended(managed);
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
	if (wish != WISH_DESTROY)
		return managed->restart_ns;
	vms_destroy(managed);
	return 0;
}

uint64_t vm_life_poll(struct managed_vm *managed, uint64_t now_ns)
{
	uint64_t again;

	if (managed->restart_ns && now_ns >= managed->restart_ns)
		start(managed, "started");
	again = managed->restart_ns;
	if (managed_is_running(managed) && vm_has_stopped(managed->vm))
		again = has_stopped(managed);
	return again;
}
