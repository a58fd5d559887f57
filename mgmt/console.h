/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one serial line, shared: it is Ballast's shell, or it is attached to the first serial port of
 * one VM. Lines of Ballast's own come in between either, each on a row of its own.
 *
 * A guest may write what it likes while it is attached. What it writes otherwise is kept, the last
 * 16 KiB, and shown without escape sequences when it is attached. Input goes to the attached guest
 * except for Ctrl-]: followed by `d` it leaves, twice it stands for itself. Only what arrives from
 * the terminal is looked at, so a guest cannot leave by itself. It can, however, ask the terminal
 * questions whose answers arrive like typed text: when the guest lost the console and has asked
 * lately, input is thrown away until all its output is on the wire and the line has been silent for
 * a moment; only then is there a prompt.
 *
 * Locks: the console has one lock, below vm.lock, and each port one of its own below that; then the
 * serial port's. Guests that are not attached need their port's alone, so that none waits for
 * another. All else is the boot CPU's: "any CPU" is said where it is not.
 */
#ifndef BALLAST_MGMT_CONSOLE_H
#define BALLAST_MGMT_CONSOLE_H

#include "host/lock.h"

#define CONSOLE_SCROLLBACK 16384
#define CONSOLE_KEY_NAME "Ctrl-]"

/* The side of one VM. The first fields are the owner's, the others the console's. */
struct console_port {
	const char *name; /* [I] */
	/* Bytes for the guest: how many it took. Called without locks. */
	size_t (*input)(struct console_port *port, const uint8_t *bytes, size_t count);
	/* There is room again: call console_port_output() for what was refused. Without locks. */
	void (*output_ready)(struct console_port *port);

	struct spinlock lock;
	char *scrollback;     /* [I] ring of CONSOLE_SCROLLBACK bytes [port.lock] */
	uint64_t written;     /* [port.lock] bytes ever written to the ring */
	uint64_t seen;        /* [port.lock] of these the operator has seen so many */
	uint64_t typed_ns;    /* when the last key for the guest arrived at the machine; 0: none */
	uint64_t answered_ns; /* [port.lock] when the guest last wrote, attached */
	bool refused;         /* [console.lock] with the port attached */
};

/* Take the serial line and the log's lines over: before anything else here. */
int console_init(void) __must_check;
#ifdef BALLAST_UNIT_TEST
/* As if never initialised. */
void console_test_reset(void);
#endif
/* Move bytes both ways, serve keys. Returns when to call again at the latest; 0: no need. */
uint64_t console_poll(void);

/* The hooks and the name are set. -ENOMEM. */
int console_port_init(struct console_port *port) __must_check;
/* The console is left if need be. */
void console_port_destroy(struct console_port *port);
/*
 * Bytes from the guest; returns how many were taken. Fewer than `count` only while attached, when
 * the line is busy: output_ready() will be called. Any CPU, under vm.lock.
 */
size_t console_port_output(struct console_port *port, const uint8_t *bytes, size_t count);
/* The guest takes input again, after input() took less than it was given. Any CPU. */
void console_port_input_ready(struct console_port *port);

void console_attach(struct console_port *port);
bool console_is_attached(const struct console_port *port);
/* Take whatever the guest's UART still holds. The guest does not run. */
void console_port_drain(struct console_port *port);
/* The VM behind the port has ended: the shell has the console again, if the port was attached. */
void console_port_ended(struct console_port *port);
/*
 * How long after the last key the guest last wrote while it was attached; false: it has not, or no
 * key was ever for it.
 */
bool console_port_answer_ns(struct console_port *port, uint64_t *ns);
/* The end of what the guest wrote, as a command's answer: for a guest that does not run. */
void console_show(struct console_port *port);

/*
 * A command that has the whole screen, of at least so many rows and columns, until it ends that.
 * draw() is called once in each period, later when the line is busy; so a frame never waits for
 * another. Lines of Ballast's own are held back meanwhile. Boot CPU.
 */
#define CONSOLE_ROWS 24
#define CONSOLE_COLUMNS 79
struct console_screen {
	uint64_t period_ns;
	void (*draw)(uint64_t now_ns); /* calls console_screen_row() for each row */
	void (*key)(uint8_t byte);
};
void console_screen_begin(const struct console_screen *screen);
/* What a row from 0 on is to show: what has changed goes to the terminal. From draw(). */
void console_screen_row(unsigned int row, const char *text);
/* The shell has the console again, below the screen. Also from draw() and key(). */
void console_screen_end(void);

/* A line of Ballast's own, on a row of its own. Any CPU. */
void console_line(const char *line);
void console_linef(const char *format, ...) __printf(1, 2);
/* Such a line that may be left out: when many are waiting already. False then. Any CPU. */
bool console_line_if_idle(const char *line);
/* Output of a command; a newline goes to the start of the next row. */
void console_print(const char *format, ...) __printf(1, 2);
/* No prompt and no input any more, lines alone: the machine ends. */
void console_close(void);
/* All that was queued is on its way to the serial port; waits, bounded in time. */
void console_flush(void);

/*
 * Output of the line editor: whole updates, which mean nothing once another line has come between;
 * they are dropped then, and the prompt is asked for again.
 */
void console_edit(const char *bytes, size_t count);
/* The editor has left its row for good. */
void console_edit_done(void);

/* What the console asks of the shell (mgmt/shell.c). */
void shell_draw(void);
void shell_input(uint8_t byte);
/* Half-typed input is forgotten: it may not have been the operator's. */
void shell_forget(void);

#endif
