/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shell: a table of commands, and what makes a line one of them. A command runs to its end at
 * once; what takes longer is told by a state line later. Boot CPU.
 */
#ifndef BALLAST_MGMT_SHELL_H
#define BALLAST_MGMT_SHELL_H

#include "host/mitigation_plan.h"
#include "mgmt/lineedit.h"

struct managed_vm;

#define SHELL_PROMPT "ballast> "
#define SHELL_WORDS 8
#define SHELL_COMMAND_WORDS 3
#define SHELL_ERROR_BYTES 240

enum shell_argument {
	ARGUMENT_NONE,
	ARGUMENT_VM,
	ARGUMENT_SWITCH,  /* on, off */
	ARGUMENT_NUMBER,  /* may be left out */
	ARGUMENT_RESET,   /* reset; may be left out */
	ARGUMENT_MITIGATION,
	ARGUMENT_MODE,    /* on, off, auto */
	ARGUMENT_COMMAND, /* words of another command; may be left out */
	ARGUMENT_NAME,    /* of a VM that there is not yet */
	ARGUMENT_NEW,     /* the rest of the line: settings of a new VM */
	ARGUMENT_CHANGES, /* the same, of a VM that there is */
	ARGUMENT_ANY_VM,  /* as ARGUMENT_VM, but may be left out */
	ARGUMENT_INDEX,   /* of a disk of the VM, from 0 */
	ARGUMENT_PORT,    /* com1, hvc0; may be left out */
	ARGUMENT_DISK,    /* the rest of the line: a disk, as in ballast.conf */
	ARGUMENT_NET,     /* likewise a net */
	ARGUMENT_POLICY,  /* likewise settings of the memory policy; may be left out */
};

struct shell_call;

struct shell_command {
	const char *word[SHELL_COMMAND_WORDS]; /* those behind the first may be NULL */
	enum shell_argument argument[2];
	const char *arguments;           /* as help shows them; "" when there are none */
	const char *help;                /* one line */
	const char *more;                /* for `help COMMAND`; NULL: nothing more to say */
	void (*run)(const struct shell_call *call);
};

/* A line that was understood. */
struct shell_call {
	const struct shell_command *command;
	struct managed_vm *vm;               /* ARGUMENT_VM, ARGUMENT_ANY_VM: NULL for none */
	bool hvc;                            /* ARGUMENT_PORT: hvc0 */
	bool on;                             /* ARGUMENT_SWITCH, ARGUMENT_RESET */
	enum mitigation mitigation;          /* ARGUMENT_MITIGATION */
	enum mitigation_mode mode;           /* ARGUMENT_MODE */
	uint64_t number;                     /* ARGUMENT_NUMBER; 0 when it was left out; or
						ARGUMENT_INDEX */
	const char *words[SHELL_WORDS];      /* ARGUMENT_COMMAND */
	size_t word_count;
	const char *name;                    /* ARGUMENT_NAME */
	const char *rest;                    /* ARGUMENT_NEW, _CHANGES, _DISK, _NET, _POLICY */
	char text[LINEEDIT_BYTES];           /* the line as it was; `rest` points into it */
};

struct shell_table {
	const struct shell_command *commands; /* those that begin alike side by side */
	size_t count;
};

/* All commands (mgmt/shell_commands.c). */
extern const struct shell_table shell_table;

/*
 * Split `line`, in place, and find out what it wants. 0; -ENOENT for a blank line; -EINVAL with a
 * sentence in `error` that names the wrong word and says what is possible.
 */
int shell_parse(const struct shell_table *table, char *line, struct shell_call *call,
	char error[SHELL_ERROR_BYTES]) __must_check;
/*
 * The index-th word that may stand at offset `start` of `line`; NULL after the last. Those before
 * `start` are taken as they are. It is good until the next call.
 */
const char *shell_candidate(const struct shell_table *table, const char *line, size_t start,
	size_t index);

/*
 * The index-th candidate for the word that begins with `typed` among settings of a VM; good until
 * the next call. (mgmt/shell_settings.c)
 */
const char *shell_setting(const char *typed, bool is_new, size_t index);
/* Likewise what a VM's disk may be of, and its network. */
const char *shell_disk(size_t index);
const char *shell_net(size_t index);
/* Likewise a setting of the memory policy. (mgmt/cmd_mem_policy.c) */
const char *shell_policy(size_t index);

void shell_init(void);

#endif
