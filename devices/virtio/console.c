/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues (virtio 1.2, "Console Device", "Virtqueues"): each port has one for its input and one for
 * its output, the first port's being 0 and 1; 2 and 3 carry control messages about the ports. What
 * the driver is to be told of a port waits, a bit for each message, until it has given a buffer.
 */
#include "devices/virtio/console.h"

#include <linux/virtio_console.h>

#include "host/memory.h"
#include "lib/string.h"

#define QUEUES (2 * VIRTIO_CONSOLE_PORTS + 2)
#define QUEUE_CONTROL_INPUT 2
#define QUEUE_CONTROL_OUTPUT 3
#define QUEUE_ENTRIES 64
#define CLASS_CODE 0x078000 /* simple communication controller, other */

/* Of one queue, in one go. */
#define BUDGET_BYTES 4096
#define BUDGET_CHAINS 64
#define PART_BYTES 256

/* What the driver is to be told of a port: bits, in this order. */
enum { TELL_ADD, TELL_CONSOLE, TELL_NAME, TELL_OPEN, TELLS };

/* All [vm.lock]. */
struct port_state {
	bool open;           /* the guest uses it */
	bool input_refused;  /* input_ready() is to be called */
	uint32_t sent;       /* bytes of the chain at the head of its output that were taken */
	uint32_t tell;       /* BIT(TELL_...) */
};

struct virtio_console {
	struct virtio_device virtio;
	struct virtio_ring rings[QUEUES];
	struct virtio_console_port *ports;  /* [I] the other side's */
	unsigned int count;                 /* [I] */
	struct port_state states[VIRTIO_CONSOLE_PORTS];
	struct vm_work work;                /* to go on with the queues in `busy` */
	uint32_t busy;                      /* bits of queues [vm.lock] */
	struct virtio_chain chain;          /* the one at hand [vm.lock] */
};

static struct virtio_console *console_of(struct virtio_device *device)
{
	return container_of(device, struct virtio_console, virtio);
}

static unsigned int input_queue(unsigned int port)
{
	return port == 0 ? 0 : 2 * port + 2;
}

static unsigned int output_queue(unsigned int port)
{
	return input_queue(port) + 1;
}

static bool has_control(const struct virtio_console *console)
{
	return virtio_has(&console->virtio, VIRTIO_CONSOLE_F_MULTIPORT);
}

/*
 * The next chain of a queue. False: there is none, and the driver will say when there is; or the
 * queue is broken, which virtio_signal() tells.
 */
static bool take(struct virtio_console *console, unsigned int queue)
{
	struct virtio_ring *ring = &console->rings[queue];
	int got;

	if (!ring->enabled)
		return false;
	got = ring_pop(ring, &console->chain);
	if (got == 0 && ring_want_notifications(ring, true))
		got = ring_pop(ring, &console->chain);
	return got > 0;
}

static void go_on_later(struct virtio_console *console, unsigned int queue)
{
	console->busy |= (uint32_t)BIT(queue);
	vm_work_queue(console->virtio.device.vm, &console->work);
}

/* --- Output of the guest --- */

/* The rest of the chain at hand. True: all of it was taken; else *budget is used up, or not. */
static bool send_chain(struct virtio_console *console, unsigned int port, uint32_t *budget)
{
	struct virtio_console_port *other = &console->ports[port];
	struct port_state *state = &console->states[port];
	struct virtio_ring *ring = &console->rings[output_queue(port)];
	uint8_t part[PART_BYTES];

	while (state->sent < console->chain.readable_bytes) {
		uint32_t bytes = MIN(console->chain.readable_bytes - state->sent, PART_BYTES);
		uint32_t got, taken;

		bytes = MIN(bytes, *budget);
		if (!bytes)
			return false;
		got = chain_read(ring, &console->chain, state->sent, part, bytes);
		if (!got)
			return true; /* its memory cannot be had */
		taken = other->output ? (uint32_t)other->output(other, part, got) : got;
		state->sent += taken;
		*budget -= taken;
		if (taken < got)
			return false;
	}
	return true;
}

