/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports and MMIO ranges of a VM; see vcpu/bus.h. */
#include "vcpu/bus.h"

/* Out of line, so that what one device takes whole saves no registers for the sake of the rest. */
#define APART __attribute__((noinline))

/* The index of the first region that starts above `address`. */
static size_t upper_bound(const struct io_bus *bus, uint64_t address)
{
	size_t low = 0, high = bus->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (bus->regions[middle]->start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool contains(const struct io_region *region, uint64_t address)
{
	return address - region->start < region->length;
}

static APART struct io_region *search(struct io_bus *bus, uint64_t address)
{
	size_t above = upper_bound(bus, address);

	if (above == 0 || !contains(bus->regions[above - 1], address))
		return NULL;
	bus->last = bus->regions[above - 1];
	return bus->last;
}

/* Accesses come in runs to one device: the last one is tried before the search. */
static inline struct io_region *find(struct io_bus *bus, uint64_t address)
{
	return likely(bus->last && contains(bus->last, address)) ? bus->last
								 : search(bus, address);
}

int io_bus_add(struct io_bus *bus, struct io_region *region)
{
	size_t at = upper_bound(bus, region->start);
	uint64_t end;

	if (region->length == 0 || add_overflows(region->start, region->length, &end))
		return -EINVAL;
	if (region->max_size != 1 && region->max_size != 2 && region->max_size != 4 &&
		region->max_size != 8)
		return -EINVAL;
	if (at > 0 && bus->regions[at - 1]->start + bus->regions[at - 1]->length > region->start)
		return -EEXIST;
	if (at < bus->count && bus->regions[at]->start < end)
		return -EEXIST;
	if (bus->count == IO_BUS_REGIONS)
		return -ENOSPC;
	for (size_t i = bus->count; i > at; i--)
		bus->regions[i] = bus->regions[i - 1];
	bus->regions[at] = region;
	bus->count++;
	return 0;
}

void io_bus_remove(struct io_bus *bus, struct io_region *region)
{
	size_t at = upper_bound(bus, region->start) - 1;

	bus->count--;
	for (size_t i = at; i < bus->count; i++)
		bus->regions[i] = bus->regions[i + 1];
	if (bus->last == region)
		bus->last = NULL;
}

/* The largest access of 1, 2, 4 or 8 bytes at `offset` that the region takes, of `left` bytes. */
static unsigned int piece_size(const struct io_region *region, uint64_t offset, unsigned int left)
{
	unsigned int size = region->max_size;

	while (size > left || size > region->length - offset)
		size /= 2;
	return size;
}

static bool reaches_none(const struct io_bus *bus, uint64_t address, unsigned int size)
{
	size_t above = upper_bound(bus, address);

	if (above > 0 && contains(bus->regions[above - 1], address))
		return false;
	return above == bus->count || bus->regions[above]->start - address >= size;
}

/* An access that no single region takes whole: piece by piece, unclaimed bytes are ones. */
static APART uint64_t read_pieces(struct io_bus *bus, uint64_t address, unsigned int size)
{
	uint64_t value = 0;
	unsigned int done = 0;

	if (reaches_none(bus, address, size))
		return byte_mask(size);
	while (done < size) {
		struct io_region *region = find(bus, address + done);
		unsigned int piece = 1;
		uint64_t part = 0xff;

		if (region) {
			uint64_t offset = address + done - region->start;

			piece = piece_size(region, offset, size - done);
			part = region->read(region, offset, piece) & byte_mask(piece);
		}
		value |= part << (8 * done);
		done += piece;
	}
	return value;
}

static APART void write_pieces(
	struct io_bus *bus, uint64_t address, unsigned int size, uint64_t value)
{
	unsigned int done = 0;

	if (reaches_none(bus, address, size))
		return;
	while (done < size) {
		struct io_region *region = find(bus, address + done);
		unsigned int piece = 1;

		if (region) {
			uint64_t offset = address + done - region->start;

			piece = piece_size(region, offset, size - done);
			region->write(region, offset, piece,
				(value >> (8 * done)) & byte_mask(piece));
		}
		done += piece;
	}
}

static bool takes_whole(const struct io_region *region, uint64_t offset, unsigned int size)
{
	return size <= region->max_size && size <= region->length - offset;
}

uint64_t io_bus_read(struct io_bus *bus, uint64_t address, unsigned int size)
{
	struct io_region *region = find(bus, address);

	if (likely(region && takes_whole(region, address - region->start, size)))
		return region->read(region, address - region->start, size) & byte_mask(size);
	if (!region && size == 1)
		return 0xff;
	return read_pieces(bus, address, size);
}

void io_bus_write(struct io_bus *bus, uint64_t address, unsigned int size, uint64_t value)
{
	struct io_region *region = find(bus, address);

	if (likely(region && takes_whole(region, address - region->start, size)))
		region->write(region, address - region->start, size, value & byte_mask(size));
	else if (region || size > 1)
		write_pieces(bus, address, size, value);
}
