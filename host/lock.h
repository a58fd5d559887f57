/* SPDX-License-Identifier: BSD-2-Clause */
/* Ticket spinlock: fair, so no CPU starves behind another. Not held while idle or in a guest. */
#ifndef BALLAST_HOST_LOCK_H
#define BALLAST_HOST_LOCK_H

#include "lib/util.h"

struct spinlock {
	uint16_t next;  /* [a] ticket to hand out */
	uint16_t owner; /* [a] ticket being served */
};

static inline void spin_lock(struct spinlock *lock)
{
	uint16_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE) != ticket)
		__builtin_ia32_pause();
}

/* Takes the lock if nobody has it or waits for it. */
static inline bool spin_trylock(struct spinlock *lock)
{
	/* Acquire: what the last holder did is before its store of `owner`. */
	uint16_t ticket = __atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE);

	return __atomic_compare_exchange_n(&lock->next, &ticket, (uint16_t)(ticket + 1), false,
		__ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static inline void spin_unlock(struct spinlock *lock)
{
	__atomic_store_n(&lock->owner, (uint16_t)(lock->owner + 1), __ATOMIC_RELEASE);
}

#endif
