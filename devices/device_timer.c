/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timers under vm.lock; see devices/device_timer.h.
 *
 * timer_set() waits for a callback that runs on another CPU. It must therefore never be called,
 * under vm.lock, while such a callback waits for vm.lock: `state` tells each side about the other.
 * A callback that finds its timer being moved leaves at once; who wants to move a timer whose
 * callback runs only writes down the deadline, and the callback arms it.
 */
#include "devices/device_timer.h"

static bool change_state(
	struct device_timer *timer, enum device_timer_state from, enum device_timer_state to)
{
	uint32_t expected = from;

	return __atomic_compare_exchange_n(
		&timer->state, &expected, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void on_expiry(struct timer *host_timer)
{
	struct device_timer *timer = container_of(host_timer, struct device_timer, timer);

	if (!change_state(timer, DEVICE_TIMER_IDLE, DEVICE_TIMER_RUNNING))
		return;
	spin_lock(&timer->vm->lock);
	__atomic_store_n(&timer->state, DEVICE_TIMER_IDLE, __ATOMIC_RELEASE);
	if (timer->deadline_tsc > clock_tsc()) {
		timer_set(&timer->timer, timer->deadline_tsc);
	} else if (timer->deadline_tsc != 0) {
		timer->deadline_tsc = 0;
		timer->expired(timer);
	}
	spin_unlock(&timer->vm->lock);
}

void device_timer_init(
	struct device_timer *timer, struct vm *vm, void (*expired)(struct device_timer *))
{
	timer_init(&timer->timer, on_expiry);
	timer->vm = vm;
	timer->expired = expired;
	timer->deadline_tsc = 0;
	timer->state = DEVICE_TIMER_IDLE;
}

void device_timer_set(struct device_timer *timer, uint64_t deadline_tsc)
{
	timer->deadline_tsc = deadline_tsc;
	if (!change_state(timer, DEVICE_TIMER_IDLE, DEVICE_TIMER_MOVING))
		return;
	timer_set(&timer->timer, deadline_tsc);
	__atomic_store_n(&timer->state, DEVICE_TIMER_IDLE, __ATOMIC_RELEASE);
}

void device_timer_stop(struct device_timer *timer)
{
	/* The host's timer expires once more and finds nothing to do. */
	timer->deadline_tsc = 0;
}

void device_timer_destroy(struct device_timer *timer)
{
	timer_cancel(&timer->timer);
}
