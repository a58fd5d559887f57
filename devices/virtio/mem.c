/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One request is dealt with at a time. What is unplugged goes block by block, in bounded pieces,
 * and a block's frames take a while (they may be in use still): only when all of it is done is the
 * request answered, and the next one looked at.
 */
#include "devices/virtio/mem.h"

#include <linux/virtio_mem.h>

#include "devices/device_timer.h"
#include "ept/guest_hotplug.h"
#include "host/memory.h"
#include "lib/string.h"

#define ANSWER_BYTES sizeof(struct virtio_mem_resp)
#define QUEUE_ENTRIES 16
#define CLASS_CODE 0x050000 /* memory controller, RAM */
#define RETRY_NS NS_PER_MS

/* In one go; a block that is given up is worth some requests. */
#define BUDGET 64
#define REQUEST_COST 4

_Static_assert(sizeof(struct virtio_mem_config) == 56, "configuration as specified");
_Static_assert(sizeof(struct virtio_mem_req) == 24, "requests as specified");
_Static_assert(sizeof(struct virtio_mem_resp) == 10, "answers as specified");

struct virtio_mem {
	struct virtio_device virtio;
	struct virtio_ring ring;
	gpa_t start;               /* [I] */
	uint64_t bytes;            /* [I] */
	uint64_t requested_bytes;  /* [a] */
	bool live;                 /* [a] */
	bool changed;              /* [a] the driver is to be told */
	bool held;                 /* [vm.lock] `chain` waits for its answer, */
	gpa_t answer_at;           /* [vm.lock] which goes here: */
	bool pinned;               /* [vm.lock] it is pinned */
	struct virtio_chain chain; /* [vm.lock] */
	gpa_t leaving, leaving_end; /* [vm.lock] to be unplugged and given up still */
	struct vm_work work;
	struct device_timer retry;
};

static struct virtio_mem *mem_of(struct virtio_device *device)
{
	return container_of(device, struct virtio_mem, virtio);
}

static struct guest_memory *memory_of(const struct virtio_mem *mem)
{
	return &mem->virtio.device.vm->memory;
}

static uint64_t requested(const struct virtio_mem *mem)
{
	return __atomic_load_n(&mem->requested_bytes, __ATOMIC_RELAXED);
}

static uint64_t plugged(const struct virtio_mem *mem)
{
	return guest_hotplug_bytes(memory_of(mem), mem->start);
}

/* --- Requests --- */

/* One that is held for long finds the place for its answer where it was. */
static void set_held(struct virtio_mem *mem, bool held)
{
	const struct virtio_segment *place = mem->chain.segments + mem->chain.readable;

	if (mem->pinned)
		guest_memory_unpin(memory_of(mem), mem->answer_at, ANSWER_BYTES);
	mem->pinned = held && mem->chain.writable &&
		!guest_memory_pin(memory_of(mem), place->gpa, ANSWER_BYTES);
	if (mem->pinned)
		mem->answer_at = place->gpa;
	mem->held = held;
}

/* The answer to the one at hand. */
static void answer(struct virtio_mem *mem, uint16_t type, uint16_t state)
{
	struct virtio_mem_resp response = { .type = type, .u.state.state = state };
	uint32_t bytes = chain_write(&mem->ring, &mem->chain, 0, &response, sizeof(response));

	ring_push(&mem->ring, mem->chain.head, bytes);
	set_held(mem, false);
}

/*
 * What a request names. The region's usable part is all of it. HOTPLUG_NONE: it is not some blocks
 * of the region; else how much of it is plugged.
 */
static uint64_t look_up(const struct virtio_mem *mem, const struct virtio_mem_req *request,
	gpa_t *start, uint64_t *bytes)
{
	/* The three kinds are laid out alike. */
	*start = request->u.plug.addr;
	*bytes = (uint64_t)request->u.plug.nb_blocks * VIRTIO_MEM_BLOCK;
	if (!*bytes || *start < mem->start || *start - mem->start >= mem->bytes)
		return HOTPLUG_NONE;
	return guest_hotplug_count(memory_of(mem), *start, *bytes);
}

static uint16_t plug(struct virtio_mem *mem, const struct virtio_mem_req *request)
{
	uint64_t bytes, there;
	gpa_t start;

	there = look_up(mem, request, &start, &bytes);
	if (there)
		return VIRTIO_MEM_RESP_ERROR;
	if (plugged(mem) + bytes > requested(mem))
		return VIRTIO_MEM_RESP_NACK;
	guest_hotplug_set(memory_of(mem), start, bytes, true);
	return VIRTIO_MEM_RESP_ACK;
}

