/* SPDX-License-Identifier: BSD-2-Clause */
/* See vcpu/sched_queue.h. */
#include "vcpu/sched_queue.h"

#define VIRTUAL_SHIFT 20
/* What is charged at once: longer stays do not occur, but an emulator may stand still for hours. */
#define CHARGE_MAX_NS BIT(30)

static inline uint32_t load32(const uint32_t *from)
{
	return __atomic_load_n(from, __ATOMIC_RELAXED);
}

/* Written under the queue's lock, and read by other CPUs without. */
static inline void add32(uint32_t *to, uint32_t value)
{
	__atomic_store_n(to, *to + value, __ATOMIC_RELAXED);
}

/* Likewise. */
static inline void set_where(struct sched_entity *entity, enum sched_where where)
{
	__atomic_store_n(&entity->where, where, __ATOMIC_RELAXED);
}

static inline bool later(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) > 0;
}

static struct sched_share *share_of(const struct sched_queue *queue,
	const struct sched_entity *entity)
{
	return &entity->group->shares[queue->id];
}

static struct sched_share *share_at(struct heap_node *node)
{
	return container_of(node, struct sched_share, node);
}

static struct sched_entity *entity_at(struct heap_node *node)
{
	return container_of(node, struct sched_entity, node);
}

void sched_queue_init(struct sched_queue *queue, uint32_t id)
{
	*queue = (struct sched_queue){ .id = id, .until_ns = SCHED_NEVER };
}

void sched_group_set_weight(struct sched_group *group, uint32_t weight)
{
	__atomic_store_n(&group->weight, weight, __ATOMIC_RELAXED);
	__atomic_store_n(&group->virtual_scale,
		(uint32_t)((SCHED_WEIGHT_DEFAULT << VIRTUAL_SHIFT) / weight), __ATOMIC_RELAXED);
}

void sched_group_init(struct sched_group *group, struct sched_share *shares, uint32_t count)
{
	*group = (struct sched_group){ .shares = shares };
	for (uint32_t i = 0; i < count; i++)
		shares[i] = (struct sched_share){ .group = group };
	sched_group_set_weight(group, SCHED_WEIGHT_DEFAULT);
}

void sched_entity_init(struct sched_entity *entity, struct sched_group *group)
{
	*entity = (struct sched_entity){ .group = group };
}

uint32_t sched_entity_load(const struct sched_entity *entity)
{
	uint32_t active = MAX(load32(&entity->group->active), 1);

	return load32(&entity->group->weight) * SCHED_LOAD_UNIT / active;
}

/* Run time of the VM here as virtual time: here it has only a part of its weight. */
static uint64_t virtual_from(const struct sched_share *share, uint64_t run_ns)
{
	uint64_t scaled = run_ns * load32(&share->group->virtual_scale) >> VIRTUAL_SHIFT;
	uint32_t all = load32(&share->group->active), here = share->active;

	if (likely(all <= here))
		return scaled;
	scaled *= all;
	return here > 1 ? scaled / here : scaled;
}

static void advance_clock(struct sched_queue *queue)
{
	uint64_t first;

	if (queue->current) {
		first = share_of(queue, queue->current)->virtual_ns;
		if (queue->ready && later(first, queue->ready->key))
			first = queue->ready->key;
	} else if (queue->ready) {
		first = queue->ready->key;
	} else {
		return;
	}
	if (later(first, queue->virtual_ns))
		queue->virtual_ns = first;
}

static void advance_inner(struct sched_share *share, const struct sched_entity *current)
{
	uint64_t first = current->inner_ns;

	if (share->waiting && later(first, share->waiting->key))
		first = share->waiting->key;
	if (later(first, share->inner_ns))
		share->inner_ns = first;
}

void sched_queue_update(struct sched_queue *queue, uint64_t now_ns)
{
	struct sched_entity *current = queue->current;
	struct sched_share *share;
	uint64_t ran = now_ns - queue->charged_ns;

	if (!current || !later(now_ns, queue->charged_ns))
		return;
	ran = MIN(ran, CHARGE_MAX_NS);
	share = share_of(queue, current);
	queue->charged_ns = now_ns;
	queue->used_ns += ran;
	current->inner_ns += ran;
	share->virtual_ns += virtual_from(share, ran);
	advance_inner(share, current);
	advance_clock(queue);
}

/* The share competes while someone waits in it and none of it runs. */
static void make_ready(struct sched_queue *queue, struct sched_share *share)
{
	if (share->ready || share->parked || !share->waiting)
		return;
	share->node.key = share->virtual_ns;
	heap_insert(&queue->ready, &share->node);
	share->ready = true;
}

