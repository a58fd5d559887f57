/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_virtio.h. */
#include "test/unit/fake_virtio.h"

#undef NDEBUG
#include <assert.h>
#include <string.h>

#include "devices/virtio/virtio_pci.h"
#include "host/log.h"

static const struct s2_format format = { .name = "EPT", .table_bits = 7, .leaf_bits = 6 << 3,
	.large_bit = BIT(7), .present = 7, .read = BIT(0), .write = BIT(1), .exec = BIT(2) };

static struct list works = LIST_INIT(works);

void log_line(const char *text, ...)
{
	(void)text;
}

void vm_add_device(struct vm *vm, struct device *device)
{
	device->vm = vm;
	list_add_tail(&vm->devices, &device->link);
}

void vm_work_init(struct vm_work *work, void (*run)(struct vm_work *work))
{
	work->run = run;
	work->queued = false;
	list_init(&work->link);
}

void vm_work_queue(struct vm *vm, struct vm_work *work)
{
	assert(vm);
	if (!work->queued)
		list_add_tail(&works, &work->link);
	work->queued = true;
}

void vm_work_cancel(struct vm *vm, struct vm_work *work)
{
	(void)vm;
	list_remove(&work->link);
	work->queued = false;
}

unsigned int fake_virtio_work(unsigned int most)
{
	unsigned int count = 0;

	for (; count < most && !list_empty(&works); count++) {
		struct vm_work *work = list_first(&works, struct vm_work, link);

		vm_work_cancel(NULL, work);
		work->run(work);
	}
	return count;
}

unsigned int vm_io_begin(struct vm *vm)
{
	(void)vm;
	return 0;
}

void vm_io_end(struct vm *vm, unsigned int hold)
{
	(void)vm, (void)hold;
}

/* The transport is told by the VM that it is in, which is the start of a struct fake_virtio. */
static struct fake_virtio *fake_of(struct virtio_pci *pci)
{
	return container_of(pci->device->device.vm, struct fake_virtio, vm);
}

int virtio_pci_create(struct vm *vm, struct pci *pci, struct virtio_device *device)
{
	struct fake_virtio *fake = container_of(vm, struct fake_virtio, vm);
	static struct virtio_pci transports[8];
	struct virtio_pci *free = transports;

	(void)pci;
	if (fake->add_error)
		return fake->add_error;
	while (free->device)
		free++;
	assert(free < transports + ARRAY_SIZE(transports));
	free->device = device;
	device->pci = free;
	fake->device = device;
	return 0;
}

void virtio_pci_destroy(struct virtio_pci *transport)
{
	if (transport)
		transport->device = NULL;
}

void virtio_pci_forget(struct virtio_pci *transport)
{
	(void)transport;
}

void virtio_pci_reset(struct virtio_pci *transport)
{
	(void)transport;
}

void virtio_pci_signal(struct virtio_pci *transport, unsigned int queue)
{
	fake_of(transport)->signals[queue]++;
}

void virtio_pci_signal_config(struct virtio_pci *transport)
{
	fake_of(transport)->config_signals++;
}

unsigned int virtio_pci_slot(const struct virtio_pci *transport)
{
	(void)transport;
	return 1;
}

void fake_virtio_create(struct fake_virtio *fake, const char *name)
{
	int error;

	memset(fake, 0, sizeof(*fake));
	strncpy(fake->vm.name, name, sizeof(fake->vm.name) - 1);
	list_init(&fake->vm.devices);
	error = guest_memory_init(&fake->vm.memory, &format);
	assert(!error);
	error = guest_memory_add(&fake->vm.memory, 0, FAKE_VIRTIO_RAM, false);
	assert(!error);
}

void fake_virtio_destroy(struct fake_virtio *fake)
{
	struct device *device, *after;

	list_for_each_safe(device, after, &fake->vm.devices, struct device, link)
		device->destroy(device);
	guest_memory_destroy(&fake->vm.memory);
	fake->device = NULL;
}

static void set_up_queue(struct fake_virtio *fake, unsigned int number, uint16_t size)
{
	struct virtio_ring *ring = &fake->device->rings[number];
	gpa_t base = 0x10000 * (number + 1ULL);
	static const uint8_t zeroes[0x10000];

	fake->queues[number] = (struct fake_driver){ &fake->vm.memory, base, base + 0x4000, base + 0x8000, size, 0 };
	fake_driver_set(&fake->queues[number], base, zeroes, sizeof(zeroes));
	ring->size = MIN(size, ring->size_max);
	fake->queues[number].size = ring->size;
	ring->descriptors = base;
	ring->available = base + 0x4000;
	ring->used = base + 0x8000;
	virtio_enable_queue(fake->device, number);
}

void fake_virtio_start(struct fake_virtio *fake, uint64_t features, uint16_t size)
{
	struct virtio_device *device = fake->device;

	fake_virtio_reset(fake);
	virtio_write_status(device, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	device->accepted = features | BIT(VIRTIO_F_VERSION_1);
	virtio_write_status(device, device->status | VIRTIO_CONFIG_S_FEATURES_OK);
	assert(device->status & VIRTIO_CONFIG_S_FEATURES_OK);
	for (unsigned int i = 0; i < device->ring_count; i++)
		set_up_queue(fake, i, size);
	virtio_write_status(device, device->status | VIRTIO_CONFIG_S_DRIVER_OK);
	memset(fake->signals, 0, sizeof(fake->signals));
	fake->config_signals = 0;
}

void fake_virtio_reset(struct fake_virtio *fake)
{
	virtio_write_status(fake->device, 0);
}

void fake_virtio_notify(struct fake_virtio *fake, unsigned int queue)
{
	virtio_notify(fake->device, queue);
}

bool fake_virtio_is_broken(const struct fake_virtio *fake)
{
	return fake->device->status & VIRTIO_CONFIG_S_NEEDS_RESET;
}