static void leave(struct virtio_mem *mem, gpa_t start, uint64_t bytes)
{
	mem->leaving = start;
	mem->leaving_end = start + bytes;
}

static uint16_t unplug(struct virtio_mem *mem, const struct virtio_mem_req *request)
{
	uint64_t bytes, there;
	gpa_t start;

	there = look_up(mem, request, &start, &bytes);
	if (there != bytes)
		return VIRTIO_MEM_RESP_ERROR;
	leave(mem, start, bytes);
	return VIRTIO_MEM_RESP_ACK;
}

static uint16_t tell_state(const struct virtio_mem *mem, const struct virtio_mem_req *request,
	uint16_t *state)
{
	uint64_t bytes, there;
	gpa_t start;

	there = look_up(mem, request, &start, &bytes);
	if (there == HOTPLUG_NONE)
		return VIRTIO_MEM_RESP_ERROR;
	*state = there == bytes ? VIRTIO_MEM_STATE_PLUGGED :
		there ? VIRTIO_MEM_STATE_MIXED : VIRTIO_MEM_STATE_UNPLUGGED;
	return VIRTIO_MEM_RESP_ACK;
}

/* One that leads to pages leaving is answered when they have left. */
static void handle(struct virtio_mem *mem)
{
	struct virtio_mem_req request = { 0 };
	uint16_t type, state = 0;

	if (mem->chain.writable_bytes < sizeof(struct virtio_mem_resp) ||
		chain_read(&mem->ring, &mem->chain, 0, &request, sizeof(request)) !=
			sizeof(request)) {
		virtio_break(&mem->virtio, "a request that is too short, or has no room for its"
			" answer");
		set_held(mem, false);
		return;
	}
	switch (request.type) {
	case VIRTIO_MEM_REQ_PLUG:
		type = plug(mem, &request);
		break;
	case VIRTIO_MEM_REQ_UNPLUG:
		type = unplug(mem, &request);
		break;
	case VIRTIO_MEM_REQ_UNPLUG_ALL:
		type = VIRTIO_MEM_RESP_ACK;
		leave(mem, mem->start, mem->bytes);
		break;
	case VIRTIO_MEM_REQ_STATE:
		type = tell_state(mem, &request, &state);
		break;
	default:
		type = VIRTIO_MEM_RESP_ERROR;
	}
	if (mem->leaving == mem->leaving_end)
		answer(mem, type, state);
}

/* --- What makes it go --- */

/* The next block, or what is left of it: unplugged, and its pages given up. */
static void go_on_leaving(struct virtio_mem *mem)
{
	gpa_t block = ROUND_DOWN(mem->leaving, VIRTIO_MEM_BLOCK);
	uint64_t given;

	guest_hotplug_set(memory_of(mem), block, VIRTIO_MEM_BLOCK, false);
	given = guest_memory_discard(memory_of(mem), mem->leaving,
		block + VIRTIO_MEM_BLOCK - mem->leaving);
	mem->leaving += given;
	if (!given)
		device_timer_set(&mem->retry, clock_tsc() + clock_tsc_from_ns(RETRY_NS));
	if (mem->leaving < mem->leaving_end)
		return;
	/* Nothing leads to the old frames any more, before the guest may plug there again. */
	guest_memory_flush(memory_of(mem));
	if (mem->held)
		answer(mem, VIRTIO_MEM_RESP_ACK, 0);
}

/* The next request. False: there is none, and the driver will say when there is. */
static bool take(struct virtio_mem *mem)
{
	int got;

	if (!virtio_is_live(&mem->virtio))
		return false;
	got = ring_pop(&mem->ring, &mem->chain);
	if (got == 0 && ring_want_notifications(&mem->ring, true))
		got = ring_pop(&mem->ring, &mem->chain);
	if (got < 0 || mem->ring.broken)
		virtio_break(&mem->virtio, "a queue that breaks the rules");
	set_held(mem, got > 0);
	return mem->held;
}

static void go_on(struct virtio_mem *mem)
{
	int budget = BUDGET;

	while (budget > 0 && !device_timer_armed(&mem->retry)) {
		if (mem->leaving < mem->leaving_end) {
			go_on_leaving(mem);
			budget--;
		} else if (take(mem)) {
			handle(mem);
			budget -= REQUEST_COST;
		} else {
			break;
		}
	}
	if (virtio_is_live(&mem->virtio))
		virtio_signal(&mem->virtio, 0);
	if (budget <= 0)
		vm_work_queue(mem->virtio.device.vm, &mem->work);
}

