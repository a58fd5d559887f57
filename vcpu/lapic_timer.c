/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The LAPIC's timer (Intel SDM vol. 3, "APIC Timer"): one-shot and periodic count down from the
 * initial count at LAPIC_TIMER_HZ divided; TSC-deadline compares the guest's TSC. Only the moment
 * of expiry is kept, in host TSC; the current count is computed from it.
 *
 * A periodic timer that the guest does not listen to, because its last interrupt still waits or it
 * is masked, is held: no timer of the host is armed until the guest takes the interrupt or writes
 * the LVT. What a vCPU asked for would otherwise cost others their time while it does not run.
 * Interrupts that came due meanwhile are owed to a guest that does not mask them, for it may count
 * them (vcpu/ticks.h): the expiry stands at the first of them.
 */
#include "vcpu/lapic_state.h"

#include "vcpu/ticks.h"

/* Periodic interrupts come no faster: each costs the host a timer interrupt. */
#define SHORTEST_PERIOD_NS 50000

static uint32_t timer_mode(const struct lapic *lapic)
{
	return lapic->lvt[LVT_TIMER] & LVT_TIMER_MODE;
}

static uint64_t tsc_from_counts(const struct lapic *lapic, uint32_t counts)
{
	return mul_div((uint64_t)counts << lapic->timer_shift, clock_tsc_hz, LAPIC_TIMER_HZ);
}

static uint64_t period_tsc(const struct lapic *lapic)
{
	return MAX(tsc_from_counts(lapic, lapic->timer_initial),
		clock_tsc_from_ns(SHORTEST_PERIOD_NS));
}

static void cancel(struct lapic *lapic)
{
	if (timer_armed(&lapic->timer))
		timer_cancel(&lapic->timer);
}

static bool is_held(const struct lapic *lapic)
{
	return __atomic_load_n(&lapic->on_accept, __ATOMIC_RELAXED) & ON_ACCEPT_TIMER;
}

static void hold(struct lapic *lapic)
{
	__atomic_fetch_or(&lapic->on_accept, ON_ACCEPT_TIMER, __ATOMIC_RELAXED);
}

static void release(struct lapic *lapic)
{
	if (is_held(lapic))
		__atomic_fetch_and(&lapic->on_accept, ~ON_ACCEPT_TIMER, __ATOMIC_RELAXED);
}

static void arm(struct lapic *lapic, uint64_t expiry_tsc)
{
	release(lapic);
	lapic->timer_expiry_tsc = expiry_tsc;
	timer_set(&lapic->timer, expiry_tsc);
}

void lapic_timer_stop(struct lapic *lapic)
{
	/*
	 * First, and even when it is not armed: a stopped vCPU's CPU may be in the callback just
	 * now, which writes what follows.
	 */
	timer_cancel(&lapic->timer);
	lapic->timer_expiry_tsc = 0;
	lapic->timer_deadline = 0;
	release(lapic);
}

/* What was owed is forgotten; the rhythm stays. */
static void arm_next_period(struct lapic *lapic)
{
	uint64_t period = period_tsc(lapic);
	uint64_t now = clock_tsc();
	uint64_t expiry = lapic->timer_expiry_tsc;

	if (expiry <= now)
		expiry += ((now - expiry) / period + 1) * period;
	arm(lapic, expiry);
}

/* The oldest of them are forgotten. */
static void bound_owed(struct lapic *lapic, uint64_t now)
{
	uint64_t period = period_tsc(lapic);
	uint64_t owed = (now - lapic->timer_expiry_tsc) / period;
	uint64_t most = ticks_owed_max(clock_ns_from_tsc(period));

	if (owed > most)
		lapic->timer_expiry_tsc += (owed - most) * period;
}

/* The interrupt that is due is given to a guest that listens; the next one may be due as well. */
static void give(struct lapic *lapic)
{
	uint64_t now = clock_tsc();

	bound_owed(lapic, now);
	lapic->timer_expiry_tsc += period_tsc(lapic);
	if (lapic->timer_expiry_tsc <= now)
		hold(lapic);
	else
		arm(lapic, lapic->timer_expiry_tsc);
	lapic_local_interrupt(lapic, LVT_TIMER);
}

/* Would another interrupt of the timer be news to the guest? */
static bool listens(const struct lapic *lapic)
{
	uint32_t lvt = lapic->lvt[LVT_TIMER];
	uint8_t vector = lvt & LVT_VECTOR;

	return !(lvt & LVT_MASKED) && vector >= LAPIC_FIRST_VECTOR &&
		!(lapic_load_word(&lapic->irr[vector / 64]) & BIT(vector % 64));
}

void lapic_timer_go_on(struct lapic *lapic)
{
	if (lapic->lvt[LVT_TIMER] & LVT_MASKED)
		arm_next_period(lapic);
	else if (listens(lapic))
		give(lapic);
}

