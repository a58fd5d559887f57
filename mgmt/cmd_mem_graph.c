/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mem graph: the last ten minutes of the machine's free memory and of two VMs' at a time, drawn in
 * letters on a screen that is kept up to date. The column at the right is now.
 */
#include "balloon/economy.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/commands.h"
#include "mgmt/console.h"
#include "mgmt/mem_view.h"
#include "mgmt/text.h"
#include "mgmt/vms.h"

#define KEY_CTRL_C 0x03
#define KEY_CTRL_D 0x04
#define KEY_CONSOLE 0x1d

#define LABEL_COLUMNS 9
#define PLOT_COLUMNS MEM_HISTORY_SLOTS
#define ROW_BYTES (LABEL_COLUMNS + PLOT_COLUMNS + 4)
#define TITLE_BYTES 160 /* what goes beyond the screen is cut */
#define VMS_SHOWN 2
#define MACHINE_TITLE 0
#define MACHINE_ROWS 6
#define VM_TITLE 8 /* the first one's */
#define VM_ROWS 6
#define LAST_ROW (CONSOLE_ROWS - 1)

_Static_assert(ROW_BYTES < CONSOLE_COLUMNS, "a row fits the screen");
_Static_assert(VM_TITLE + VMS_SHOWN * (VM_ROWS + 1) < LAST_ROW, "all VMs fit the screen");

/* What stands above each other in a column; `line_pages` is but a line. */
struct column {
	uint64_t solid_pages, dots_pages, line_pages;
};

static uint64_t frames_left; /* 0: no limit */
static size_t first_vm;      /* of those that run, that is shown */

/* The sample of this column, the last one at the right; -1: there is none yet. */
static int slot_of(unsigned int column)
{
	uint32_t samples = mem_machine_history()->samples;
	uint32_t back = PLOT_COLUMNS - column;

	return back > samples ? -1 : (int)((samples - back) % MEM_HISTORY_SLOTS);
}

static struct column machine_column(const void *argument, int slot)
{
	const struct memory_view *now = argument;
	uint64_t free = slot < 0 ? 0 : mem_machine_history()->free_pages[slot];

	return (struct column){
		.solid_pages = free,
		.line_pages = policy_thresholds(&policy_settings, now->total_pages).soft_pages,
	};
}

static struct column vm_column(const void *argument, int slot)
{
	const struct managed_vm *managed = argument;
	const struct mem_history *past = &managed->memory_history;

	if (slot < 0)
		return (struct column){ 0 };
	return (struct column){
		.solid_pages = past->active_pages[slot],
		.dots_pages = past->resident_pages[slot],
		.line_pages = past->target_pages[slot],
	};
}

/* How many rows of `rows` that is, rounded; a little is a row, too. */
static unsigned int height(uint64_t pages, uint64_t most, unsigned int rows)
{
	uint64_t rounded;

	if (!pages || !most)
		return 0;
	rounded = (MIN(pages, most) * rows * 2 + most) / (most * 2);
	return (unsigned int)MAX(rounded, 1U);
}

static char cell(const struct column *column, uint64_t most, unsigned int rows, unsigned int row)
{
	if (height(column->line_pages, most, rows) == row)
		return '-';
	if (height(column->solid_pages, most, rows) >= row)
		return '#';
	return height(column->dots_pages, most, rows) >= row ? ':' : ' ';
}

/* `rows` rows below `top`, the highest for `most` pages. */
static void draw_plot(unsigned int top, unsigned int rows, uint64_t most,
	struct column (*column_at)(const void *argument, int slot), const void *argument)
{
	char text[ROW_BYTES];

	for (unsigned int row = rows; row; row--) {
		const char *label = row == rows ? text_size(most * PAGE_SIZE).chars : "";

		snprintf(text, sizeof(text), "%*s |", LABEL_COLUMNS, label);
		for (unsigned int i = 0; i < PLOT_COLUMNS; i++) {
			struct column column = column_at(argument, slot_of(i));

			text[LABEL_COLUMNS + 2 + i] = cell(&column, most, rows, row);
		}
		text[LABEL_COLUMNS + 2 + PLOT_COLUMNS] = '\0';
		console_screen_row(top + rows - row, text);
	}
}

static void draw_machine(void)
{
	struct memory_view view;
	char text[TITLE_BYTES];

	economy_view(&view);
	snprintf(text, sizeof(text), "Free: %s of %s, the state is %s    (- below: soft)",
		text_size(view.free_pages * PAGE_SIZE).chars,
		text_size(view.total_pages * PAGE_SIZE).chars, policy_state_name(view.state));
	console_screen_row(MACHINE_TITLE, text);
	draw_plot(MACHINE_TITLE + 1, MACHINE_ROWS, view.total_pages, machine_column, &view);
	snprintf(text, sizeof(text), "%*s +%.*s", LABEL_COLUMNS, "", (int)PLOT_COLUMNS,
		"---------+---------+---------+---------+---------+-------now");
	console_screen_row(MACHINE_TITLE + 1 + MACHINE_ROWS, text);
}

static void draw_vm(unsigned int top, const struct managed_vm *managed)
{
	struct vm_memory_view view;
	char text[TITLE_BYTES];

	mem_view_vm(managed, &view);
	snprintf(text, sizeof(text), "%.20s: # %s active, : %s in use, - %s target",
		managed->config->name, text_size(view.active_pages * PAGE_SIZE).chars,
		text_size(view.resident_pages * PAGE_SIZE).chars,
		text_size(view.target_pages * PAGE_SIZE).chars);
	console_screen_row(top, text);
	draw_plot(top + 1, VM_ROWS, view.max_pages, vm_column, managed);
}

/* The index-th of those that run, or NULL. */
static const struct managed_vm *running_vm(size_t index)
{
	for (size_t i = 0; i < vms_count(); i++)
		if (managed_is_running(vms_at(i)) && !index--)
			return vms_at(i);
	return NULL;
}

static size_t running_count(void)
{
	size_t count = 0;

	for (size_t i = 0; i < vms_count(); i++)
		count += managed_is_running(vms_at(i));
	return count;
}

static void draw_vms(void)
{
	size_t count = running_count();
	char text[TITLE_BYTES];

	if (first_vm >= count)
		first_vm = 0;
	for (unsigned int i = 0; i < VMS_SHOWN; i++) {
		unsigned int top = VM_TITLE + i * (VM_ROWS + 1);
		const struct managed_vm *managed = running_vm(first_vm + i);

		for (unsigned int row = top; !managed && row <= top + VM_ROWS; row++)
			console_screen_row(row, "");
		if (managed)
			draw_vm(top, managed);
	}
	snprintf(text, sizeof(text), "Ten minutes; %zu VMs run%s; q ends", count,
		count > VMS_SHOWN ? "; n shows the next" : "");
	console_screen_row(LAST_ROW, text);
}

static void draw(uint64_t now_ns)
{
	(void)now_ns;
	draw_machine();
	draw_vms();
	if (frames_left && --frames_left == 0)
		console_screen_end();
}

static void key(uint8_t byte)
{
	if (byte == 'n' || byte == 'N' || byte == ' ')
		first_vm += VMS_SHOWN;
	else if (byte == 'q' || byte == 'Q' || byte == KEY_CTRL_C || byte == KEY_CTRL_D ||
		byte == KEY_CONSOLE)
		console_screen_end();
}

void cmd_mem_graph(const struct shell_call *call)
{
	static const struct console_screen screen = {
		.period_ns = NS_PER_SEC, .draw = draw, .key = key,
	};

	frames_left = call->number;
	first_vm = 0;
	console_screen_begin(&screen);
}
