/* SPDX-License-Identifier: BSD-2-Clause */
/* The whole PC: power management, resets, keyboard controller, PCI, what floats; device timers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <linux/pci_regs.h>

#include "devices/acpi_pm.h"
#include "devices/device_timer.h"
#include "devices/pci.h"
#include "devices/platform.h"
#include "devices/uart.h"
#include "test/unit/fake_pc.h"

static struct platform *platform;
static const struct platform_options options = { .debug_exit = true, .low_ram_bytes = MIB(256) };
static const struct platform_options no_exit = { .low_ram_bytes = MIB(256) };

static int begin(void **state)
{
	(void)state;
	fake_pc_begin(2);
	assert_int_equal(platform_create(&pc.vm, &options, &platform), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_pc_end();
	return 0;
}

static void a_vm_gets_only_one_platform(void **state)
{
	struct platform *another;

	(void)state;
	assert_non_null(platform->com1);
	assert_int_equal(platform_create(&pc.vm, &options, &another), -EEXIST);
}

static void the_pm_timer_runs(void **state)
{
	uint32_t first = pc_in(PORT_PM_TIMER, 4);

	(void)state;
	fake_clock_advance(NS_PER_SEC);
	assert_in_range(pc_in(PORT_PM_TIMER, 4) - first, PM_TIMER_HZ - 1, PM_TIMER_HZ + 1);
	pc_out(PORT_PM_TIMER, 4, 0);
	assert_in_range(pc_in(PORT_PM_TIMER, 4) - first, PM_TIMER_HZ - 1, PM_TIMER_HZ + 1);
	assert_int_equal(pc_in(PORT_PM_TIMER + 1, 1), pc_in(PORT_PM_TIMER, 4) >> 8 & 0xff);
	/* All 32 bits count. */
	fake_clock_advance(1000 * NS_PER_SEC);
	assert_true(pc_in(PORT_PM_TIMER, 4) > 0xd0000000);
	fake_clock_advance(200 * NS_PER_SEC);
	assert_true(pc_in(PORT_PM_TIMER, 4) < 0x10000000);
}

static void the_timers_overflow_raises_the_sci(void **state)
{
	(void)state;
	lapic_write32(0, 0xf0, 0x1ff);
	pc_write32(IOAPIC_BASE, 0x10 + 2 * IRQ_SCI);
	pc_write32(IOAPIC_BASE + 0x10, 0x8051); /* level */
	assert_int_equal(pc_in(PORT_PM1_EVENT, 2), 0);
	pc_out(PORT_PM1_EVENT + 2, 2, 0xffff);
	assert_int_equal(pc_in(PORT_PM1_EVENT + 2, 2), 0x721);
	pc_out(PORT_PM1_EVENT + 2, 2, 1);
	fake_clock_advance(599 * NS_PER_SEC);
	assert_int_equal(pc_take_interrupt(0), -1);
	fake_clock_advance(2 * NS_PER_SEC);
	assert_int_equal(pc_take_interrupt(0), 0x51);
	assert_int_equal(pc_in(PORT_PM1_EVENT, 4), 0x10001);
	lapic_write32(0, 0xb0, 0);
	assert_int_equal(pc_take_interrupt(0), 0x51); /* not yet served */
	pc_out(PORT_PM1_EVENT, 2, 1);
	assert_int_equal(pc_in(PORT_PM1_EVENT, 2), 0);
	lapic_write32(0, 0xb0, 0);
	assert_int_equal(pc_take_interrupt(0), -1);
	/* Without its enable bit it is only noted; a zero clears nothing. */
	pc_out(PORT_PM1_EVENT + 2, 2, 0);
	fake_clock_advance(600 * NS_PER_SEC);
	pc_out(PORT_PM1_EVENT, 2, 0xfffe);
	assert_int_equal(pc_in(PORT_PM1_EVENT, 2), 1);
	assert_int_equal(pc_take_interrupt(0), -1);
}

static void acpi_mode_is_switched_by_command(void **state)
{
	(void)state;
	assert_int_equal(pc_in(PORT_PM1_CONTROL, 2), 1);
	outb(PORT_SMI_COMMAND, ACPI_DISABLE_VALUE);
	assert_int_equal(pc_in(PORT_PM1_CONTROL, 2), 0);
	pc_out(PORT_PM1_CONTROL, 2, 1); /* not by itself */
	assert_int_equal(pc_in(PORT_PM1_CONTROL, 2), 0);
	outb(PORT_SMI_COMMAND, ACPI_ENABLE_VALUE);
	assert_int_equal(pc_in(PORT_PM1_CONTROL, 2), 1);
	outb(PORT_SMI_COMMAND + 1, 0x77);
	assert_int_equal(pc_in(PORT_SMI_COMMAND, 2), 0x7700 | ACPI_ENABLE_VALUE);
}