static void make_unready(struct sched_queue *queue, struct sched_share *share)
{
	if (!share->ready)
		return;
	heap_remove(&queue->ready, &share->node);
	share->ready = false;
}

static void park(struct sched_queue *queue, struct sched_share *share, uint64_t until_ns)
{
	make_unready(queue, share);
	share->node.key = until_ns;
	heap_insert(&queue->parked, &share->node);
	share->parked = true;
	add32(&queue->waiting, -share->waiting_count);
}

static void unpark(struct sched_queue *queue, struct sched_share *share)
{
	uint64_t earliest = queue->virtual_ns - SCHED_BONUS_NS;

	/* It could not run, but that was its cap's doing and is not owed to it. */
	if (later(earliest, share->virtual_ns))
		share->virtual_ns = earliest;
	heap_remove(&queue->parked, &share->node);
	share->parked = false;
	add32(&queue->waiting, share->waiting_count);
	if (!queue->current || share_of(queue, queue->current) != share)
		make_ready(queue, share);
}

static void count_load(struct sched_queue *queue, struct sched_entity *entity, uint32_t load)
{
	add32(&queue->load, load - entity->load);
	entity->load = load;
}

/* The first of its VM here: where its virtual time stands. */
static void enter_share(struct sched_queue *queue, struct sched_share *share,
	const struct sched_entity *entity)
{
	bool moved = entity->queue && entity->queue != queue;
	uint64_t earliest = queue->virtual_ns - (moved ? SCHED_LAG_NS : SCHED_BONUS_NS);

	/* Queues' clocks differ: what counts is how it stood to the one that it left. */
	if (moved)
		share->virtual_ns = queue->virtual_ns + (uint64_t)entity->lag_ns;
	if (later(earliest, share->virtual_ns))
		share->virtual_ns = earliest;
	if (later(share->virtual_ns, queue->virtual_ns)) {
		uint64_t latest = queue->virtual_ns + virtual_from(share, SCHED_AHEAD_NS);

		if (later(share->virtual_ns, latest))
			share->virtual_ns = latest;
	}
}

/* Its run time beside that of others of its VM here. */
static void enter_inner(struct sched_queue *queue, struct sched_share *share,
	struct sched_entity *entity)
{
	uint64_t earliest = share->inner_ns - SCHED_BONUS_NS;

	if (entity->queue != queue)
		entity->inner_ns = share->inner_ns;
	else if (later(earliest, entity->inner_ns))
		entity->inner_ns = earliest;
}

/* How long a turn is where `all` want one. */
static uint64_t slice_ns(uint32_t all)
{
	if (all <= SCHED_ROUND_NS / SCHED_SLICE_NS)
		return SCHED_SLICE_NS;
	return MAX((uint32_t)SCHED_ROUND_NS / all, SCHED_SLICE_MIN_NS);
}

/* Is it so far behind the current one that it does not wait for the end of the turn? */
static bool is_urgent(const struct sched_queue *queue, const struct sched_entity *entity)
{
	const struct sched_entity *current = queue->current;
	const struct sched_share *share = share_of(queue, entity);

	if (share == share_of(queue, current))
		return share->waiting == &entity->node &&
			later(current->inner_ns, entity->inner_ns + SCHED_GRANULARITY_NS);
	return queue->ready == &share->node && share->waiting == &entity->node &&
		later(share_of(queue, current)->virtual_ns,
			share->virtual_ns + SCHED_GRANULARITY_NS);
}

static bool shorten_turn(struct sched_queue *queue, const struct sched_entity *entity,
	uint64_t now_ns)
{
	uint64_t until = queue->started_ns + slice_ns(queue->waiting + 1);

	if (is_urgent(queue, entity))
		until = MIN(until, queue->started_ns + SCHED_SLICE_MIN_NS);
	until = MAX(until, now_ns);
	if (until >= queue->until_ns)
		return false;
	queue->until_ns = until;
	return true;
}

static void insert_waiting(struct sched_queue *queue, struct sched_share *share,
	struct sched_entity *entity)
{
	entity->node.key = entity->inner_ns;
	heap_insert(&share->waiting, &entity->node);
	set_where(entity, SCHED_WAITING);
	share->waiting_count++;
	if (!share->parked)
		add32(&queue->waiting, 1);
}

