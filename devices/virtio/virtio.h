/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all virtio devices have in common (Virtual I/O Device Version 1.2, "Basic Facilities of a
 * Virtio Device"): status, features, configuration space, queues, interrupts. A device embeds a
 * struct virtio_device and fills in a const table of operations; the PCI transport drives it.
 *
 * All under vm.lock, but for creation, which is the boot CPU's.
 */
#ifndef BALLAST_DEVICES_VIRTIO_VIRTIO_H
#define BALLAST_DEVICES_VIRTIO_VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#include "devices/virtio/ring.h"
#include "vcpu/vm.h"
#include "vcpu/work.h"

struct pci;
struct virtio_pci;
struct virtio_device;

struct virtio_operations {
	uint16_t id;             /* VIRTIO_ID_... */
	uint32_t class_code;     /* PCI class: base, sub-class, interface, 24 bits */
	unsigned int config_bytes; /* of the device's own configuration space */
	/* `offset` + `size` lie within it; `size` is 1, 2 or 4. */
	uint32_t (*config_read)(struct virtio_device *device, unsigned int offset,
		unsigned int size);
	/* NULL: nothing can be written. */
	void (*config_write)(struct virtio_device *device, unsigned int offset, unsigned int size,
		uint32_t value);
	/* DRIVER_OK: features are final, enabled queues may be used. May be NULL. */
	void (*ready)(struct virtio_device *device);
	/* The driver says that a queue has something. It is enabled; work is bounded. */
	void (*notified)(struct virtio_device *device, unsigned int queue);
	/*
	 * Forget what the driver set up. What is in flight (virtio_begin()) cannot be taken back:
	 * it is to be ended without touching the queues. Also by the VM's own reset, for which
	 * nothing touches its memory any more. May be NULL.
	 */
	void (*reset)(struct virtio_device *device);
	/* Free the device's own, the struct virtio_device among it. Without vm.lock. */
	void (*destroy)(struct virtio_device *device);
};

struct virtio_device {
	struct device device;                /* the core's; see vcpu/vm.h */
	const struct virtio_operations *operations; /* [I] */
	uint64_t offered;                    /* [I] features, VIRTIO_F_VERSION_1 is added */
	struct virtio_ring *rings;           /* [I] the device's own array */
	unsigned int ring_count;             /* [I] */
	/* The core's from here on. */
	uint64_t features;                   /* negotiated; 0 before FEATURES_OK */
	uint64_t accepted;                   /* what the driver has written so far */
	uint8_t status;                      /* VIRTIO_CONFIG_S_... */
	uint8_t config_generation;
	unsigned int in_flight;
	bool resetting;                      /* status reads as it was until nothing is in flight */
	bool complained;                     /* a line in the log since power-up */
	struct virtio_pci *pci;              /* [I] its transport */
	struct vm_work again;                /* memory that a queue waited for may have come */
};

#define VIRTIO_MAX_RINGS 32

/*
 * Put a device that has its operations, features and rings (memory and size_max set) onto the PCI
 * bus, in the next free place. `devices` of the VM owns it from now on, also when this fails: it is
 * destroyed with the VM. -ENOSPC, -ENOMEM, -EINVAL.
 *
 * Boot CPU, without vm.lock, which it takes: the VM may be running already. From its return on,
 * and on a running VM before it, the guest may call into the device. A guest that runs is told by
 * ACPI to look at the bus again.
 */
int virtio_add(struct vm *vm, struct pci *pci, struct virtio_device *device) __must_check;

static inline bool virtio_has(const struct virtio_device *device, unsigned int feature)
{
	return device->features & BIT(feature);
}
/* DRIVER_OK, and no reset under way, and not broken. */
bool virtio_is_live(const struct virtio_device *device);

/* Interrupt for what was pushed to this queue, if the driver wants one. */
void virtio_signal(struct virtio_device *device, unsigned int queue);
/* The configuration space has changed: a new generation and an interrupt. */
void virtio_config_changed(struct virtio_device *device);
/* The driver broke the rules: DEVICE_NEEDS_RESET, an interrupt, and a log line, once. */
void virtio_break(struct virtio_device *device, const char *why);

/*
 * A request that touches guest memory later on begins with virtio_begin(), which calls
 * vm_io_begin() and has its answer. It ends twice. When nothing touches the memory any more, on any
 * CPU and without vm.lock, the device calls vm_io_end() itself: the VM's stop waits for that, when
 * no vCPU is left to do work. And as soon as work can be done virtio_end(), under vm.lock: a reset
 * by the driver is complete only when none is left. In operations->reset() the device ends those of
 * which only this is missing.
 */
unsigned int virtio_begin(struct virtio_device *device) __must_check;
void virtio_end(struct virtio_device *device);

/*
 * For the transport: what the driver does. All under vm.lock.
 *
 * A write of the status. 0 resets; a bit that has been set stays; FEATURES_OK only sticks for a set
 * of features that was offered and has VIRTIO_F_VERSION_1.
 */
void virtio_write_status(struct virtio_device *device, uint8_t status);
void virtio_enable_queue(struct virtio_device *device, unsigned int queue);
/* Nothing happens for a queue that is not there or not enabled, nor when the device is not live. */
void virtio_notify(struct virtio_device *device, unsigned int queue);

#endif
