/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/vm_nets.h"

#include "devices/platform.h"
#include "devices/virtio/net.h"
#include "host/log.h"
#include "lib/printf.h"
#include "lib/string.h"

/* Where the machine's first NIC leads unless the configuration says something else. */
#define DEFAULT_NET "lan0"
#define DEFAULT_NIC "nic0"

struct mac_text mac_text(const uint8_t mac[CONFIG_MAC_BYTES])
{
	struct mac_text text;

	snprintf(text.chars, sizeof(text.chars), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		mac[2], mac[3], mac[4], mac[5]);
	return text;
}

/* --- A VM's --- */

static const struct net_port *find_mac(struct net_switch *net, const uint8_t mac[CONFIG_MAC_BYTES])
{
	const struct net_port *port;

	for (size_t i = 0; (port = net_port_at(net, i)) != NULL; i++)
		if (memcmp(port->mac, mac, CONFIG_MAC_BYTES) == 0)
			return port;
	return NULL;
}

/* The same whenever the VM is built anew. */
static void choose_mac(struct managed_nic *nic, const struct config_net *config)
{
	if (config->has_mac)
		memcpy(nic->mac, config->mac, sizeof(nic->mac));
	else if (!nic->has_mac || nic->given)
		net_make_mac(nic->mac);
	nic->has_mac = true;
	nic->given = config->has_mac;
}

static int create_nic(struct managed_vm *managed, size_t index, char *why, size_t size)
{
	const struct config_net *config = &managed->config->nets[index];
	struct managed_nic *nic = &managed->nics[index];
	struct virtio_net_options options = { .rate_bytes = config->rate_bytes };
	struct net_switch *net = net_find(config->name, true);
	char name[CONFIG_NAME_BYTES + 4];
	const struct net_port *same;
	int error;

	if (!net) {
		snprintf(why, size, "net '%s': there is no room for one more network",
			config->name);
		return -ENOSPC;
	}
	choose_mac(nic, config);
	same = find_mac(net, nic->mac);
	if (same) {
		snprintf(why, size, "net '%s': %s is the address of %s there; give it another mac",
			config->name, mac_text(nic->mac).chars, same->name);
		return -EEXIST;
	}
	snprintf(name, sizeof(name), "%s/%u", managed->config->name,
		(unsigned int)index % 100);
	options.name = name;
	memcpy(options.mac, nic->mac, sizeof(options.mac));
	error = virtio_net_create(managed->vm, managed->platform->pci, net, &options, &nic->device);
	if (error)
		snprintf(why, size, error == -ENOMEM ? "net '%s': no memory for its records" :
			"net '%s': the VM or the network has no room for one more device",
			config->name);
	return error;
}

int vm_nets_create(struct managed_vm *managed, char *why, size_t size)
{
	int error = 0;

	for (size_t i = 0; i < managed->config->net_count && !error; i++)
		error = create_nic(managed, i, why, size);
	return error;
}

int vm_nets_plug(struct managed_vm *managed, char *why, size_t size)
{
	return create_nic(managed, managed->config->net_count - 1, why, size);
}

void vm_nets_forget(struct managed_vm *managed)
{
	for (size_t i = 0; i < CONFIG_MAX_NETS; i++)
		managed->nics[i].device = NULL;
}

/* --- The machine's --- */

static struct net_port *find_nic(const char *name)
{
	struct net_port *nic;

	for (size_t i = 0; (nic = net_nic_at(i)) != NULL; i++)
		if (strcmp(nic->name, name) == 0)
			return nic;
	return NULL;
}

static bool plug(const char *net_name, struct net_port *nic)
{
	struct net_switch *net = net_find(net_name, true);

	return net && net_plug(net, nic) == 0;
}

static void plug_configured(const struct config_network *network)
{
	struct net_port *nic = find_nic(network->nic);

	if (!nic)
		log_line("ballast.conf:%u: net '%s': this machine has no %s; 'net list' shows its"
			" NICs", network->line, network->name, network->nic);
	else if (!plug(network->name, nic))
		log_line("net '%s': %s could not be plugged in", network->name, network->nic);
}

static bool is_wanted_elsewhere(const struct config *config)
{
	for (size_t i = 0; i < config->network_count; i++)
		if (strcmp(config->networks[i].nic, DEFAULT_NIC) == 0)
			return true;
	return config_find_network(config, DEFAULT_NET);
}

void nets_plug_nics(const struct config *config)
{
	struct net_port *nic = find_nic(DEFAULT_NIC);

	for (size_t i = 0; i < config->network_count; i++)
		if (config->networks[i].nic[0])
			plug_configured(&config->networks[i]);
	if (nic && !is_wanted_elsewhere(config) && !plug(DEFAULT_NET, nic))
		log_line("net '" DEFAULT_NET "': " DEFAULT_NIC " could not be plugged in");
}
