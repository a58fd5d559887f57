/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets and the memory they take: pages, some of which are kept for the next ones. How many there
 * may be is the sum of what the ports' queues may hold and a little for what is on its way.
 */
#include "host/net/internal.h"

#include "host/memory.h"
#include "lib/string.h"

/* On its way from one queue to another: a packet on each CPU, and what it is cut into. */
#define POOL_BASE_PAGES 2048
/* Free pages that are not given back to the machine. */
#define POOL_KEPT_PAGES 512

static struct spinlock pool_lock;
static struct net_packet *pool_free; /* [pool_lock] linked by `next`; only that is valid */
static uint32_t pool_kept;           /* [pool_lock] how many there are */
static uint32_t pool_used;           /* [pool_lock] pages of packets that exist */
static uint32_t pool_limit = POOL_BASE_PAGES; /* [pool_lock] */

void net_pool_resize(int pages)
{
	spin_lock(&pool_lock);
	pool_limit = (uint32_t)((int)pool_limit + pages);
	spin_unlock(&pool_lock);
}

uint64_t net_pool_bytes(void)
{
	uint64_t pages;

	spin_lock(&pool_lock);
	pages = pool_used + pool_kept;
	spin_unlock(&pool_lock);
	return pages * PAGE_SIZE;
}

void net_pool_trim(void)
{
	struct net_packet *page;

	spin_lock(&pool_lock);
	while ((page = pool_free)) {
		pool_free = page->next;
		frame_free(host_phys(page), FRAME_ORDER_4K);
	}
	pool_kept = 0;
	spin_unlock(&pool_lock);
}

/* Under pool_lock. */
static void *page_get(void)
{
	struct net_packet *page = pool_free;
	hpa_t frame;

	if (pool_used == pool_limit)
		return NULL;
	if (page) {
		pool_free = page->next;
		pool_kept--;
		pool_used++;
		return page;
	}
	frame = frame_alloc(FRAME_ORDER_4K, FRAME_HOST);
	if (frame == HPA_NONE)
		return NULL;
	pool_used++;
	return host_ptr(frame);
}

/* Under pool_lock. */
static void page_put(void *memory)
{
	struct net_packet *page = memory;

	pool_used--;
	if (pool_kept >= POOL_KEPT_PAGES) {
		frame_free(host_phys(page), FRAME_ORDER_4K);
		return;
	}
	page->next = pool_free;
	pool_free = page;
	pool_kept++;
}

static unsigned int pages_of(const struct net_packet *packet)
{
	return packet->room <= NET_SMALL_BYTES ? 1
		: 1 + (unsigned int)((packet->room - NET_SMALL_BYTES) / PAGE_SIZE);
}

/* Under pool_lock: all pages behind the first, or none. */
static bool get_more(struct net_packet *packet, uint32_t bytes)
{
	unsigned int i = 0;

	for (; packet->room < bytes; i++) {
		packet->more[i] = page_get();
		if (!packet->more[i])
			break;
		packet->room += PAGE_SIZE;
	}
	if (packet->room >= bytes)
		return true;
	while (i-- > 0)
		page_put(packet->more[i]);
	return false;
}

struct net_packet *net_packet_alloc(uint32_t bytes)
{
	struct net_packet *packet;

	if (bytes > NET_PACKET_BYTES)
		return NULL;
	spin_lock(&pool_lock);
	packet = page_get();
	if (packet) {
		packet->room = NET_SMALL_BYTES;
		if (bytes > NET_SMALL_BYTES && !get_more(packet, bytes)) {
			page_put(packet);
			packet = NULL;
		}
	}
	spin_unlock(&pool_lock);
	if (!packet)
		return NULL;
	packet->references = 1;
	packet->bytes = 0;
	packet->next = NULL;
	memset(&packet->offload, 0, sizeof(packet->offload));
	return packet;
}

void net_packet_get(struct net_packet *packet)
{
	__atomic_fetch_add(&packet->references, 1, __ATOMIC_RELAXED);
}

void net_packet_put(struct net_packet *packet)
{
	unsigned int pages;

	if (__atomic_sub_fetch(&packet->references, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	pages = pages_of(packet);
	spin_lock(&pool_lock);
	for (unsigned int i = 0; i + 1 < pages; i++)
		page_put(packet->more[i]);
	page_put(packet);
	spin_unlock(&pool_lock);
}

uint32_t net_packet_memory(const struct net_packet *packet)
{
	return (uint32_t)(pages_of(packet) * PAGE_SIZE);
}

uint8_t *net_packet_at(struct net_packet *packet, uint32_t at, uint32_t *run)
{
	uint32_t within;

	if (at < NET_SMALL_BYTES) {
		*run = NET_SMALL_BYTES - at;
		return packet->data + at;
	}
	within = (at - NET_SMALL_BYTES) & PAGE_MASK;
	*run = (uint32_t)PAGE_SIZE - within;
	return packet->more[(at - NET_SMALL_BYTES) >> PAGE_SHIFT] + within;
}

void net_packet_read(struct net_packet *packet, uint32_t at, void *to, uint32_t bytes)
{
	uint8_t *out = to;
	uint32_t run;

	for (; bytes; at += run, out += run, bytes -= run) {
		const uint8_t *from = net_packet_at(packet, at, &run);

		run = MIN(run, bytes);
		memcpy(out, from, run);
	}
}

void net_packet_write(struct net_packet *packet, uint32_t at, const void *from, uint32_t bytes)
{
	const uint8_t *in = from;
	uint32_t run;

	for (; bytes; at += run, in += run, bytes -= run) {
		uint8_t *to = net_packet_at(packet, at, &run);

		run = MIN(run, bytes);
		memcpy(to, in, run);
	}
}
