/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8259 pair and the IOAPIC, as operating systems set them up and serve them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "devices/ioapic.h"
#include "devices/pic.h"
#include "devices/platform.h"
#include "test/unit/fake_pc.h"

#define EOI 0x20
#define READ_IRR 0x0a
#define READ_ISR 0x0b
#define POLL 0x0c

static void line(unsigned int gsi, bool level)
{
	PC_LOCKED(vm_set_irq(&pc.vm, gsi, level));
}

static void pulse(unsigned int gsi)
{
	PC_LOCKED(vm_pulse_irq(&pc.vm, gsi));
}

static int begin(void **state)
{
	(void)state;
	fake_pc_begin(2);
	assert_int_equal(pic_create(&pc.vm), 0);
	assert_int_equal(ioapic_create(&pc.vm), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_pc_end();
	return 0;
}

/* As Linux's init_8259A(), all inputs then open. */
static void init_pics(uint8_t icw4)
{
	outb(0x21, 0xff);
	outb(0x20, 0x11);
	outb(0x21, 0x30);
	outb(0x21, 0x04);
	outb(0x21, icw4);
	outb(0xa0, 0x11);
	outb(0xa1, 0x38);
	outb(0xa1, 0x02);
	outb(0xa1, icw4 & ~0x10);
	outb(0x21, 0);
	outb(0xa1, 0);
}

static uint8_t read_pic(uint16_t port, uint8_t what)
{
	outb(port, what);
	return inb(port);
}

static void linux_finds_its_pic(void **state)
{
	(void)state;
	/* probe_8259A(): the mask register must keep what is written. */
	outb(0xa1, 0xff);
	outb(0x21, 0xfb);
	assert_int_equal(inb(0x21), 0xfb);
	init_pics(1);
	assert_int_equal(inb(0x21), 0);
	assert_false(pc.vcpus[0].extint);
	pulse(IRQ_PIT);
	assert_true(pc.vcpus[0].extint);
	assert_true(pc_requested(0, REQUEST_EVENTS));
	assert_int_equal(read_pic(0x20, READ_IRR), 1);
	assert_int_equal(pc_take_interrupt(0), 0x30);
	assert_false(pc.vcpus[0].extint);
	assert_int_equal(read_pic(0x20, READ_IRR), 0);
	assert_int_equal(read_pic(0x20, READ_ISR), 1);
	/* mask_and_ack_8259A(): mask, specific EOI, unmask later. */
	outb(0x21, 1);
	outb(0x20, 0x60);
	assert_int_equal(read_pic(0x20, READ_ISR), 0);
	pulse(IRQ_PIT);
	assert_int_equal(pc_take_interrupt(0), -1);
	outb(0x21, 0);
	assert_int_equal(pc_take_interrupt(0), 0x30);
}

static void priorities_nest(void **state)
{
	(void)state;
	init_pics(1);
	pulse(7);
	pulse(4);
	pulse(1);
	assert_int_equal(pc_take_interrupt(0), 0x31);
	assert_int_equal(pc_take_interrupt(0), -1);
	pulse(0);
	assert_int_equal(pc_take_interrupt(0), 0x30);
	outb(0x20, EOI);
	assert_int_equal(read_pic(0x20, READ_ISR), 2);
	assert_int_equal(pc_take_interrupt(0), -1);
	outb(0x20, EOI);
	assert_int_equal(pc_take_interrupt(0), 0x34);
	outb(0x20, EOI);
	assert_int_equal(pc_take_interrupt(0), 0x37);
	outb(0x20, EOI);
	assert_int_equal(pc_take_interrupt(0), -1);
}

static void the_slave_interrupts_through_input_2(void **state)
{
	(void)state;
	init_pics(1);
	pulse(12);
	pulse(8);
	pulse(3);
	/* The slave stands before input 3. */
	assert_int_equal(pc_take_interrupt(0), 0x38);
	assert_int_equal(read_pic(0x20, READ_ISR), 4);
	assert_int_equal(read_pic(0xa0, READ_ISR), 1);
	assert_int_equal(pc_take_interrupt(0), -1);
	outb(0xa0, EOI);
	assert_int_equal(pc_take_interrupt(0), -1); /* the master still serves its input 2 */
	outb(0x20, EOI);
	assert_int_equal(pc_take_interrupt(0), 0x3c);
	outb(0xa0, EOI);
	outb(0x20, EOI);
	assert_int_equal(pc_take_interrupt(0), 0x33);
	/* A device on line 2 there cannot be. */
	pulse(2);
	assert_int_equal(read_pic(0x20, READ_IRR) & 4, 0);
}

static void special_fully_nested_mode_lets_the_slave_nest(void **state)
{
	(void)state;
	init_pics(0x11);
	pulse(12);
	assert_int_equal(pc_take_interrupt(0), 0x3c);
	pulse(14);
	assert_int_equal(pc_take_interrupt(0), -1);
	pulse(9);
	assert_int_equal(pc_take_interrupt(0), 0x39);
	assert_int_equal(read_pic(0xa0, READ_ISR), 0x12);
}

static void a_withdrawn_slave_request_is_spurious(void **state)
{
	(void)state;
	init_pics(1);
	pulse(10);
	outb(0xa1, 0x04); /* masked after its edge has reached the master */
	assert_int_equal(pc_take_interrupt(0), 0x3f);
	assert_int_equal(read_pic(0xa0, READ_ISR), 0);
	assert_int_equal(read_pic(0x20, READ_ISR), 4);
	outb(0x20, EOI);
	assert_int_equal(pc_take_interrupt(0), -1);
	/* On the master the request is simply gone. */
	pulse(5);
	outb(0x21, 0x20);
	assert_false(pc.vcpus[0].extint);
	assert_int_equal(pc_take_interrupt(0), -1);
}

static void edges_are_latched_and_levels_are_not(void **state)
{
	(void)state;
	init_pics(1);
	line(5, true);
	assert_int_equal(pc_take_interrupt(0), 0x35);
	outb(0x20, EOI);
	line(5, true); /* no new edge */
	assert_int_equal(pc_take_interrupt(0), -1);
	line(5, false);
	/* ELCR: 5 and 11 level; the timer, keyboard, cascade, RTC and FPU cannot be. */
	pc_out(0x4d0, 2, 0xffff);
	assert_int_equal(pc_in(0x4d0, 2), 0xdef8);
	pc_out(0x4d0, 2, 0x0820);
	line(11, true);
	assert_int_equal(pc_take_interrupt(0), 0x3b);
	outb(0xa0, EOI);
	outb(0x20, EOI);
	assert_int_equal(pc_take_interrupt(0), 0x3b); /* still asserted */
	line(11, false);
	outb(0xa0, EOI);
	outb(0x20, EOI);
	assert_int_equal(pc_take_interrupt(0), -1);
	line(5, true);
	line(5, false);
	assert_int_equal(pc_take_interrupt(0), -1);
}

static void initialisation_forgets_edges(void **state)
{
	(void)state;
	init_pics(1);
	line(3, true);
	outb(0x20, 0x11);
	assert_false(pc.vcpus[0].extint);
	outb(0x21, 0x50);
	outb(0x21, 0x04);
	outb(0x21, 0x01);
	assert_int_equal(pc_take_interrupt(0), -1);
	line(3, false);
	line(3, true);
	assert_int_equal(pc_take_interrupt(0), 0x53);
}

static void rotation_moves_the_lowest_priority(void **state)
{
	(void)state;
	init_pics(1);
	outb(0x20, 0xc0 | 3); /* 3 is lowest: 4 is highest */
	pulse(0);
	pulse(3);
	pulse(4);
	assert_int_equal(pc_take_interrupt(0), 0x34);
	outb(0x20, 0xa0); /* rotating EOI: 4 is lowest now */
	assert_int_equal(pc_take_interrupt(0), 0x30);
	outb(0x20, 0xe0); /* the specific one: 0 is lowest */
	pulse(1);
	assert_int_equal(pc_take_interrupt(0), 0x31);
	outb(0x20, EOI);
	assert_int_equal(pc_take_interrupt(0), 0x33);
}

static void automatic_eoi_needs_none(void **state)
{
	(void)state;
	init_pics(3);
	outb(0x20, 0x80); /* rotate in automatic EOI mode */
	pulse(1);
	pulse(6);
	pulse(8);
	pulse(9);
	assert_int_equal(pc_take_interrupt(0), 0x31);
	assert_int_equal(read_pic(0x20, READ_ISR), 0);
	pulse(1); /* now last */
	assert_int_equal(pc_take_interrupt(0), 0x38);
	assert_int_equal(pc_take_interrupt(0), 0x36);
	assert_int_equal(pc_take_interrupt(0), 0x31);
	assert_int_equal(pc_take_interrupt(0), 0x39);
	assert_int_equal(pc_take_interrupt(0), -1);
}

static void special_mask_mode_lets_lower_ones_in(void **state)
{
	(void)state;
	init_pics(1);
	pulse(1);
	assert_int_equal(pc_take_interrupt(0), 0x31);
	pulse(5);
	assert_int_equal(pc_take_interrupt(0), -1);
	outb(0x21, 0x02);
	assert_int_equal(pc_take_interrupt(0), -1);
	outb(0x20, 0x68); /* set special mask mode */
	assert_int_equal(pc_take_interrupt(0), 0x35);
	outb(0x20, EOI); /* ends 5, not the masked 1 */
	assert_int_equal(read_pic(0x20, READ_ISR), 0x02);
	outb(0x20, 0x48); /* reset it */
	pulse(6);
	assert_int_equal(pc_take_interrupt(0), -1);
}

static void polling_acknowledges(void **state)
{
	(void)state;
	init_pics(1);
	assert_int_equal(read_pic(0x20, POLL), 0);
	pulse(6);
	assert_int_equal(read_pic(0x20, POLL), 0x86);
	assert_int_equal(read_pic(0x20, READ_ISR), 0x40);
	assert_false(pc.vcpus[0].extint);
	outb(0x20, EOI);
	pulse(14);
	assert_int_equal(read_pic(0x20, POLL), 0x82);
	assert_int_equal(read_pic(0xa0, POLL), 0x86);
	outb(0xa0, EOI);
	outb(0x20, EOI);
	pulse(14);
	assert_int_equal(pc_take_interrupt(0), 0x3e);
}

static void power_up_masks_everything(void **state)
{
	(void)state;
	for (unsigned int gsi = 0; gsi < 30; gsi++)
		pulse(gsi);
	assert_int_equal(pc_take_interrupt(0), -1);
	assert_int_equal(inb(0x21), 0xfb);
	init_pics(1);
	pulse(1);
	fake_pc_reset_devices();
	assert_false(pc.vcpus[0].extint);
	assert_int_equal(inb(0xa1), 0xff);
}

static uint32_t io_read(unsigned int reg)
{
	pc_write32(IOAPIC_BASE, reg);
	return pc_read32(IOAPIC_BASE + 0x10);
}

static void io_write(unsigned int reg, uint32_t value)
{
	pc_write32(IOAPIC_BASE, reg);
	pc_write32(IOAPIC_BASE + 0x10, value);
}

static void route(unsigned int pin, uint32_t low, unsigned int cpu)
{
	io_write(0x11 + 2 * pin, cpu << 24);
	io_write(0x10 + 2 * pin, low);
}

static void enable_lapics(void)
{
	for (unsigned int i = 0; i < 2; i++)
		lapic_write32(i, 0xf0, 0x1ff);
}

#define LEVEL 0x8000U
#define REMOTE_IRR 0x4000U
#define IO_MASKED 0x10000U

static void ioapic_identifies_itself(void **state)
{
	(void)state;
	assert_int_equal(io_read(1), 0x00170020);
	assert_int_equal(io_read(0), IOAPIC_ID << 24);
	io_write(0, 5U << 24);
	assert_int_equal(io_read(0), 5U << 24);
	assert_int_equal(io_read(2), 5U << 24);
	for (unsigned int pin = 0; pin < 24; pin++)
		assert_int_equal(io_read(0x10 + 2 * pin), IO_MASKED);
	io_write(0x10, 0xffffffff);
	assert_int_equal(io_read(0x10), 0x1afff);
	io_write(0x11, 0xffffffff);
	assert_int_equal(io_read(0x11), 0xff000000);
	assert_int_equal(io_read(0x40), 0);
	io_write(0xff, 1);
	assert_int_equal(pc_read32(IOAPIC_BASE + 0x20), 0);
}

static void edges_go_to_their_cpu(void **state)
{
	(void)state;
	enable_lapics();
	route(4, 0x41, 1);
	route(IOAPIC_PIT_PIN, 0x42, 0);
	pulse(4);
	assert_int_equal(pc_take_interrupt(0), -1);
	assert_int_equal(pc_take_interrupt(1), 0x41);
	lapic_write32(1, 0xb0, 0);
	pulse(IRQ_PIT);
	assert_int_equal(pc_take_interrupt(0), 0x42);
	lapic_write32(0, 0xb0, 0);
	pulse(2); /* not a line of its own */
	assert_int_equal(pc_take_interrupt(0), -1);
	/* An edge on a masked pin is lost. */
	route(4, IO_MASKED | 0x41, 1);
	line(4, true);
	route(4, 0x41, 1);
	assert_int_equal(pc_take_interrupt(1), -1);
	line(4, true);
	assert_int_equal(pc_take_interrupt(1), -1);
	line(4, false);
	line(4, true);
	assert_int_equal(pc_take_interrupt(1), 0x41);
}

static void levels_wait_for_their_end(void **state)
{
	(void)state;
	enable_lapics();
	route(9, LEVEL | 0x51, 0);
	line(9, true);
	assert_int_equal(io_read(0x22), LEVEL | REMOTE_IRR | 0x51);
	assert_int_equal(pc_take_interrupt(0), 0x51);
	line(9, false);
	line(9, true);
	assert_int_equal(lapic_waiting_vector(&pc.vcpus[0]), -1);
	/* Still asserted at its end: again. */
	lapic_write32(0, 0xb0, 0);
	assert_int_equal(pc_take_interrupt(0), 0x51);
	line(9, false);
	lapic_write32(0, 0xb0, 0);
	assert_int_equal(pc_take_interrupt(0), -1);
	assert_int_equal(io_read(0x22), LEVEL | 0x51);
	/* Masked while asserted; it comes when the mask goes. */
	route(9, IO_MASKED | LEVEL | 0x51, 0);
	line(9, true);
	assert_int_equal(pc_take_interrupt(0), -1);
	route(9, LEVEL | 0x51, 0);
	assert_int_equal(pc_take_interrupt(0), 0x51);
	/* Guests may not write remote IRR, but edge mode clears it. */
	io_write(0x22, LEVEL | 0x51);
	assert_int_equal(io_read(0x22), LEVEL | REMOTE_IRR | 0x51);
	io_write(0x22, IO_MASKED | 0x51);
	assert_int_equal(io_read(0x22), IO_MASKED | 0x51);
}

static void the_eoi_register_ends_too(void **state)
{
	(void)state;
	enable_lapics();
	route(9, LEVEL | 0x51, 0);
	route(10, LEVEL | 0x51, 0); /* two pins share a vector */
	line(9, true);
	line(10, true);
	assert_int_equal(pc_take_interrupt(0), 0x51);
	line(9, false);
	pc_write32(IOAPIC_BASE + 0x40, 0x52);
	assert_int_equal(io_read(0x22) & REMOTE_IRR, REMOTE_IRR);
	pc_write32(IOAPIC_BASE + 0x40, 0x51);
	assert_int_equal(io_read(0x22) & REMOTE_IRR, 0);
	assert_int_equal(io_read(0x24) & REMOTE_IRR, REMOTE_IRR); /* pin 10 again */
	lapic_write32(0, 0xb0, 0);
	assert_int_equal(pc_take_interrupt(0), 0x51);
}

static void other_delivery_modes_reach_the_lapic(void **state)
{
	(void)state;
	enable_lapics();
	route(3, 0x400, 1); /* NMI */
	pulse(3);
	assert_int_equal(pc.nmis[1], 1);
	route(3, LEVEL | 0x400, 1); /* level means nothing for it */
	pulse(3);
	assert_int_equal(pc.nmis[1], 2);
	assert_int_equal(io_read(0x16) & REMOTE_IRR, 0);
	route(3, 0x161, 0xff); /* lowest priority, everybody */
	pulse(3);
	pulse(3);
	assert_int_equal(pc_take_interrupt(0), 0x61);
	assert_int_equal(pc_take_interrupt(1), 0x61);
	route(3, 0x500, 1); /* INIT */
	pulse(3);
	assert_true(pc_requested(1, REQUEST_INIT));
	route(3, 0x00 | 5, 0); /* an illegal vector */
	pulse(3);
	lapic_write32(0, 0x280, 0);
	assert_int_equal(lapic_read32(0, 0x280), 0x40);
}

static unsigned int ticks_taken_by_vcpus;

static void count_tick(struct tick_source *source)
{
	(void)source;
	ticks_taken_by_vcpus++;
	/* The next one at once, as one that makes up for lost time does. */
	if (ticks_taken_by_vcpus % 3)
		vm_pulse_irq(&pc.vm, IRQ_PIT);
}

static bool tick_waits(void)
{
	bool waits;

	PC_LOCKED(waits = vm_tick_waits(&pc.vm));
	return waits;
}

/* Who counts the timer's interrupts is told of each that a vCPU takes, by whichever way. */
static void ticks_are_told_of(void **state)
{
	static struct tick_source source = { .taken = count_tick };

	(void)state;
	pc.vm.tick_source = &source;
	ticks_taken_by_vcpus = 0;
	init_pics(1);
	assert_false(tick_waits());
	pulse(IRQ_PIT);
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(tick_waits());
		assert_int_equal(pc_take_interrupt(0), 0x30);
		assert_int_equal(ticks_taken_by_vcpus, i + 1);
		outb(0x20, 0x60);
	}
	assert_false(tick_waits());
	/* What is masked meanwhile is not going to be taken. */
	pulse(IRQ_PIT);
	outb(0x21, 0xff);
	assert_false(tick_waits());
	outb(0x21, 0xfe);
	outb(0x20, POLL);
	assert_int_equal(inb(0x20), 0x80);
	outb(0x20, 0x60);
	outb(0x21, 0xff);
	assert_int_equal(ticks_taken_by_vcpus, 4);
	/* The IOAPIC's; others' interrupts are no ticks. */
	enable_lapics();
	route(IOAPIC_PIT_PIN, 0x42, 1);
	route(4, 0x43, 1);
	pulse(4);
	pulse(IRQ_PIT);
	assert_int_equal(pc_take_interrupt(1), 0x43);
	lapic_write32(1, 0xb0, 0);
	for (unsigned int i = 4; i < 6; i++) {
		assert_true(tick_waits());
		assert_int_equal(ticks_taken_by_vcpus, i);
		assert_int_equal(pc_take_interrupt(1), 0x42);
		lapic_write32(1, 0xb0, 0);
	}
	assert_int_equal(ticks_taken_by_vcpus, 6);
	assert_false(tick_waits());
	pulse(IRQ_PIT);
	route(IOAPIC_PIT_PIN, IO_MASKED | 0x42, 1);
	assert_false(tick_waits());
	lapic_reset(&pc.vcpus[1], true);
	route(IOAPIC_PIT_PIN, 0x42, 1);
	assert_false(tick_waits());
}

