/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intel 82540EM, which has no messages, and 82574L, which has MSI-X: one receive and one transmit
 * ring of legacy descriptors, all addresses let in, tags of VLANs left alone. The 82574 sends one
 * message for both rings; it masks the cause until it is asked for again, so that a busy ring makes
 * no interrupts.
 */
#include <linux/pci_regs.h>

#include "host/log.h"
#include "host/memory.h"
#include "host/mmio.h"
#include "host/net/e1000_regs.h"
#include "host/net/nic.h"
#include "lib/string.h"

#define VENDOR_INTEL 0x8086
#define MESSAGE 0              /* the entry of the MSI-X table */
#define MESSAGE_SPACING 195    /* 50 us */
#define EEPROM_POLLS 10000
#define MASTER_POLLS 1000
#define MAC_WORDS 3

struct e1000_model {
	uint16_t device;
	const char *name;
	bool express; /* 82574 */
	uint8_t eerd_address_shift;
	uint32_t eerd_done;
};

static const struct e1000_model models[] = {
	{ 0x100e, "82540EM", false, 8, BIT(4) },
	{ 0x10d3, "82574L", true, 2, BIT(1) },
};

struct e1000 {
	struct nic nic; /* the first */
	const struct e1000_model *model;
	volatile void *registers;
	struct e1000_rx_descriptor *rx_ring;
	struct e1000_tx_descriptor *tx_ring;
	/* [rx_lock], [tx_lock]: the next to be given to the hardware, and to come back from it. */
	unsigned int rx_tail, rx_head, tx_tail, tx_head;
};

static struct e1000 *e1000_of(struct nic *nic)
{
	return container_of(nic, struct e1000, nic);
}

static uint32_t get(const struct e1000 *e1000, uint32_t offset)
{
	return mmio_read32(e1000->registers, offset);
}

static void set(const struct e1000 *e1000, uint32_t offset, uint64_t value)
{
	mmio_write32(e1000->registers, offset, (uint32_t)value);
}

static unsigned int next(unsigned int index)
{
	return (index + 1) % NIC_RING;
}

/* --- Reset and start --- */

static void stop(struct nic *nic)
{
	struct e1000 *e1000 = e1000_of(nic);

	set(e1000, E1000_IMC, 0xffffffff);
	set(e1000, E1000_RCTL, 0);
	set(e1000, E1000_TCTL, TCTL_PAD_SHORT);
	if (e1000->model->express) {
		/* A reset in the midst of an access may leave the bus waiting for it. */
		set(e1000, E1000_CTRL, get(e1000, E1000_CTRL) | CTRL_MASTER_DISABLE);
		for (unsigned int i = 0; i < MASTER_POLLS; i++)
			if (!(get(e1000, E1000_STATUS) & STATUS_MASTER))
				break;
	}
	set(e1000, E1000_CTRL, get(e1000, E1000_CTRL) | CTRL_RESET);
}

static void set_addresses(struct e1000 *e1000)
{
	const uint8_t *mac = e1000->nic.port.mac;
	uint32_t low;

	memcpy(&low, mac, sizeof(low));
	set(e1000, E1000_RAL(0), low);
	set(e1000, E1000_RAH(0), mac[4] | (uint32_t)mac[5] << 8 | RAH_VALID);
	for (unsigned int i = 1; i < RECEIVE_ADDRESSES; i++) {
		set(e1000, E1000_RAH(i), 0);
		set(e1000, E1000_RAL(i), 0);
	}
	for (unsigned int i = 0; i < MTA_WORDS; i++)
		set(e1000, E1000_MTA(i), 0);
}

