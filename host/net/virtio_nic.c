/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/net/virtio_nic.h"

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#include "host/log.h"
#include "host/memory.h"
#include "host/mmio.h"
#include "lib/string.h"

#define VENDOR_VIRTIO 0x1af4
#define DEVICE_TRANSITIONAL 0x1000
#define DEVICE_MODERN (0x1040 + VIRTIO_ID_NET)

static struct virtio_nic *virtio_of(struct nic *nic)
{
	return container_of(nic, struct virtio_nic, nic);
}

/* --- A queue --- */

static void clear(struct virtio_nic_queue *queue)
{
	memset(queue->rings, 0, sizeof(*queue->rings));
	queue->available = queue->used = 0;
	queue->broken = false;
	queue->rings->available.flags = VRING_AVAIL_F_NO_INTERRUPT;
}

/* The slots' descriptors stay as they are but for the packet's address and length. */
static void link_slots(struct virtio_nic_queue *queue, uint16_t flags)
{
	unsigned int slots = queue->size / 2;

	queue->free_count = 0;
	for (unsigned int slot = slots; slot-- > 0;) {
		queue->rings->descriptors[2 * slot] = (struct vring_desc){
			.addr = host_phys(&queue->rings->header),
			.len = sizeof(queue->rings->header),
			.flags = flags | VRING_DESC_F_NEXT,
			.next = (uint16_t)(2 * slot + 1),
		};
		queue->rings->descriptors[2 * slot + 1].flags = flags;
		queue->free[queue->free_count++] = (uint16_t)slot;
	}
}

/* There is a free slot: the caller has counted. */
static void put(struct virtio_nic_queue *queue, struct net_packet *packet, uint32_t bytes)
{
	struct virtio_nic_rings *rings = queue->rings;
	uint16_t slot = queue->free[--queue->free_count];

	queue->packets[slot] = packet;
	rings->descriptors[2 * slot + 1].addr = host_phys(packet->data);
	rings->descriptors[2 * slot + 1].len = bytes;
	rings->available.ring[queue->available++ & (queue->size - 1)] = (uint16_t)(2 * slot);
}

static void publish(const struct virtio_nic *virtio, struct virtio_nic_queue *queue)
{
	__atomic_store_n(&queue->rings->available.index, queue->available, __ATOMIC_SEQ_CST);
	if (!(__atomic_load_n(&queue->rings->used.flags, __ATOMIC_SEQ_CST) &
		    VRING_USED_F_NO_NOTIFY))
		virtio_nic_notify(virtio, queue);
}

/* The next packet that the device is done with, and how many bytes it wrote. */
static struct net_packet *take(struct virtio_nic_queue *queue, uint32_t *bytes)
{
	struct virtio_nic_rings *rings = queue->rings;
	uint16_t index = __atomic_load_n(&rings->used.index, __ATOMIC_ACQUIRE);
	struct net_packet *packet = NULL;
	uint32_t id;

	if (index == queue->used || queue->broken)
		return NULL;
	id = __atomic_load_n(&rings->used.ring[queue->used & (queue->size - 1)].id,
		__ATOMIC_RELAXED);
	*bytes = __atomic_load_n(&rings->used.ring[queue->used & (queue->size - 1)].len,
		__ATOMIC_RELAXED);
	/* Not more are done than were given, and only those. */
	if ((uint16_t)(index - queue->used) <= queue->size / 2 - queue->free_count &&
		id < queue->size && id % 2 == 0)
		packet = queue->packets[id / 2];
	if (!packet) {
		queue->broken = true;
		return NULL;
	}
	queue->packets[id / 2] = NULL;
	queue->free[queue->free_count++] = (uint16_t)(id / 2);
	queue->used++;
	return packet;
}

/* A message for the next one. True: it is there already. */
static bool want(struct virtio_nic_queue *queue)
{
	__atomic_store_n(&queue->rings->available.flags, 0, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&queue->rings->used.index, __ATOMIC_SEQ_CST) != queue->used &&
		!queue->broken;
}

/* None as long as somebody looks anyway. */
static void mute(struct virtio_nic_queue *queue)
{
	__atomic_store_n(&queue->rings->available.flags, VRING_AVAIL_F_NO_INTERRUPT,
		__ATOMIC_RELAXED);
}

/* --- The NIC --- */

static void stop(struct nic *nic)
{
	virtio_nic_reset(virtio_of(nic));
}

static int start(struct nic *nic)
{
	struct virtio_nic *virtio = virtio_of(nic);
	int error;

	clear(&virtio->receive);
	clear(&virtio->send);
	error = virtio_nic_set_up(virtio);
	if (error)
		return error;
	link_slots(&virtio->receive, VRING_DESC_F_WRITE);
	link_slots(&virtio->send, 0);
	nic->ring = MIN(virtio->receive.size, virtio->send.size) / 2;
	return 0;
}

