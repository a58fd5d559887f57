/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net: what the guest sends is copied into packets for the switch, what comes from there
 * waits in the port's queue until a vCPU of this guest copies it into the guest's own memory. So
 * nobody ever has the locks, or the memory, of two VMs.
 */
#include "devices/virtio/net_internal.h"

#include "host/memory.h"
#include "lib/string.h"

/* What is done in one go, of either direction: so many packets, or so many bytes. */
#define BATCH_PACKETS 64
#define BATCH_BYTES KIB(128)

#define HEADER_BYTES ((uint32_t)sizeof(struct virtio_net_hdr_v1))
_Static_assert(sizeof(struct virtio_net_hdr_v1) == 12, "virtio 1.2, \"Device Operation\"");

#define CLASS_ETHERNET 0x020000

static struct virtio_net *nic_of(struct virtio_device *device)
{
	return container_of(device, struct virtio_net, virtio);
}

/* A ring may have turned out broken outside of a notification. */
static void finish_queue(struct virtio_net *nic, unsigned int queue)
{
	ring_publish(&nic->rings[queue]);
	virtio_signal(&nic->virtio, queue);
	if (unlikely(nic->rings[queue].broken))
		virtio_break(&nic->virtio, "a queue that breaks the rules");
}

/* May the guest leave this to the device? Whether it fits the frame is the switch's to say. */
static bool offload_is_negotiated(
	const struct virtio_device *device, const struct virtio_net_hdr_v1 *header)
{
	if ((header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
		!virtio_has(device, VIRTIO_NET_F_CSUM))
		return false;
	switch (header->gso_type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return virtio_has(device, VIRTIO_NET_F_HOST_TSO4);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return virtio_has(device, VIRTIO_NET_F_HOST_TSO6);
	default:
		return false;
	}
}

/* The popped chain's frame. */
static bool read_frame(struct virtio_net *nic, struct net_packet *packet, uint32_t bytes)
{
	uint32_t run;

	packet->bytes = bytes;
	for (uint32_t at = 0; at < bytes; at += run) {
		uint8_t *to = net_packet_at(packet, at, &run);

		run = MIN(run, bytes - at);
		if (chain_read(&nic->rings[NET_QUEUE_TRANSMIT], &nic->chain, HEADER_BYTES + at, to,
			    run) != run)
			return false;
	}
	return true;
}

static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* The popped chain goes to the switch. The bytes that were copied. */
static uint32_t send_frame(struct virtio_net *nic)
{
	struct net_counters *sent = &nic->port.sent;
	struct virtio_net_hdr_v1 header;
	struct net_packet *packet;
	uint32_t bytes = nic->chain.readable_bytes - HEADER_BYTES;

	if (chain_read(&nic->rings[NET_QUEUE_TRANSMIT], &nic->chain, 0, &header, HEADER_BYTES) !=
			HEADER_BYTES ||
		bytes > NET_PACKET_BYTES || !offload_is_negotiated(&nic->virtio, &header)) {
		count(&sent->malformed);
		return 0;
	}
	packet = net_packet_alloc(bytes);
	if (!packet) {
		count(&sent->dropped);
		return 0;
	}
	packet->offload = header;
	if (read_frame(nic, packet, bytes)) {
		net_send(&nic->port, packet);
	} else {
		net_packet_put(packet);
		count(&sent->dropped);
	}
	return bytes;
}

static void transmit(struct virtio_net *nic)
{
	struct virtio_ring *ring = &nic->rings[NET_QUEUE_TRANSMIT];
	uint32_t packets = 0, bytes = 0;
	bool more = true;

	ring_want_notifications(ring, false);
	do {
		while (packets < BATCH_PACKETS && bytes < BATCH_BYTES &&
			ring_pop(ring, &nic->chain) > 0) {
			bytes += send_frame(nic);
			packets++;
			ring_put(ring, nic->chain.head, 0);
		}
		more = packets == BATCH_PACKETS || bytes >= BATCH_BYTES;
	} while (!more && ring_want_notifications(ring, true));
	finish_queue(nic, NET_QUEUE_TRANSMIT);
	if (more)
		vm_work_queue(nic->virtio.device.vm, &nic->transmit);
}

/* From byte `from` of the packet into a chain from byte `at`: what fits. False: no memory. */
static bool fill(struct virtio_ring *ring, const struct virtio_chain *chain, uint32_t at,
	struct net_packet *packet, uint32_t from)
{
	uint32_t left = MIN(chain->writable_bytes - at, packet->bytes - from), run;

	for (; left; at += run, from += run, left -= run) {
		const uint8_t *part = net_packet_at(packet, from, &run);

		run = MIN(run, left);
		if (chain_write(ring, chain, at, part, run) != run)
			return false;
	}
	return true;
}

/* Further buffers for what did not fit the first. Their number, or -E... */
static int fill_merged(struct virtio_net *nic, struct net_packet *packet, uint32_t done)
{
	struct virtio_ring *ring = &nic->rings[NET_QUEUE_RECEIVE];
	int buffers = 0;

	while (done < packet->bytes) {
		uint32_t bytes;
		int popped = ring_pop(ring, &nic->merged);

		/* When even all that there can be is too little, waiting does not help. */
		if (popped <= 0)
			return popped ? popped : buffers + 1 < ring->size ? -EAGAIN : -EMSGSIZE;
		bytes = MIN(nic->merged.writable_bytes, packet->bytes - done);
		if (!bytes || !fill(ring, &nic->merged, 0, packet, done)) {
			ring_unpop(ring);
			return -EMSGSIZE;
		}
		ring_put(ring, nic->merged.head, bytes);
		done += bytes;
		buffers++;
	}
	return buffers;
}

/*
 * 0: the guest has it. -EAGAIN: there are not enough buffers yet. -EMSGSIZE: its buffers do not do
 * for this packet. -EINVAL: the ring is broken.
 */
static int receive_frame(struct virtio_net *nic, struct net_packet *packet)
{
	struct virtio_ring *ring = &nic->rings[NET_QUEUE_RECEIVE];
	struct virtio_net_hdr_v1 header = packet->offload;
	struct virtio_chain *chain = &nic->chain;
	bool merge = virtio_has(&nic->virtio, VIRTIO_NET_F_MRG_RXBUF);
	int popped = ring_pop(ring, chain), buffers;
	uint32_t bytes;

	if (popped <= 0)
		return popped ? popped : -EAGAIN;
	if (chain->writable_bytes < HEADER_BYTES + (merge ? 0 : packet->bytes) ||
		!fill(ring, chain, HEADER_BYTES, packet, 0)) {
		ring_unpop(ring);
		return -EMSGSIZE;
	}
	bytes = MIN(chain->writable_bytes, HEADER_BYTES + packet->bytes);
	ring_put(ring, chain->head, bytes);
	buffers = fill_merged(nic, packet, bytes - HEADER_BYTES);
	if (buffers < 0) {
		ring_take_back(ring);
		return buffers;
	}
	if (!(nic->guest_offloads & BIT(VIRTIO_NET_F_GUEST_CSUM)))
		header.flags = 0;
	header.num_buffers = (uint16_t)(buffers + 1);
	/* The guest's memory was there a moment ago; if it is not now, so much for the ring. */
	if (chain_write(ring, chain, 0, &header, HEADER_BYTES) != HEADER_BYTES) {
		ring_take_back(ring);
		return -EMSGSIZE;
	}
	ring_publish(ring);
	return 0;
}

/* The guest may have turned off what it took when the packet was queued. */
static bool wants(const struct virtio_net *nic, const struct net_packet *packet)
{
	bool segments = packet->offload.gso_type != VIRTIO_NET_HDR_GSO_NONE;
	bool checksum = packet->offload.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

	return (!segments || nic->port.takes_segments) &&
	       (!checksum || nic->port.takes_checksum) &&
	       net_filter_passes(&nic->filter, nic, packet->data);
}

/* The next one for the guest, or NULL. */
static struct net_packet *next_packet(struct virtio_net *nic)
{
	struct net_packet *packet = nic->waiting;

	nic->waiting = NULL;
	return packet ? packet : net_take(&nic->port);
}

/* False: it waits for buffers. */
static bool receive_packet(struct virtio_net *nic, struct net_packet *packet)
{
	struct virtio_ring *ring = &nic->rings[NET_QUEUE_RECEIVE];
	int error = 0;

	/* No more rounds than the ring has entries: each finds more of them. */
	if (wants(nic, packet))
		do {
			error = receive_frame(nic, packet);
		} while (error == -EAGAIN && ring_want_more(ring));
	if (error == -EAGAIN) {
		nic->waiting = packet;
		return false;
	}
	net_packet_put(packet);
	return true;
}

static void receive(struct virtio_net *nic)
{
	uint32_t packets = 0, bytes = 0;
	struct net_packet *packet;
	bool more = false;

	ring_want_notifications(&nic->rings[NET_QUEUE_RECEIVE], false);
	while (!more && (packet = next_packet(nic))) {
		bytes += packet->bytes;
		packets++;
		if (!receive_packet(nic, packet))
			break;
		more = packets == BATCH_PACKETS || bytes >= BATCH_BYTES;
	}
	finish_queue(nic, NET_QUEUE_RECEIVE);
	if (more)
		vm_work_queue(nic->virtio.device.vm, &nic->receive);
}

static void run_receive(struct vm_work *work)
{
	struct virtio_net *nic = container_of(work, struct virtio_net, receive);

	if (virtio_is_live(&nic->virtio))
		receive(nic);
}

static void run_transmit(struct vm_work *work)
{
	struct virtio_net *nic = container_of(work, struct virtio_net, transmit);

	if (virtio_is_live(&nic->virtio))
		transmit(nic);
}

static void run_control(struct vm_work *work)
{
	struct virtio_net *nic = container_of(work, struct virtio_net, control);

	if (virtio_is_live(&nic->virtio))
		net_serve_control(nic);
}

/* Another VM's CPU, with that VM's lock: see struct net_port. */
static void deliver(struct net_port *port)
{
	struct virtio_net *nic = container_of(port, struct virtio_net, port);

	vm_work_queue(nic->virtio.device.vm, &nic->receive);
}

static void notified(struct virtio_device *device, unsigned int queue)
{
	struct virtio_net *nic = nic_of(device);

	if (queue == NET_QUEUE_TRANSMIT)
		transmit(nic);
	else if (queue == NET_QUEUE_CONTROL)
		net_serve_control(nic);
	else if (nic->waiting)
		receive(nic);
}

static void set_down(struct virtio_net *nic, bool down)
{
	__atomic_store_n(&nic->port.down, down, __ATOMIC_RELAXED);
}

static void ready(struct virtio_device *device)
{
	struct virtio_net *nic = nic_of(device);

	net_filter_reset(nic);
	net_set_guest_offloads(nic, device->features);
	ring_want_notifications(&nic->rings[NET_QUEUE_RECEIVE], false);
	/* What a sender queued while the port was being taken down. */
	net_flush(&nic->port);
	set_down(nic, false);
}

static void forget_packets(struct virtio_net *nic)
{
	struct vm *vm = nic->virtio.device.vm;

	vm_work_cancel(vm, &nic->receive);
	vm_work_cancel(vm, &nic->transmit);
	vm_work_cancel(vm, &nic->control);
	if (nic->waiting)
		net_packet_put(nic->waiting);
	nic->waiting = NULL;
}

static void reset(struct virtio_device *device)
{
	struct virtio_net *nic = nic_of(device);

	set_down(nic, true);
	forget_packets(nic);
	net_flush(&nic->port);
	net_filter_reset(nic);
	net_set_guest_offloads(nic, 0);
}

static void destroy(struct virtio_device *device)
{
	struct virtio_net *nic = nic_of(device);

	net_unplug(&nic->port);
	forget_packets(nic);
	heap_free(nic);
}

static uint32_t config_read(struct virtio_device *device, unsigned int offset, unsigned int size)
{
	struct virtio_net_config config = {
		.status = VIRTIO_NET_S_LINK_UP,
		.max_virtqueue_pairs = 1,
		.mtu = NET_MTU,
	};
	uint32_t value = 0;

	memcpy(config.mac, nic_of(device)->port.mac, ETH_ALEN);
	memcpy(&value, (const uint8_t *)&config + offset, size);
	return value;
}

static const struct virtio_operations operations = {
	.id = VIRTIO_ID_NET,
	.class_code = CLASS_ETHERNET,
	.config_bytes = offsetof(struct virtio_net_config, speed),
	.config_read = config_read,
	.ready = ready,
	.notified = notified,
	.reset = reset,
	.destroy = destroy,
};

#define OFFERED                                                                                    \
	(BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_MTU) |                \
		BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |                             \
		BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_GUEST_CSUM) |                       \
		BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |                      \
		BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CTRL_VQ) |                          \
		BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) |                      \
		BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |          \
		BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC))

