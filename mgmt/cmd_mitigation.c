/* SPDX-License-Identifier: BSD-2-Clause */
/* The `mitigation` command, and its part of `cpu`. */
#include "host/mitigation.h"
#include "host/topology.h"
#include "mgmt/commands.h"
#include "mgmt/console.h"
#include "mgmt/vms.h"
#include "vcpu/event.h"
#include "vcpu/vm.h"

static void print_one(enum mitigation which)
{
	const char *reason = mitigation_plan.parts[which].reason;
	bool on = mitigation_is_on(which), wanted = mitigation_plan.parts[which].wanted;

	if (on != wanted)
		reason = "the operator's choice";
	console_print("  %-5s %s: %s (%s)", mitigation_name(which), mitigation_title(which),
		on ? "on" : "off", reason);
	if (mitigation_count(which))
		console_print(", %llu times", (unsigned long long)mitigation_count(which));
	console_print("\n");
}

void cmd_print_mitigations(void)
{
	console_print("Mitigations\n");
	for (unsigned int i = 0; i < MITIGATIONS; i++)
		print_one((enum mitigation)i);
	console_print("  guests run on %s (%s)\n", topology_siblings_allowed ?
		"all threads of a core" : "one thread of each core", mitigation_plan.smt_reason);
}

/* All vCPUs leave their guests, and are taken up again by the new rules. */
static void pass_on(void)
{
	for (size_t i = 0; i < vms_count(); i++) {
		struct managed_vm *managed = vms_at(i);

		for (unsigned int id = 0; managed_is_running(managed) &&
			id < managed->vm->vcpu_count; id++)
			vcpu_request(managed->vm->vcpus[id], REQUEST_PREEMPT);
	}
}

void cmd_mitigation(const struct shell_call *call)
{
	if (mitigation_set(call->mitigation, call->mode)) {
		console_print("%s: not possible: %s\n", mitigation_name(call->mitigation),
			mitigation_plan.parts[call->mitigation].reason);
		return;
	}
	pass_on();
	print_one(call->mitigation);
}
