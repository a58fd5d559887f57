/* SPDX-License-Identifier: BSD-2-Clause */
/* What a system does with the PCI bus of a fake PC: configuration space, capabilities, a virtio driver's start. */
#ifndef BALLAST_TEST_FAKE_PCI_H
#define BALLAST_TEST_FAKE_PCI_H

#include <assert.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "devices/pci.h"
#include "devices/platform.h"
#include "devices/virtio/virtio.h"
#include "test/unit/fake_pc.h"

static inline uint32_t config_in(unsigned int slot, unsigned int offset, unsigned int size)
{
	pc_out(PORT_PCI_ADDRESS, 4, 0x80000000 | slot << 11 | (offset & 0xfc));
	return pc_in(PORT_PCI_DATA + (offset & 3), size);
}

static inline void config_out(unsigned int slot, unsigned int offset, unsigned int size, uint32_t value)
{
	pc_out(PORT_PCI_ADDRESS, 4, 0x80000000 | slot << 11 | (offset & 0xfc));
	pc_out(PORT_PCI_DATA + (offset & 3), size, value);
}

static inline uint64_t pc_mmio_in(gpa_t gpa, unsigned int size)
{
	uint64_t value;

	PC_LOCKED(value = io_bus_read(&pc.vm.mmio, gpa, size));
	return value;
}

static inline void pc_mmio_out(gpa_t gpa, unsigned int size, uint64_t value)
{
	PC_LOCKED(io_bus_write(&pc.vm.mmio, gpa, size, value));
}

/* The nth (from 0) capability with this id, and for a virtio structure of this type; 0: none. */
static inline unsigned int find_capability(unsigned int slot, uint8_t id, uint8_t type, unsigned int nth)
{
	unsigned int at = config_in(slot, PCI_CAPABILITY_LIST, 1);

	for (unsigned int left = 48; at && left; left--) {
		if (config_in(slot, at, 1) == id &&
			(id != PCI_CAP_ID_VNDR || config_in(slot, at + VIRTIO_PCI_CAP_CFG_TYPE, 1) == type)) {
			if (nth-- == 0)
				return at;
		}
		at = config_in(slot, at + PCI_CAP_LIST_NEXT, 1);
	}
	return 0;
}

static inline uint32_t bar_in(unsigned int slot, unsigned int index)
{
	uint32_t bar = config_in(slot, PCI_BASE_ADDRESS_0 + 4 * index, 4);

	return bar & (bar & PCI_BASE_ADDRESS_SPACE_IO ? PCI_BASE_ADDRESS_IO_MASK : PCI_BASE_ADDRESS_MEM_MASK);
}

/* Where a driver finds a virtio device's structures. */
struct fake_virtio {
	unsigned int slot;
	gpa_t common, isr, config, table, pending;
	uint16_t notify_port;
	gpa_t notify_memory;
};

static inline gpa_t structure_at(unsigned int slot, uint8_t type, unsigned int nth)
{
	unsigned int cap = find_capability(slot, PCI_CAP_ID_VNDR, type, nth);

	return cap ? bar_in(slot, config_in(slot, cap + VIRTIO_PCI_CAP_BAR, 1)) +
			config_in(slot, cap + VIRTIO_PCI_CAP_OFFSET, 4) : 0;
}

static inline void fake_virtio_find(struct fake_virtio *virtio, unsigned int slot)
{
	unsigned int msix = find_capability(slot, PCI_CAP_ID_MSIX, 0, 0);
	uint32_t table = config_in(slot, msix + PCI_MSIX_TABLE, 4);
	uint32_t pending = config_in(slot, msix + PCI_MSIX_PBA, 4);

	virtio->slot = slot;
	virtio->common = structure_at(slot, VIRTIO_PCI_CAP_COMMON_CFG, 0);
	virtio->isr = structure_at(slot, VIRTIO_PCI_CAP_ISR_CFG, 0);
	virtio->config = structure_at(slot, VIRTIO_PCI_CAP_DEVICE_CFG, 0);
	virtio->notify_port = structure_at(slot, VIRTIO_PCI_CAP_NOTIFY_CFG, 0);
	virtio->notify_memory = structure_at(slot, VIRTIO_PCI_CAP_NOTIFY_CFG, 1);
	virtio->table = bar_in(slot, table & PCI_MSIX_TABLE_BIR) + (table & PCI_MSIX_TABLE_OFFSET);
	virtio->pending = bar_in(slot, pending & PCI_MSIX_PBA_BIR) + (pending & PCI_MSIX_PBA_OFFSET);
}

