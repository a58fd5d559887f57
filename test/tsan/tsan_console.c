/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log's ring and the console, written to by all CPUs at once, while the boot CPU attaches guests and leaves
 * them, reads the log and has the line sent slowly. Checked: a line of Ballast's own comes whole, on a row of
 * its own, and each CPU's in their order; lines of the ring are whole; what a guest writes is taken at last.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/log.h"
#include "host/serial.h"
#include "mgmt/console.h"
#include "mgmt/console_log.h"
#include "test/tsan/machine.h"

#define CPUS 4
#define LINE_ROOM 6000 /* bytes that the port takes before it is full */

static struct guest_port {
	struct console_port port; /* first */
	struct spinlock vm_lock;
	bool ready;               /* [a] there may be room again */
	uint64_t rows;            /* own CPU */
	uint64_t inputs;          /* boot CPU */
} ports[CPUS];

static uint32_t finished; /* [a] CPUs that have written all */

/* The serial port. */

static struct spinlock serial_lock;
static char waiting[LINE_ROOM]; /* [serial_lock] */
static size_t waiting_count;    /* [serial_lock] */
static void (*notify)(void);
static char typed[64];          /* boot CPU */
static size_t typed_count;
static uint64_t sent_bytes;

/* What came out of it: boot CPU. */
static char row[512];
static size_t row_length;
static uint64_t last_line[CPUS], lines_seen;

size_t serial_write(const char *bytes, size_t count)
{
	spin_lock(&serial_lock);
	count = MIN(count, LINE_ROOM - waiting_count);
	memcpy(waiting + waiting_count, bytes, count);
	waiting_count += count;
	spin_unlock(&serial_lock);
	return count;
}

size_t serial_write_pending(void)
{
	size_t count;

	spin_lock(&serial_lock);
	count = waiting_count;
	spin_unlock(&serial_lock);
	return count;
}

int serial_read(void)
{
	int byte = typed_count ? typed[0] : -1;

	if (typed_count)
		memmove(typed, typed + 1, --typed_count);
	return byte;
}

void serial_set_notify(void (*function)(void))
{
	notify = function;
}

static void check_row(void)
{
	unsigned int cpu, line;
	char end;

	row[row_length] = '\0';
	if (!strchr(row, '='))
		return;
	if (sscanf(row, "=cpu %u line %u en%c", &cpu, &line, &end) != 3 || end != 'd' || cpu >= CPUS)
		machine_fail("a broken row: %s", row);
	if (line <= last_line[cpu])
		machine_fail("cpu %u: line %u after line %llu", cpu, line,
			(unsigned long long)last_line[cpu]);
	last_line[cpu] = line;
	lines_seen++;
}

static void on_the_wire(char c)
{
	sent_bytes++;
	if (c == '\n') {
		check_row();
		row_length = 0;
	} else if (c == '\r') {
		/* The editor's row is drawn anew from its start; rows of lines end in one as well. */
	} else if (row_length < sizeof(row) - 1) {
		row[row_length++] = c;
	}
}

/* The line sends some bytes, and its interrupt is served. */
static void transmit(size_t most)
{
	char some[256];
	size_t count;

	spin_lock(&serial_lock);
	count = MIN(MIN(most, sizeof(some)), waiting_count);
	memcpy(some, waiting, count);
	waiting_count -= count;
	memmove(waiting, waiting + count, waiting_count);
	spin_unlock(&serial_lock);
	for (size_t i = 0; i < count; i++)
		on_the_wire(some[i]);
	notify();
}

/* What the console asks of the shell: an empty prompt. */

void shell_draw(void)
{
	console_edit("\r> ", 3);
}

void shell_input(uint8_t byte)
{
	(void)byte;
	console_edit_done();
	console_print("answer\n");
}

void shell_forget(void)
{
}

/* The guests' ports. */

static size_t input(struct console_port *port, const uint8_t *bytes, size_t count)
{
	(void)bytes;
	((struct guest_port *)port)->inputs += count;
	return count;
}

static void output_ready(struct console_port *port)
{
	__atomic_store_n(&((struct guest_port *)port)->ready, true, __ATOMIC_SEQ_CST);
}

