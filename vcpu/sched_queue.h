/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scheduler's policy: who runs next on one CPU, until when, and who gives way. Code and data
 * only: the caller tells the time and holds the queue's lock, on every call that names a queue.
 * What several queues share of a VM is in struct sched_group, all of it atomic.
 *
 * Time is shared in two steps. VMs compete on a CPU by virtual time, which for a VM (its
 * struct sched_share on that CPU) advances by run time / weight; the one that is furthest behind
 * runs next. A VM that has vCPUs on several CPUs has its weight divided among those that are not
 * asleep, so more vCPUs win no more time. Inside a VM the vCPU that has run least runs next.
 *
 * Virtual time of a VM only rises. One that slept comes back at most SCHED_BONUS_NS behind the
 * others: enough to run at once, too little to keep them waiting for long, and however often it
 * sleeps it cannot get more than its share and that much once.
 */
#ifndef BALLAST_VCPU_SCHED_QUEUE_H
#define BALLAST_VCPU_SCHED_QUEUE_H

#include "lib/pairing_heap.h"
#include "vcpu/sched_cap.h"

#define SCHED_WEIGHT_DEFAULT 100
#define SCHED_WEIGHT_MAX 10000

/* A turn, while others wait: shorter if many do. */
#define SCHED_SLICE_NS (10 * NS_PER_MS)
#define SCHED_SLICE_MIN_NS NS_PER_MS
#define SCHED_ROUND_NS (40 * NS_PER_MS) /* in which all get a turn, if the shortest allows */
/* One that wakes ends the turn of one that is further ahead than this, in virtual time. */
#define SCHED_GRANULARITY_NS NS_PER_MS
/* How far behind the others, in virtual time, one comes back from sleep or from another CPU. */
#define SCHED_BONUS_NS (10 * NS_PER_MS)
#define SCHED_LAG_NS (40 * NS_PER_MS)
/* And how far ahead at most: run time of its own, or it would wait for ever. */
#define SCHED_AHEAD_NS (20 * NS_PER_MS)

#define SCHED_NEVER (~0ULL)

struct sched_queue;

/* A VM on one CPU's queue; all fields under that queue's lock. */
struct sched_share {
	struct heap_node node;     /* in the queue's `ready` or `parked` */
	struct sched_group *group; /* [I] */
	struct heap_node *waiting; /* its vCPUs that wait here, by their run time */
	uint64_t virtual_ns;       /* of the VM here */
	uint64_t inner_ns;         /* run time of the vCPU here that has run least; only rises */
	uint32_t active;           /* its vCPUs here: those that wait, and the one that runs */
	uint32_t waiting_count;
	bool ready;                /* in the heap of that name */
	bool parked;               /* likewise: its cap is used up */
};

/* A VM. */
struct sched_group {
	struct sched_cap cap;
	struct sched_share *shares; /* [I] one for each queue, by its id */
	uint32_t weight;            /* [a] */
	uint32_t virtual_scale;     /* [a] virtual ns for one ns of run time, 20 fractional bits */
	uint32_t active;            /* [a] its vCPUs that are not asleep, on all CPUs */
};

enum sched_where { SCHED_OUT, SCHED_WAITING, SCHED_CURRENT };

/* A vCPU. All fields under the lock of the queue that it is in, or was in last. */
struct sched_entity {
	struct heap_node node;      /* in its share's `waiting` */
	struct sched_group *group;  /* [I] */
	struct sched_queue *queue;  /* where it is or was last; NULL: never anywhere */
	enum sched_where where;     /* [a] */
	bool active;                /* it counts in group->active */
	uint64_t inner_ns;          /* run time, to compare with others of its VM */
	int64_t lag_ns;             /* of its VM: how far it was ahead of the queue that it left */
	uint64_t arrived_ns;        /* when it came here from another queue */
	uint32_t load;              /* its part of queue->load */
};

