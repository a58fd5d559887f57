/* SPDX-License-Identifier: BSD-2-Clause */
/* Circular doubly-linked list with the links inside the elements; the head is a link too. */
#ifndef BALLAST_LIB_LIST_H
#define BALLAST_LIB_LIST_H

#include "lib/util.h"

struct list {
	struct list *next;
	struct list *prev;
};

#define LIST_INIT(name) { &(name), &(name) }

static inline void list_init(struct list *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_insert_before(struct list *at, struct list *link)
{
	link->prev = at->prev;
	link->next = at;
	at->prev->next = link;
	at->prev = link;
}

static inline void list_add_tail(struct list *head, struct list *link)
{
	list_insert_before(head, link);
}

static inline void list_add_head(struct list *head, struct list *link)
{
	list_insert_before(head->next, link);
}

/* Leaves the link pointing to itself, so that removing twice is harmless. */
static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

#define list_entry(link, type, member) container_of(link, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)
#define list_for_each(pos, head, type, member)                                                     \
	for (pos = list_entry((head)->next, type, member); &pos->member != (head);                 \
	     pos = list_entry(pos->member.next, type, member))
/* The loop body may remove `pos`. */
#define list_for_each_safe(pos, after, head, type, member)                                         \
	for (pos = list_entry((head)->next, type, member),                                         \
	    after = list_entry(pos->member.next, type, member);                                    \
	     &pos->member != (head);                                                               \
	     pos = after, after = list_entry(pos->member.next, type, member))

#endif
