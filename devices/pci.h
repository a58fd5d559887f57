/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI: one bus, a table of functions, configuration space by mechanism #1 (PCI Local Bus
 * Specification, "Software Generation of Configuration Transactions") and in memory (PCI Express
 * Base Specification, "Enhanced Configuration Access Mechanism"), base addresses that the guest may
 * move at any time, and interrupt pins. What is not there reads as all ones.
 *
 * Functions may be added while the VM runs: pci_add_bar() and what makes the function ready need no
 * lock, pci_add() itself is then called under vm.lock. All that happens later is under vm.lock.
 */
#ifndef BALLAST_DEVICES_PCI_H
#define BALLAST_DEVICES_PCI_H

#include "vcpu/vm.h"

#define PCI_SLOTS 32
#define PCI_CONFIG_BYTES 256
#define PCI_BARS 6
#define PCI_ANY_SLOT 0xff

struct acpi_pm;
struct reset;
struct pci;

struct pci_bar {
	/*
	 * What is behind it: length, a power of two, 0 for no BAR; max_size, read, write. `start`
	 * is where it decodes.
	 */
	struct io_region region;
	bool ports;                          /* [I] I/O space, not memory */
	bool decoded;                        /* [vm.lock] the region is on its bus */
};

/* One function, embedded in its device's own structure. */
struct pci_function {
	uint8_t devfn;                       /* [I] device << 3, on bus 0: functions are 0 */
	uint8_t config[PCI_CONFIG_BYTES];    /* [vm.lock] */
	uint8_t initial[PCI_CONFIG_BYTES];   /* [I] config at power-up, from pci_add() on */
	uint8_t writable[PCI_CONFIG_BYTES];  /* [I] bits that a write changes */
	uint8_t write_clears[PCI_CONFIG_BYTES]; /* [I] bits that writing a one clears */
	uint8_t last_capability;             /* [I] for pci_add_capability() */
	uint16_t capabilities_end;
	struct pci *pci;                     /* [I] from pci_add() on */
	struct pci_bar bars[PCI_BARS];
	bool intx;                           /* [vm.lock] interrupt wanted by pin A */
	/*
	 * After a write has changed `size` bytes at `offset`, within an aligned double word, and
	 * BARs have moved. NULL: nothing to do.
	 */
	void (*written)(struct pci_function *function, unsigned int offset, unsigned int size);
	/* Before such bytes are read from config. NULL: they stand there. */
	void (*reading)(struct pci_function *function, unsigned int offset, unsigned int size);
};

struct pci {
	struct device device;
	struct io_region ports;              /* 0xcf8 to 0xcff */
	struct io_region ecam;
	struct reset *reset;                 /* [I] register 0xcf9 lies among the ports */
	struct acpi_pm *acpi;                /* [I] tells a running guest of what is plugged in */
	struct pci_function *slots[PCI_SLOTS]; /* [vm.lock] by device number; NULL: nothing there */
	unsigned int slots_end;              /* [vm.lock] one past the last that is taken */
	struct pci_function host_bridge;
	uint32_t address;                    /* [vm.lock] what was written to 0xcf8 */
	uint32_t next_memory, next_port;     /* boot CPU: for the next BAR at power-up */
	bool line_level[2];                  /* [vm.lock] IRQ_PCI_A and _B */
};

/* With the host bridge as device 0. `out` lives as long as the VM. */
int pci_create(struct vm *vm, struct reset *reset, struct acpi_pm *acpi, struct pci **out)
	__must_check;

struct pci_identity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t revision;
	uint32_t class_code;                 /* base, sub-class, interface: 24 bits */
};

/* An empty function, but for its `bars`, of a device that interrupts by pin A. */
void pci_function_init(struct pci_function *function, const struct pci_identity *identity);
/*
 * A capability of `bytes` bytes, the first two of them its header: its offset, or 0 when there is
 * no room. They appear in the order in which they are added.
 */
unsigned int pci_add_capability(struct pci_function *function, uint8_t id, unsigned int bytes)
	__must_check;
/*
 * Make bars[index], whose region is filled in but for its start, a base address register with a
 * place at power-up. -EINVAL for a length that is no power of two or too small, -ENOSPC. Boot CPU.
 */
int pci_add_bar(struct pci *pci, struct pci_function *function, unsigned int index, bool ports)
	__must_check;
/*
 * Plug the function in where function->devfn says, or in the first free slot for PCI_ANY_SLOT; it
 * decodes at once, as firmware leaves it. A guest that runs is told by ACPI to look at the bus.
 * -EEXIST when its place is taken, -ENOSPC. Boot CPU.
 */
int pci_add(struct pci *pci, struct pci_function *function) __must_check;
/* Back to power-up. The device forgets what it asked for by interrupt. */
void pci_function_reset(struct pci_function *function);

/* Pin A: a level, shared with others on its line, and masked by the command register. */
void pci_set_intx(struct pci_function *function, bool level);

/* For pci_bar.c and pci.c: what the registers say now holds. */
void pci_update_bars(struct pci_function *function);

static inline uint16_t pci_get16(const uint8_t *bytes, unsigned int at)
{
	return bytes[at] | bytes[at + 1] << 8;
}

static inline uint32_t pci_get32(const uint8_t *bytes, unsigned int at)
{
	return pci_get16(bytes, at) | (uint32_t)pci_get16(bytes, at + 2) << 16;
}

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
