/* SPDX-License-Identifier: BSD-2-Clause */
/* See lib/pairing_heap.h. */
#include "lib/pairing_heap.h"

static bool before(const struct heap_node *a, const struct heap_node *b)
{
	return (int64_t)(a->key - b->key) < 0;
}

/* Of two heaps, the later becomes the first child of the earlier; of equals, b of a. */
static struct heap_node *meld(struct heap_node *a, struct heap_node *b)
{
	if (!a || !b)
		return a ? a : b;
	if (before(b, a)) {
		struct heap_node *swap = a;

		a = b;
		b = swap;
	}
	b->prev = a;
	b->next = a->child;
	if (b->next)
		b->next->prev = b;
	a->child = b;
	return a;
}

/* Join a list of siblings: pairs from left to right, then the pairs from right to left. */
static struct heap_node *meld_siblings(struct heap_node *list)
{
	struct heap_node *pairs = NULL, *heap = NULL;

	while (list) {
		struct heap_node *a = list, *b = a->next;

		list = b ? b->next : NULL;
		a->next = NULL;
		if (b)
			b->next = NULL;
		a = meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct heap_node *rest = pairs->next;

		pairs->next = NULL;
		heap = meld(heap, pairs);
		pairs = rest;
	}
	if (heap)
		heap->prev = NULL;
	return heap;
}

void heap_insert_among(struct heap_node **heap, struct heap_node *node)
{
	*heap = meld(*heap, node);
}

void heap_remove_among(struct heap_node **heap, struct heap_node *node)
{
	struct heap_node *rest = meld_siblings(node->child);

	if (node == *heap) {
		*heap = rest;
	} else {
		if (node->prev->child == node)
			node->prev->child = node->next;
		else
			node->prev->next = node->next;
		if (node->next)
			node->next->prev = node->prev;
		*heap = meld(*heap, rest);
	}
	node->child = NULL;
	node->next = NULL;
	node->prev = NULL;
}

struct heap_node *heap_walk(const struct heap_node *node)
{
	if (node->child)
		return node->child;
	while (!node->next) {
		/* Back to the first sibling, whose `prev` is the parent. */
		while (node->prev && node->prev->child != node)
			node = node->prev;
		node = node->prev;
		if (!node)
			return NULL;
	}
	return node->next;
}
