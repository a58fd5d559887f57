/* SPDX-License-Identifier: BSD-2-Clause */
/* The state that the parts of the console share; only console*.c. Its lock order: console.h. */
#ifndef BALLAST_MGMT_CONSOLE_STATE_H
#define BALLAST_MGMT_CONSOLE_STATE_H

#include "host/lock.h"
#include "mgmt/console.h"
#include "mgmt/console_queue.h"

#define CONSOLE_LINE_BYTES 256
/* A command is begun only when there is room for the longest answer. */
#define CONSOLE_ANSWER_BYTES (96 * 1024)
/* Lines that may be left out wait in the queue up to here: a fifth of a second at 115200 baud. */
#define CONSOLE_IDLE_BYTES 2048

enum console_mode {
	MODE_SHELL,
	MODE_GUEST,
	MODE_SCREEN, /* a command has the whole screen: lines are held back */
	MODE_SETTLE, /* after a guest: input is thrown away */
	MODE_CLOSED, /* the machine ends: likewise */
};

struct console_state {
	struct spinlock lock;
	struct console_queue queue;    /* [lock] */
	enum console_mode mode;        /* [lock] changed by the boot CPU */
	struct console_port *attached; /* [a] [lock] changed by the boot CPU; with MODE_GUEST */
	bool draining;                 /* [lock] all that the attached guest writes is queued */
	bool prompt;                   /* [lock] the line editor has the last row */
	uint64_t prompt_lost_ns;       /* [lock] since then it has not */
	uint64_t prompt_after_ns;      /* [lock] no prompt before: more lines may follow soon */
};
extern struct console_state console;

/* The boot CPU calls console_poll() soon. Any CPU. */
void console_poll_soon(void);
/* Under the lock: a line, which may be lost; the prompt comes again below it. */
bool console_put_line(const char *line);

/* console_port.c */
/* Under the lock. Is it worthwhile to ask the attached guest for what was refused? */
bool console_wants_more(const struct console_port *port);
/* The guest loses the console; `line` may be NULL. Boot CPU. */
void console_leave(const char *line);

/* console_input.c; boot CPU */
/* Take what has arrived; true when some of it waits to be served. */
bool console_receive(void);
/* Serve what has arrived, and the prompt. Returns when to call again; 0: no need. */
uint64_t console_serve_input(uint64_t now_ns);
/* Under the lock. Is there room for the prompt, and for what a command may answer? */
bool console_wants_prompt(void);
/* Nothing typed waits for a guest any more. */
void console_input_attached(void);
/* A guest lost the console: in MODE_SETTLE the line has to be silent from now on. */
void console_input_left(uint64_t now_ns);
#ifdef BALLAST_UNIT_TEST
void console_input_test_reset(void);
#endif

/* console_screen.c */
/* Under the lock, in MODE_SCREEN: keep a line for later; false when there is no room. */
bool console_screen_hold(const char *line);
/* A key for the screen. Boot CPU. */
void console_screen_key(uint8_t byte);
/* Returns when to call again; 0: no need. Boot CPU. */
uint64_t console_screen_poll(uint64_t now_ns);

#endif