/* As a UART of the guest: what is refused is kept, and offered again when there is room. */
static void guest_writes(struct guest_port *port, const char *bytes, size_t count)
{
	while (count) {
		size_t taken;

		spin_lock(&port->vm_lock);
		__atomic_store_n(&port->ready, false, __ATOMIC_SEQ_CST);
		taken = console_port_output(&port->port, (const uint8_t *)bytes, count);
		spin_unlock(&port->vm_lock);
		bytes += taken;
		count -= taken;
		for (unsigned int i = 0; count && i < 1000 && !__atomic_load_n(&port->ready, __ATOMIC_SEQ_CST); i++)
			machine_relax();
	}
}

static void writer(struct cpu *cpu)
{
	struct guest_port *own = &ports[cpu->id];
	unsigned int line = 0;
	char text[128];

	while (!machine_time_is_up()) {
		switch (machine_random_below(8)) {
		case 0:
			console_linef("=cpu %u line %u end", cpu->id, ++line);
			break;
		case 1:
			log_line("=cpu %u line %u end", cpu->id, ++line);
			break;
		case 2:
			log_note("note %u of cpu %u end", ++line, cpu->id);
			break;
		case 3:
			console_port_input_ready(&own->port);
			break;
		default:
			snprintf(text, sizeof(text), "guest %u row %llu \x1b[1m bold \x1b[0m\r\n", cpu->id,
				(unsigned long long)++own->rows);
			guest_writes(own, text, strlen(text));
		}
	}
	__atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
}

static void type(const char *keys)
{
	if (typed_count + strlen(keys) > sizeof(typed))
		return;
	memcpy(typed + typed_count, keys, strlen(keys));
	typed_count += strlen(keys);
	notify();
}

static uint64_t read_log(uint64_t *cursor)
{
	uint64_t time_ns, count = 0;
	char line[256];

	while (count < 100 && log_read(cursor, line, sizeof(line), &time_ns)) {
		machine_check(strlen(line) > 3 && strcmp(line + strlen(line) - 3, "end") == 0);
		count++;
	}
	return count;
}

static void operator_works(void)
{
	static uint64_t cursor, read;
	unsigned int which = 1 + machine_random_below(CPUS - 1);

	switch (machine_random_below(32)) {
	case 0:
		if (!console_is_attached(&ports[which].port))
			console_attach(&ports[which].port);
		break;
	case 1:
	case 2:
		type("\x1d" "d");
		break;
	case 3:
		type("x");
		break;
	case 4:
		console_show(&ports[which].port);
		break;
	case 5:
		read += read_log(&cursor);
		break;
	case 6:
		(void)!console_line_if_idle("idle");
		break;
	default:
		transmit(machine_random_below(256));
	}
	console_poll();
	console_log_poll();
}

static void run(struct cpu *cpu)
{
	if (cpu->id) {
		writer(cpu);
		return;
	}
	while (__atomic_load_n(&finished, __ATOMIC_SEQ_CST) < CPUS - 1)
		operator_works();
	/* All goes out at last. */
	for (unsigned int i = 0; i < 20000 && serial_write_pending(); i++) {
		transmit(256);
		console_poll();
	}
}

int main(int argc, char **argv)
{
	machine_arguments(argc, argv);
	machine_init(CPUS);
	if (console_init())
		return 1;
	console_log_init();
	for (unsigned int id = 1; id < CPUS; id++) {
		ports[id].port = (struct console_port){ .name = "vm", .input = input, .output_ready = output_ready };
		if (console_port_init(&ports[id].port))
			return 1;
	}
	machine_run(run);
	printf("%llu bytes on the line, %llu whole lines of Ballast's own; rows of guests: %llu %llu %llu\n",
		(unsigned long long)sent_bytes, (unsigned long long)lines_seen, (unsigned long long)ports[1].rows,
		(unsigned long long)ports[2].rows, (unsigned long long)ports[3].rows);
	machine_check(lines_seen > 50 && ports[1].rows > 50);
	return 0;
}
