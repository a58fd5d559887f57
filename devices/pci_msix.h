/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSI-X (PCI Local Bus Specification, "MSI-X Capability and Table Structures") of one function: a
 * table and pending bits, which the device shows in a BAR. All under vm.lock, but for the start.
 */
#ifndef BALLAST_DEVICES_PCI_MSIX_H
#define BALLAST_DEVICES_PCI_MSIX_H

#include "devices/pci.h"

#define PCI_MSIX_VECTORS 64
#define PCI_MSIX_TABLE_BYTES (PCI_MSIX_VECTORS * 16)

struct pci_msix_entry {
	uint64_t address;
	uint32_t data;
	uint32_t control;
};

struct pci_msix {
	struct pci_function *function;       /* [I] */
	unsigned int count;                  /* [I] vectors, at most PCI_MSIX_VECTORS */
	unsigned int capability;             /* [I] its offset in the configuration space */
	struct pci_msix_entry table[PCI_MSIX_VECTORS];
	uint64_t pending;                    /* a bit for each vector */
};

/*
 * Add the capability, before pci_add(). Table and pending bits lie at these offsets of BAR `bar`.
 * -EINVAL, -ENOSPC.
 */
int pci_msix_init(struct pci_msix *msix, struct pci_function *function, unsigned int count,
	unsigned int bar, uint32_t table, uint32_t pending) __must_check;
/* Power-up; the function itself is reset by pci_function_reset(). */
void pci_msix_reset(struct pci_msix *msix);
/* From the function's written(). */
void pci_msix_written(struct pci_msix *msix, unsigned int offset, unsigned int size);

/* Does the function interrupt by messages, not by its pin? */
bool pci_msix_enabled(const struct pci_msix *msix);
/* Interrupt now, or when what is masked is no longer; nothing beyond `count` or when disabled. */
void pci_msix_send(struct pci_msix *msix, unsigned int vector);

/* Accesses to the BAR, relative to the table and the pending bits. `size` is at most 4. */
uint32_t pci_msix_read_table(const struct pci_msix *msix, uint64_t offset, unsigned int size);
void pci_msix_write_table(
	struct pci_msix *msix, uint64_t offset, unsigned int size, uint32_t value);
uint32_t pci_msix_read_pending(const struct pci_msix *msix, uint64_t offset, unsigned int size);

#endif