/* Stops when the other side takes no more: it will call; or when this has gone on long enough. */
static void send(struct virtio_console *console, unsigned int port)
{
	unsigned int queue = output_queue(port);
	struct virtio_ring *ring = &console->rings[queue];
	uint32_t budget = BUDGET_BYTES, chains = BUDGET_CHAINS;

	while (chains && take(console, queue)) {
		if (!send_chain(console, port, &budget)) {
			ring_unpop(ring);
			chains = budget ? chains : 0;
			break;
		}
		console->states[port].sent = 0;
		ring_push(ring, console->chain.head, 0);
		chains--;
	}
	virtio_signal(&console->virtio, queue);
	if (!chains)
		go_on_later(console, queue);
}

void virtio_console_output_ready(struct virtio_console *console, unsigned int port)
{
	if (virtio_is_live(&console->virtio))
		send(console, port);
}

/* --- Input for the guest --- */

bool virtio_console_is_open(const struct virtio_console *console, unsigned int port)
{
	return virtio_is_live(&console->virtio) && console->states[port].open;
}

size_t virtio_console_input(struct virtio_console *console, unsigned int port,
	const uint8_t *bytes, size_t count)
{
	unsigned int queue = input_queue(port);
	struct virtio_ring *ring = &console->rings[queue];
	unsigned int chains = BUDGET_CHAINS;
	size_t taken = 0;

	if (!virtio_console_is_open(console, port))
		return count;
	while (taken < count && chains-- && take(console, queue)) {
		uint32_t part = (uint32_t)MIN(count - taken, console->chain.writable_bytes);

		part = chain_write(ring, &console->chain, 0, bytes + taken, part);
		ring_push(ring, console->chain.head, part);
		taken += part;
	}
	console->states[port].input_refused = taken < count;
	if (taken < count && chains == ~0U)
		go_on_later(console, queue);
	virtio_signal(&console->virtio, queue);
	return taken;
}

static void input_ready(struct virtio_console *console, unsigned int port)
{
	struct virtio_console_port *other = &console->ports[port];

	if (!console->states[port].input_refused)
		return;
	console->states[port].input_refused = false;
	if (other->input_ready)
		other->input_ready(other);
}

/* --- Control messages --- */

static void tell(struct virtio_console *console, unsigned int port, unsigned int what)
{
	static const uint16_t events[TELLS] = {
		[TELL_ADD] = VIRTIO_CONSOLE_PORT_ADD,
		[TELL_CONSOLE] = VIRTIO_CONSOLE_CONSOLE_PORT,
		[TELL_NAME] = VIRTIO_CONSOLE_PORT_NAME,
		[TELL_OPEN] = VIRTIO_CONSOLE_PORT_OPEN,
	};
	struct virtio_ring *ring = &console->rings[QUEUE_CONTROL_INPUT];
	struct virtio_console_control message = { port, events[what], 1 };
	const char *name = console->ports[port].name;
	uint32_t written = chain_write(ring, &console->chain, 0, &message, sizeof(message));

	if (what == TELL_NAME)
		written += chain_write(ring, &console->chain, written, name,
			(uint32_t)strlen(name));
	ring_push(ring, console->chain.head, written);
}

/* As many messages as the driver has buffers for. */
static void tell_all(struct virtio_console *console)
{
	for (unsigned int port = 0; port < console->count; port++)
		for (unsigned int what = 0; what < TELLS; what++) {
			if (!(console->states[port].tell & BIT(what)))
				continue;
			if (!take(console, QUEUE_CONTROL_INPUT))
				return;
			console->states[port].tell &= ~(uint32_t)BIT(what);
			tell(console, port, what);
		}
}

static void port_is_ready(struct virtio_console *console, unsigned int port)
{
	uint32_t *bits = &console->states[port].tell;

	*bits |= BIT(TELL_OPEN);
	if (port == 0)
		*bits |= BIT(TELL_CONSOLE);
	if (console->ports[port].name)
		*bits |= BIT(TELL_NAME);
}

static void heard(struct virtio_console *console, const struct virtio_console_control *message)
{
	if (message->event == VIRTIO_CONSOLE_DEVICE_READY && message->value)
		for (unsigned int i = 0; i < console->count; i++)
			console->states[i].tell |= BIT(TELL_ADD);
	if (message->id >= console->count)
		return;
	if (message->event == VIRTIO_CONSOLE_PORT_READY && message->value)
		port_is_ready(console, message->id);
	if (message->event == VIRTIO_CONSOLE_PORT_OPEN) {
		console->states[message->id].open = message->value;
		input_ready(console, message->id);
	}
}

