/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands that act on VMs. */
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/commands.h"
#include "mgmt/console.h"
#include "mgmt/text.h"
#include "mgmt/vm_disks.h"
#include "mgmt/vms.h"

static int name_width(void)
{
	size_t width = strlen("NAME");

	for (size_t i = 0; i < vms_count(); i++)
		width = MAX(width, strlen(vms_at(i)->config->name));
	return (int)width;
}

static void list_one(const struct managed_vm *managed, int width)
{
	const struct vm_config *config = managed->config;
	struct text resident = {"-"}, uptime = {"-"};

	if (managed_is_running(managed)) {
		resident = text_size(managed->vm->memory.resident_pages * PAGE_SIZE);
		uptime = text_duration(vms_uptime_ns(managed));
	}
	console_print("%-*s  %-13s  %5u  %9s  %9s  %s\n", width, config->name,
		vms_state_name(managed), config->vcpus, text_size(config->memory_bytes).chars,
		resident.chars, uptime.chars);
}

void cmd_vm_list(const struct shell_call *call)
{
	int width = name_width();

	(void)call;
	if (!vms_count()) {
		console_print("There are no VMs: ballast.conf names none; "
			"'vm create' makes them.\n");
		return;
	}
	console_print("%-*s  %-13s  %5s  %9s  %9s  %s\n", width, "NAME", "STATE", "VCPUS",
		"MEMORY", "IN USE", "UPTIME");
	for (size_t i = 0; i < vms_count(); i++) {
		const struct managed_vm *managed = vms_at(i);

		if (managed->config->error)
			console_print("%-*s  %s\n", width, managed->config->name,
				vms_state_name(managed));
		else
			list_one(managed, width);
	}
}

void cmd_vm_create(const struct shell_call *call)
{
	char why[SHELL_ERROR_BYTES];

	if (vms_create(call->name, call->rest, why, sizeof(why)) && why[0])
		console_print("vm create: %s\n", why);
}

void cmd_vm_set(const struct shell_call *call)
{
	char why[SHELL_ERROR_BYTES];

	if (vms_set(call->vm, call->rest, why, sizeof(why)))
		console_print("vm set: %s\n", why);
	else
		console_print("vm %s has %s\n  %s\n", call->vm->config->name,
			text_sched(&call->vm->config->sched).chars,
			text_memory(call->vm->config).chars);
}

void cmd_vm_start(const struct shell_call *call)
{
	struct managed_vm *managed = call->vm;

	if (managed_is_running(managed))
		console_print("vm start: '%s' is %s already\n", managed->config->name,
			vms_state_name(managed));
	else
		vms_start(managed);
}

/* True when the VM runs, or is about to; else says that it does not. */
static bool is_alive(const char *command, const struct managed_vm *managed)
{
	if (managed_is_running(managed) || managed->restart_ns)
		return true;
	console_print("%s: '%s' does not run; 'vm start %s' starts it\n", command,
		managed->config->name, managed->config->name);
	return false;
}

void cmd_vm_stop(const struct shell_call *call)
{
	if (is_alive("vm stop", call->vm))
		vms_stop(call->vm);
}

void cmd_vm_reset(const struct shell_call *call)
{
	if (is_alive("vm reset", call->vm))
		vms_reset(call->vm);
}

void cmd_vm_pause(const struct shell_call *call)
{
	struct managed_vm *managed = call->vm;

	if (managed_is_running(managed) && !managed_is_paused(managed) && !managed->wish)
		vms_pause(managed);
	else
		console_print("vm pause: '%s' is %s\n", managed->config->name,
			vms_state_name(managed));
}

void cmd_vm_resume(const struct shell_call *call)
{
	if (managed_is_paused(call->vm))
		vms_resume(call->vm);
	else
		console_print("vm resume: '%s' is not paused but %s\n", call->vm->config->name,
			vms_state_name(call->vm));
}

void cmd_vm_destroy(const struct shell_call *call)
{
	if (vm_disks_busy(call->vm))
		console_print("vm destroy: a disk of '%s' is being written to its base; wait for"
			" that\n", call->vm->config->name);
	else if (call->vm->vm || call->vm->created || vm_disks_any(call->vm))
		vms_destroy(call->vm);
	else
		console_print("vm destroy: '%s' holds nothing: it was not started\n",
			call->vm->config->name);
}

void cmd_vm_console(const struct shell_call *call)
{
	struct managed_vm *managed = call->vm;
	const char *name = managed->config->name;
	struct console_port *port = call->hvc ? &managed->hvc.port : &managed->port;

	if (call->hvc && !managed->config->console) {
		console_print("vm console: '%s' has no hvc0; 'vm set %s console=yes' gives it one"
			" for its next start\n", name, name);
	} else if (managed_is_running(managed) || managed->restart_ns) {
		console_attach(port);
	} else if (managed->vm) {
		console_print("--- vm %s does not run; the end of its output was:\n", name);
		console_show(port);
		console_print("--- end of output\n");
	} else {
		is_alive("vm console", managed);
	}
}

void cmd_trace(const struct shell_call *call)
{
	vms_set_trace(call->vm, call->on);
	console_print("trace of vm %s is %s\n", call->vm->config->name, call->on ? "on" : "off");
}
