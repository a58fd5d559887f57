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
		"The keys are those of ballast.conf: memory, maxmem, hotplug, min, shares, group, "
		"vcpus, kernel, initrd, module, cmdline, boot, debug-exit, weight, cap, cpus, tsc, "
		"disk, net, console, rng, balloon; autostart=yes starts it at once. "
		"Files must be in memory: those of ballast.conf are. like=OTHER begins with what "
		"another VM has. A value with blanks stands in quotes: "
		"cmdline=\"console=ttyS0 quiet\".",
		cmd_vm_create},
	{{"vm", "set"}, {ARGUMENT_VM, ARGUMENT_CHANGES}, "NAME KEY=...",
		"change what it has, or its share of the machine",
		"At any time: weight=1 to 10000, of contended CPUs; cap=25%, of one CPU at most, "
		"or none; cpus=0-3,6, where it may run, or all; memory=128M, up to maxmem; "
		"min=64M or 25%, of it guaranteed; shares=2560, of memory when it is short, or "
		"low, normal, high. While it does not run, for its next start: all that vm create "
		"has.",
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
	{{"vm", "console"}, {ARGUMENT_VM, ARGUMENT_PORT}, "NAME [hvc0]",
		"its serial port, here; " CONSOLE_KEY_NAME " d brings you back",
		"With hvc0: the first port of its virtio console. "
		"What you type goes to the guest, except for " CONSOLE_KEY_NAME ": followed by d "
		"it leaves the console, twice it sends one " CONSOLE_KEY_NAME
		" to the guest. What the "
		"guest wrote before is shown first. Of a VM that does not run, the end of its "
		"output is printed.",
		cmd_vm_console},
	{{"vm", "disk", "list"}, {ARGUMENT_ANY_VM}, "[NAME]", "the disks of the VMs, or of one",
		"Of a disk with cow: how much of its own its guest has written, which takes "
		"memory.",
		cmd_vm_disk_list},
	{{"vm", "disk", "add"}, {ARGUMENT_VM, ARGUMENT_DISK}, "NAME DISK", "give it one more disk",
		"DISK is as in ballast.conf: a path of the boot volume (/images/debian.img) or a "
		"disk of the machine (nvme0p3; 'disk list' shows them), then, behind commas: cow, "
		"so that what the guest writes is its own, in memory; ro; limit=1G, of what cow "
		"may take.",
		cmd_vm_disk_add},
	{{"vm", "disk", "commit"}, {ARGUMENT_VM, ARGUMENT_INDEX}, "NAME N",
		"write what it has of its own to the base",
		"Of a disk with cow, while the VM does not run and nobody else uses the base. A "
		"base that is a file of the boot volume is in memory: it is as it was after the "
		"next start of the machine.",
		cmd_vm_disk_commit},
	{{"vm", "disk", "discard"}, {ARGUMENT_VM, ARGUMENT_INDEX}, "NAME N",
		"forget what it has of its own",
		"Of a disk with cow, while the VM does not run: it is as its base again.",
		cmd_vm_disk_discard},
	{{"vm", "net", "list"}, {ARGUMENT_ANY_VM}, "[NAME]",
		"the network devices of the VMs, or of one", NULL, cmd_vm_net_list},
	{{"vm", "net", "add"}, {ARGUMENT_VM, ARGUMENT_NET}, "NAME NET",
		"give it one more network device",
		"NET is as in ballast.conf: the name of a network, which is made if there is none "
		"of it; then, behind commas: mac=02:00:00:00:00:01; rate=10M, the bytes a second "
		"that it may send.",
		cmd_vm_net_add},
	{{"trace"}, {ARGUMENT_VM, ARGUMENT_SWITCH}, "NAME on|off", "a line for each exit of a VM",
		"The lines are shown here while the console is not attached to a guest, as many as "
		"the serial line can take; the rest is counted. All go to the log, of which the "
		"last 256 lines are kept.",
		cmd_trace},
	{{"top"}, {ARGUMENT_NUMBER}, "[N]", "who uses the CPUs, each second; q ends it",
		"Shares are of one CPU; the exits are those of the last second. With a number it "
		"ends after so many seconds.", cmd_top},
	{{"mem"}, {ARGUMENT_ANY_VM}, "[NAME]", "the machine's memory, and who has it",
		"MIN is guaranteed; what it is ENTITLED to is what a VM would have if all used all "
		"that they may; SAVED is what it saves by sharing pages, AWAY what is "
		"compressed or on disk. With a name: all about one VM's.",
		cmd_mem},
	{{"mem", "graph"}, {ARGUMENT_NUMBER}, "[N]", "memory in the last ten minutes; q ends it",
		"Free memory, and two VMs at a time; n shows the next two. With a number it ends "
		"after so many seconds.",
		cmd_mem_graph},
	{{"mem", "history"}, {ARGUMENT_VM}, "NAME",
		"the same of one VM in figures, each ten seconds",
		"SECOND counts from the start of Ballast; FREE is the machine's memory.",
		cmd_mem_history},
	{{"mem", "policy"}, {ARGUMENT_POLICY}, "[tax=...]",
		"who is to give up memory when it is short",
		"tax=75% is on idle memory, 0% to 99%; high=, soft=, hard= and low= are the parts "
		"of memory below which more and more is done to get free memory; step= is how far "
		"a VM's target moves at once.",
		cmd_mem_policy},
	{{"disk", "list"}, {0}, "", "the machine's disks, and the images in memory",
		"Partitions stand below their disk.", cmd_disk_list},
	{{"net", "list"}, {0}, "", "the networks, and who is plugged in",
		"What a port sent and received; what was dropped, because it came faster than it "
		"was fetched or than the port may send; and what was not let through, because its "
		"sender's address was not the port's.",
		cmd_net_list},
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
	size_t used = 0;

	for (size_t i = 0; i < SHELL_COMMAND_WORDS && command->word[i]; i++)
		used += (size_t)snprintf(text + used, size - used, "%s ", command->word[i]);
	snprintf(text + used, size - used, "%s", command->arguments);
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
	for (size_t i = 0; i < MIN(call->word_count, SHELL_COMMAND_WORDS); i++)
		if (!command->word[i] || strcmp(command->word[i], call->words[i]) != 0)
			return i > 0 && !command->word[i];
	return true;
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
