/* SPDX-License-Identifier: BSD-2-Clause */
/* The 16550A against its data sheet and against what Linux's 8250 driver does with it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include <linux/serial_reg.h>

#include "devices/platform.h"
#include "devices/uart.h"
#include "test/unit/fake_pc.h"

#define BASE PORT_COM1

static struct uart *uart;
static bool line;
static unsigned int edges;
static char sent[256];
static size_t sent_count, room;
static unsigned int ready_calls;

static void watch_line(struct irqchip *chip, unsigned int gsi, bool level)
{
	(void)chip;
	assert_int_equal(gsi, IRQ_COM1);
	edges += level && !line;
	line = level;
}

static struct irqchip watcher = { .set_line = watch_line };

static size_t take_output(struct uart *from, const uint8_t *bytes, size_t count)
{
	size_t taken = count < room ? count : room;

	assert_ptr_equal(from, uart);
	assert_true(sent_count + taken < sizeof(sent));
	memcpy(sent + sent_count, bytes, taken);
	sent_count += taken;
	room -= taken;
	return taken;
}

static void note_ready(struct uart *from)
{
	assert_ptr_equal(from, uart);
	ready_calls++;
}

static int begin(void **state)
{
	(void)state;
	fake_pc_begin(1);
	line = false;
	edges = 0;
	memset(sent, 0, sizeof(sent));
	sent_count = 0;
	room = sizeof(sent) - 1;
	ready_calls = 0;
	assert_int_equal(vm_add_irqchip(&pc.vm, &watcher), 0);
	assert_int_equal(uart_create(&pc.vm, BASE, IRQ_COM1, &uart), 0);
	uart->output = take_output;
	uart->input_ready = note_ready;
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_pc_end();
	return 0;
}

static uint8_t in(unsigned int reg)
{
	return inb(BASE + reg);
}

static void out(unsigned int reg, uint8_t value)
{
	outb(BASE + reg, value);
}

static size_t input(const char *text)
{
	size_t taken;

	PC_LOCKED(taken = uart_input(uart, (const uint8_t *)text, strlen(text)));
	return taken;
}

static void set_up(uint8_t fcr, uint8_t ier)
{
	out(UART_FCR, fcr);
	out(UART_LCR, UART_LCR_WLEN8);
	out(UART_MCR, UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2);
	out(UART_IER, ier);
}

static void power_up_state(void **state)
{
	(void)state;
	assert_int_equal(in(UART_IER), 0);
	assert_int_equal(in(UART_IIR), UART_IIR_NO_INT);
	assert_int_equal(in(UART_LCR), 0);
	assert_int_equal(in(UART_MCR), 0);
	assert_int_equal(in(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	assert_int_equal(in(UART_MSR), 0xb0);
	out(UART_SCR, 0x5a);
	assert_int_equal(in(UART_SCR), 0x5a);
	out(UART_IER, 0xff);
	assert_int_equal(in(UART_IER), 0x0f);
	out(UART_LCR, UART_LCR_DLAB);
	out(UART_DLL, 0x34);
	out(UART_DLM, 0x12);
	assert_int_equal(in(UART_DLL), 0x34);
	assert_int_equal(in(UART_DLM), 0x12);
	out(UART_LCR, 0);
	assert_int_equal(in(UART_IER), 0x0f);
	assert_int_equal(sent_count, 0);
}

/* autoconfig(), autoconfig_16550a() */
static void linux_recognises_a_16550a(void **state)
{
	(void)state;
	out(UART_IER, 0);
	assert_int_equal(in(UART_IER) & 0x0f, 0);
	out(UART_IER, 0x0f);
	assert_int_equal(in(UART_IER) & 0x0f, 0x0f);
	out(UART_IER, 0);
	out(UART_MCR, UART_MCR_LOOP | 0x0a);
	assert_int_equal(in(UART_MSR) & 0xf0, 0x90);
	out(UART_MCR, 0);
	out(UART_LCR, 0xbf);
	out(UART_EFR, 0);
	out(UART_LCR, 0);
	out(UART_FCR, UART_FCR_ENABLE_FIFO);
	assert_int_equal(in(UART_IIR) & 0xc0, 0xc0);
	out(UART_LCR, UART_LCR_CONF_MODE_A);
	assert_int_not_equal(in(UART_EFR), 0);
	out(UART_LCR, UART_LCR_CONF_MODE_B);
	assert_int_not_equal(in(UART_EFR), 0);
	/* Not a 16750: its bit changes nothing. */
	out(UART_LCR, 0);
	out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR7_64BYTE);
	assert_int_equal(in(UART_IIR) >> 5, 6);
	out(UART_LCR, UART_LCR_CONF_MODE_A);
	out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR7_64BYTE);
	assert_int_equal(in(UART_IIR) >> 5, 6);
	out(UART_LCR, 0);
	/* Not an XScale either. */
	out(UART_IER, UART_IER_UUE);
	assert_int_equal(in(UART_IER) & UART_IER_UUE, 0);
	out(UART_FCR, 0);
	assert_int_equal(in(UART_IIR) & 0xc0, 0);
}