static void remove_waiting(struct sched_queue *queue, struct sched_share *share,
	struct sched_entity *entity)
{
	heap_remove(&share->waiting, &entity->node);
	set_where(entity, SCHED_OUT);
	share->waiting_count--;
	if (!share->parked)
		add32(&queue->waiting, -1);
	else if (!share->waiting)
		unpark(queue, share);
	if (!share->waiting)
		make_unready(queue, share);
	if (queue->last == entity)
		queue->last = NULL;
	if (queue->favoured == entity)
		queue->favoured = NULL;
}

/* It counts here from now on. */
static inline void enter(struct sched_queue *queue, struct sched_share *share,
	struct sched_entity *entity, uint64_t now_ns)
{
	if (!entity->active) {
		entity->active = true;
		__atomic_fetch_add(&entity->group->active, 1, __ATOMIC_RELAXED);
	}
	if (share->active++ == 0)
		enter_share(queue, share, entity);
	enter_inner(queue, share, entity);
	if (entity->queue != queue)
		entity->arrived_ns = now_ns;
	entity->queue = queue;
	count_load(queue, entity, sched_entity_load(entity));
}

bool sched_queue_add(struct sched_queue *queue, struct sched_entity *entity, uint64_t now_ns)
{
	struct sched_share *share = share_of(queue, entity);
	struct sched_entity *current = queue->current;

	sched_queue_update(queue, now_ns);
	enter(queue, share, entity, now_ns);
	insert_waiting(queue, share, entity);
	if (!current || share_of(queue, current) != share)
		make_ready(queue, share);
	advance_clock(queue);
	return current && !share->parked && shorten_turn(queue, entity, now_ns);
}

void sched_queue_depart(const struct sched_queue *queue, struct sched_entity *entity)
{
	entity->lag_ns = (int64_t)(share_of(queue, entity)->virtual_ns - queue->virtual_ns);
}

static void leave_share(struct sched_queue *queue, struct sched_share *share,
	struct sched_entity *entity, enum sched_leave why)
{
	sched_queue_depart(queue, entity);
	share->active--;
	count_load(queue, entity, 0);
	if (why == SCHED_SLEEPS) {
		entity->active = false;
		__atomic_fetch_sub(&entity->group->active, 1, __ATOMIC_RELAXED);
	}
}

void sched_queue_remove(struct sched_queue *queue, struct sched_entity *entity,
	enum sched_leave why)
{
	struct sched_share *share = share_of(queue, entity);

	remove_waiting(queue, share, entity);
	leave_share(queue, share, entity, why);
}

static void settle_cap(struct sched_queue *queue, struct sched_group *group)
{
	if (queue->reserved_ns)
		sched_cap_settle(&group->cap, queue->reserved_ns, queue->used_ns);
	queue->reserved_ns = 0;
}

void sched_queue_put(struct sched_queue *queue, enum sched_leave why, uint64_t now_ns)
{
	struct sched_entity *entity = queue->current;
	struct sched_share *share = share_of(queue, entity);

	sched_queue_update(queue, now_ns);
	settle_cap(queue, entity->group);
	queue->current = NULL;
	set_where(entity, SCHED_OUT);
	if (why == SCHED_WAITS) {
		count_load(queue, entity, sched_entity_load(entity));
		insert_waiting(queue, share, entity);
		queue->last = now_ns < queue->until_ns ? entity : NULL;
	} else {
		leave_share(queue, share, entity, why);
		queue->last = NULL;
	}
	make_ready(queue, share);
	advance_clock(queue);
}

/* The cap's part of a turn; false: it is used up, and the share is parked. */
static bool reserve(struct sched_queue *queue, struct sched_share *share, uint64_t now_ns)
{
	uint64_t again_ns;

	queue->used_ns = 0;
	if (likely(!sched_cap_limits(&share->group->cap)))
		return true;
	queue->reserved_ns = sched_cap_reserve(&share->group->cap, now_ns, &again_ns);
	if (!queue->reserved_ns)
		park(queue, share, again_ns);
	return queue->reserved_ns;
}

static struct sched_entity *begin(struct sched_queue *queue, struct sched_entity *entity,
	uint64_t now_ns)
{
	struct sched_share *share = share_of(queue, entity);

	make_unready(queue, share);
	remove_waiting(queue, share, entity);
	set_where(entity, SCHED_CURRENT);
	queue->current = entity;
	queue->charged_ns = now_ns;
	queue->last = NULL;
	queue->favoured = NULL;
	if (queue->reserved_ns)
		queue->until_ns = MIN(queue->until_ns, now_ns + queue->reserved_ns);
	if (queue->parked)
		queue->until_ns = MIN(queue->until_ns, queue->parked->key);
	return entity;
}