static inline uint8_t fake_virtio_status(struct fake_virtio *virtio)
{
	return pc_mmio_in(virtio->common + VIRTIO_PCI_COMMON_STATUS, 1);
}

static inline void fake_virtio_set_status(struct fake_virtio *virtio, uint8_t status)
{
	pc_mmio_out(virtio->common + VIRTIO_PCI_COMMON_STATUS, 1, status);
}

static inline uint64_t fake_virtio_offered(struct fake_virtio *virtio)
{
	uint64_t features;

	pc_write32(virtio->common + VIRTIO_PCI_COMMON_DFSELECT, 1);
	features = (uint64_t)pc_read32(virtio->common + VIRTIO_PCI_COMMON_DF) << 32;
	pc_write32(virtio->common + VIRTIO_PCI_COMMON_DFSELECT, 0);
	return features | pc_read32(virtio->common + VIRTIO_PCI_COMMON_DF);
}

static inline void fake_virtio_accept(struct fake_virtio *virtio, uint64_t features)
{
	for (unsigned int i = 0; i < 2; i++) {
		pc_write32(virtio->common + VIRTIO_PCI_COMMON_GFSELECT, i);
		pc_write32(virtio->common + VIRTIO_PCI_COMMON_GF, features >> (32 * i));
	}
}

#define STATUS_DRIVER (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)
#define STATUS_FEATURES (STATUS_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)
#define STATUS_LIVE (STATUS_FEATURES | VIRTIO_CONFIG_S_DRIVER_OK)

/* Up to FEATURES_OK; does it stick? */
static inline bool fake_virtio_negotiate(struct fake_virtio *virtio, uint64_t features)
{
	fake_virtio_set_status(virtio, 0);
	fake_virtio_set_status(virtio, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	fake_virtio_set_status(virtio, STATUS_DRIVER);
	fake_virtio_accept(virtio, features);
	fake_virtio_set_status(virtio, STATUS_FEATURES);
	return fake_virtio_status(virtio) & VIRTIO_CONFIG_S_FEATURES_OK;
}

static inline void fake_virtio_select(struct fake_virtio *virtio, uint16_t queue)
{
	pc_mmio_out(virtio->common + VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
}

static inline void fake_virtio_set_queue(struct fake_virtio *virtio, uint16_t queue, uint16_t size, gpa_t descriptors,
	gpa_t available, gpa_t used)
{
	fake_virtio_select(virtio, queue);
	pc_mmio_out(virtio->common + VIRTIO_PCI_COMMON_Q_SIZE, 2, size);
	pc_mmio_out(virtio->common + VIRTIO_PCI_COMMON_Q_DESCLO, 8, descriptors);
	pc_mmio_out(virtio->common + VIRTIO_PCI_COMMON_Q_AVAILLO, 8, available);
	pc_mmio_out(virtio->common + VIRTIO_PCI_COMMON_Q_USEDLO, 8, used);
	pc_mmio_out(virtio->common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

static inline void fake_virtio_notify(struct fake_virtio *virtio, uint16_t queue)
{
	pc_out(virtio->notify_port, 2, queue);
}

/* Queue, or config for -1, interrupts by this entry of the table, which sends this vector. */
static inline void fake_virtio_set_vector(struct fake_virtio *virtio, int queue, uint16_t entry, uint8_t vector)
{
	pc_write32(virtio->table + 16 * entry, 0xfee00000);
	pc_write32(virtio->table + 16 * entry + 4, 0);
	pc_write32(virtio->table + 16 * entry + 8, vector);
	pc_write32(virtio->table + 16 * entry + 12, 0);
	if (queue >= 0)
		fake_virtio_select(virtio, queue);
	pc_mmio_out(virtio->common + (queue < 0 ? VIRTIO_PCI_COMMON_MSIX : VIRTIO_PCI_COMMON_Q_MSIX), 2, entry);
}

static inline void fake_virtio_set_msix(struct fake_virtio *virtio, uint16_t flags)
{
	unsigned int msix = find_capability(virtio->slot, PCI_CAP_ID_MSIX, 0, 0);

	config_out(virtio->slot, msix + PCI_MSIX_FLAGS, 2, flags);
}

#endif
