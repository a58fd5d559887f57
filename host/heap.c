/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small objects: slabs of one size class each, a page (or two, for the larger classes) whose state
 * stands in the record of its first frame; free objects are linked through their first bytes. What
 * is larger than the largest class is a block of frames.
 *
 * Locks: heap_lock, then frame_lock.
 */
#include "host/frame.h"
#include "host/lock.h"
#include "host/log.h"
#include "lib/string.h"

#define SLAB_END 0xffff
#define LARGEST_OBJECT 2048

/* Class 0 means "no slab" in a frame's record. Sizes are multiples of 16. */
static const uint16_t class_bytes[] = {0,   16,  32,  48,  64,  96,   128, 192,
				       256, 384, 512, 672, 1024, 1360, LARGEST_OBJECT};
#define CLASSES ARRAY_SIZE(class_bytes)

static struct spinlock heap_lock;
/* Slabs that have a free object, by use and class: frame number + 1, 0 for none. [heap_lock] */
static uint32_t slabs_with_room[FRAME_USES][CLASSES];

static unsigned int class_of(size_t bytes)
{
	unsigned int class = 1;

	while (class_bytes[class] < bytes)
		class++;
	return class;
}

static uint16_t *object_link(uint32_t slab, unsigned int class, uint16_t index)
{
	return host_ptr(((hpa_t)slab << PAGE_SHIFT) + (uint64_t)index * class_bytes[class]);
}

static void slab_link(uint32_t slab, struct frame *frame, uint32_t *head)
{
	frame->prev = 0;
	frame->next = *head;
	if (frame->next)
		frame_record(frame->next - 1)->prev = slab + 1;
	*head = slab + 1;
}

static void slab_unlink(const struct frame *frame, uint32_t *head)
{
	if (frame->next)
		frame_record(frame->next - 1)->prev = frame->prev;
	if (frame->prev)
		frame_record(frame->prev - 1)->next = frame->next;
	else
		*head = frame->next;
}

static int slab_create(unsigned int class, enum frame_use use)
{
	hpa_t page = frame_alloc(FRAME_ORDER_4K, use);
	unsigned int objects = (unsigned int)(PAGE_SIZE / class_bytes[class]);
	uint32_t slab = frame_number(page);
	struct frame *frame;

	if (page == HPA_NONE)
		return -ENOMEM;
	for (unsigned int i = 0; i < objects; i++)
		*object_link(slab, class, (uint16_t)i) =
			(uint16_t)(i + 1 < objects ? i + 1 : SLAB_END);
	frame = frame_record(slab);
	frame->slab_class = (uint8_t)class;
	frame->slab_free = 0;
	frame->slab_used = 0;
	slab_link(slab, frame, &slabs_with_room[use][class]);
	return 0;
}

static void *small_alloc(size_t bytes, enum frame_use use)
{
	unsigned int class = class_of(bytes);
	uint32_t *head = &slabs_with_room[use][class];
	uint16_t *object = NULL;

	spin_lock(&heap_lock);
	if (*head || slab_create(class, use) == 0) {
		uint32_t slab = *head - 1;
		struct frame *frame = frame_record(slab);

		object = object_link(slab, class, frame->slab_free);
		frame->slab_free = *object;
		frame->slab_used++;
		if (frame->slab_free == SLAB_END)
			slab_unlink(frame, head);
	}
	spin_unlock(&heap_lock);
	return object ? memset(object, 0, class_bytes[class]) : NULL;
}

static void small_free(void *pointer, uint32_t slab, struct frame *frame)
{
	unsigned int class = frame->slab_class;
	uint64_t offset = host_phys(pointer) & PAGE_MASK;
	uint32_t *head;
	uint16_t *object = pointer;

	if (class >= CLASSES || offset % class_bytes[class])
		panic("heap_free: %p is no object", pointer);
	/* Its slab may live on for long: what it was, perhaps a guest's, does not. */
	memset(object, 0, class_bytes[class]);
	spin_lock(&heap_lock);
	head = &slabs_with_room[frame->use][class];
	if (frame->slab_free == SLAB_END)
		slab_link(slab, frame, head);
	*object = frame->slab_free;
	frame->slab_free = (uint16_t)(offset / class_bytes[class]);
	if (--frame->slab_used == 0) {
		slab_unlink(frame, head);
		frame->slab_class = 0;
		frame_free((hpa_t)slab << PAGE_SHIFT, FRAME_ORDER_4K);
	}
	spin_unlock(&heap_lock);
}

void *heap_alloc(size_t bytes, enum frame_use use)
{
	unsigned int order = FRAME_ORDER_4K;
	hpa_t start;

	if (bytes <= LARGEST_OBJECT)
		return small_alloc(bytes, use);
	while (order < FRAME_ORDERS && (PAGE_SIZE << order) < bytes)
		order++;
	if (order == FRAME_ORDERS)
		return NULL;
	start = frame_alloc_zeroed(order, use);
	return start == HPA_NONE ? NULL : host_ptr(start);
}

void heap_free(void *object)
{
	uint32_t number = frame_number(host_phys(object));
	struct frame *frame;

	if (!object)
		return;
	frame = frame_record(number);
	if (!frame)
		panic("heap_free: %p is not memory", object);
	if (frame->slab_class)
		small_free(object, number, frame);
	else
		frame_free(host_phys(object), frame->order);
}
