/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MC146818 clock with its CMOS memory, 128 bytes at ports 0x70 and 0x71 (Motorola MC146818A
 * data sheet). It shows the machine's UTC until the guest sets it, and then keeps the difference.
 * Nothing ticks: times and flags are computed when somebody looks, and a timer is armed only for an
 * interrupt that is enabled and not yet pending.
 *
 * Periodic interrupts that come before the guest has read register C for the one before are owed to
 * it (vcpu/ticks.h), until it changes the rate or disables them.
 */
#ifndef BALLAST_DEVICES_RTC_H
#define BALLAST_DEVICES_RTC_H

#include "devices/device_timer.h"
#include "devices/platform.h"
#include "vcpu/ticks.h"

#define RTC_BYTES 128

struct rtc {
	struct device device;
	struct io_region region;
	struct platform_options options; /* [I] */
	struct device_timer event;
	/* All [vm.lock]. */
	uint8_t index;
	uint8_t cmos[RTC_BYTES];         /* time registers: as of the last look */
	uint64_t offset_ns;              /* guest time = wall clock + this, modulo 2^64 */
	uint64_t frozen_ns;              /* guest time while the divider is held in reset */
	uint64_t seen_ns;                /* guest time up to which the flags are known */
	struct ticks ticks;              /* periodic interrupts; RTC_C_PERIODIC: one waits */
};

int rtc_create(struct vm *vm, const struct platform_options *options) __must_check;

#endif
