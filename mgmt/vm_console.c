/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/vm_console.h"

#include "devices/platform.h"
#include "devices/uart.h"
#include "host/clock.h"
#include "host/log.h"
#include "lib/printf.h"
#include "lib/string.h"

/* A guest may write so many lines to the log at once, and one more in each of these times. */
#define LOG_BURST 10
#define LOG_REFILL_NS NS_PER_SEC

enum { PORT_HVC0, PORT_LOG };
_Static_assert(PORT_LOG < VIRTIO_CONSOLE_PORTS, "the device has as many");

/* --- COM1 --- */

static size_t com1_output(struct uart *uart, const uint8_t *bytes, size_t count)
{
	return console_port_output(uart->owner, bytes, count);
}

static void com1_input_ready(struct uart *uart)
{
	console_port_input_ready(uart->owner);
}

static size_t com1_input(struct console_port *port, const uint8_t *bytes, size_t count)
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

static void com1_output_ready(struct console_port *port)
{
	struct managed_vm *managed = container_of(port, struct managed_vm, port);

	spin_lock(&managed->vm->lock);
	uart_output_ready(managed->platform->com1);
	spin_unlock(&managed->vm->lock);
}

static int connect_com1(struct managed_vm *managed)
{
	struct console_port *port = &managed->port;
	struct uart *uart = managed->platform->com1;

	port->name = managed->config->name;
	port->input = com1_input;
	port->output_ready = com1_output_ready;
	uart->owner = port;
	uart->output = com1_output;
	uart->input_ready = com1_input_ready;
	return console_port_init(port);
}

/* --- hvc0 --- */

static size_t hvc_output(struct virtio_console_port *at, const uint8_t *bytes, size_t count)
{
	struct managed_vm *managed = at->owner;

	return console_port_output(&managed->hvc.port, bytes, count);
}

static void hvc_input_ready(struct virtio_console_port *at)
{
	struct managed_vm *managed = at->owner;

	console_port_input_ready(&managed->hvc.port);
}

static size_t hvc_input(struct console_port *port, const uint8_t *bytes, size_t count)
{
	struct managed_vm *managed = container_of(port, struct managed_vm, hvc.port);
	size_t taken;

	if (!managed_is_running(managed))
		return count;
	spin_lock(&managed->vm->lock);
	taken = virtio_console_input(managed->hvc.device, PORT_HVC0, bytes, count);
	spin_unlock(&managed->vm->lock);
	return taken;
}

static void hvc_output_ready(struct console_port *port)
{
	struct managed_vm *managed = container_of(port, struct managed_vm, hvc.port);

	if (!managed->hvc.device)
		return;
	spin_lock(&managed->vm->lock);
	virtio_console_output_ready(managed->hvc.device, PORT_HVC0);
	spin_unlock(&managed->vm->lock);
}

/* --- The log --- */

/* Under vm.lock. Its bytes are the guest's: the log makes them printable. */
static void log_guest_line(struct managed_vm *managed)
{
	struct guest_log *log = &managed->hvc.log;
	uint64_t now = clock_now_ns(), earned = (now - log->refilled_ns) / LOG_REFILL_NS;

	log->used -= (unsigned int)MIN(earned, (uint64_t)log->used);
	log->refilled_ns += earned * LOG_REFILL_NS;
	log->line[log->length] = '\0';
	log->length = 0;
	if (log->used == LOG_BURST) {
		log->left_out++;
		return;
	}
	log->used++;
	if (log->left_out)
		log_line("vm %s: log: (%u lines were left out)", managed->config->name,
			log->left_out);
	log->left_out = 0;
	log_line("vm %s: log: %s", managed->config->name, log->line);
}

static size_t log_output(struct virtio_console_port *at, const uint8_t *bytes, size_t count)
{
	struct managed_vm *managed = at->owner;
	struct guest_log *log = &managed->hvc.log;

	for (size_t i = 0; i < count; i++) {
		bool ends = bytes[i] == '\n' || log->length == sizeof(log->line) - 1;

		if (ends && log->length)
			log_guest_line(managed);
		if (bytes[i] != '\n' && bytes[i] != '\r' && bytes[i] != '\0')
			log->line[log->length++] = (char)bytes[i];
	}
	return count;
}

/* --- Both --- */

/* What the log writes names the VM: "vm a: log: ...". */
static int connect_hvc(struct managed_vm *managed)
{
	static const struct virtio_console_port ports[VIRTIO_CONSOLE_PORTS] = {
		[PORT_HVC0] = { .name = "org.ballast.console", .output = hvc_output,
			.input_ready = hvc_input_ready },
		[PORT_LOG] = { .name = "org.ballast.log", .output = log_output },
	};
	struct hvc *hvc = &managed->hvc;
	int error;

	hvc->port.input = hvc_input;
	hvc->port.output_ready = hvc_output_ready;
	memcpy(hvc->ports, ports, sizeof(hvc->ports));
	for (size_t i = 0; i < VIRTIO_CONSOLE_PORTS; i++)
		hvc->ports[i].owner = managed;
	memset(&hvc->log, 0, sizeof(hvc->log));
	vm_console_rename(managed);
	error = console_port_init(&hvc->port);
	if (error)
		return error;
	return virtio_console_create(managed->vm, managed->platform->pci, hvc->ports, PORT_LOG + 1,
		&hvc->device);
}

int vm_console_connect(struct managed_vm *managed)
{
	int error = connect_com1(managed);

	return error || !managed->config->console ? error : connect_hvc(managed);
}

void vm_console_disconnect(struct managed_vm *managed)
{
	if (managed->port.scrollback)
		console_port_destroy(&managed->port);
	if (managed->hvc.port.scrollback)
		console_port_destroy(&managed->hvc.port);
	managed->hvc.device = NULL;
}

void vm_console_rename(struct managed_vm *managed)
{
	managed->port.name = managed->config->name;
	snprintf(managed->hvc.name, sizeof(managed->hvc.name), "%s hvc0", managed->config->name);
	managed->hvc.port.name = managed->hvc.name;
}

void vm_console_drain(struct managed_vm *managed)
{
	console_port_drain(&managed->port);
	if (managed->hvc.device)
		console_port_drain(&managed->hvc.port);
}

void vm_console_ended(struct managed_vm *managed)
{
	console_port_ended(&managed->port);
	if (managed->hvc.device)
		console_port_ended(&managed->hvc.port);
}
