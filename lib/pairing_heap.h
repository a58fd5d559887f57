/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A heap with the links inside the elements: smallest key first, of equals usually the one that
 * came first. Keys are compared by their difference as a signed number, so a clock that wraps may
 * be one, as long as all keys lie within half its range. Removal from anywhere; all operations
 * are O(log n) on average over many.
 */
#ifndef BALLAST_LIB_PAIRING_HEAP_H
#define BALLAST_LIB_PAIRING_HEAP_H

#include "lib/util.h"

/* All zero while it is in no heap. `prev` of a first child is its parent. */
struct heap_node {
	struct heap_node *child, *next, *prev;
	uint64_t key; /* constant while it is in a heap */
};

/* For these two: with others, or from among them. */
void heap_insert_among(struct heap_node **heap, struct heap_node *node);
void heap_remove_among(struct heap_node **heap, struct heap_node *node);

/* The caller's pointer to the heap: NULL when it is empty, else the smallest. */
static inline void heap_insert(struct heap_node **heap, struct heap_node *node)
{
	if (likely(!*heap))
		*heap = node;
	else
		heap_insert_among(heap, node);
}

/* The node is in this heap. */
static inline void heap_remove(struct heap_node **heap, struct heap_node *node)
{
	if (likely(node == *heap && !node->child))
		*heap = NULL;
	else
		heap_remove_among(heap, node);
}

/*
 * To visit all: begin with the heap itself, parents come before children, NULL ends. In between
 * the heap does not change.
 */
struct heap_node *heap_walk(const struct heap_node *node);

#endif
