/* SPDX-License-Identifier: BSD-2-Clause */
/* The order in which the machine's disks are looked for. */
#include "host/block/ahci.h"
#include "host/block/block.h"
#include "host/block/nvme.h"
#include "host/block/partition.h"
#include "host/log.h"

void block_init(void)
{
	struct block_device *device;

	nvme_init();
	ahci_init();
	/* Partitions are devices, too: they have a parent. */
	for (size_t i = 0; (device = block_at(i)); i++) {
		if (!device->parent)
			partition_find(device);
		log_note("%s: %lu MiB, %s", device->name, device->sectors >> 11,
			device->description);
	}
}
