/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices/virtio/rng.h"

#include "host/memory.h"
#include "host/random.h"

#define QUEUE_ENTRIES 8
#define CLASS_CODE 0xff0000 /* none of the known */
/*
 * In one go, which takes some ten microseconds. A driver that asks for more gets the rest from the
 * work that its VM has put off, between others' turns.
 */
#define BUDGET_BYTES 256

struct virtio_rng {
	struct virtio_device virtio;
	struct virtio_ring ring;
	struct vm_work work;
	struct virtio_chain chain; /* the one at hand [vm.lock] */
};

/* What one request gets is at least a byte, and need not be all that it asks for. */
static bool fill(struct virtio_rng *rng, uint32_t *budget)
{
	uint32_t bytes = MIN(rng->chain.writable_bytes, *budget);
	uint8_t random[BUDGET_BYTES];

	if (!bytes) {
		virtio_break(&rng->virtio, "a request for random bytes has no room for any");
		return false;
	}
	if (random_bytes(random, bytes)) {
		virtio_break(&rng->virtio, "there are no random bytes");
		return false;
	}
	bytes = chain_write(&rng->ring, &rng->chain, 0, random, bytes);
	ring_push(&rng->ring, rng->chain.head, bytes);
	*budget -= MAX(bytes, 1);
	return true;
}

static void serve(struct virtio_rng *rng)
{
	uint32_t budget = BUDGET_BYTES;
	int got = 0;

	/* A chain gets a byte at least. */
	while (budget) {
		got = ring_pop(&rng->ring, &rng->chain);
		if (got == 0 && ring_want_notifications(&rng->ring, true))
			got = ring_pop(&rng->ring, &rng->chain);
		if (got <= 0 || !fill(rng, &budget))
			break;
	}
	virtio_signal(&rng->virtio, 0);
	if (!budget)
		vm_work_queue(rng->virtio.device.vm, &rng->work);
}

static void notified(struct virtio_device *device, unsigned int queue)
{
	(void)queue;
	serve(container_of(device, struct virtio_rng, virtio));
}

static void work(struct vm_work *at)
{
	struct virtio_rng *rng = container_of(at, struct virtio_rng, work);

	if (virtio_is_live(&rng->virtio))
		serve(rng);
}

static void reset(struct virtio_device *device)
{
	vm_work_cancel(device->device.vm, &container_of(device, struct virtio_rng, virtio)->work);
}

static void destroy(struct virtio_device *device)
{
	reset(device);
	heap_free(container_of(device, struct virtio_rng, virtio));
}

static const struct virtio_operations operations = {
	.id = VIRTIO_ID_RNG,
	.class_code = CLASS_CODE,
	.notified = notified,
	.reset = reset,
	.destroy = destroy,
};

int virtio_rng_create(struct vm *vm, struct pci *pci)
{
	struct virtio_rng *rng;

	if (!random_available())
		return -ENODEV;
	rng = heap_alloc(sizeof(*rng), FRAME_VM);
	if (!rng)
		return -ENOMEM;
	rng->virtio.operations = &operations;
	rng->virtio.offered = BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC);
	rng->virtio.rings = &rng->ring;
	rng->virtio.ring_count = 1;
	rng->ring.memory = &vm->memory;
	rng->ring.size_max = QUEUE_ENTRIES;
	vm_work_init(&rng->work, work);
	return virtio_add(vm, pci, &rng->virtio);
}
