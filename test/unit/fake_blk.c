/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_blk.h. */
#include "test/unit/fake_blk.h"

#undef NDEBUG
#include <assert.h>
#include <stdlib.h>

#include "devices/virtio/virtio_pci.h"

struct fake_blk fake_blk;

static const struct s2_format format = { .name = "EPT", .table_bits = 7, .leaf_bits = 6 << 3,
	.large_bit = BIT(7), .present = 7, .read = BIT(0), .write = BIT(1), .exec = BIT(2) };

static struct cpu cpu;

struct cpu *this_cpu(void)
{
	return &cpu;
}

void vcpu_request(struct vcpu *vcpu, uint32_t bits)
{
	assert(vcpu->vm == &fake_blk.vm && bits == REQUEST_WORK);
	fake_blk.work_requests++;
}

void vm_add_device(struct vm *vm, struct device *device)
{
	device->vm = vm;
	list_add_tail(&vm->devices, &device->link);
}

static struct virtio_pci *const transport = (struct virtio_pci *)&fake_blk;

int virtio_pci_create(struct vm *vm, struct pci *pci, struct virtio_device *device)
{
	(void)vm, (void)pci;
	device->pci = transport;
	fake_blk.device = device;
	return 0;
}

void virtio_pci_destroy(struct virtio_pci *pci)
{
	assert(pci == transport);
}

void virtio_pci_forget(struct virtio_pci *pci)
{
	assert(pci == transport);
}

void virtio_pci_reset(struct virtio_pci *pci)
{
	assert(pci == transport);
}

void virtio_pci_signal(struct virtio_pci *pci, unsigned int queue)
{
	assert(pci == transport && fake_blk.vm.lock.next != fake_blk.vm.lock.owner);
	fake_blk.signals[queue]++;
}

void virtio_pci_signal_config(struct virtio_pci *pci)
{
	assert(pci == transport);
	fake_blk.config_signals++;
}

unsigned int virtio_pci_slot(const struct virtio_pci *pci)
{
	assert(pci == transport);
	return 3;
}

void fake_blk_begin(unsigned int vcpu_count)
{
	struct vm *vm = &fake_blk.vm;
	int error;

	memset(&fake_blk, 0, sizeof(fake_blk));
	list_init(&vm->devices);
	vm_work_queue_init(&vm->work);
	vm->vcpu_count = vcpu_count;
	for (unsigned int i = 0; i < FAKE_BLK_QUEUES; i++) {
		fake_blk.vcpus[i].vm = vm;
		vm->vcpus[i] = &fake_blk.vcpus[i];
	}
	error = guest_memory_init(&vm->memory, &format);
	/* No slot of these has a whole aligned block of 2 MiB. */
	error = error ? error : guest_memory_add(&vm->memory, 0, MIB(1), false);
	error = error ? error : guest_memory_add(&vm->memory, MIB(1), MIB(2), false);
	error = error ? error : guest_memory_add(&vm->memory, MIB(3), MIB(1), false);
	error = error ? error : guest_memory_add(&vm->memory, FAKE_BLK_LARGE_START,
		FAKE_BLK_RAM_BYTES - FAKE_BLK_LARGE_START, false);
	assert(!error);
	fake_disk_init(&fake_blk.disk);
}

int fake_blk_create(const char *serial, enum block_open how)
{
	int error = block_open(&fake_blk.disk.device, how);

	assert(!error);
	return virtio_blk_create(&fake_blk.vm, NULL, &fake_blk.disk.device, serial, &fake_blk.blk);
}

void fake_blk_end(void)
{
	struct device *device, *after;

	assert(fake_blk.vm.io_in_flight == 0);
	list_for_each_safe(device, after, &fake_blk.vm.devices, struct device, link) {
		list_remove(&device->link);
		device->destroy(device);
	}
	assert(list_empty(&fake_blk.vm.work.list));
	guest_memory_destroy(&fake_blk.vm.memory);
	fake_disk_free(&fake_blk.disk);
}

#define LOCKED(statement)                                                                                            \
	do {                                                                                                         \
		spin_lock(&fake_blk.vm.lock);                                                                        \
		statement;                                                                                           \
		spin_unlock(&fake_blk.vm.lock);                                                                      \
	} while (0)

void fake_blk_write_status(uint8_t status)
{
	LOCKED(virtio_write_status(fake_blk.device, status));
}

void fake_blk_start(uint64_t features)
{
	static const uint8_t zeroes[0x4000];
	struct virtio_device *device = fake_blk.device;
	uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK;

	fake_blk_write_status(0);
	assert(device->status == 0);
	device->accepted = features | BIT(VIRTIO_F_VERSION_1);
	fake_blk_write_status(status);
	assert(device->status == status);
	for (unsigned int i = 0; i < device->ring_count; i++) {
		struct fake_driver *driver = &fake_blk.drivers[i];
		struct virtio_ring *ring = &device->rings[i];
		gpa_t rings = FAKE_BLK_RINGS(i);

		*driver = (struct fake_driver){ &fake_blk.vm.memory, rings, rings + 0x1000, rings + 0x2000,
			FAKE_BLK_QUEUE_SIZE, 0 };
		fake_driver_set(driver, rings, zeroes, sizeof(zeroes));
		ring->size = FAKE_BLK_QUEUE_SIZE;
		ring->descriptors = driver->descriptors;
		ring->available = driver->available;
		ring->used = driver->used;
		LOCKED(virtio_enable_queue(device, i));
		assert(!ring->broken);
	}
	fake_blk_write_status(status | VIRTIO_CONFIG_S_DRIVER_OK);
}

void fake_blk_notify(unsigned int queue)
{
	LOCKED(virtio_notify(fake_blk.device, queue));
}

void fake_blk_offer(unsigned int queue, uint16_t head, bool event_index)
{
	struct fake_driver *driver = &fake_blk.drivers[queue];
	uint16_t before = driver->index;

	fake_driver_offer(driver, head);
	if (event_index ? vring_need_event(fake_driver_available_event(driver), driver->index, before) :
			!(fake_driver_used_flags(driver) & VRING_USED_F_NO_NOTIFY))
		fake_blk_notify(queue);
}

unsigned int fake_blk_work(void)
{
	unsigned int turns = 0;

	while (!list_empty(&fake_blk.vm.work.list)) {
		assert(fake_blk.work_requests);
		vm_work_run(&fake_blk.vm);
		assert(turns++ < 10000);
	}
	return turns;
}
