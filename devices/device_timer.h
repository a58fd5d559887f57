/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A timer of a device: its callback runs under vm.lock. A host timer alone does not do, because
 * vCPUs on several CPUs arm it while they hold the lock that a running callback waits for.
 */
#ifndef BALLAST_DEVICES_DEVICE_TIMER_H
#define BALLAST_DEVICES_DEVICE_TIMER_H

#include "host/clock.h"
#include "vcpu/vm.h"

enum device_timer_state {
	DEVICE_TIMER_IDLE,
	DEVICE_TIMER_RUNNING, /* the callback is about to take vm.lock and look at the deadline */
	DEVICE_TIMER_MOVING,  /* the holder of vm.lock arms the host timer */
};

struct device_timer {
	struct timer timer;
	struct vm *vm;                               /* [I] */
	void (*expired)(struct device_timer *timer); /* [I] under vm.lock; not armed any more */
	uint64_t deadline_tsc;                       /* [vm.lock] 0: not armed */
	uint32_t state;                              /* [a] enum device_timer_state */
};

void device_timer_init(struct device_timer *timer, struct vm *vm,
	void (*expired)(struct device_timer *));
/* Under vm.lock; a deadline in the past expires soon. */
void device_timer_set(struct device_timer *timer, uint64_t deadline_tsc);
/* Under vm.lock. */
void device_timer_stop(struct device_timer *timer);
/* Without vm.lock; no callback runs afterwards. */
void device_timer_destroy(struct device_timer *timer);

static inline bool device_timer_armed(const struct device_timer *timer)
{
	return timer->deadline_tsc != 0;
}

#endif
