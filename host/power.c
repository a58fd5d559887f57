/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Power off and reset: the firmware's ResetSystem first, then what ACPI tells of the hardware, then
 * what PCs have always had. The other CPUs are stopped before.
 */
#include "host/clock.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/panic.h"
#include "host/serial.h"
#include "host/trap.h"
#include "host/x86.h"

/* EFI_RESET_TYPE (UEFI specification, "ResetSystem()"). */
enum efi_reset {
	EFI_RESET_COLD = 0,
	EFI_RESET_SHUTDOWN = 2,
};

#define SLEEP_ENABLE BIT(13)
#define SLEEP_TYPE_SHIFT 10
#define SLEEP_TYPE_MASK (7 << SLEEP_TYPE_SHIFT)
#define WAIT_NS (500 * NS_PER_MS)
#define CANNOT_POWER_OFF "This machine does not power itself off: switch it off now.\r\n"

/* Firmware that faults in ResetSystem ends at `otherwise`. */
static void firmware_reset(enum efi_reset type, void (*otherwise)(void))
{
	void __attribute__((ms_abi)) (*reset_system)(uint32_t type, uint64_t status,
						     uint64_t bytes, void *data);

	if (!machine.reset_system)
		return;
	reset_system = (void *)(uintptr_t)machine.reset_system;
	trap_set_escape(otherwise);
	reset_system(type, 0, 0, NULL);
	clock_wait(WAIT_NS);
}

static void write_sleep(struct acpi_port control, uint8_t type)
{
	uint16_t value;

	if (!control.port)
		return;
	value = in16(control.port);
	value = (uint16_t)((value & ~(SLEEP_TYPE_MASK | SLEEP_ENABLE)) |
			   (uint16_t)(type << SLEEP_TYPE_SHIFT) | SLEEP_ENABLE);
	out16(control.port, value);
}

static void acpi_power_off(void)
{
	if (!machine.acpi.has_s5)
		return;
	write_sleep(machine.acpi.pm1a_control, machine.acpi.s5_type_a);
	write_sleep(machine.acpi.pm1b_control, machine.acpi.s5_type_b);
	clock_wait(WAIT_NS);
}

static void triple_fault(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __packed no_idt = {0, 0};

	__asm__ volatile("lidt %0; ud2" : : "m"(no_idt));
}

static void last_words(void)
{
	serial_flush();
	panic_stop_others();
}

/* What is left when the firmware's way returned, or broke. */
static void __noreturn power_off_by_hardware(void)
{
	acpi_power_off();
	serial_write_panic(CANNOT_POWER_OFF, sizeof(CANNOT_POWER_OFF) - 1);
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void __noreturn reboot_by_hardware(void)
{
	if (machine.acpi.reset_port.port) {
		out8(machine.acpi.reset_port.port, machine.acpi.reset_value);
		clock_wait(WAIT_NS);
	}
	out8(0xcf9, 0x02);
	out8(0xcf9, 0x06);
	clock_wait(WAIT_NS);
	out8(0x64, 0xfe);
	clock_wait(WAIT_NS);
	triple_fault();
	for (;;)
		__asm__ volatile("cli; hlt");
}

void machine_power_off(void)
{
	last_words();
	firmware_reset(EFI_RESET_SHUTDOWN, power_off_by_hardware);
	power_off_by_hardware();
}

void machine_reboot(void)
{
	last_words();
	firmware_reset(EFI_RESET_COLD, reboot_by_hardware);
	reboot_by_hardware();
}
