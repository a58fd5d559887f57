/* SPDX-License-Identifier: BSD-2-Clause */
/* Is a run queue's structure sound? See sched_sim.h. */
#include "test/unit/sched_sim.h"

static const struct sched_queue *checked;
static const char *wrong;

static void expect(bool holds, const char *what)
{
	if (!holds && !wrong)
		wrong = what;
}

/* Heap order and links; the number of nodes. */
static unsigned int check_heap(const struct heap_node *root)
{
	unsigned int nodes = 0;

	if (root) {
		expect(!root->next && !root->prev, "a root has a sibling or a parent");
		for (const struct heap_node *node = root; node; node = heap_walk(node)) {
			nodes++;
			for (const struct heap_node *child = node->child, *prev = node; child;
				prev = child, child = child->next) {
				expect(child->prev == prev, "a heap node's link back is wrong");
				expect((int64_t)(child->key - node->key) >= 0, "a heap is out of order");
			}
		}
	}
	return nodes;
}

static bool heap_has(const struct heap_node *root, const struct heap_node *wanted)
{
	for (; root; root = heap_walk(root))
		if (root == wanted)
			return true;
	return false;
}

static uint32_t check_entities(const struct sched_share *share)
{
	uint32_t load = 0;

	for (const struct heap_node *node = share->waiting; node; node = heap_walk(node)) {
		const struct sched_entity *entity = container_of(node, struct sched_entity, node);

		expect(entity->where == SCHED_WAITING, "one in a heap does not wait");
		expect(entity->active, "one that waits is not active");
		expect(entity->queue == checked, "one waits in another queue than it says");
		expect(entity->group == share->group, "one waits in another VM's share");
		expect(entity->inner_ns == node->key, "an entity's key is old");
		load += entity->load;
	}
	return load;
}

/* Its waiting entities that count for the queue; adds up loads. */
static uint32_t check_share(const struct sched_share *share, uint32_t *load)
{
	bool own = checked->current && checked->current->group == share->group;
	unsigned int waiting = check_heap(share->waiting);

	expect(waiting == share->waiting_count, "a share's count of waiting ones is wrong");
	expect(share->active == waiting + own, "a share's count of active ones is wrong");
	expect(!(share->ready && share->parked), "a share is both ready and parked");
	expect(share->ready == heap_has(checked->ready, &share->node), "`ready` and its heap differ");
	expect(share->parked == heap_has(checked->parked, &share->node),
		"`parked` and its heap differ");
	expect(!share->ready || waiting, "a share is ready for nobody");
	expect(!share->ready || !own, "the current one's share is ready too");
	expect(!waiting || own || share->ready || share->parked, "a share waits in no heap");
	expect(!share->ready || share->node.key == share->virtual_ns, "a share's key is old");
	expect(share->active <= share->group->active, "more are active here than everywhere");
	*load += check_entities(share);
	return share->parked ? 0 : waiting;
}

const char *sched_check_queue(const struct sched_queue *queue, struct sched_group *const *groups,
	unsigned int count)
{
	const struct sched_entity *current = queue->current;
	uint32_t waiting = 0, load = 0;
	unsigned int in_heaps = 0;

	checked = queue;
	wrong = NULL;
	for (unsigned int i = 0; i < count; i++) {
		const struct sched_share *share = &groups[i]->shares[queue->id];

		waiting += check_share(share, &load);
		in_heaps += share->ready + share->parked;
	}
	expect(in_heaps == check_heap(queue->ready) + check_heap(queue->parked),
		"a heap has a share that does not know");
	if (current) {
		load += current->load;
		expect(current->where == SCHED_CURRENT, "the current one does not know that it is");
		expect(current->queue == queue && current->active, "the current one is elsewhere");
	}
	expect(waiting == queue->waiting, "the count of those that wait is wrong");
	expect(load == queue->load, "the sum of loads is wrong");
	expect(!queue->last || queue->last->where == SCHED_WAITING, "`last` does not wait");
	expect(!queue->favoured || queue->favoured->where == SCHED_WAITING,
		"`favoured` does not wait");
	return wrong;
}
