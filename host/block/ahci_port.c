/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An AHCI port's start and recovery, step by step: nothing waits. See ahci_internal.h, and "Error
 * Recovery" of the AHCI specification.
 *
 * After a failure of NCQ's commands the disk accepts nothing but a reading of its error log or a
 * reset. It is reset, always: then the commands are done again one by one, without NCQ, and the
 * one that fails is known without the log, which some disks fill wrongly.
 */
#include "host/block/ahci_internal.h"

#include "host/log.h"
#include "host/memory.h"

#define STOP_NS (500 * NS_PER_MS)
#define COMRESET_NS (2 * NS_PER_MS) /* 1 ms is the least */
#define FIRST_LINK_NS (50 * NS_PER_MS)
#define LINK_NS (2 * NS_PER_SEC)
#define READY_NS (10 * NS_PER_SEC)

static struct ahci_port *port_of(struct disk_queue *queue)
{
	return container_of(queue, struct ahci_port, queue);
}

static void enter(struct ahci_port *port, enum ahci_state state, uint64_t limit_ns)
{
	port->state = state;
	port->step_deadline_tsc = clock_tsc() + clock_tsc_from_ns(limit_ns);
}

static uint32_t command_bits(const struct ahci_port *port)
{
	return ahci_port_read(port, AHCI_PORT_CMD) & ~AHCI_PORT_CMD_STATE;
}

static bool linked(const struct ahci_port *port)
{
	return (ahci_port_read(port, AHCI_PORT_SSTS) & AHCI_SSTS_DETECTION) == AHCI_SSTS_LINKED;
}

void ahci_port_give_up(struct ahci_port *port, const char *why)
{
	if (port->known)
		log_line("%s (%s) %s and is not used any more", port->block.name, port->name, why);
	ahci_port_write(port, AHCI_PORT_IE, 0);
	ahci_port_write(port, AHCI_PORT_CMD, command_bits(port) & ~AHCI_PORT_CMD_START);
	/* A port that does not stop, or is not there, may touch memory as long as it can. */
	if (ahci_port_read(port, AHCI_PORT_CMD) & AHCI_PORT_CMD_RUNNING && port->queue.busy) {
		host_pci_disable(port->hba->pci);
		__atomic_store_n(&port->hba->dead, true, __ATOMIC_RELEASE);
	}
	port->state = AHCI_DEAD;
	disk_queue_kill(&port->queue);
}

void ahci_port_begin(struct ahci_port *port)
{
	ahci_port_write(port, AHCI_PORT_IE, 0);
	mmio_write64(port->hba->registers, AHCI_PORT(port->index) + AHCI_PORT_CLB,
		host_phys(port->area->headers));
	mmio_write64(port->hba->registers, AHCI_PORT(port->index) + AHCI_PORT_FB,
		host_phys(port->area->fis));
	ahci_port_write(port, AHCI_PORT_SCTL, AHCI_SCTL_NO_SLUMBER);
	ahci_port_write(port, AHCI_PORT_CMD, AHCI_PORT_CMD_FIS | AHCI_PORT_CMD_SPIN_UP |
		AHCI_PORT_CMD_POWER_ON | AHCI_PORT_CMD_ACTIVE);
	disk_queue_hold(&port->queue);
	enter(port, AHCI_LINKING, FIRST_LINK_NS);
}

void ahci_port_recover(struct ahci_port *port, bool reset, int error)
{
	disk_queue_hold(&port->queue);
	port->issue = 0;
	port->reset = reset;
	port->recovery_error = error;
	ahci_port_write(port, AHCI_PORT_CMD, command_bits(port) & ~AHCI_PORT_CMD_START);
	enter(port, AHCI_STOPPING, STOP_NS);
}

static void clear_errors(struct ahci_port *port)
{
	ahci_port_write(port, AHCI_PORT_SERR, ahci_port_read(port, AHCI_PORT_SERR));
	ahci_port_write(port, AHCI_PORT_IS, ahci_port_read(port, AHCI_PORT_IS));
}

static void go_live(struct ahci_port *port)
{
	clear_errors(port);
	ahci_port_write(port, AHCI_PORT_CMD, command_bits(port) | AHCI_PORT_CMD_START);
	port->state = AHCI_LIVE;
	port->queue.held = false;
}

/* It touches memory no more: what was under way can be ended. */
static void stopped(struct ahci_port *port)
{
	if (port->recovery_error)
		disk_queue_fail_issued(&port->queue, port->recovery_error);
	else
		disk_queue_retry_issued(&port->queue);
	if (port->ending) {
		ahci_port_give_up(port, port->ending);
		return;
	}
	if (!port->reset && !(ahci_port_read(port, AHCI_PORT_TFD) & AHCI_PORT_TFD_BUSY)) {
		go_live(port);
		return;
	}
	ahci_port_write(port, AHCI_PORT_SCTL, AHCI_SCTL_NO_SLUMBER | AHCI_SCTL_RESET);
	enter(port, AHCI_RESETTING, COMRESET_NS);
}

static void step(struct ahci_port *port)
{
	switch (port->state) {
	case AHCI_STOPPING:
		if (!(ahci_port_read(port, AHCI_PORT_CMD) & AHCI_PORT_CMD_RUNNING))
			stopped(port);
		break;
	case AHCI_LINKING:
		if (!linked(port))
			break;
		clear_errors(port);
		enter(port, AHCI_READYING, READY_NS);
		break;
	case AHCI_READYING:
		if (!(ahci_port_read(port, AHCI_PORT_TFD) & AHCI_PORT_TFD_BUSY))
			go_live(port);
		break;
	default:
		break;
	}
}

void ahci_port_step(struct disk_queue *queue)
{
	struct ahci_port *port = port_of(queue);

	if (ahci_port_read(port, AHCI_PORT_CMD) == AHCI_GONE) {
		ahci_port_give_up(port, "is gone");
		return;
	}
	step(port);
	if (port->state >= AHCI_LIVE || clock_tsc() < port->step_deadline_tsc)
		return;
	if (port->state == AHCI_RESETTING) {
		ahci_port_write(port, AHCI_PORT_SCTL, AHCI_SCTL_NO_SLUMBER);
		enter(port, AHCI_LINKING, LINK_NS);
		return;
	}
	ahci_port_give_up(port, port->state == AHCI_STOPPING ? "does not stop" :
		port->state == AHCI_LINKING ? "has no link" : "does not get ready");
}

void ahci_port_check(struct disk_queue *queue)
{
	struct ahci_port *port = port_of(queue);

	if (__atomic_load_n(&port->hba->dead, __ATOMIC_ACQUIRE) ||
		ahci_port_read(port, AHCI_PORT_CMD) == AHCI_GONE)
		ahci_port_give_up(port, "is gone");
	else if (!linked(port))
		ahci_port_end(port, "was unplugged");
}

void ahci_port_end(struct ahci_port *port, const char *why)
{
	port->ending = why;
	ahci_port_recover(port, false, -EIO);
}

void ahci_port_late(struct disk_queue *queue, unsigned int index)
{
	struct ahci_port *port = port_of(queue);

	(void)index;
	log_line("%s does not answer; it is reset", port->block.name);
	ahci_port_recover(port, true, -ETIMEDOUT);
}