/* The end of the present turn for one that waits, by what has come since it was put. */
static uint64_t turn_end(const struct sched_queue *queue, const struct sched_entity *entity)
{
	const struct sched_share *share = share_of(queue, entity);
	uint64_t slice = slice_ns(queue->waiting);

	if (queue->waiting <= 1)
		return queue->until_ns;
	if (queue->ready && later(share->virtual_ns, queue->ready->key + SCHED_GRANULARITY_NS))
		slice = SCHED_SLICE_MIN_NS;
	return MIN(queue->until_ns, queue->started_ns + slice);
}

/* The present turn goes on: by one that is to have the rest of it, or by whose it is. */
static struct sched_entity *go_on(struct sched_queue *queue, uint64_t now_ns)
{
	struct sched_entity *entity = queue->favoured ? queue->favoured : queue->last;

	queue->last = NULL;
	queue->favoured = NULL;
	if (!entity || share_of(queue, entity)->parked)
		return NULL;
	queue->until_ns = turn_end(queue, entity);
	/* A timer may be a little early; what is left then is not worth another. */
	if (now_ns + SCHED_SLICE_MIN_NS / 16 >= queue->until_ns ||
		!reserve(queue, share_of(queue, entity), now_ns))
		return NULL;
	return begin(queue, entity, now_ns);
}

struct sched_entity *sched_queue_pick(struct sched_queue *queue, uint64_t now_ns)
{
	struct sched_entity *entity = go_on(queue, now_ns);

	if (entity)
		return entity;
	if (queue->parked)
		sched_queue_unpark(queue, now_ns);
	while (queue->ready) {
		struct sched_share *share = share_at(queue->ready);

		if (!reserve(queue, share, now_ns))
			continue; /* parked: one fewer is ready */
		queue->started_ns = now_ns;
		queue->until_ns = SCHED_NEVER;
		if (queue->waiting > 1)
			queue->until_ns = now_ns + slice_ns(queue->waiting);
		return begin(queue, entity_at(share->waiting), now_ns);
	}
	return NULL;
}

bool sched_queue_start(struct sched_queue *queue, struct sched_entity *entity, uint64_t now_ns)
{
	if (queue->current || !sched_queue_is_empty(queue) ||
		sched_cap_limits(&entity->group->cap))
		return false;
	enter(queue, share_of(queue, entity), entity, now_ns);
	set_where(entity, SCHED_CURRENT);
	queue->current = entity;
	queue->charged_ns = now_ns;
	queue->started_ns = now_ns;
	queue->until_ns = SCHED_NEVER;
	queue->used_ns = 0;
	advance_clock(queue);
	return true;
}

uint64_t sched_queue_unpark_at(const struct sched_queue *queue)
{
	return queue->parked ? queue->parked->key : SCHED_NEVER;
}

void sched_queue_unpark(struct sched_queue *queue, uint64_t now_ns)
{
	while (queue->parked && now_ns >= queue->parked->key)
		unpark(queue, share_at(queue->parked));
	advance_clock(queue);
}

void sched_queue_favour(struct sched_queue *queue, struct sched_entity *entity)
{
	if (queue->current && entity->where == SCHED_WAITING && entity->queue == queue &&
		entity->group == queue->current->group)
		queue->favoured = entity;
}

void sched_queue_hurry(struct sched_queue *queue, struct sched_entity *entity)
{
	struct sched_share *share = share_of(queue, entity);
	uint64_t first = queue->virtual_ns - SCHED_BONUS_NS;
	bool ready = share->ready;

	if (!later(share->virtual_ns, first))
		return;
	make_unready(queue, share);
	share->virtual_ns = first;
	if (ready)
		make_ready(queue, share);
}

struct sched_entity *sched_queue_find(struct sched_queue *queue,
	uint32_t (*rate)(const struct sched_entity *entity, void *argument), void *argument,
	unsigned int budget)
{
	struct sched_entity *current = queue->current;
	struct sched_share *own = current ? share_of(queue, current) : NULL;
	struct heap_node *share = own ? &own->node : queue->ready;
	struct sched_entity *best = NULL;
	uint32_t best_rate = 0;

	while (share) {
		struct heap_node *node = share_at(share)->parked ? NULL : share_at(share)->waiting;

		for (; node && budget; node = heap_walk(node), budget--) {
			uint32_t rated = rate(entity_at(node), argument);

			if (rated && rated >= best_rate) {
				best_rate = rated;
				best = entity_at(node);
			}
			if (rated == UINT32_MAX)
				return best;
		}
		/* The current one's share is in no heap. */
		share = own ? queue->ready : heap_walk(share);
		own = NULL;
		if (!budget)
			break;
	}
	return best;
}