static void start_receiver(struct e1000 *e1000)
{
	uint64_t ring = host_phys(e1000->rx_ring);

	memset(e1000->rx_ring, 0, NIC_RING * sizeof(*e1000->rx_ring));
	e1000->rx_head = e1000->rx_tail = 0;
	set(e1000, E1000_RDTR, 0);
	set(e1000, E1000_RADV, 0);
	set(e1000, E1000_RDBAL, ring);
	set(e1000, E1000_RDBAH, ring >> 32);
	set(e1000, E1000_RDLEN, NIC_RING * sizeof(*e1000->rx_ring));
	set(e1000, E1000_RDH, 0);
	set(e1000, E1000_RDT, 0);
	/* Buffers of 2048 bytes; frames longer than 1522 are not received. */
	set(e1000, E1000_RCTL, RCTL_ENABLE | RCTL_ALL_UNICAST | RCTL_ALL_MULTICAST |
		RCTL_BROADCAST | RCTL_STRIP_CRC);
}

static void start_transmitter(struct e1000 *e1000)
{
	uint64_t ring = host_phys(e1000->tx_ring);
	uint64_t control = TCTL_ENABLE | TCTL_PAD_SHORT | TCTL_COLLISIONS | TCTL_COLLISION_DISTANCE;

	memset(e1000->tx_ring, 0, NIC_RING * sizeof(*e1000->tx_ring));
	e1000->tx_head = e1000->tx_tail = 0;
	set(e1000, E1000_TIDV, 0);
	set(e1000, E1000_TADV, 0);
	set(e1000, E1000_TIPG, TIPG_COPPER);
	set(e1000, E1000_TDBAL, ring);
	set(e1000, E1000_TDBAH, ring >> 32);
	set(e1000, E1000_TDLEN, NIC_RING * sizeof(*e1000->tx_ring));
	set(e1000, E1000_TDH, 0);
	set(e1000, E1000_TDT, 0);
	if (e1000->model->express) {
		set(e1000, E1000_TXDCTL, get(e1000, E1000_TXDCTL) | TXDCTL_COUNT_DESCRIPTORS);
		control |= TCTL_MULTIPLE_READS;
	}
	set(e1000, E1000_TCTL, control);
}

static void start_messages(struct e1000 *e1000)
{
	if (e1000->nic.polled)
		return;
	set(e1000, E1000_IVAR, IVAR_RECEIVED(MESSAGE) | IVAR_SENT(MESSAGE));
	set(e1000, E1000_EITR(MESSAGE), MESSAGE_SPACING);
	set(e1000, E1000_EIAC, CAUSE_RECEIVED | CAUSE_SENT);
	set(e1000, E1000_IMS, CAUSE_RECEIVED);
}

static int start(struct nic *nic)
{
	struct e1000 *e1000 = e1000_of(nic);
	uint64_t control = get(e1000, E1000_CTRL);

	if (control & CTRL_RESET)
		return -EAGAIN;
	if (e1000->model->express && !(get(e1000, E1000_EECD) & EECD_AUTO_READ_DONE))
		return -EAGAIN;
	set(e1000, E1000_IMC, 0xffffffff);
	get(e1000, E1000_ICR); /* reading clears it */
	control &= ~(CTRL_MASTER_DISABLE | CTRL_LINK_RESET | CTRL_AUTO_SPEED | CTRL_INVERT_LOSS |
		CTRL_FORCE_SPEED | CTRL_FORCE_DUPLEX | CTRL_RX_FLOW | CTRL_TX_FLOW | CTRL_VLAN |
		CTRL_PHY_RESET);
	set(e1000, E1000_CTRL, control | CTRL_SET_LINK_UP);
	if (e1000->model->express)
		set(e1000, E1000_CTRL_EXT,
			get(e1000, E1000_CTRL_EXT) | CTRL_EXT_DRIVER_LOADED);
	set_addresses(e1000);
	start_receiver(e1000);
	start_transmitter(e1000);
	start_messages(e1000);
	nic->ring = NIC_RING - 1;
	return 0;
}

