/* SPDX-License-Identifier: BSD-2-Clause */
/* What all virtio devices have in common; see devices/virtio/virtio.h. */
#include "devices/virtio/virtio.h"

#include "devices/virtio/virtio_pci.h"
#include "host/log.h"

/* What a driver may set; DEVICE_NEEDS_RESET is the device's. */
#define DRIVER_STATUS                                                                              \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |        \
		VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

bool virtio_is_live(const struct virtio_device *device)
{
	return (device->status &
		       (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET)) ==
		VIRTIO_CONFIG_S_DRIVER_OK &&
		!device->resetting;
}

static void complete_reset(struct virtio_device *device)
{
	device->resetting = false;
	device->status = 0;
}

/* All that the driver has set up is forgotten at once; that it is done is told when it is. */
static void begin_reset(struct virtio_device *device)
{
	if (device->resetting)
		return;
	device->resetting = true;
	device->features = 0;
	device->accepted = 0;
	for (unsigned int i = 0; i < device->ring_count; i++)
		ring_reset(&device->rings[i]);
	vm_work_cancel(device->device.vm, &device->again);
	virtio_pci_forget(device->pci);
	if (device->operations->reset)
		device->operations->reset(device);
	if (device->in_flight == 0)
		complete_reset(device);
}

unsigned int virtio_begin(struct virtio_device *device)
{
	device->in_flight++;
	return vm_io_begin(device->device.vm);
}

void virtio_end(struct virtio_device *device)
{
	if (--device->in_flight == 0 && device->resetting)
		complete_reset(device);
}

static bool features_agreed(const struct virtio_device *device)
{
	return (device->accepted & ~device->offered) == 0 &&
		(device->accepted & BIT(VIRTIO_F_VERSION_1));
}

void virtio_write_status(struct virtio_device *device, uint8_t status)
{
	uint8_t set = status & DRIVER_STATUS & ~device->status;

	if (status == 0) {
		begin_reset(device);
		return;
	}
	if (device->resetting)
		return;
	if ((set & VIRTIO_CONFIG_S_FEATURES_OK) && !features_agreed(device))
		set &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	device->status |= set & ~VIRTIO_CONFIG_S_DRIVER_OK;
	if (set & VIRTIO_CONFIG_S_FEATURES_OK)
		device->features = device->accepted;
	/* Without FEATURES_OK it is a driver of the legacy interface, which is not offered. */
	if (!(set & VIRTIO_CONFIG_S_DRIVER_OK) || !(device->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	device->status |= VIRTIO_CONFIG_S_DRIVER_OK;
	if (virtio_is_live(device) && device->operations->ready)
		device->operations->ready(device);
}

void virtio_enable_queue(struct virtio_device *device, unsigned int queue)
{
	struct virtio_ring *ring;

	if (queue >= device->ring_count || !(device->status & VIRTIO_CONFIG_S_FEATURES_OK) ||
		device->resetting)
		return;
	ring = &device->rings[queue];
	if (ring->enabled || ring->broken)
		return;
	ring->event_index = virtio_has(device, VIRTIO_RING_F_EVENT_IDX);
	ring->indirect = virtio_has(device, VIRTIO_RING_F_INDIRECT_DESC);
	if (ring_enable(ring))
		virtio_break(device, "a queue that is not in its memory");
}

void virtio_notify(struct virtio_device *device, unsigned int queue)
{
	if (unlikely(queue >= device->ring_count || !virtio_is_live(device) ||
		    !device->rings[queue].enabled))
		return;
	device->operations->notified(device, queue);
	if (unlikely(device->rings[queue].broken))
		virtio_break(device, "a queue that breaks the rules");
}

void virtio_signal(struct virtio_device *device, unsigned int queue)
{
	if (ring_needs_signal(&device->rings[queue]))
		virtio_pci_signal(device->pci, queue);
	else if (unlikely(device->rings[queue].broken))
		virtio_break(device, "a queue that breaks the rules");
}

void virtio_config_changed(struct virtio_device *device)
{
	device->config_generation++;
	if ((device->status & VIRTIO_CONFIG_S_DRIVER_OK) && !device->resetting)
		virtio_pci_signal_config(device->pci);
}

void virtio_break(struct virtio_device *device, const char *why)
{
	if ((device->status & VIRTIO_CONFIG_S_NEEDS_RESET) || device->resetting)
		return;
	device->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (device->status & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_pci_signal_config(device->pci);
	/* A guest that does this all the time does not fill the log. */
	if (!device->complained)
		log_line("VM %s: the driver of %s in PCI slot %u has to reset it: %s",
			device->device.vm->name, device->device.name,
			virtio_pci_slot(device->pci), why);
	device->complained = true;
}

static void power_up(struct device *base)
{
	struct virtio_device *device = container_of(base, struct virtio_device, device);

	device->complained = false;
	device->config_generation = 0;
	if (!device->pci)
		return;
	begin_reset(device);
	virtio_pci_reset(device->pci);
}

static void look_again(struct vm_work *work)
{
	struct virtio_device *device = container_of(work, struct virtio_device, again);

	for (unsigned int i = 0; i < device->ring_count; i++) {
		if (ring_look_again(&device->rings[i]))
			virtio_notify(device, i);
	}
}

static void memory_came(struct device *base)
{
	struct virtio_device *device = container_of(base, struct virtio_device, device);

	for (unsigned int i = 0; i < device->ring_count; i++) {
		if (device->rings[i].absent)
			vm_work_queue(base->vm, &device->again);
	}
}

static void destroy(struct device *base)
{
	struct virtio_device *device = container_of(base, struct virtio_device, device);

	vm_work_cancel(base->vm, &device->again);
	for (unsigned int i = 0; device->pci && i < device->ring_count; i++)
		ring_reset(&device->rings[i]);
	virtio_pci_destroy(device->pci);
	device->operations->destroy(device);
}

static const char *name_of(const struct virtio_device *device)
{
	switch (device->operations->id) {
	case VIRTIO_ID_NET:
		return "virtio-net";
	case VIRTIO_ID_BLOCK:
		return "virtio-blk";
	case VIRTIO_ID_CONSOLE:
		return "virtio-console";
	case VIRTIO_ID_RNG:
		return "virtio-rng";
	case VIRTIO_ID_BALLOON:
		return "virtio-balloon";
	default:
		return "virtio";
	}
}

int virtio_add(struct vm *vm, struct pci *pci, struct virtio_device *device)
{
	device->device.name = name_of(device);
	device->device.reset = power_up;
	device->device.destroy = destroy;
	device->device.memory_came = memory_came;
	device->pci = NULL;
	vm_work_init(&device->again, look_again);
	vm_add_device(vm, &device->device);
	if (device->ring_count > VIRTIO_MAX_RINGS)
		return -EINVAL;
	device->offered |= BIT(VIRTIO_F_VERSION_1);
	for (unsigned int i = 0; i < device->ring_count; i++)
		ring_reset(&device->rings[i]);
	return virtio_pci_create(vm, pci, device);
}
