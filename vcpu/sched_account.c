/* SPDX-License-Identifier: BSD-2-Clause */
/* See vcpu/sched_account.h. */
#include "vcpu/sched_account.h"

static inline void store(uint64_t *to, uint64_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELEASE);
}

static inline uint64_t load(const uint64_t *from)
{
	return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

/* Odd, then what the caller changes, then even. */
static inline void begin_change(struct sched_account *account)
{
	__atomic_store_n(&account->sequence, account->sequence + 1, __ATOMIC_RELAXED);
}

static inline void end_change(struct sched_account *account)
{
	__atomic_store_n(&account->sequence, account->sequence + 1, __ATOMIC_RELEASE);
}

void sched_account_start(struct sched_account *account, enum sched_time kind, uint64_t now_ns)
{
	begin_change(account);
	for (unsigned int i = 0; i < SCHED_TIME_KINDS; i++)
		store(&account->sums_ns[i], 0);
	store(&account->since_ns, now_ns);
	__atomic_store_n(&account->kind, kind, __ATOMIC_RELEASE);
	end_change(account);
}

void sched_account_change(struct sched_account *account, enum sched_time kind, uint64_t now_ns)
{
	uint64_t since = account->since_ns;

	begin_change(account);
	/* Two CPUs' clocks may differ by a little: no time is counted twice. */
	if (now_ns > since) {
		if (account->kind < SCHED_TIME_KINDS)
			store(&account->sums_ns[account->kind],
				account->sums_ns[account->kind] + (now_ns - since));
		store(&account->since_ns, now_ns);
	}
	__atomic_store_n(&account->kind, kind, __ATOMIC_RELEASE);
	end_change(account);
}

void sched_account_read(const struct sched_account *account, uint64_t now_ns,
	uint64_t sums_ns[SCHED_TIME_KINDS])
{
	uint64_t since;
	uint32_t before, kind;

	do {
		before = __atomic_load_n(&account->sequence, __ATOMIC_ACQUIRE);
		for (unsigned int i = 0; i < SCHED_TIME_KINDS; i++)
			sums_ns[i] = load(&account->sums_ns[i]);
		since = load(&account->since_ns);
		kind = __atomic_load_n(&account->kind, __ATOMIC_ACQUIRE);
		/* A writer is at it for a few instructions, on another CPU. */
	} while ((before & 1) || __atomic_load_n(&account->sequence, __ATOMIC_RELAXED) != before);
	if (kind < SCHED_TIME_KINDS && now_ns > since)
		sums_ns[kind] += now_ns - since;
}
