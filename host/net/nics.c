/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's NICs, in the order in which the buses show them. */
#include "host/net/nic.h"

#define CLASS_ETHERNET 0x0200

void net_init(void)
{
	struct host_pci_device *pci;

	for (size_t i = 0; (pci = host_pci_at(i)); i++) {
		if (pci->driver || HOST_PCI_CLASS(pci->class_code) != CLASS_ETHERNET)
			continue;
		if (!e1000_probe(pci))
			virtio_nic_probe(pci);
	}
}