static void work(struct vm_work *at)
{
	struct virtio_mem *mem = container_of(at, struct virtio_mem, work);

	if (__atomic_exchange_n(&mem->changed, false, __ATOMIC_ACQUIRE) &&
		virtio_is_live(&mem->virtio))
		virtio_config_changed(&mem->virtio);
	go_on(mem);
}

static void retry(struct device_timer *timer)
{
	struct virtio_mem *mem = container_of(timer, struct virtio_mem, retry);

	vm_work_queue(mem->virtio.device.vm, &mem->work);
}

/* A driver that comes later looks at the size by itself. */
void virtio_mem_request(struct virtio_mem *mem, uint64_t bytes)
{
	bytes = ROUND_DOWN(MIN(bytes, mem->bytes), VIRTIO_MEM_BLOCK);
	if (__atomic_exchange_n(&mem->requested_bytes, bytes, __ATOMIC_RELAXED) == bytes ||
		!__atomic_load_n(&mem->live, __ATOMIC_RELAXED))
		return;
	__atomic_store_n(&mem->changed, true, __ATOMIC_RELEASE);
	vm_work_queue(mem->virtio.device.vm, &mem->work);
}

struct virtio_mem_state virtio_mem_look(const struct virtio_mem *mem)
{
	return (struct virtio_mem_state){
		.live = __atomic_load_n(&mem->live, __ATOMIC_RELAXED),
		.requested_bytes = requested(mem),
		.plugged_bytes = plugged(mem),
	};
}

/* --- The device --- */

static void ready(struct virtio_device *device)
{
	__atomic_store_n(&mem_of(device)->live, true, __ATOMIC_RELAXED);
}

static void notified(struct virtio_device *device, unsigned int queue)
{
	(void)queue;
	go_on(mem_of(device));
}

/* What leaves goes on to do so: whoever drives the device next is to find it gone. */
static void reset(struct virtio_device *device)
{
	struct virtio_mem *mem = mem_of(device);

	set_held(mem, false);
	device_timer_stop(&mem->retry);
	vm_work_cancel(device->device.vm, &mem->work);
	if (mem->leaving < mem->leaving_end)
		vm_work_queue(device->device.vm, &mem->work);
	__atomic_store_n(&mem->live, false, __ATOMIC_RELAXED);
}

static void destroy(struct virtio_device *device)
{
	struct virtio_mem *mem = mem_of(device);

	device_timer_destroy(&mem->retry);
	vm_work_cancel(device->device.vm, &mem->work);
	heap_free(mem);
}

static uint32_t config_read(struct virtio_device *device, unsigned int offset, unsigned int size)
{
	const struct virtio_mem *mem = mem_of(device);
	const struct virtio_mem_config config = {
		.block_size = VIRTIO_MEM_BLOCK,
		.addr = mem->start,
		.region_size = mem->bytes,
		.usable_region_size = mem->bytes,
		.plugged_size = plugged(mem),
		.requested_size = requested(mem),
	};
	uint32_t value = 0;

	memcpy(&value, (const uint8_t *)&config + offset, size);
	return value;
}

static const struct virtio_operations operations = {
	.id = VIRTIO_ID_MEM,
	.class_code = CLASS_CODE,
	.config_bytes = sizeof(struct virtio_mem_config),
	.config_read = config_read,
	.ready = ready,
	.notified = notified,
	.reset = reset,
	.destroy = destroy,
};

int virtio_mem_create(struct vm *vm, struct pci *pci, gpa_t start, uint64_t bytes,
	struct virtio_mem **created)
{
	struct virtio_mem *mem = heap_alloc(sizeof(*mem), FRAME_VM);

	if (!mem)
		return -ENOMEM;
	mem->start = start;
	mem->bytes = bytes;
	mem->virtio.operations = &operations;
	mem->virtio.offered = BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
		BIT(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE);
	mem->virtio.rings = &mem->ring;
	mem->virtio.ring_count = 1;
	mem->ring.memory = &vm->memory;
	mem->ring.size_max = QUEUE_ENTRIES;
	vm_work_init(&mem->work, work);
	device_timer_init(&mem->retry, vm, retry);
	*created = mem;
	return virtio_add(vm, pci, &mem->virtio);
}