static void s5_powers_off(void **state)
{
	(void)state;
	pc_out(PORT_PM1_CONTROL, 2, 0x2000 | 1 << 10); /* another type: nothing */
	assert_int_equal(pc.stops, 0);
	pc_out(PORT_PM1_CONTROL, 2, ACPI_S5_TYPE << 10);
	assert_int_equal(pc.stops, 0);
	assert_int_equal(pc_in(PORT_PM1_CONTROL, 2), ACPI_S5_TYPE << 10 | 1);
	pc_out(PORT_PM1_CONTROL, 2, 0x2000 | ACPI_S5_TYPE << 10);
	assert_int_equal(pc.stop, VM_STOP_POWER_OFF);
	/* By its upper byte alone. */
	pc.stops = 0;
	outb(PORT_PM1_CONTROL + 1, 0x20 | ACPI_S5_TYPE << 2);
	assert_int_equal(pc.stops, 1);
}

static void expect_reset(void)
{
	assert_int_equal(pc.stops, 1);
	assert_int_equal(pc.stop, VM_STOP_RESET);
	pc.stops = 0;
}

static void every_way_to_reset(void **state)
{
	(void)state;
	outb(PORT_RESET_CONTROL, 0x02);
	assert_int_equal(pc.stops, 0);
	assert_int_equal(inb(PORT_RESET_CONTROL), 0x02);
	outb(PORT_RESET_CONTROL, ACPI_RESET_VALUE);
	expect_reset();
	outb(PORT_RESET_CONTROL, 0x06); /* no rising bit */
	assert_int_equal(pc.stops, 0);
	outb(PORT_SYSTEM_CONTROL_A, 0x02);
	assert_int_equal(pc.stops, 0);
	assert_int_equal(inb(PORT_SYSTEM_CONTROL_A), 0x02);
	outb(PORT_SYSTEM_CONTROL_A, 0x01);
	expect_reset();
	outb(0x64, 0xfe);
	expect_reset();
	outb(0x64, 0xff); /* pulses nothing */
	outb(0x64, 0xd1);
	outb(0x60, 0xdf);
	assert_int_equal(pc.stops, 0);
	outb(0x64, 0xd1);
	outb(0x60, 0xde);
	expect_reset();
}

static void the_debug_port_ends_the_vm(void **state)
{
	(void)state;
	pc_out(PORT_DEBUG_EXIT, 4, 0x12345678);
	assert_int_equal(pc.stop, VM_STOP_EXIT);
	assert_int_equal(pc.stop_status, 0x12345678);
	pc.stops = 0;
	outb(PORT_DEBUG_EXIT, 0);
	assert_int_equal(pc.stops, 1);
	assert_int_equal(pc.stop_status, 0);
	fake_pc_end();
	fake_pc_begin(1);
	assert_int_equal(platform_create(&pc.vm, &no_exit, &platform), 0);
	outb(PORT_DEBUG_EXIT, 0);
	assert_int_equal(pc.stops, 0);
	assert_int_equal(inb(PORT_DEBUG_EXIT), 0xff);
}

/* Wait as drivers do for the controller's answer. */
static uint8_t answer(void)
{
	assert_int_equal(inb(0x64) & 1, 1);
	return inb(0x60);
}

static void the_keyboard_controller_answers(void **state)
{
	(void)state;
	assert_int_equal(inb(0x64) & 3, 0); /* nothing to be flushed, ready for commands */
	outb(0x64, 0xaa);
	assert_int_equal(answer(), 0x55);
	outb(0x64, 0x20);
	assert_int_equal(answer() & 0x24, 0x24);
	outb(0x64, 0x60);
	outb(0x60, 0x45);
	outb(0x64, 0x20);
	assert_int_equal(answer(), 0x65); /* the auxiliary port stays off */
	outb(0x64, 0xab);
	assert_int_equal(answer(), 0);
	/* i8042_check_aux(): neither the loop nor the test finds a port. */
	outb(0x64, 0xd3);
	outb(0x60, 0x5a);
	assert_int_equal(inb(0x64) & 0x21, 0x01);
	answer();
	outb(0x64, 0xa9);
	assert_int_equal(answer(), 1);
	/* A byte for the keyboard times out at once, and interrupts. */
	outb(0x64, 0x60);
	outb(0x60, 0x01);
	outb(0x21, 0);
	outb(0x60, 0xf2);
	assert_int_equal(inb(0x64) & 0x41, 0x41);
	assert_true(pc.vcpus[0].extint);
	assert_int_equal(answer(), 0xfe);
	assert_int_equal(inb(0x64) & 0x41, 0);
	outb(0x64, 0xd0);
	assert_int_equal(answer() & 3, 3);
	outb(0x64, 0xdd);
	outb(0x64, 0xd0);
	assert_int_equal(answer() & 3, 1);
	outb(0x64, 0x75);
	outb(0x60, 0x99);
	outb(0x64, 0x35);
	assert_int_equal(answer(), 0x99);
	for (unsigned int command = 0; command < 0x100; command++) {
		outb(0x64, command);
		outb(0x60, command);
		inb(0x60);
	}
}

