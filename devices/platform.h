/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PC that a guest finds: which devices there are, and at which ports, addresses and interrupt
 * lines. The guest's ACPI tables are written from these constants.
 */
#ifndef BALLAST_DEVICES_PLATFORM_H
#define BALLAST_DEVICES_PLATFORM_H

#include "vcpu/vm.h"

/* Interrupt lines, by ISA number. */
#define IRQ_PIT 0
#define IRQ_KEYBOARD 1
#define IRQ_COM1 4
#define IRQ_RTC 8
#define IRQ_SCI 9 /* level-triggered, active high: say so in the MADT */
#define IRQ_PCI_A 10 /* interrupt pin A of every even PCI device, level-triggered */
#define IRQ_PCI_B 11 /* of every odd one; mgmt/dsdt.asl has the list */

/* The timer's line is pin 2 of the IOAPIC; every other ISA line has the pin of its number. */
#define IOAPIC_PIT_PIN 2
#define IOAPIC_PINS 24
#define IOAPIC_ID 0 /* in a number space of its own since interrupts go over the system bus */

#define PORT_PIC_MASTER 0x20
#define PORT_PIT 0x40
#define PORT_KEYBOARD_DATA 0x60
#define PORT_SYSTEM_CONTROL_B 0x61
#define PORT_KEYBOARD_COMMAND 0x64
#define PORT_RTC 0x70
#define PORT_SYSTEM_CONTROL_A 0x92
#define PORT_PIC_SLAVE 0xa0
#define PORT_SMI_COMMAND 0xb2
#define PORT_DEBUG_EXIT 0xf4
#define PORT_COM1 0x3f8
#define PORT_ELCR 0x4d0
#define PORT_PM1_EVENT 0x600
#define PORT_PM1_CONTROL 0x604
#define PORT_PM_TIMER 0x608
#define PORT_GPE 0x620
#define PORT_PCI_ADDRESS 0xcf8
#define PORT_RESET_CONTROL 0xcf9
#define PORT_PCI_DATA 0xcfc

/*
 * PCI: configuration space of bus 0 in memory, and where the BARs lie at power-up. The DSDT's
 * windows have room for a system that moves them.
 */
#define PCI_ECAM_BASE 0xe0000000ULL
#define PCI_ECAM_BYTES 0x100000ULL
#define PCI_BARS_MEMORY 0xd0000000U
#define PCI_BARS_MEMORY_END 0xe0000000U
#define PCI_BARS_PORTS 0xc000U
#define PCI_BARS_PORTS_END 0x10000U

/* ACPI: what the FADT and the DSDT's \_S5 say. */
#define ACPI_S5_TYPE 5
#define ACPI_ENABLE_VALUE 0xf1  /* to PORT_SMI_COMMAND; ACPI mode is on from power-up anyway */
#define ACPI_DISABLE_VALUE 0xf0
#define ACPI_RESET_VALUE 0x06   /* to PORT_RESET_CONTROL */
#define ACPI_GPE_PCI 1          /* \_GPE._E01: look at the PCI bus again */
#define ACPI_RTC_CENTURY 0x32   /* CMOS index */
#define ACPI_PM_TIMER_32BIT 1   /* FADT flag TMR_VAL_EXT */

struct platform_options {
	bool debug_exit;         /* a write to PORT_DEBUG_EXIT ends the VM */
	uint64_t low_ram_bytes;  /* RAM from address 0 */
	uint64_t high_ram_bytes; /* RAM from 4 GiB */
};

struct uart;
struct pci;

/* What others need of it; lives as long as the VM. */
struct platform {
	struct device device;
	struct uart *com1;
	struct pci *pci;
};

/*
 * Build the whole PC into a new VM. On an error the caller destroys the VM, and with it what was
 * built. -ENOMEM, or what io_bus_add() says.
 */
int platform_create(struct vm *vm, const struct platform_options *options, struct platform **out)
	__must_check;

#endif
