/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's side of a split ring, as good or as bad as a test wants it, in a guest's memory. */
#ifndef BALLAST_TEST_FAKE_DRIVER_H
#define BALLAST_TEST_FAKE_DRIVER_H

#include <assert.h>
#include <string.h>

#include "devices/virtio/ring.h"

struct fake_driver {
	struct guest_memory *memory;
	gpa_t descriptors, available, used;
	uint16_t size;
	uint16_t index; /* what the next offer makes available is beyond it */
};

static inline void fake_driver_set(struct fake_driver *driver, gpa_t gpa, const void *from, uint64_t bytes)
{
	int error = guest_memory_write(driver->memory, gpa, from, bytes);

	assert(!error);
	(void)error;
}

static inline void fake_driver_get(struct fake_driver *driver, gpa_t gpa, void *to, uint64_t bytes)
{
	int error = guest_memory_read(driver->memory, gpa, to, bytes);

	assert(!error);
	(void)error;
}

static inline void fake_driver_set16(struct fake_driver *driver, gpa_t gpa, uint16_t value)
{
	fake_driver_set(driver, gpa, &value, sizeof(value));
}

static inline uint16_t fake_driver_get16(struct fake_driver *driver, gpa_t gpa)
{
	uint16_t value;

	fake_driver_get(driver, gpa, &value, sizeof(value));
	return value;
}

/* A descriptor of the ring, or of the table at `table`. */
static inline void fake_driver_describe_at(struct fake_driver *driver, gpa_t table, unsigned int index, gpa_t gpa,
	uint32_t bytes, uint16_t flags, uint16_t next)
{
	struct vring_desc descriptor = { gpa, bytes, flags, next };

	fake_driver_set(driver, table + sizeof(descriptor) * index, &descriptor, sizeof(descriptor));
}

static inline void fake_driver_describe(struct fake_driver *driver, unsigned int index, gpa_t gpa, uint32_t bytes,
	uint16_t flags, uint16_t next)
{
	fake_driver_describe_at(driver, driver->descriptors, index, gpa, bytes, flags, next);
}

static inline void fake_driver_set_index(struct fake_driver *driver, uint16_t index)
{
	driver->index = index;
	fake_driver_set16(driver, driver->available + 2, index);
}

static inline void fake_driver_offer(struct fake_driver *driver, uint16_t head)
{
	fake_driver_set16(driver, driver->available + 4 + 2 * (driver->index % driver->size), head);
	fake_driver_set_index(driver, driver->index + 1);
}

static inline void fake_driver_want(struct fake_driver *driver, uint16_t flags)
{
	fake_driver_set16(driver, driver->available, flags);
}

static inline void fake_driver_used_event(struct fake_driver *driver, uint16_t event)
{
	fake_driver_set16(driver, driver->available + 4 + 2 * driver->size, event);
}

static inline uint16_t fake_driver_available_event(struct fake_driver *driver)
{
	return fake_driver_get16(driver, driver->used + 4 + 8 * driver->size);
}

static inline uint16_t fake_driver_used_flags(struct fake_driver *driver)
{
	return fake_driver_get16(driver, driver->used);
}

static inline uint16_t fake_driver_used_index(struct fake_driver *driver)
{
	return fake_driver_get16(driver, driver->used + 2);
}

static inline struct vring_used_elem fake_driver_used(struct fake_driver *driver, uint16_t index)
{
	struct vring_used_elem element;

	fake_driver_get(driver, driver->used + 4 + 8 * (index % driver->size), &element, sizeof(element));
	return element;
}

#endif