/* Runs on the vCPU's own CPU: that is where the timer was armed. */
static void expired(struct timer *timer)
{
	struct lapic *lapic = container_of(timer, struct lapic, timer);

	if (timer_mode(lapic) == LVT_TIMER_DEADLINE)
		lapic->timer_deadline = 0;
	else if (timer_mode(lapic) != LVT_TIMER_PERIODIC)
		lapic->timer_expiry_tsc = 0;
	else if (listens(lapic)) {
		give(lapic);
		return;
	} else
		hold(lapic);
	lapic_local_interrupt(lapic, LVT_TIMER);
}

void lapic_timer_init(struct lapic *lapic)
{
	timer_init(&lapic->timer, expired);
}

void lapic_timer_write_initial(struct lapic *lapic, uint32_t count)
{
	if (timer_mode(lapic) == LVT_TIMER_DEADLINE)
		return;
	lapic->timer_initial = count;
	if (count == 0)
		lapic_timer_stop(lapic);
	else if (timer_mode(lapic) == LVT_TIMER_PERIODIC)
		arm(lapic, clock_tsc() + period_tsc(lapic));
	else
		arm(lapic, clock_tsc() + tsc_from_counts(lapic, count));
}

uint32_t lapic_timer_current(const struct lapic *lapic)
{
	uint64_t now = clock_tsc();
	uint64_t left = lapic->timer_expiry_tsc - now;
	uint64_t counts;

	if (lapic->timer_expiry_tsc == 0)
		return 0;
	if (lapic->timer_expiry_tsc <= now) {
		/* The callback is late. */
		if (timer_mode(lapic) != LVT_TIMER_PERIODIC)
			return 0;
		left = period_tsc(lapic) - (now - lapic->timer_expiry_tsc) % period_tsc(lapic);
	}
	/* Both roundings go up: until it expires, the count is not zero. */
	counts = mul_div(left + clock_tsc_hz / LAPIC_TIMER_HZ - 1, LAPIC_TIMER_HZ, clock_tsc_hz);
	counts = (counts + BIT(lapic->timer_shift) - 1) >> lapic->timer_shift;
	return MIN(counts, lapic->timer_initial);
}

void lapic_timer_write_divide(struct lapic *lapic, uint32_t value)
{
	uint32_t left = lapic_timer_current(lapic);
	uint8_t code = (value & 3) | (value & 8) >> 1;

	lapic->timer_divide = value;
	/* 0 divides by 2, 6 by 128, and 7 not at all. */
	lapic->timer_shift = (code + 1) & 7;
	if (left)
		arm(lapic, clock_tsc() + tsc_from_counts(lapic, left));
}

void lapic_timer_write_lvt(struct lapic *lapic, uint32_t value)
{
	uint32_t changed = lapic->lvt[LVT_TIMER] ^ value;

	/* From or to TSC-deadline mode disarms; one-shot and periodic share the count. */
	if (changed & LVT_TIMER_DEADLINE)
		lapic_timer_stop(lapic);
	else if (is_held(lapic))
		arm_next_period(lapic);
}

uint64_t lapic_timer_read_deadline(const struct lapic *lapic)
{
	return lapic->timer_deadline;
}

static void arm_deadline(struct lapic *lapic)
{
	uint64_t now = clock_tsc();
	uint64_t left = vcpu_tsc_until(lapic->vcpu, now, lapic->timer_deadline);
	uint64_t expiry;

	if (left) {
		if (add_overflows(now, left, &expiry))
			expiry = ~0ULL;
		timer_set(&lapic->timer, expiry);
		return;
	}
	lapic->timer_deadline = 0;
	cancel(lapic);
	lapic_local_interrupt(lapic, LVT_TIMER);
}

void lapic_timer_write_deadline(struct lapic *lapic, uint64_t deadline)
{
	if (timer_mode(lapic) != LVT_TIMER_DEADLINE)
		return;
	lapic->timer_deadline = deadline;
	if (deadline)
		arm_deadline(lapic);
	else
		cancel(lapic);
}

void lapic_tsc_changed(struct vcpu *vcpu)
{
	if (vcpu->lapic->timer_deadline)
		arm_deadline(vcpu->lapic);
}

void lapic_timer_follow(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->lapic;
	const struct cpu *home = __atomic_load_n(&lapic->timer.home, __ATOMIC_ACQUIRE);

	if (!home || home == vcpu->loaded_on)
		return;
	timer_cancel(&lapic->timer);
	if (lapic->timer_deadline)
		arm_deadline(lapic);
	else if (lapic->timer_expiry_tsc && !is_held(lapic))
		arm(lapic, lapic->timer_expiry_tsc);
}