static void byte_accesses_to_the_ioapic(void **state)
{
	(void)state;
	spin_lock(&pc.vm.lock);
	io_bus_write(&pc.vm.mmio, IOAPIC_BASE, 1, 1);
	assert_int_equal(io_bus_read(&pc.vm.mmio, IOAPIC_BASE + 0x12, 1), 0x17);
	assert_int_equal(io_bus_read(&pc.vm.mmio, IOAPIC_BASE + 0x10, 8), 0x170020);
	io_bus_write(&pc.vm.mmio, IOAPIC_BASE + 0x10, 1, 0xff);
	for (unsigned int offset = 0; offset < 0x1000; offset += 3) {
		io_bus_read(&pc.vm.mmio, IOAPIC_BASE + offset, 4);
		io_bus_write(&pc.vm.mmio, IOAPIC_BASE + offset, 4, ~0U);
	}
	spin_unlock(&pc.vm.lock);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(linux_finds_its_pic),
		TEST(priorities_nest),
		TEST(the_slave_interrupts_through_input_2),
		TEST(special_fully_nested_mode_lets_the_slave_nest),
		TEST(a_withdrawn_slave_request_is_spurious),
		TEST(edges_are_latched_and_levels_are_not),
		TEST(initialisation_forgets_edges),
		TEST(rotation_moves_the_lowest_priority),
		TEST(automatic_eoi_needs_none),
		TEST(special_mask_mode_lets_lower_ones_in),
		TEST(polling_acknowledges),
		TEST(power_up_masks_everything),
		TEST(ioapic_identifies_itself),
		TEST(edges_go_to_their_cpu),
		TEST(levels_wait_for_their_end),
		TEST(the_eoi_register_ends_too),
		TEST(other_delivery_modes_reach_the_lapic),
		TEST(ticks_are_told_of),
		TEST(byte_accesses_to_the_ioapic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
