/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI Local Bus Specification 3.0, "Software Generation of Configuration Transactions". */
#include "host/lock.h"
#include "host/pci_config.h"
#include "host/x86.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define CONFIG_ENABLE BIT(31)

static struct spinlock lock; /* address and data belong together: a leaf */

static void select(uint8_t bus, uint8_t devfn, unsigned int offset)
{
	out32(CONFIG_ADDRESS,
		(uint32_t)(CONFIG_ENABLE | (uint32_t)bus << 16 | (uint32_t)devfn << 8 |
			(offset & 0xfc)));
}

bool pci_ports_present(void)
{
	uint32_t old = in32(CONFIG_ADDRESS), seen;

	select(0, 0, 0);
	seen = in32(CONFIG_ADDRESS);
	out32(CONFIG_ADDRESS, old);
	return seen == CONFIG_ENABLE;
}

uint32_t pci_ports_read(uint8_t bus, uint8_t devfn, unsigned int offset, unsigned int size)
{
	uint16_t port = (uint16_t)(CONFIG_DATA + (offset & 3));
	uint32_t value;

	spin_lock(&lock);
	select(bus, devfn, offset);
	value = size == 1 ? in8(port) : size == 2 ? in16(port) : in32(port);
	spin_unlock(&lock);
	return value;
}

void pci_ports_write(uint8_t bus, uint8_t devfn, unsigned int offset, unsigned int size,
	uint32_t value)
{
	uint16_t port = (uint16_t)(CONFIG_DATA + (offset & 3));

	spin_lock(&lock);
	select(bus, devfn, offset);
	if (size == 1)
		out8(port, (uint8_t)value);
	else if (size == 2)
		out16(port, (uint16_t)value);
	else
		out32(port, value);
	spin_unlock(&lock);
}
