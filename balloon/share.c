/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of contents; see balloon/share.h. */
#include "balloon/share.h"

#include "host/lock.h"
#include "lib/hash.h"
#include "lib/string.h"

/* Entries with hashes that begin alike; the last ones looked at stay. */
#define BUCKET 4
/* So many frames of the machine for an entry: few pages of a guest are like any other. */
#define FRAMES_FOR_ENTRY 2
#define ENTRIES_MAX (1ULL << 24)

/* What an entry is: a frame's address with this bit, or a hint, which never has it; 0: empty. */
#define IS_FRAME BIT(0)
#define HINT_GFN_BITS 35

struct entry {
	uint64_t hash;
	uint64_t what;
};

static struct spinlock lock;
static struct entry *table;  /* [I] while there is one; the entries [lock] */
static uint64_t entry_count; /* likewise; a power of two */
static uint64_t pruned_at;   /* [lock] where share_prune() goes on */
static struct share_stats counts; /* [lock] */

int share_init(uint64_t frames)
{
	counts = (struct share_stats){0};
	pruned_at = 0;
	entry_count = BUCKET;
	while (entry_count < frames / FRAMES_FOR_ENTRY && entry_count < ENTRIES_MAX)
		entry_count *= 2;
	table = heap_alloc(entry_count * sizeof(*table), FRAME_HOST);
	if (!table)
		return -ENOMEM;
	counts.entries = entry_count;
	counts.bytes = entry_count * sizeof(*table);
	return 0;
}

void share_exit(void)
{
	heap_free(table);
	table = NULL;
}

uint64_t share_hash(const void *page, uint64_t group)
{
	return hash_page(page, group);
}

bool share_is_zero(const void *page)
{
	const uint64_t *words = page;

	/* Most pages that are not differ at once. */
	for (unsigned int i = 0; i < PAGE_SIZE / sizeof(*words); i += 8) {
		if (words[i] | words[i + 1] | words[i + 2] | words[i + 3] | words[i + 4] |
			words[i + 5] | words[i + 6] | words[i + 7])
			return false;
	}
	return true;
}

static struct entry *bucket_of(uint64_t hash)
{
	return &table[hash & (entry_count - 1) & ~(uint64_t)(BUCKET - 1)];
}

static bool is_frame(const struct entry *entry)
{
	return entry->what & IS_FRAME;
}

static hpa_t frame_of(const struct entry *entry)
{
	return entry->what & ~IS_FRAME;
}

/* An entry that a new one may take the place of: an empty one, or a hint; NULL: all are frames. */
static struct entry *place_for(struct entry *bucket, uint64_t hash)
{
	struct entry *place = NULL;

	for (unsigned int i = 0; i < BUCKET; i++) {
		if (is_frame(&bucket[i]))
			continue;
		if (!bucket[i].what || bucket[i].hash == hash)
			return &bucket[i];
		/* Any hint will do; the hash's upper bits choose one at random. */
		if (!place || (hash >> 32) % BUCKET == i)
			place = &bucket[i];
	}
	return place;
}

enum share_find share_look(uint64_t hash, uint32_t number, uint64_t gfn)
{
	uint64_t hint = ((uint64_t)number << HINT_GFN_BITS | gfn) << 1;
	struct entry *bucket, *place;
	enum share_find find = SHARE_NEW;

	spin_lock(&lock);
	bucket = bucket_of(hash);
	for (unsigned int i = 0; i < BUCKET && find != SHARE_FRAME; i++) {
		if (bucket[i].hash != hash || !bucket[i].what)
			continue;
		if (is_frame(&bucket[i]))
			find = SHARE_FRAME;
		else if (bucket[i].what != hint)
			find = SHARE_HINT;
	}
	place = find == SHARE_NEW ? place_for(bucket, hash) : NULL;
	if (place)
		*place = (struct entry){ hash, hint };
	spin_unlock(&lock);
	return find;
}

hpa_t share_join(uint64_t hash, const void *page, hpa_t own)
{
	struct entry *bucket, *place;
	hpa_t frame = HPA_NONE;

	spin_lock(&lock);
	bucket = bucket_of(hash);
	for (unsigned int i = 0; i < BUCKET && frame == HPA_NONE; i++) {
		if (!is_frame(&bucket[i]) || bucket[i].hash != hash)
			continue;
		if (memcmp(page, host_ptr(frame_of(&bucket[i])), PAGE_SIZE))
			counts.differed++;
		else
			frame = frame_of(&bucket[i]);
	}
	counts.joined += frame != HPA_NONE;
	place = frame == HPA_NONE ? place_for(bucket, hash) : NULL;
	if (place) {
		frame_share(own);
		*place = (struct entry){ hash, own | IS_FRAME };
		counts.frames++;
		frame = own;
	}
	if (frame != HPA_NONE)
		frame_hold(frame);
	spin_unlock(&lock);
	return frame;
}

unsigned int share_prune(unsigned int entries)
{
	unsigned int freed = 0;

	spin_lock(&lock);
	for (; entries; entries--) {
		struct entry *entry = &table[pruned_at++ & (entry_count - 1)];

		/* Nobody but the table: and who would join asks the table. */
		if (is_frame(entry) && frame_holders(frame_of(entry)) == 1) {
			frame_drop(frame_of(entry));
			entry->what = 0;
			counts.frames--;
			freed++;
		}
	}
	spin_unlock(&lock);
	return freed;
}

void share_get_stats(struct share_stats *stats)
{
	spin_lock(&lock);
	*stats = counts;
	spin_unlock(&lock);
}
