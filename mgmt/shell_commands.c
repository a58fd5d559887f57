/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of commands, and help, which prints it. */
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/commands.h"
#include "mgmt/console.h"
#include "mgmt/text.h"

static const struct shell_command commands[] = {
	{{"vm", "list"}, {0}, "", "which VMs there are, and how they are doing", NULL,
		cmd_vm_list},
	{{"vm", "show"}, {ARGUMENT_VM}, "NAME", "one VM: memory, vCPUs, exits, why it stopped",
		"Exits are counted from its last start. After a fault the registers and the last "
		"exits of its vCPUs are shown, too.",
		cmd_vm_show},
	{{"vm", "create"}, {ARGUMENT_NAME, ARGUMENT_NEW}, "NAME KEY=...",
		"a new VM; vm start lets it run",
		"The keys are those of ballast.conf: memory, vcpus, kernel, initrd, module, "
		"cmdline, boot, debug-exit, weight, cap, cpus; autostart=yes starts it at once. "
		"Files must be in memory: those of ballast.conf are. like=OTHER begins with what "
		"another VM has. A value with blanks stands in quotes: "
		"cmdline=\"console=ttyS0 quiet\".",
		cmd_vm_create},
	{{"vm", "set"}, {ARGUMENT_VM, ARGUMENT_CHANGES}, "NAME KEY=...",
		"change what it has, or its share of the CPUs",
		"At any time: weight=1 to 10000, of contended CPUs; cap=25%, of one CPU at most, "
		"or none; cpus=0-3,6, where it may run, or all. While it does not run, for its "
		"next start: all that vm create has.",
		cmd_vm_set},
	{{"vm", "start"}, {ARGUMENT_VM}, "NAME", "load its kernel and let it run", NULL,
		cmd_vm_start},
	{{"vm", "stop"}, {ARGUMENT_VM}, "NAME", "switch it off, at once",
		"The guest is not asked: what it has not written is lost. To shut it down in good "
		"order, do that in the guest.",
		cmd_vm_stop},
	{{"vm", "reset"}, {ARGUMENT_VM}, "NAME", "switch it off and start it again",
		"The guest is not asked. Its kernel is loaded anew, as by vm start.",
		cmd_vm_reset},
	{{"vm", "pause"}, {ARGUMENT_VM}, "NAME", "keep it off the CPUs",
		"Real time goes on for the guest: it sees it as stolen.", cmd_vm_pause},
	{{"vm", "resume"}, {ARGUMENT_VM}, "NAME", "let it run on", NULL, cmd_vm_resume},
	{{"vm", "destroy"}, {ARGUMENT_VM}, "NAME", "switch it off and give back all it holds",
		"Its console's history and its counters go, too. One of ballast.conf stays in the "
		"list: vm start makes it anew. One of vm create is gone.",
		cmd_vm_destroy},
	{{"vm", "console"}, {ARGUMENT_VM}, "NAME",
		"its serial port, here; " CONSOLE_KEY_NAME " d brings you back",
		"What you type goes to the guest, except for " CONSOLE_KEY_NAME ": followed by d "
		"it leaves the console, twice it sends one " CONSOLE_KEY_NAME
		" to the guest. What the "
		"guest wrote before is shown first. Of a VM that does not run, the end of its "
		"output is printed.",
		cmd_vm_console},
	{{"trace"}, {ARGUMENT_VM, ARGUMENT_SWITCH}, "NAME on|off", "a line for each exit of a VM",
		"The lines are shown here while the console is not attached to a guest, as many as "
		"the serial line can take; the rest is counted. All go to the log, of which the "
		"last 256 lines are kept.",
		cmd_trace},
	{{"top"}, {ARGUMENT_NUMBER}, "[N]", "who uses the CPUs, each second; q ends it",
		"Shares are of one CPU; the exits are those of the last second. With a number it "
		"ends after so many seconds.", cmd_top},
	{{"mem"}, {0}, "", "the machine's memory, and who has it", NULL, cmd_mem},
	{{"cpu"}, {ARGUMENT_RESET}, "[reset]",
		"the machine's CPUs, their features, and what is used",
		"How late its timer's interrupt was let in is the longest that a CPU has not come "
		"back to the host; cpu reset begins a new measurement.",
		cmd_cpu},
	{{"mitigation"}, {ARGUMENT_MITIGATION, ARGUMENT_MODE}, "NAME on|off|auto",
		"guard against what speculation leaks, or not",
		"auto is what the CPU needs by its own account. `cpu` lists them, with the reason, "
		"and how often each was carried out.",
		cmd_mitigation},
	{{"log"}, {ARGUMENT_NUMBER}, "[LINES]", "the last lines of the log: 20, or so many",
		"Each has the time in seconds since Ballast was started.", cmd_log},
	{{"version"}, {0}, "", "which Ballast this is", NULL, cmd_version},
	{{"poweroff"}, {0}, "", "stop all VMs and switch the machine off", NULL, cmd_poweroff},
	{{"reboot"}, {0}, "", "stop all VMs and restart the machine", NULL, cmd_reboot},
#ifdef BALLAST_FAULTS
	{{"fault", "spin"}, {ARGUMENT_NUMBER}, "[CPU]", "let a CPU hang for six seconds", NULL,
		cmd_fault_spin},
	{{"fault", "nmi"}, {ARGUMENT_NUMBER}, "[CPU]", "say where a CPU is", NULL, cmd_fault_nmi},
#endif
	{{"help"}, {ARGUMENT_COMMAND}, "[COMMAND]", "this list, or more about one of them", NULL,
		cmd_help},
};

const struct shell_table shell_table = {commands, ARRAY_SIZE(commands)};

static void usage(const struct shell_command *command, char *text, size_t size)
{
	snprintf(text, size, "%s%s%s %s", command->word[0], command->word[1] ? " " : "",
		command->word[1] ? command->word[1] : "", command->arguments);
}

static void help_all(void)
{
	char text[40];

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		usage(&commands[i], text, sizeof(text));
		console_print("  %-22s %s\n", text, commands[i].help);
	}
	console_print("Tab completes words, Up and Down bring back earlier lines.\n");
}

static void print_line(const char *line)
{
	console_print("%s\n", line);
}

static void help_one(const struct shell_command *command)
{
	char text[40];

	usage(command, text, sizeof(text));
	console_print("%s: %s\n", text, command->help);
	if (command->more)
		text_wrap("  ", command->more, print_line);
}

/* `help vm` is about all of the family. */
static bool matches(const struct shell_command *command, const struct shell_call *call)
{
	if (strcmp(command->word[0], call->words[0]) != 0)
		return false;
	return call->word_count < 2 || !command->word[1] ||
		strcmp(command->word[1], call->words[1]) == 0;
}

void cmd_help(const struct shell_call *call)
{
	bool any = false;

	if (!call->word_count) {
		help_all();
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!matches(&commands[i], call))
			continue;
		help_one(&commands[i]);
		any = true;
	}
	if (!any)
		console_print("help: '%s%s%s' is no command; 'help' lists them all\n",
			call->words[0], call->word_count > 1 ? " " : "",
			call->word_count > 1 ? call->words[1] : "");
}
