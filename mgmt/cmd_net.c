/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands about networks. */
#include "devices/virtio/net.h"
#include "host/net/nic.h"
#include "lib/printf.h"
#include "mgmt/commands.h"
#include "mgmt/console.h"
#include "mgmt/text.h"
#include "mgmt/vm_nets.h"

static uint64_t read_counter(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* "1234 (1.2 MiB)" */
struct traffic {
	char chars[48];
};

static struct traffic traffic(const struct net_counters *counters)
{
	struct traffic text;

	snprintf(text.chars, sizeof(text.chars), "%llu (%s)",
		(unsigned long long)read_counter(&counters->packets),
		text_size(read_counter(&counters->bytes)).chars);
	return text;
}

static void list_port(const struct net_port *port)
{
	uint64_t dropped = read_counter(&port->sent.dropped) +
		read_counter(&port->received.dropped);
	uint64_t refused = read_counter(&port->sent.spoofed) + read_counter(&port->sent.malformed);

	console_print("  %-16s  %s  sent %s, received %s", port->name, mac_text(port->mac).chars,
		traffic(&port->sent).chars, traffic(&port->received).chars);
	if (dropped)
		console_print(", %llu dropped", (unsigned long long)dropped);
	if (refused)
		console_print(", %llu not let through", (unsigned long long)refused);
	console_print("\n");
}

static void list_net(struct net_switch *net)
{
	const struct net_port *port;
	size_t count = 0;

	console_print("net %s\n", net_name(net));
	for (; (port = net_port_at(net, count)) != NULL; count++)
		list_port(port);
	if (!count)
		console_print("  nobody is plugged in\n");
}

void cmd_net_list(const struct shell_call *call)
{
	struct net_switch *net;
	const struct net_port *nic;
	char hardware[64];
	size_t count = 0;

	(void)call;
	for (; (net = net_at(count)) != NULL; count++)
		list_net(net);
	for (size_t i = 0; (nic = net_nic_at(i)) != NULL; i++) {
		nic_describe(nic, hardware, sizeof(hardware));
		console_print("%s  %s  %s%s\n", nic->name, mac_text(nic->mac).chars, hardware,
			nic->net ? "" : ", not plugged in");
	}
	if (!count)
		console_print("There are no networks; 'vm net add' makes them.\n");
}

static size_t list_nics(const struct managed_vm *managed)
{
	const struct vm_config *config = managed->config;

	if (config->error)
		return 0;
	for (size_t i = 0; i < config->net_count; i++) {
		const struct managed_nic *nic = &managed->nics[i];

		console_print("%-12s  %zu  %-12s  %-17s  ", config->name, i, config->nets[i].name,
			nic->has_mac ? mac_text(nic->mac).chars :
			config->nets[i].has_mac ? mac_text(config->nets[i].mac).chars : "-");
		console_print("%s%s\n", config->nets[i].rate_bytes ?
			text_size(config->nets[i].rate_bytes).chars : "no limit",
			config->nets[i].rate_bytes ? " a second" : "");
	}
	return config->net_count;
}

void cmd_vm_net_list(const struct shell_call *call)
{
	size_t count = 0;

	console_print("%-12s  %s  %-12s  %-17s  %s\n", "VM", "N", "NET", "MAC", "MAY SEND");
	for (size_t i = 0; i < vms_count(); i++)
		if (!call->vm || call->vm == vms_at(i))
			count += list_nics(vms_at(i));
	if (!count)
		console_print("There are none; 'vm net add' gives a VM one.\n");
}

void cmd_vm_net_add(const struct shell_call *call)
{
	char why[SHELL_ERROR_BYTES];

	if (vms_add(call->vm, CONFIG_KEY_NET, call->rest, why, sizeof(why)))
		console_print("vm net add: %s\n", why);
	else
		console_print("vm %s has net %zu%s\n", call->vm->config->name,
			call->vm->config->net_count - 1,
			managed_is_running(call->vm) ? "" : " from its next start on");
}
