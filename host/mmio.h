/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers of devices in memory. Each access is one access of the hardware's; memory that was
 * written before is written when the device sees the register's new value (stores are not
 * reordered on x86, and the compiler is told).
 */
#ifndef BALLAST_HOST_MMIO_H
#define BALLAST_HOST_MMIO_H

#include "lib/util.h"

#ifdef BALLAST_FAKE_MMIO
/* Unit tests: the test's model of a device. */
uint32_t mmio_read32(const volatile void *base, uint32_t offset);
void mmio_write32(volatile void *base, uint32_t offset, uint32_t value);
#else
static inline uint32_t mmio_read32(const volatile void *base, uint32_t offset)
{
	uint32_t value = *(const volatile uint32_t *)((const volatile char *)base + offset);

	__asm__ volatile("" : : : "memory");
	return value;
}

static inline void mmio_write32(volatile void *base, uint32_t offset, uint32_t value)
{
	__asm__ volatile("" : : : "memory");
	*(volatile uint32_t *)((volatile char *)base + offset) = value;
}
#endif

/* Low half first; for registers that need not be read at one instant. */
static inline uint64_t mmio_read64(const volatile void *base, uint32_t offset)
{
	uint64_t low = mmio_read32(base, offset);

	return low | (uint64_t)mmio_read32(base, offset + 4) << 32;
}

static inline void mmio_write64(volatile void *base, uint32_t offset, uint64_t value)
{
	mmio_write32(base, offset, (uint32_t)value);
	mmio_write32(base, offset + 4, (uint32_t)(value >> 32));
}

#endif
