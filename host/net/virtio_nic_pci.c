/* SPDX-License-Identifier: BSD-2-Clause */
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "host/memory.h"
#include "host/mmio.h"
#include "host/net/virtio_nic.h"

#define CAPABILITIES_MAX 48
#define RESET_POLLS 10000
#define WANTED_FEATURES                                                                            \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM) | BIT(VIRTIO_NET_F_MAC) |         \
		BIT(VIRTIO_NET_F_STATUS))

/* The structure that the capability `at` describes, if it has at least `least` bytes. */
static volatile void *map_structure(struct host_pci_device *pci, unsigned int at, uint32_t least,
	uint64_t *bytes)
{
	uint32_t bar = host_pci_read(pci, at + VIRTIO_PCI_CAP_BAR, 1);
	uint32_t offset = host_pci_read(pci, at + VIRTIO_PCI_CAP_OFFSET, 4);
	uint64_t bar_bytes;
	volatile void *start = host_pci_map_bar(pci, bar, &bar_bytes);

	*bytes = host_pci_read(pci, at + VIRTIO_PCI_CAP_LENGTH, 4);
	if (!start || *bytes < least || !range_within(offset, *bytes, bar_bytes) ||
		!IS_ALIGNED(offset, 4U))
		return NULL;
	return (volatile uint8_t *)start + offset;
}

/* Of each kind the first that can be used counts. */
static void take_capability(struct virtio_nic_registers *registers, struct host_pci_device *pci,
	unsigned int at)
{
	uint64_t bytes;

	switch (host_pci_read(pci, at + VIRTIO_PCI_CAP_CFG_TYPE, 1)) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		if (!registers->common)
			registers->common = map_structure(pci, at,
				sizeof(struct virtio_pci_common_cfg), &bytes);
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		if (registers->notify)
			break;
		registers->notify = map_structure(pci, at, 2, &registers->notify_bytes);
		registers->notify_multiplier =
			host_pci_read(pci, at + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
		break;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		if (!registers->config)
			registers->config = map_structure(pci, at,
				offsetof(struct virtio_net_config, max_virtqueue_pairs), &bytes);
		break;
	default:
		break;
	}
}

int virtio_nic_find_registers(struct virtio_nic *virtio, struct host_pci_device *pci)
{
	struct virtio_nic_registers *registers = &virtio->registers;
	unsigned int at = host_pci_find_capability(pci, PCI_CAP_ID_VNDR);

	for (unsigned int i = 0; at && i < CAPABILITIES_MAX; i++) {
		take_capability(registers, pci, at);
		at = host_pci_next_capability(pci, PCI_CAP_ID_VNDR, at);
	}
	return registers->common && registers->notify && registers->config ? 0 : -ENODEV;
}

static void set_status(const struct virtio_nic *virtio, uint8_t status)
{
	mmio_write8(virtio->registers.common, VIRTIO_PCI_COMMON_STATUS, status);
}

uint8_t virtio_nic_status(const struct virtio_nic *virtio)
{
	return mmio_read8(virtio->registers.common, VIRTIO_PCI_COMMON_STATUS);
}

void virtio_nic_reset(struct virtio_nic *virtio)
{
	set_status(virtio, 0);
}

static uint64_t read_features(const struct virtio_nic *virtio)
{
	volatile void *common = virtio->registers.common;
	uint64_t low;

	mmio_write32(common, VIRTIO_PCI_COMMON_DFSELECT, 0);
	low = mmio_read32(common, VIRTIO_PCI_COMMON_DF);
	mmio_write32(common, VIRTIO_PCI_COMMON_DFSELECT, 1);
	return low | (uint64_t)mmio_read32(common, VIRTIO_PCI_COMMON_DF) << 32;
}