static int link_speed(struct nic *nic)
{
	static const int speeds[] = { 10, 100, 1000, 1000 };
	uint32_t status = get(e1000_of(nic), E1000_STATUS);

	if (status == 0xffffffff)
		return -EIO;
	return status & STATUS_LINK_UP ? speeds[status >> STATUS_SPEED_SHIFT & 3] : 0;
}

/* --- Sending --- */

static void send(struct nic *nic, struct net_packet *packet)
{
	struct e1000 *e1000 = e1000_of(nic);

	nic->tx[e1000->tx_tail] = packet;
	e1000->tx_ring[e1000->tx_tail] = (struct e1000_tx_descriptor){
		.address = host_phys(packet->data),
		.bytes = (uint16_t)packet->bytes,
		.command = TX_COMMAND_END | TX_COMMAND_CRC | TX_COMMAND_REPORT,
	};
	e1000->tx_tail = next(e1000->tx_tail);
}

static void send_kick(struct nic *nic)
{
	set(e1000_of(nic), E1000_TDT, e1000_of(nic)->tx_tail);
}

static struct net_packet *sent(struct nic *nic)
{
	struct e1000 *e1000 = e1000_of(nic);
	unsigned int slot = e1000->tx_head;
	struct net_packet *packet = nic->tx[slot];

	if (!(__atomic_load_n(&e1000->tx_ring[slot].status, __ATOMIC_ACQUIRE) & TX_STATUS_DONE))
		return NULL;
	nic->tx[slot] = NULL;
	e1000->tx_head = next(slot);
	return packet;
}

static bool want_sent(struct nic *nic)
{
	set(e1000_of(nic), E1000_IMS, CAUSE_SENT);
	return false; /* a cause that is there already sends its message now */
}

/* --- Receiving --- */

static void refill(struct nic *nic, struct net_packet *packet)
{
	struct e1000 *e1000 = e1000_of(nic);

	nic->rx[e1000->rx_tail] = packet;
	e1000->rx_ring[e1000->rx_tail] = (struct e1000_rx_descriptor){
		.address = host_phys(packet->data),
	};
	e1000->rx_tail = next(e1000->rx_tail);
}

static void refill_kick(struct nic *nic)
{
	set(e1000_of(nic), E1000_RDT, e1000_of(nic)->rx_tail);
}

static struct net_packet *received(struct nic *nic)
{
	struct e1000 *e1000 = e1000_of(nic);
	unsigned int slot = e1000->rx_head;
	const struct e1000_rx_descriptor *descriptor = &e1000->rx_ring[slot];
	uint8_t status = __atomic_load_n(&descriptor->status, __ATOMIC_ACQUIRE);
	struct net_packet *packet = nic->rx[slot];
	uint16_t bytes;

	if (!(status & RX_STATUS_DONE))
		return NULL;
	bytes = __atomic_load_n(&descriptor->bytes, __ATOMIC_RELAXED);
	/* One that does not end here would be longer than any that is let in. */
	if (!(status & RX_STATUS_END) || (descriptor->errors & RX_ERRORS) || bytes < ETH_HLEN ||
		bytes > NIC_BUFFER_BYTES)
		bytes = 0;
	packet->bytes = bytes;
	nic->rx[slot] = NULL;
	e1000->rx_head = next(slot);
	return packet;
}

