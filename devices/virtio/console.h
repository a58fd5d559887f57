/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-console (Virtual I/O Device Version 1.2, "Console Device") with several named ports: the
 * first is the guest's hvc0. The other side calls in and is called under vm.lock, as with the UART.
 */
#ifndef BALLAST_DEVICES_VIRTIO_CONSOLE_H
#define BALLAST_DEVICES_VIRTIO_CONSOLE_H

#include "devices/virtio/virtio.h"

#define VIRTIO_CONSOLE_PORTS 4

struct virtio_console;

struct virtio_console_port {
	const char *name; /* [I] what the guest is told; the first port's may be NULL */
	/* The guest sends: returns how many were taken; the rest waits for output_ready(). */
	size_t (*output)(struct virtio_console_port *port, const uint8_t *bytes, size_t count);
	/* The guest has buffers again after virtio_console_input() took less than offered. */
	void (*input_ready)(struct virtio_console_port *port);
	void *owner;
};

/* `ports` stay the caller's and live as long as the VM. As virtio_add(). */
int virtio_console_create(struct vm *vm, struct pci *pci, struct virtio_console_port *ports,
	unsigned int count, struct virtio_console **out) __must_check;
/*
 * Bytes for the guest; how many it had room for. All of them, which vanish, when nobody there uses
 * the port.
 */
size_t virtio_console_input(struct virtio_console *console, unsigned int port,
	const uint8_t *bytes, size_t count);
void virtio_console_output_ready(struct virtio_console *console, unsigned int port);
/* Has the guest a driver that uses this port? */
bool virtio_console_is_open(const struct virtio_console *console, unsigned int port);

#endif
