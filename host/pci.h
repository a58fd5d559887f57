/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's own PCI devices (PCI Local Bus Specification 3.0; PCI Express Base Specification,
 * "Enhanced Configuration Access Mechanism"): found once at start, by ECAM where the MCFG table
 * names one, else by mechanism #1. Drivers of host/ claim them by class or by id. Boot CPU only,
 * but for interrupt handlers.
 */
#ifndef BALLAST_HOST_PCI_H
#define BALLAST_HOST_PCI_H

#include "lib/util.h"

#define HOST_PCI_DEVICES 128
#define HOST_PCI_BARS 6

#define HOST_PCI_CLASS(code) ((code) >> 8) /* base class and sub-class: PCI_CLASS_... of Linux */

struct host_pci_device {
	uint16_t segment;
	uint8_t bus;
	uint8_t devfn;             /* device << 3 | function */
	uint16_t vendor, device;
	uint32_t class_code;       /* base class, sub-class, programming interface: 24 bits */
	uint8_t revision;
	const char *driver;        /* who has claimed it; NULL: nobody */
	struct {
		uint64_t start, bytes; /* bytes is 0 until it is mapped */
	} bars[HOST_PCI_BARS];
};

/*
 * Find all devices that a driver may want, one note in the log for each. Their interrupts are off
 * then, and NICs no longer master the bus: one that the firmware left receiving would write into
 * memory that is others' now. Other masters that the firmware left running are not stopped here.
 */
void host_pci_init(void);
size_t host_pci_count(void);
struct host_pci_device *host_pci_at(size_t index);

/* `size` is 1, 2 or 4, the offset aligned to it; beyond the first 256 bytes only with ECAM. */
uint32_t host_pci_read(const struct host_pci_device *pci, unsigned int offset, unsigned int size);
void host_pci_write(const struct host_pci_device *pci, unsigned int offset, unsigned int size,
	uint32_t value);
/* Offset of the capability with this id; 0: none. Bounded, whatever the list looks like. */
unsigned int host_pci_find_capability(const struct host_pci_device *pci, uint8_t id);

/*
 * The next one of the same kind behind that at offset `after`; 0: none. A list in a loop makes its
 * caller's loop one, too: who calls it counts.
 */
unsigned int host_pci_next_capability(const struct host_pci_device *pci, uint8_t id,
	unsigned int after);

/* Out of D3 if it is there; memory decoding on, INTx off: registers can be reached. */
void host_pci_decode(const struct host_pci_device *pci);
/* The same, and mastering of the bus on. */
void host_pci_enable(const struct host_pci_device *pci);
/* Mastering off: the device touches no memory any more. */
void host_pci_disable(const struct host_pci_device *pci);
/*
 * Map memory BAR `bar` (0 to 5), uncached. NULL when it is not there, not a memory BAR, was given
 * no address by the firmware, or there is no memory for page tables. The first time the device
 * does not decode memory for a moment.
 */
volatile void *host_pci_map_bar(struct host_pci_device *pci, unsigned int bar, uint64_t *bytes);

/*
 * Have message `index` of the device (0 for MSI; an entry of the MSI-X table else) call handler()
 * with interrupts off, in irq_window() or cpu_idle() of CPU `cpu`; of another one if messages do
 * not reach that. -ENOTSUP: the device has neither MSI nor that many MSI-X entries, or its messages
 * cannot be used, so that it has to be polled by a timer; -ENOSPC: no vector left.
 *
 * Assumed of VT-d and AMD's IOMMU, which UEFI firmware may have used for itself: at hand-over they
 * translate neither DMA nor interrupts. Where they did, a driver would see its device's commands
 * time out.
 */
int host_pci_attach_interrupt(struct host_pci_device *pci, unsigned int index, unsigned int cpu,
	void (*handler)(void *argument), void *argument) __must_check;

#endif