static int link_speed(struct nic *nic)
{
	struct virtio_nic *virtio = virtio_of(nic);
	uint8_t status = virtio_nic_status(virtio);
	uint16_t link = VIRTIO_NET_S_LINK_UP;

	if (status == 0xff)
		return -EIO;
	if ((status & VIRTIO_CONFIG_S_NEEDS_RESET) || virtio->receive.broken ||
		virtio->send.broken)
		return -EAGAIN;
	if (virtio->features & BIT(VIRTIO_NET_F_STATUS))
		link = mmio_read16(virtio->registers.config,
			offsetof(struct virtio_net_config, status));
	return link & VIRTIO_NET_S_LINK_UP ? NIC_SPEED_UNKNOWN : 0;
}

static void send(struct nic *nic, struct net_packet *packet)
{
	put(&virtio_of(nic)->send, packet, packet->bytes);
}

static void send_kick(struct nic *nic)
{
	publish(virtio_of(nic), &virtio_of(nic)->send);
}

static struct net_packet *sent(struct nic *nic)
{
	uint32_t bytes;

	mute(&virtio_of(nic)->send);
	return take(&virtio_of(nic)->send, &bytes);
}

static bool want_sent(struct nic *nic)
{
	return want(&virtio_of(nic)->send);
}

static void refill(struct nic *nic, struct net_packet *packet)
{
	put(&virtio_of(nic)->receive, packet, NIC_BUFFER_BYTES);
}

static void refill_kick(struct nic *nic)
{
	publish(virtio_of(nic), &virtio_of(nic)->receive);
}

static struct net_packet *received(struct nic *nic)
{
	struct virtio_nic_queue *queue = &virtio_of(nic)->receive;
	struct net_packet *packet;
	uint32_t bytes;

	mute(queue);
	packet = take(queue, &bytes);
	if (!packet)
		return NULL;
	packet->bytes = 0;
	if (bytes >= sizeof(struct virtio_net_hdr_v1) + ETH_HLEN &&
		bytes <= sizeof(struct virtio_net_hdr_v1) + NIC_BUFFER_BYTES)
		packet->bytes = bytes - (uint32_t)sizeof(struct virtio_net_hdr_v1);
	return packet;
}

static bool want_received(struct nic *nic)
{
	return want(&virtio_of(nic)->receive);
}

static const struct nic_operations operations = {
	.stop = stop,
	.start = start,
	.link = link_speed,
	.send = send,
	.send_kick = send_kick,
	.sent = sent,
	.want_sent = want_sent,
	.refill = refill,
	.refill_kick = refill_kick,
	.received = received,
	.want_received = want_received,
};

static bool make_queue(struct virtio_nic_queue *queue, unsigned int index,
	struct net_packet **packets)
{
	queue->index = index;
	queue->packets = packets;
	queue->rings = heap_alloc(sizeof(*queue->rings), FRAME_HOST);
	return queue->rings;
}

static bool set_up(struct virtio_nic *virtio, struct host_pci_device *pci)
{
	struct nic *nic = &virtio->nic;
	uint64_t features;

	if (virtio_nic_find_registers(virtio, pci) ||
		!make_queue(&virtio->receive, 0, nic->rx) || !make_queue(&virtio->send, 1, nic->tx))
		return false;
	host_pci_decode(pci);
	if (virtio_nic_offers(virtio, &features))
		return false;
	if (features & BIT(VIRTIO_NET_F_MAC))
		for (uint32_t i = 0; i < ETH_ALEN; i++)
			nic->port.mac[i] = mmio_read8(virtio->registers.config, i);
	else
		net_make_mac(nic->port.mac);
	virtio_nic_reset(virtio);
	host_pci_enable(pci);
	nic->polled = !host_pci_find_capability(pci, PCI_CAP_ID_MSIX) ||
		host_pci_attach_interrupt(pci, 0, nic_message_cpu(), nic_message, nic) != 0;
	return true;
}

bool virtio_nic_probe(struct host_pci_device *pci)
{
	struct virtio_nic *virtio;

	if (pci->vendor != VENDOR_VIRTIO ||
		(pci->device != DEVICE_MODERN && pci->device != DEVICE_TRANSITIONAL))
		return false;
	pci->driver = "virtio_nic";
	virtio = heap_alloc(sizeof(*virtio), FRAME_HOST);
	if (!virtio) {
		log_line("no memory for a NIC");
		return true;
	}
	virtio->nic.model = "virtio-net";
	virtio->nic.operations = &operations;
	virtio->nic.pci = pci;
	if (set_up(virtio, pci)) {
		nic_register(&virtio->nic);
		return true;
	}
	log_line("virtio-net at %02x:%02x.%u: cannot be used", pci->bus, pci->devfn >> 3,
		pci->devfn & 7);
	heap_free(virtio->receive.rings);
	heap_free(virtio->send.rings);
	heap_free(virtio);
	return true;
}