/* serial8250_THRE_test() */
static void enabling_thri_interrupts_at_once(void **state)
{
	(void)state;
	set_up(UART_FCR_ENABLE_FIFO, 0);
	for (unsigned int i = 0; i < 2; i++) {
		out(UART_IER, UART_IER_THRI);
		assert_true(line);
		assert_int_equal(in(UART_IIR) & 0x0f, UART_IIR_THRI);
		assert_false(line);
		assert_int_equal(in(UART_IIR) & 0x0f, UART_IIR_NO_INT);
		out(UART_IER, 0);
	}
	assert_int_equal(edges, 2);
	/* Setting what is set already is no event. */
	out(UART_IER, UART_IER_THRI);
	in(UART_IIR);
	out(UART_IER, UART_IER_THRI);
	assert_false(line);
}

static void sending_interrupts_when_it_is_done(void **state)
{
	(void)state;
	set_up(UART_FCR_ENABLE_FIFO, UART_IER_THRI);
	in(UART_IIR);
	edges = 0;
	out(UART_TX, 'H');
	assert_true(line);
	assert_int_equal(edges, 1);
	assert_int_equal(in(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	assert_int_equal(in(UART_IIR) & 0x0f, UART_IIR_THRI);
	out(UART_TX, 'i');
	out(UART_TX, '!');
	/* An edge each, in case nobody looked at the level. */
	assert_int_equal(edges, 3);
	out(UART_IER, 0);
	assert_false(line);
	assert_string_equal(sent, "Hi!");
}

static void a_full_other_side_holds_the_transmitter(void **state)
{
	(void)state;
	set_up(UART_FCR_ENABLE_FIFO, UART_IER_THRI);
	in(UART_IIR);
	room = 2;
	for (unsigned int i = 0; i < 16; i++)
		out(UART_TX, 'a' + i);
	assert_string_equal(sent, "ab");
	assert_int_equal(in(UART_LSR), 0);
	assert_false(line);
	room = 5;
	PC_LOCKED(uart_output_ready(uart));
	assert_string_equal(sent, "abcdefg");
	assert_int_equal(in(UART_LSR) & UART_LSR_THRE, 0);
	assert_false(line);
	room = 100;
	PC_LOCKED(uart_output_ready(uart));
	assert_string_equal(sent, "abcdefghijklmnop");
	assert_int_equal(in(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	assert_true(line);
	assert_int_equal(in(UART_IIR) & 0x0f, UART_IIR_THRI);
	PC_LOCKED(uart_output_ready(uart));
	assert_false(line);
	/* A program that writes beyond the FIFO loses bytes, nothing more. */
	room = 0;
	for (unsigned int i = 0; i < 100; i++)
		out(UART_TX, 'z');
	out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_XMIT);
	assert_true(line);
	room = 100;
	PC_LOCKED(uart_output_ready(uart));
	assert_string_equal(sent, "abcdefghijklmnop");
}

static void without_fifo_one_byte_waits(void **state)
{
	(void)state;
	set_up(0, UART_IER_RDI);
	room = 0;
	out(UART_TX, 'x');
	assert_int_equal(in(UART_LSR), 0);
	out(UART_TX, 'y');
	room = 100;
	PC_LOCKED(uart_output_ready(uart));
	assert_string_equal(sent, "y");
	assert_int_equal(input("12"), 1);
	assert_true(line);
	assert_int_equal(in(UART_IIR), UART_IIR_RDI);
	assert_int_equal(in(UART_RX), '1');
	assert_int_equal(ready_calls, 1);
	assert_false(line);
	assert_int_equal(input("2"), 1);
	assert_int_equal(in(UART_RX), '2');
	assert_int_equal(ready_calls, 1);
}

static void receiving_by_trigger_level_and_timeout(void **state)
{
	static const struct {
		uint8_t fcr;
		unsigned int level;
	} levels[] = { { UART_FCR_TRIGGER_1, 1 }, { UART_FCR_TRIGGER_4, 4 },
		{ UART_FCR_TRIGGER_8, 8 }, { UART_FCR_TRIGGER_14, 14 } };

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(levels); i++) {
		set_up(UART_FCR_ENABLE_FIFO | levels[i].fcr, UART_IER_RDI);
		for (unsigned int n = 1; n <= 16; n++) {
			assert_int_equal(input("k"), 1);
			assert_true(line);
			assert_int_equal(in(UART_IIR) & 0x0f,
				n >= levels[i].level ? UART_IIR_RDI : UART_IIR_RX_TIMEOUT);
		}
		assert_int_equal(input("k"), 0);
		for (unsigned int n = 16; n > 0; n--) {
			assert_int_equal(in(UART_LSR) & UART_LSR_DR, UART_LSR_DR);
			assert_true(line);
			assert_int_equal(in(UART_RX), 'k');
		}
		assert_false(line);
		assert_int_equal(in(UART_LSR) & UART_LSR_DR, 0);
	}
	assert_int_equal(ready_calls, 4);
	assert_int_equal(in(UART_RX), 0);
	input("abc");
	out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	assert_false(line);
	assert_int_equal(in(UART_LSR) & UART_LSR_DR, 0);
}

static void reasons_come_by_priority(void **state)
{
	(void)state;
	set_up(UART_FCR_ENABLE_FIFO, 0x0f);
	out(UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2); /* CTS and DSR fall */
	out(UART_MCR, UART_MCR_OUT2);
	PC_LOCKED(uart_send_break(uart));
	assert_int_equal(in(UART_IIR) & 0x0f, UART_IIR_RLSI);
	assert_int_equal(in(UART_LSR),
		UART_LSR_BI | UART_LSR_DR | UART_LSR_THRE | UART_LSR_TEMT | 0x80);
	assert_int_equal(in(UART_LSR), UART_LSR_DR | UART_LSR_THRE | UART_LSR_TEMT);
	assert_int_equal(in(UART_IIR) & 0x0f, UART_IIR_RDI);
	assert_int_equal(in(UART_RX), 0);
	assert_int_equal(in(UART_IIR) & 0x0f, UART_IIR_THRI);
	assert_int_equal(in(UART_IIR) & 0x0f, UART_IIR_MSI);
	assert_true(line);
	assert_int_equal(in(UART_MSR), 0xb0 | UART_MSR_DCTS | UART_MSR_DDSR);
	assert_false(line);
	assert_int_equal(in(UART_MSR), 0xb0);
	assert_int_equal(in(UART_IIR) & 0x0f, UART_IIR_NO_INT);
}

static void errors_travel_with_their_character(void **state)
{
	(void)state;
	set_up(UART_FCR_ENABLE_FIFO, UART_IER_RLSI);
	input("a");
	PC_LOCKED(uart_send_break(uart));
	input("b");
	assert_false(line);
	assert_int_equal(in(UART_LSR) & (0x80 | UART_LSR_BI), 0x80);
	assert_int_equal(in(UART_RX), 'a');
	assert_true(line);
	assert_int_equal(in(UART_LSR) & (0x80 | UART_LSR_BI), 0x80 | UART_LSR_BI);
	assert_false(line);
	assert_int_equal(in(UART_RX), 0);
	assert_int_equal(in(UART_LSR) & (0x80 | UART_LSR_BI), 0);
	assert_int_equal(in(UART_RX), 'b');
	/* A break into a full FIFO overruns it. */
	input("0123456789abcdef");
	PC_LOCKED(uart_send_break(uart));
	assert_int_equal(in(UART_LSR) & UART_LSR_OE, UART_LSR_OE);
	assert_int_equal(in(UART_RX), '0');
}

static void loopback_returns_what_is_sent(void **state)
{
	(void)state;
	set_up(UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_1, UART_IER_RDI);
	out(UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2);
	assert_int_equal(in(UART_MSR) & 0xf0, UART_MSR_DCD);
	out(UART_TX, 0xae);
	assert_true(line);
	assert_int_equal(in(UART_RX), 0xae);
	assert_int_equal(input("x"), 0);
	PC_LOCKED(uart_send_break(uart));
	assert_int_equal(in(UART_LSR) & UART_LSR_DR, 0);
	/* size_fifo(): sixteen of many arrive, and the overrun shows. */
	for (unsigned int i = 0; i < 256; i++)
		out(UART_TX, i);
	assert_int_equal(in(UART_LSR) & UART_LSR_OE, UART_LSR_OE);
	for (unsigned int i = 0; i < 16; i++) {
		assert_int_equal(in(UART_LSR) & UART_LSR_DR, UART_LSR_DR);
		assert_int_equal(in(UART_RX), i);
	}
	assert_int_equal(in(UART_LSR) & UART_LSR_DR, 0);
	assert_int_equal(sent_count, 0);
	/* The ring indicator is an event when it ends. */
	in(UART_MSR);
	out(UART_MCR, UART_MCR_LOOP | UART_MCR_OUT1);
	assert_int_equal(in(UART_MSR), UART_MSR_RI | UART_MSR_DDCD);
	out(UART_MCR, UART_MCR_LOOP);
	assert_int_equal(in(UART_MSR), UART_MSR_TERI);
	out(UART_MCR, UART_MCR_LOOP | UART_MCR_DTR | UART_MCR_RTS);
	assert_int_equal(in(UART_MSR), UART_MSR_DSR | UART_MSR_CTS | UART_MSR_DDSR | UART_MSR_DCTS);
}

static void out2_gates_the_interrupt(void **state)
{
	(void)state;
	set_up(UART_FCR_ENABLE_FIFO, UART_IER_RDI);
	out(UART_MCR, 0);
	input("a");
	assert_false(line);
	assert_int_equal(in(UART_IIR) & 0x0f, UART_IIR_RDI);
	out(UART_MCR, UART_MCR_OUT2);
	assert_true(line);
	out(UART_MCR, 0);
	assert_false(line);
	out(UART_MCR, UART_MCR_OUT2);
	fake_pc_reset_devices();
	assert_false(line);
	assert_int_equal(in(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
}

static void nobody_on_the_other_side(void **state)
{
	(void)state;
	uart->output = NULL;
	uart->input_ready = NULL;
	set_up(UART_FCR_ENABLE_FIFO, UART_IER_RDI);
	out(UART_TX, 'a');
	assert_int_equal(in(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	input("0123456789abcdefg");
	in(UART_RX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(power_up_state),
		TEST(linux_recognises_a_16550a),
		TEST(enabling_thri_interrupts_at_once),
		TEST(sending_interrupts_when_it_is_done),
		TEST(a_full_other_side_holds_the_transmitter),
		TEST(without_fifo_one_byte_waits),
		TEST(receiving_by_trigger_level_and_timeout),
		TEST(reasons_come_by_priority),
		TEST(errors_travel_with_their_character),
		TEST(loopback_returns_what_is_sent),
		TEST(out2_gates_the_interrupt),
		TEST(nobody_on_the_other_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
