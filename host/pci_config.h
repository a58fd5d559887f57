/* SPDX-License-Identifier: BSD-2-Clause */
/* How configuration space is reached; who drives a device reads host/pci.h. */
#ifndef BALLAST_HOST_PCI_CONFIG_H
#define BALLAST_HOST_PCI_CONFIG_H

#include "lib/util.h"

/* Buses whose configuration space can be reached. */
struct pci_buses {
	uint16_t segment;
	uint8_t first, last;
};

/* Find the ways to configuration space. Boot CPU, once. */
void pci_config_init(void);
/* The index-th range of buses; false after the last. */
bool pci_config_buses(size_t index, struct pci_buses *buses);
/*
 * Which of a bus's first `slots` (1 to 32) devices answer to their function 0: bit n is device n.
 * A machine has thousands of empty slots, and this spends little on each.
 */
uint32_t pci_config_present(uint16_t segment, uint8_t bus, unsigned int slots);
/* ECAM, or mechanism #1: for the log. */
const char *pci_config_way(void);

/* Does [start, start + bytes) lie where device memory can be: reachable, and not RAM? */
bool pci_is_device_memory(uint64_t start, uint64_t bytes);

/* Mechanism #1: the two I/O ports (host/pci_ports.c). Segment 0, the first 256 bytes. Any CPU. */
bool pci_ports_present(void);
uint32_t pci_ports_read(uint8_t bus, uint8_t devfn, unsigned int offset, unsigned int size);
void pci_ports_write(uint8_t bus, uint8_t devfn, unsigned int offset, unsigned int size,
	uint32_t value);

#endif
