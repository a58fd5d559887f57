/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI configuration space by mechanism #1 (PCI Local Bus Specification, "Software Generation of
 * Configuration Transactions"): one bus, a table of functions, each with 256 bytes and a mask of
 * what can be written. What is not there reads as all ones.
 */
#ifndef BALLAST_DEVICES_PCI_H
#define BALLAST_DEVICES_PCI_H

#include "vcpu/vm.h"

#define PCI_MAX_FUNCTIONS 32
#define PCI_CONFIG_BYTES 256

struct reset;

/* One function, embedded in its device's own structure. */
struct pci_function {
	uint8_t devfn;                       /* [I] device << 3 | function, on bus 0 */
	uint8_t config[PCI_CONFIG_BYTES];    /* [vm.lock] */
	uint8_t writable[PCI_CONFIG_BYTES];  /* [I] bits that a write changes */
	uint8_t write_clears[PCI_CONFIG_BYTES]; /* [I] bits that writing a one clears */
	/*
	 * After a write has changed `size` bytes at `offset`: BARs may have moved, interrupts been
	 * switched. Under vm.lock. NULL: nothing to do.
	 */
	void (*written)(struct pci_function *function, unsigned int offset, unsigned int size);
};

struct pci {
	struct device device;
	struct io_region ports;              /* 0xcf8 to 0xcff */
	struct reset *reset;                 /* [I] register 0xcf9 lies among them */
	struct pci_function *functions[PCI_MAX_FUNCTIONS]; /* [I] once the VM runs */
	size_t count;                        /* [I] likewise */
	struct pci_function host_bridge;
	uint32_t address;                    /* [vm.lock] what was written to 0xcf8 */
};

/* With the host bridge as device 0. `out` lives as long as the VM. */
int pci_create(struct vm *vm, struct reset *reset, struct pci **out) __must_check;
/* -EEXIST when its place is taken, -ENOSPC. */
int pci_add(struct pci *pci, struct pci_function *function) __must_check;

static inline void pci_put16(uint8_t *bytes, unsigned int at, uint16_t value)
{
	bytes[at] = value;
	bytes[at + 1] = value >> 8;
}

static inline void pci_put32(uint8_t *bytes, unsigned int at, uint32_t value)
{
	pci_put16(bytes, at, value);
	pci_put16(bytes, at + 2, value >> 16);
}

#endif
