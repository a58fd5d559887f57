/* SPDX-License-Identifier: BSD-2-Clause */
/* The line editor on the console, and what happens at Enter. */
#include "mgmt/shell.h"

#include "lib/string.h"
#include "mgmt/console.h"
#include "mgmt/lineedit.h"

static void edit_write(struct lineedit *edit, const char *bytes, size_t count)
{
	(void)edit;
	console_edit(bytes, count);
}

static const char *edit_candidate(struct lineedit *edit, size_t start, size_t index)
{
	return shell_candidate(&shell_table, edit->line, start, index);
}

/* Not initialised here: its size is no part of the program's file. */
static struct lineedit editor;

void shell_init(void)
{
	editor.prompt = SHELL_PROMPT;
	editor.write = edit_write;
	editor.candidate = edit_candidate;
	lineedit_init(&editor);
}

void shell_draw(void)
{
	lineedit_draw(&editor);
}

void shell_forget(void)
{
	lineedit_clear(&editor);
}

static void execute(char *line)
{
	char error[SHELL_ERROR_BYTES];
	struct shell_call call;

	switch (shell_parse(&shell_table, line, &call, error)) {
	case 0:
		call.command->run(&call);
		break;
	case -EINVAL:
		console_print("%s\n", error);
		break;
	}
}

void shell_input(uint8_t byte)
{
	char line[LINEEDIT_BYTES];

	switch (lineedit_feed(&editor, byte)) {
	case LINEEDIT_NONE:
		return;
	case LINEEDIT_LINE:
		memcpy(line, editor.line, editor.length + 1);
		break;
	case LINEEDIT_ABANDONED:
		line[0] = '\0';
		break;
	}
	/* Before the command runs: it may give the console away. */
	console_edit_done();
	lineedit_clear(&editor);
	execute(line);
}