static uint32_t pci_read(unsigned int device, unsigned int offset, unsigned int size)
{
	pc_out(PORT_PCI_ADDRESS, 4, 0x80000000 | device << 11 | (offset & 0xfc));
	return pc_in(PORT_PCI_DATA + (offset & 3), size);
}

static void pci_write(unsigned int device, unsigned int offset, unsigned int size, uint32_t value)
{
	pc_out(PORT_PCI_ADDRESS, 4, 0x80000000 | device << 11 | (offset & 0xfc));
	pc_out(PORT_PCI_DATA + (offset & 3), size, value);
}

static unsigned int written_at, written_size;

static void note_write(struct pci_function *function, unsigned int offset, unsigned int size)
{
	(void)function;
	written_at = offset;
	written_size = size;
}

static void pci_is_found_by_mechanism_1(void **state)
{
	(void)state;
	/* pci_check_type1() */
	outb(0xcfb, 1);
	pc_out(0xcf8, 4, 0x80000000);
	assert_int_equal(pc_in(0xcf8, 4), 0x80000000);
	/* pci_check_type2() must not succeed. */
	outb(0xcfb, 0);
	outb(0xcf8, 0);
	outb(0xcfa, 0);
	assert_int_equal(inb(0xcf8), 0xff);
	assert_int_equal(inb(0xcfa), 0xff);
	assert_int_equal(pc_in(0xcf8, 4), 0x80000000);
	assert_int_equal(pci_read(0, PCI_VENDOR_ID, 4), 0x12378086);
	assert_int_equal(pci_read(0, PCI_CLASS_DEVICE, 2), 0x0600);
	assert_int_equal(pci_read(0, PCI_HEADER_TYPE, 1), 0);
	for (unsigned int bar = 0x10; bar < 0x28; bar += 4) {
		pci_write(0, bar, 4, 0xffffffff);
		assert_int_equal(pci_read(0, bar, 4), 0);
	}
	pci_write(0, PCI_VENDOR_ID, 4, 0);
	assert_int_equal(pci_read(0, PCI_VENDOR_ID, 2), 0x8086);
	for (unsigned int device = 1; device < 32; device++)
		assert_int_equal(pci_read(device, 0, 4), 0xffffffff);
	/* Other functions, other buses, not enabled. */
	pc_out(0xcf8, 4, 0x80000100);
	assert_int_equal(pc_in(0xcfc, 4), 0xffffffff);
	pc_out(0xcf8, 4, 0x80010000);
	assert_int_equal(pc_in(0xcfc, 2), 0xffff);
	pc_out(0xcf8, 4, 0);
	assert_int_equal(pc_in(0xcfc, 4), 0xffffffff);
	/* The last bytes, and beyond. */
	assert_int_equal(pci_read(0, 0xff, 1), 0);
	pc_in(0xcff, 4);
	pc_out(0xcff, 4, ~0U);
	pc_in(0xcfa, 4);
}