static void hear(struct virtio_console *console)
{
	struct virtio_ring *ring = &console->rings[QUEUE_CONTROL_OUTPUT];
	struct virtio_console_control message;
	unsigned int chains = BUDGET_CHAINS;

	while (chains && take(console, QUEUE_CONTROL_OUTPUT)) {
		if (chain_read(ring, &console->chain, 0, &message, sizeof(message)) ==
			sizeof(message))
			heard(console, &message);
		ring_push(ring, console->chain.head, 0);
		chains--;
	}
	virtio_signal(&console->virtio, QUEUE_CONTROL_OUTPUT);
	if (!chains)
		go_on_later(console, QUEUE_CONTROL_OUTPUT);
}

static void serve_control(struct virtio_console *console, unsigned int queue)
{
	if (queue == QUEUE_CONTROL_OUTPUT)
		hear(console);
	tell_all(console);
	virtio_signal(&console->virtio, QUEUE_CONTROL_INPUT);
}

/* --- The device --- */

static void serve(struct virtio_console *console, unsigned int queue)
{
	unsigned int port = queue < 2 ? 0 : (queue - 2) / 2;

	if (queue == QUEUE_CONTROL_INPUT || queue == QUEUE_CONTROL_OUTPUT) {
		if (has_control(console))
			serve_control(console, queue);
	} else if (queue == output_queue(port)) {
		send(console, port);
	} else {
		input_ready(console, port);
	}
}

static void notified(struct virtio_device *device, unsigned int queue)
{
	serve(console_of(device), queue);
}

static void work(struct vm_work *at)
{
	struct virtio_console *console = container_of(at, struct virtio_console, work);
	uint32_t busy = console->busy;

	console->busy = 0;
	for (unsigned int queue = 0; queue < console->virtio.ring_count; queue++)
		if ((busy & BIT(queue)) && virtio_is_live(&console->virtio))
			serve(console, queue);
}

static uint32_t config_read(struct virtio_device *device, unsigned int offset, unsigned int size)
{
	struct virtio_console_config config = { .max_nr_ports = console_of(device)->count };
	uint32_t value = 0;

	memcpy(&value, (const uint8_t *)&config + offset, size);
	return value;
}

/* A driver that knows of one port alone uses that as soon as it is there. */
static void ready(struct virtio_device *device)
{
	struct virtio_console *console = console_of(device);

	if (!has_control(console))
		console->states[0].open = true;
}

static void reset(struct virtio_device *device)
{
	struct virtio_console *console = console_of(device);
	struct port_state before[VIRTIO_CONSOLE_PORTS];

	vm_work_cancel(device->device.vm, &console->work);
	console->busy = 0;
	memcpy(before, console->states, sizeof(before));
	memset(console->states, 0, sizeof(console->states));
	/* What waits for room vanishes now. */
	for (unsigned int port = 0; port < console->count; port++) {
		console->states[port].input_refused = before[port].input_refused;
		input_ready(console, port);
	}
}

static void destroy(struct virtio_device *device)
{
	struct virtio_console *console = console_of(device);

	vm_work_cancel(device->device.vm, &console->work);
	heap_free(console);
}

static const struct virtio_operations operations = {
	.id = VIRTIO_ID_CONSOLE,
	.class_code = CLASS_CODE,
	.config_bytes = sizeof(struct virtio_console_config),
	.config_read = config_read,
	.ready = ready,
	.notified = notified,
	.reset = reset,
	.destroy = destroy,
};

int virtio_console_create(struct vm *vm, struct pci *pci, struct virtio_console_port *ports,
	unsigned int count, struct virtio_console **out)
{
	struct virtio_console *console = heap_alloc(sizeof(*console), FRAME_VM);

	if (!console)
		return -ENOMEM;
	console->virtio.operations = &operations;
	console->virtio.offered = BIT(VIRTIO_CONSOLE_F_MULTIPORT) | BIT(VIRTIO_RING_F_EVENT_IDX) |
		BIT(VIRTIO_RING_F_INDIRECT_DESC);
	console->virtio.rings = console->rings;
	console->virtio.ring_count = 2 * count + 2;
	for (unsigned int i = 0; i < console->virtio.ring_count; i++) {
		console->rings[i].memory = &vm->memory;
		console->rings[i].size_max = QUEUE_ENTRIES;
	}
	console->ports = ports;
	console->count = count;
	vm_work_init(&console->work, work);
	*out = console;
	return virtio_add(vm, pci, &console->virtio);
}
