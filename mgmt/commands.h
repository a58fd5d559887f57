/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of the shell, one function each; shell_commands.c has the table of them. */
#ifndef BALLAST_MGMT_COMMANDS_H
#define BALLAST_MGMT_COMMANDS_H

#include "mgmt/shell.h"

/* cmd_vm.c */
void cmd_vm_list(const struct shell_call *call);
void cmd_vm_create(const struct shell_call *call);
void cmd_vm_set(const struct shell_call *call);
void cmd_vm_start(const struct shell_call *call);
void cmd_vm_stop(const struct shell_call *call);
void cmd_vm_reset(const struct shell_call *call);
void cmd_vm_pause(const struct shell_call *call);
void cmd_vm_resume(const struct shell_call *call);
void cmd_vm_destroy(const struct shell_call *call);
void cmd_vm_console(const struct shell_call *call);
void cmd_trace(const struct shell_call *call);

/* cmd_vm_show.c */
void cmd_vm_show(const struct shell_call *call);

/* cmd_disk.c */
void cmd_disk_list(const struct shell_call *call);
void cmd_vm_disk_list(const struct shell_call *call);
void cmd_vm_disk_add(const struct shell_call *call);
void cmd_vm_disk_commit(const struct shell_call *call);
void cmd_vm_disk_discard(const struct shell_call *call);

/* cmd_net.c */
void cmd_net_list(const struct shell_call *call);
void cmd_vm_net_list(const struct shell_call *call);
void cmd_vm_net_add(const struct shell_call *call);

/* cmd_top.c */
void cmd_top(const struct shell_call *call);

/* cmd_mem_show.c */
void cmd_mem(const struct shell_call *call);
/* cmd_mem_policy.c */
void cmd_mem_policy(const struct shell_call *call);
/* cmd_mem_graph.c */
void cmd_mem_graph(const struct shell_call *call);
/* cmd_mem_history.c */
void cmd_mem_history(const struct shell_call *call);

/* cmd_machine.c */
void cmd_cpu(const struct shell_call *call);
void cmd_log(const struct shell_call *call);
void cmd_version(const struct shell_call *call);
void cmd_poweroff(const struct shell_call *call);
void cmd_reboot(const struct shell_call *call);

/* cmd_mitigation.c */
void cmd_mitigation(const struct shell_call *call);
/* A part of what `cpu` prints. */
void cmd_print_mitigations(void);

#ifdef BALLAST_FAULTS /* cmd_fault.c */
void cmd_fault_spin(const struct shell_call *call);
void cmd_fault_nmi(const struct shell_call *call);
#endif

/* shell_commands.c */
void cmd_help(const struct shell_call *call);

#endif
