/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any sequence of calls on run queues leaves them sound: vCPUs of a few VMs are added, chosen, put,
 * removed, moved and favoured, weights and caps change, time passes or stands still.
 */
#include <stdio.h>
#include <stdlib.h>

#include "test/unit/sched_sim.h"

enum { QUEUES = 3, GROUPS = 4, ENTITIES = 12 };

static struct sched_queue queues[QUEUES];
static struct sched_group groups[GROUPS], *all_groups[GROUPS];
static struct sched_share shares[GROUPS][QUEUES];
static struct sched_entity entities[ENTITIES];
static uint64_t now_ns;

/* Of what was run beyond a cap of 1 %: each step of time adds so much at most. */
#define STEP_NS (16ULL << 30)
#define LONGEST_PAUSE_NS (STEP_NS * 100 * 16)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void demand(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static void begin(void)
{
	now_ns = NS_PER_SEC;
	for (unsigned int i = 0; i < QUEUES; i++)
		sched_queue_init(&queues[i], i);
	for (unsigned int i = 0; i < GROUPS; i++) {
		sched_group_init(&groups[i], shares[i], QUEUES);
		all_groups[i] = &groups[i];
	}
	for (unsigned int i = 0; i < ENTITIES; i++)
		sched_entity_init(&entities[i], &groups[i % GROUPS]);
}

static void check(void)
{
	uint32_t active[GROUPS] = {0};

	/* The longest: a cap of 1 % of a turn that was a gap in time. */
	for (unsigned int i = 0; i < QUEUES; i++)
		demand(!queues[i].parked || queues[i].parked->key < now_ns + LONGEST_PAUSE_NS,
			"one is parked for ever");
	for (unsigned int i = 0; i < QUEUES; i++) {
		const char *wrong = sched_check_queue(&queues[i], all_groups, GROUPS);

		demand(!wrong, wrong);
	}
	for (unsigned int i = 0; i < ENTITIES; i++)
		active[i % GROUPS] += entities[i].active;
	for (unsigned int i = 0; i < GROUPS; i++)
		demand(active[i] == groups[i].active, "a VM's count of active ones is wrong");
}

static void pick(struct sched_queue *queue)
{
	uint32_t waiting = queue->waiting;
	struct sched_entity *entity;

	if (queue->current)
		return;
	entity = sched_queue_pick(queue, now_ns);
	demand(entity == queue->current, "who was picked is not the current one");
	if (!entity) {
		demand(!queue->waiting, "one that could run was not picked");
		demand(!waiting || sched_queue_unpark_at(queue) > now_ns, "nobody is due, or somebody");
		return;
	}
	demand(queue->until_ns > now_ns, "a turn without time");
	demand(!queue->waiting || queue->until_ns <= now_ns + SCHED_SLICE_NS,
		"a turn without an end");
	demand(queue->until_ns <= MAX(sched_queue_unpark_at(queue), now_ns + 1),
		"a turn beyond the end of another's pause");
}

static uint32_t rate(const struct sched_entity *entity, void *argument)
{
	demand(entity->where == SCHED_WAITING, "one that does not wait was found");
	return (uint32_t)(entity - entities) ^ *(const uint8_t *)argument;
}

/* To another queue, as a balancer does it. */
static void move(struct sched_queue *from, struct sched_queue *to, uint8_t salt)
{
	struct sched_entity *entity = sched_queue_find(from, rate, &salt, salt % 8);

	if (!entity || from == to)
		return;
	sched_queue_update(from, now_ns);
	sched_queue_remove(from, entity, SCHED_MOVES);
	/* In between it is in no queue, and one there may have gone to sleep meanwhile. */
	sched_queue_add(to, entity, now_ns);
}

static void operate(uint8_t what, uint8_t which)
{
	struct sched_queue *queue = &queues[which % QUEUES];
	struct sched_entity *entity = &entities[which / QUEUES % ENTITIES];

	switch (what % 12) {
	case 0:
	case 1:
		if (entity->where == SCHED_OUT)
			sched_queue_add(queue, entity, now_ns);
		break;
	case 2:
	case 3:
		pick(queue);
		break;
	case 4:
		if (queue->current)
			sched_queue_put(queue, SCHED_WAITS, now_ns);
		break;
	case 5:
		if (queue->current)
			sched_queue_put(queue, which & 128 ? SCHED_SLEEPS : SCHED_MOVES, now_ns);
		break;
	case 6:
		if (entity->where == SCHED_WAITING)
			sched_queue_remove(entity->queue, entity,
				which & 128 ? SCHED_SLEEPS : SCHED_MOVES);
		break;
	case 7:
		sched_queue_favour(queue, entity);
		break;
	case 8:
		sched_queue_unpark(queue, which & 128 ? SCHED_NEVER : now_ns);
		break;
	case 9:
		sched_group_set_weight(entity->group, which & 128 ? SCHED_WEIGHT_MAX : 1U + which);
		break;
	case 10:
		sched_cap_set(&entity->group->cap, which & 128 ? 0 : which * 3U);
		break;
	case 11:
		move(queue, &queues[which / QUEUES % QUEUES], which);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	begin();
	for (size_t i = 0; i + 2 < count; i += 3) {
		/* From nothing to seconds. */
		now_ns += (uint64_t)(bytes[i + 2] & 15) << (bytes[i + 2] >> 4) * 2;
		operate(bytes[i], bytes[i + 1]);
		check();
	}
	return 0;
}