static bool want_received(struct nic *nic)
{
	set(e1000_of(nic), E1000_IMS, CAUSE_RECEIVED);
	return false;
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

/* --- Finding it --- */

static bool is_mac(const uint8_t *mac)
{
	uint8_t any = 0;

	for (unsigned int i = 0; i < ETH_ALEN; i++)
		any |= mac[i];
	return any && !(mac[0] & 1);
}

static bool read_eeprom(const struct e1000 *e1000, unsigned int word, uint8_t *to)
{
	uint32_t value = 0;

	set(e1000, E1000_EERD, word << e1000->model->eerd_address_shift | EERD_START);
	for (unsigned int i = 0; i < EEPROM_POLLS && !(value & e1000->model->eerd_done); i++)
		value = get(e1000, E1000_EERD);
	to[0] = (uint8_t)(value >> 16);
	to[1] = (uint8_t)(value >> 24);
	return value & e1000->model->eerd_done;
}

/* As firmware left it in the first receive address, or from where that comes. */
static bool read_mac(struct e1000 *e1000)
{
	uint32_t low = get(e1000, E1000_RAL(0)), high = get(e1000, E1000_RAH(0));
	uint8_t *mac = e1000->nic.port.mac;

	memcpy(mac, &low, 4);
	memcpy(mac + 4, &high, 2);
	if ((high & RAH_VALID) && is_mac(mac))
		return true;
	for (unsigned int word = 0; word < MAC_WORDS; word++)
		if (!read_eeprom(e1000, word, mac + 2 * word))
			return false;
	return is_mac(mac);
}

static bool make_rings(struct e1000 *e1000)
{
	/* A page each, which is aligned enough. */
	_Static_assert(NIC_RING * sizeof(struct e1000_rx_descriptor) >= PAGE_SIZE, "aligned");
	e1000->rx_ring = heap_alloc(NIC_RING * sizeof(*e1000->rx_ring), FRAME_HOST);
	e1000->tx_ring = heap_alloc(NIC_RING * sizeof(*e1000->tx_ring), FRAME_HOST);
	return e1000->rx_ring && e1000->tx_ring;
}

/* Its links' power saving (ASPM) makes an 82574 hang: its specification update says so. */
static void keep_awake(const struct host_pci_device *pci)
{
	unsigned int express = host_pci_find_capability(pci, PCI_CAP_ID_EXP);

	if (express)
		host_pci_write(pci, express + PCI_EXP_LNKCTL, 2,
			host_pci_read(pci, express + PCI_EXP_LNKCTL, 2) &
				~(uint32_t)PCI_EXP_LNKCTL_ASPMC);
}

static bool set_up(struct e1000 *e1000, struct host_pci_device *pci)
{
	struct nic *nic = &e1000->nic;
	uint64_t bytes;

	e1000->registers = host_pci_map_bar(pci, 0, &bytes);
	if (!e1000->registers || bytes < E1000_REGISTER_BYTES)
		return false;
	host_pci_decode(pci);
	if (!read_mac(e1000) || !make_rings(e1000))
		return false;
	if (e1000->model->express)
		keep_awake(pci);
	/* What the firmware had it do ends before it may master the bus again. */
	stop(nic);
	host_pci_enable(pci);
	nic->polled = !host_pci_find_capability(pci, PCI_CAP_ID_MSIX) ||
		host_pci_attach_interrupt(pci, MESSAGE, nic_message_cpu(), nic_message, nic) != 0;
	return true;
}

bool e1000_probe(struct host_pci_device *pci)
{
	const struct e1000_model *model = NULL;
	struct e1000 *e1000;

	for (size_t i = 0; i < ARRAY_SIZE(models); i++)
		if (pci->vendor == VENDOR_INTEL && pci->device == models[i].device)
			model = &models[i];
	if (!model)
		return false;
	pci->driver = "e1000";
	e1000 = heap_alloc(sizeof(*e1000), FRAME_HOST);
	if (!e1000) {
		log_line("no memory for a NIC");
		return true;
	}
	e1000->model = model;
	e1000->nic.model = model->name;
	e1000->nic.operations = &operations;
	e1000->nic.pci = pci;
	if (set_up(e1000, pci)) {
		nic_register(&e1000->nic);
		return true;
	}
	log_line("%s at %02x:%02x.%u: cannot be used", model->name, pci->bus, pci->devfn >> 3,
		pci->devfn & 7);
	heap_free(e1000->rx_ring);
	heap_free(e1000->tx_ring);
	heap_free(e1000);
	return true;
}
