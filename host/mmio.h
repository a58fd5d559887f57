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
uint8_t mmio_read8(const volatile void *base, uint32_t offset);
void mmio_write8(volatile void *base, uint32_t offset, uint8_t value);
uint16_t mmio_read16(const volatile void *base, uint32_t offset);
void mmio_write16(volatile void *base, uint32_t offset, uint16_t value);
uint32_t mmio_read32(const volatile void *base, uint32_t offset);
void mmio_write32(volatile void *base, uint32_t offset, uint32_t value);
#else
#define MMIO_DEFINE(bits)                                                                          \
	static inline uint##bits##_t mmio_read##bits(const volatile void *base, uint32_t offset)   \
	{                                                                                          \
		uint##bits##_t value =                                                             \
			*(const volatile uint##bits##_t *)((const volatile char *)base + offset);  \
		__asm__ volatile("" : : : "memory");                                               \
		return value;                                                                      \
	}                                                                                          \
	static inline void mmio_write##bits(volatile void *base, uint32_t offset,                  \
		uint##bits##_t value)                                                              \
	{                                                                                          \
		__asm__ volatile("" : : : "memory");                                               \
		*(volatile uint##bits##_t *)((volatile char *)base + offset) = value;              \
	}
MMIO_DEFINE(8)
MMIO_DEFINE(16)
MMIO_DEFINE(32)
#undef MMIO_DEFINE
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