int virtio_nic_offers(struct virtio_nic *virtio, uint64_t *features)
{
	virtio_nic_reset(virtio);
	for (unsigned int i = 0; i < RESET_POLLS; i++)
		if (virtio_nic_status(virtio) == 0)
			break;
	if (virtio_nic_status(virtio))
		return -EIO;
	set_status(virtio, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	*features = read_features(virtio) & WANTED_FEATURES;
	return *features & BIT(VIRTIO_F_VERSION_1) ? 0 : -ENODEV;
}

static int negotiate(struct virtio_nic *virtio)
{
	volatile void *common = virtio->registers.common;
	uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	set_status(virtio, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	set_status(virtio, status);
	virtio->features = read_features(virtio) & WANTED_FEATURES;
	mmio_write32(common, VIRTIO_PCI_COMMON_GFSELECT, 0);
	mmio_write32(common, VIRTIO_PCI_COMMON_GF, (uint32_t)virtio->features);
	mmio_write32(common, VIRTIO_PCI_COMMON_GFSELECT, 1);
	mmio_write32(common, VIRTIO_PCI_COMMON_GF, (uint32_t)(virtio->features >> 32));
	set_status(virtio, status | VIRTIO_CONFIG_S_FEATURES_OK);
	return virtio_nic_status(virtio) & VIRTIO_CONFIG_S_FEATURES_OK ? 0 : -EIO;
}

static void write_address(volatile void *common, uint32_t offset, const void *memory)
{
	uint64_t address = host_phys(memory);

	mmio_write32(common, offset, (uint32_t)address);
	mmio_write32(common, offset + 4, (uint32_t)(address >> 32));
}

static int set_up_queue(struct virtio_nic *virtio, struct virtio_nic_queue *queue)
{
	volatile void *common = virtio->registers.common;
	uint16_t vector = virtio->nic.polled ? VIRTIO_MSI_NO_VECTOR : 0;
	uint64_t offset;

	mmio_write16(common, VIRTIO_PCI_COMMON_Q_SELECT, (uint16_t)queue->index);
	queue->size = MIN(mmio_read16(common, VIRTIO_PCI_COMMON_Q_SIZE), VIRTIO_NIC_DESCRIPTORS);
	if (queue->size < 2 || (queue->size & (queue->size - 1)))
		return -EIO;
	mmio_write16(common, VIRTIO_PCI_COMMON_Q_SIZE, (uint16_t)queue->size);
	offset = mmio_read16(common, VIRTIO_PCI_COMMON_Q_NOFF) *
		(uint64_t)virtio->registers.notify_multiplier;
	if (!range_within(offset, 2, virtio->registers.notify_bytes))
		return -EIO;
	queue->notify_offset = (uint32_t)offset;
	mmio_write16(common, VIRTIO_PCI_COMMON_Q_MSIX, vector);
	if (mmio_read16(common, VIRTIO_PCI_COMMON_Q_MSIX) != vector)
		return -EIO;
	write_address(common, VIRTIO_PCI_COMMON_Q_DESCLO, queue->rings->descriptors);
	write_address(common, VIRTIO_PCI_COMMON_Q_AVAILLO, &queue->rings->available);
	write_address(common, VIRTIO_PCI_COMMON_Q_USEDLO, &queue->rings->used);
	mmio_write16(common, VIRTIO_PCI_COMMON_Q_ENABLE, 1);
	return 0;
}

int virtio_nic_set_up(struct virtio_nic *virtio)
{
	int error;

	if (virtio_nic_status(virtio))
		return -EAGAIN;
	error = negotiate(virtio);
	if (error)
		return error;
	mmio_write16(virtio->registers.common, VIRTIO_PCI_COMMON_MSIX, VIRTIO_MSI_NO_VECTOR);
	error = set_up_queue(virtio, &virtio->receive);
	if (!error)
		error = set_up_queue(virtio, &virtio->send);
	if (error)
		return error;
	set_status(virtio, virtio_nic_status(virtio) | VIRTIO_CONFIG_S_DRIVER_OK);
	return 0;
}

void virtio_nic_notify(const struct virtio_nic *virtio, const struct virtio_nic_queue *queue)
{
	mmio_write16(virtio->registers.notify, queue->notify_offset, (uint16_t)queue->index);
}