static void functions_have_masks(void **state)
{
	static struct pci_function function;

	(void)state;
	function = (struct pci_function){ .devfn = 3 << 3, .written = note_write };
	pci_put32(function.config, 0, 0x10001af4);
	pci_put16(function.writable, PCI_COMMAND, 0x0407);
	pci_put32(function.writable, PCI_BASE_ADDRESS_0, 0xfffff000);
	pci_put16(function.config, PCI_STATUS, 0x4010);
	pci_put16(function.write_clears, PCI_STATUS, 0xf900);
	assert_int_equal(pci_add(platform->pci, &function), 0);
	assert_int_equal(pci_add(platform->pci, &function), -EEXIST);
	assert_int_equal(pci_read(3, 0, 4), 0x10001af4);
	pci_write(3, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	assert_int_equal(pci_read(3, PCI_BASE_ADDRESS_0, 4), 0xfffff000);
	assert_int_equal(written_at, PCI_BASE_ADDRESS_0);
	assert_int_equal(written_size, 4);
	pci_write(3, PCI_COMMAND + 1, 1, 0xff);
	assert_int_equal(written_at, PCI_COMMAND + 1);
	assert_int_equal(pci_read(3, PCI_COMMAND, 2), 0x0400);
	pci_write(3, PCI_COMMAND, 4, 0x40000007);
	assert_int_equal(pci_read(3, PCI_COMMAND, 4), 0x00100007);
}

static void what_is_not_there_floats(void **state)
{
	static const uint16_t ports[] = {
		0x80, 0xed, 0x2f8, 0x2f9, 0x3d4, 0x3e8, 0x510, 0x1f0, 0xffff };

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++) {
		outb(ports[i], 0x12);
		assert_int_equal(inb(ports[i]), 0xff);
		assert_int_equal(pc_in(ports[i], 4), 0xffffffff);
	}
	assert_int_equal(pc_read32(0xfed00000), 0xffffffff);
	assert_int_equal(pc.stops, 0);
}

static void a_reset_quiets_everything(void **state)
{
	(void)state;
	outb(0x43, 0x34);
	outb(0x40, 0);
	outb(0x40, 4);
	outb(0x70, 0x0b);
	outb(0x71, 0x72);
	pc_out(PORT_PM1_EVENT + 2, 2, 1);
	fake_clock_advance(NS_PER_MS);
	fake_pc_reset_devices();
	fake_clock_advance(700 * NS_PER_SEC);
	assert_int_equal(fake_clock_armed(), 0);
	assert_int_equal(pc_take_interrupt(0), -1);
}

static unsigned int expirations;

static void count_expiry(struct device_timer *timer)
{
	assert_false(device_timer_armed(timer));
	assert_true(pc.vm.lock.next != pc.vm.lock.owner);
	if (++expirations % 2)
		device_timer_set(timer, clock_tsc() + clock_tsc_from_ns(NS_PER_MS));
}

static void device_timers(void **state)
{
	struct device_timer timer;

	(void)state;
	expirations = 0;
	device_timer_init(&timer, &pc.vm, count_expiry);
	PC_LOCKED(device_timer_set(&timer, clock_tsc() + clock_tsc_from_ns(NS_PER_MS)));
	/* Moved away while the old expiry is still to come, and then nearer. */
	PC_LOCKED(device_timer_set(&timer, clock_tsc() + clock_tsc_from_ns(5 * NS_PER_MS)));
	fake_clock_advance(2 * NS_PER_MS);
	assert_int_equal(expirations, 0);
	PC_LOCKED(device_timer_set(&timer, clock_tsc() + clock_tsc_from_ns(NS_PER_MS)));
	fake_clock_advance(NS_PER_MS);
	assert_int_equal(expirations, 1);
	fake_clock_advance(NS_PER_MS);
	assert_int_equal(expirations, 2);
	PC_LOCKED(device_timer_set(&timer, clock_tsc() + clock_tsc_from_ns(NS_PER_MS)));
	PC_LOCKED(device_timer_stop(&timer));
	fake_clock_advance(10 * NS_PER_MS);
	assert_int_equal(expirations, 2);
	/* A callback that waits for the lock while its timer moves: it arms the timer itself. */
	timer.state = DEVICE_TIMER_RUNNING;
	PC_LOCKED(device_timer_set(&timer, clock_tsc() + clock_tsc_from_ns(NS_PER_MS)));
	assert_int_equal(fake_clock_armed(), 0);
	timer.state = DEVICE_TIMER_IDLE;
	timer.timer.expired(&timer.timer);
	assert_int_equal(fake_clock_armed(), 1);
	/* And one that finds its timer being moved leaves it alone. */
	timer.state = DEVICE_TIMER_MOVING;
	timer.timer.expired(&timer.timer);
	timer.state = DEVICE_TIMER_IDLE;
	fake_clock_advance(NS_PER_MS);
	assert_int_equal(expirations, 3);
	device_timer_destroy(&timer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_vm_gets_only_one_platform),
		TEST(the_pm_timer_runs),
		TEST(the_timers_overflow_raises_the_sci),
		TEST(acpi_mode_is_switched_by_command),
		TEST(s5_powers_off),
		TEST(every_way_to_reset),
		TEST(the_debug_port_ends_the_vm),
		TEST(the_keyboard_controller_answers),
		TEST(pci_is_found_by_mechanism_1),
		TEST(functions_have_masks),
		TEST(what_is_not_there_floats),
		TEST(a_reset_quiets_everything),
		TEST(device_timers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