struct sched_queue {
	struct heap_node *ready;      /* shares with someone waiting, but for the current one's */
	struct heap_node *parked;     /* shares whose cap is used up, by when to try again */
	struct sched_entity *current; /* who has the CPU */
	struct sched_entity *last;    /* who had it, waits, and whose turn has not ended */
	struct sched_entity *favoured; /* gets the rest of the present turn */
	uint64_t virtual_ns;          /* of the share furthest behind; never goes back */
	uint64_t charged_ns;          /* up to then `current` is charged */
	uint64_t started_ns;          /* the present turn */
	uint64_t until_ns;            /* its end; SCHED_NEVER: nobody waits, nobody is parked */
	uint64_t reserved_ns;         /* of the VM's cap; 0: it has none */
	uint64_t used_ns;             /* of that */
	uint32_t waiting;             /* [a] entities in `ready`, or in the current one's share */
	uint32_t load;                /* [a] weights of all active here; SCHED_LOAD_UNIT */
	uint32_t id;                  /* [I] index in group->shares */
};

/* Loads are weights times this. */
#define SCHED_LOAD_UNIT 16

void sched_queue_init(struct sched_queue *queue, uint32_t id);
/* `shares`: `count` of them, one for each queue; they live as long as the group. */
void sched_group_init(struct sched_group *group, struct sched_share *shares, uint32_t count);
/* 1 .. SCHED_WEIGHT_MAX. Any CPU, at any time. */
void sched_group_set_weight(struct sched_group *group, uint32_t weight);
void sched_entity_init(struct sched_entity *entity, struct sched_group *group);

/* Charge the current one for its run until now. The calls below do so themselves. */
void sched_queue_update(struct sched_queue *queue, uint64_t now_ns);

/*
 * One that is in no queue waits in this one: it woke, or came from another queue. True when the
 * current one's turn now ends earlier: at queue->until_ns, which may be now.
 */
bool sched_queue_add(struct sched_queue *queue, struct sched_entity *entity, uint64_t now_ns);

/*
 * The same, and it is chosen; its turn has no end. False, and nothing changes, unless it is alone
 * here and its VM has no cap.
 */
bool sched_queue_start(struct sched_queue *queue, struct sched_entity *entity, uint64_t now_ns);

/*
 * Why one leaves: it waits again (the current one only); it has nothing to do; it goes to another
 * queue.
 */
enum sched_leave { SCHED_WAITS, SCHED_SLEEPS, SCHED_MOVES };
/* The current one gives up the CPU. */
void sched_queue_put(struct sched_queue *queue, enum sched_leave why, uint64_t now_ns);
/* One that waits leaves; not SCHED_WAITS. */
void sched_queue_remove(struct sched_queue *queue, struct sched_entity *entity,
	enum sched_leave why);

/*
 * One that is asleep goes from this queue, where it was last, to another: it stands there as it
 * would here. One that leaves by SCHED_MOVES does without.
 */
void sched_queue_depart(const struct sched_queue *queue, struct sched_entity *entity);

/* Nobody waits, and nobody is parked. */
static inline bool sched_queue_is_empty(const struct sched_queue *queue)
{
	return !queue->ready && !queue->parked;
}

/*
 * There is no current one: choose it. NULL when nobody waits, or all have used up their caps. Its
 * turn ends at queue->until_ns.
 */
struct sched_entity *sched_queue_pick(struct sched_queue *queue, uint64_t now_ns);
/*
 * When the first of those that have used up their cap may run again; SCHED_NEVER: none waits. A
 * turn ends then, too; a queue without a current one is to be asked again at that time.
 */
uint64_t sched_queue_unpark_at(const struct sched_queue *queue);
/* Those that may run again at that time wait like others; with SCHED_NEVER, all. */
void sched_queue_unpark(struct sched_queue *queue, uint64_t now_ns);

/*
 * `entity`, which waits here, is of the current one's VM: if the current one is put now, it gets
 * the rest of that one's turn. Other VMs lose nothing by it.
 */
void sched_queue_favour(struct sched_queue *queue, struct sched_entity *entity);

/*
 * The VM of `entity`, which is in this queue, has no more to do than to end: it comes before all
 * others, whatever it has had.
 */
void sched_queue_hurry(struct sched_queue *queue, struct sched_entity *entity);

/*
 * Of those that wait and do not lack a cap's time, the one for which `rate` is highest, of equals
 * the one asked last; NULL when none is above 0. Looks at `budget` of them at most, beginning with
 * who is next, and ends with one whose rate is UINT32_MAX.
 */
struct sched_entity *sched_queue_find(struct sched_queue *queue,
	uint32_t (*rate)(const struct sched_entity *entity, void *argument), void *argument,
	unsigned int budget);

/* One that is active takes so much of the CPU it is on, as its VM's weight is divided now. */
uint32_t sched_entity_load(const struct sched_entity *entity);

#endif
