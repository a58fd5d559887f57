/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ports and the MMIO space of a VM: sorted, disjoint ranges, found by binary search. A device
 * embeds one struct io_region for each range and gets accesses relative to its start, never wider
 * than it declared; what no device claims reads as all ones and swallows writes.
 */
#ifndef BALLAST_VCPU_BUS_H
#define BALLAST_VCPU_BUS_H

#include "lib/util.h"

#define IO_BUS_REGIONS 96

struct io_region {
	uint64_t start;       /* [I] port or guest physical address; moves only while on no bus */
	uint64_t length;      /* [I] */
	uint8_t max_size;     /* [I] widest access in bytes; wider ones are split, low first */
	/* Both run under vm.lock. `size` is 1, 2, 4 or 8 and offset + size <= length. */
	uint64_t (*read)(struct io_region *region, uint64_t offset, unsigned int size);
	void (*write)(struct io_region *region, uint64_t offset, unsigned int size, uint64_t value);
};

struct io_bus {
	struct io_region *regions[IO_BUS_REGIONS]; /* [vm.lock] sorted by start */
	size_t count;                              /* [vm.lock] */
	struct io_region *last;                    /* [vm.lock] found last, or NULL */
};

/*
 * -EEXIST when it overlaps another region, -ENOSPC, -EINVAL when it is empty or wraps. Both before
 * the VM runs, or under vm.lock.
 */
int io_bus_add(struct io_bus *bus, struct io_region *region) __must_check;
/* It is on the bus. A region may take itself off in its own write(). */
void io_bus_remove(struct io_bus *bus, struct io_region *region);
/* `size` is 1, 2, 4 or 8; the value is zero-extended. Any alignment. The caller holds vm.lock. */
uint64_t io_bus_read(struct io_bus *bus, uint64_t address, unsigned int size);
void io_bus_write(struct io_bus *bus, uint64_t address, unsigned int size, uint64_t value);

#endif
