/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VM is made of, and the memory for it; see mgmt/vm_build.h. */
#include "mgmt/vm_build.h"

#include "devices/platform.h"
#include "devices/uart.h"
#include "host/memory.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/guest_layout.h"
#include "mgmt/text.h"
#include "vcpu/sched.h"

/* Besides a guest's memory: its records, and page tables for all of it in the smallest pages. */
#define OVERHEAD_BYTES KIB(512)
#define OVERHEAD_SHIFT 9

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

int vm_build_admit(const struct managed_vm *managed, char *why, size_t size)
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

void vm_unbuild(struct managed_vm *managed)
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

static int furnish(struct managed_vm *managed)
{
	const struct vm_config *config = managed->config;
	struct platform_options options = {.debug_exit = config->debug_exit};
	int error = config->tsc_hz ? vm_set_tsc_hz(managed->vm, config->tsc_hz) : 0;

	if (!error)
		error = guest_layout_add_memory(managed->vm, config->memory_bytes);
	if (error)
		return error;
	options.low_ram_bytes =
		MIN(config->memory_bytes, guest_layout_low_end(config->memory_bytes));
	options.high_ram_bytes = config->memory_bytes - options.low_ram_bytes;
	error = platform_create(managed->vm, &options, &managed->platform);
	if (error)
		return error;
	error = connect_console(managed);
	return error ? error : sched_set(managed->vm, &config->sched);
}

static const char *why_not_built(int error)
{
	switch (error) {
	case -ENOMEM:
		return "no memory for its records";
	case -EINVAL:
		return "none of its cpus runs guests";
	case -ENOTSUP:
		return "this CPU cannot scale its TSC to the frequency that 'tsc' asks for; set"
			" tsc=machine";
	}
	return "it cannot be built (error %d)";
}

int vm_build(struct managed_vm *managed, char *why, size_t size)
{
	uint64_t before = vm_memory_in_use();
	int error = vm_create(managed->config->name, managed->config->vcpus, &managed->vm);

	if (error) {
		managed->vm = NULL;
	} else {
		managed->vm->overhead_bytes_before = before;
		error = furnish(managed);
		if (error)
			vm_unbuild(managed);
	}
	if (error) {
		snprintf(why, size, why_not_built(error), -error);
		return error;
	}
	managed->overhead_bytes = vm_memory_in_use() - before;
	managed->table_pages = managed->vm->memory.s2.table_pages;
	return 0;
}