int virtio_net_create(struct vm *vm, struct pci *pci, struct net_switch *net,
	const struct virtio_net_options *options, struct virtio_net **out)
{
	struct virtio_net *nic = heap_alloc(sizeof(*nic), FRAME_VM);
	size_t length = strnlen(options->name, sizeof(nic->port.name) - 1);
	int error;

	if (!nic)
		return -ENOMEM;
	nic->virtio.operations = &operations;
	nic->virtio.offered = OFFERED;
	nic->virtio.rings = nic->rings;
	nic->virtio.ring_count = NET_QUEUES;
	nic->virtio.device.vm = vm;
	for (unsigned int i = 0; i < NET_QUEUES; i++) {
		nic->rings[i].memory = &vm->memory;
		nic->rings[i].size_max = VIRTIO_RING_MAX;
	}
	vm_work_init(&nic->receive, run_receive);
	vm_work_init(&nic->transmit, run_transmit);
	vm_work_init(&nic->control, run_control);
	memcpy(nic->port.name, options->name, length);
	memcpy(nic->port.mac, options->mac, ETH_ALEN);
	nic->port.rate_bytes = options->rate_bytes;
	nic->port.deliver = deliver;
	nic->port.down = true;
	error = net_plug(net, &nic->port);
	if (error) {
		heap_free(nic);
		return error;
	}
	*out = nic;
	return virtio_add(vm, pci, &nic->virtio);
}

struct net_port *virtio_net_port(struct virtio_net *nic)
{
	return &nic->port;
}
