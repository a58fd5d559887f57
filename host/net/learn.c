/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses that were seen behind a port: a small table of sets, where a new address takes the
 * place of the one not seen for longest. All under the switch's lock.
 */
#include "host/clock.h"
#include "host/memory.h"
#include "host/net/internal.h"

#define LEARNED_SETS 64
#define LEARNED_WAYS 4
#define LEARNED_SECONDS 300 /* IEEE 802.1D, "Filtering Database": ageing time */

struct net_learned {
	struct learned_entry {
		uint8_t mac[ETH_ALEN];
		uint64_t seen_tsc; /* 0: never */
	} sets[LEARNED_SETS][LEARNED_WAYS];
};

struct net_learned *net_learned_create(void)
{
	return heap_alloc(sizeof(struct net_learned), FRAME_HOST);
}

void net_learned_destroy(struct net_learned *learned)
{
	heap_free(learned);
}

static unsigned int set_of(const uint8_t *mac)
{
	return (mac[5] ^ mac[4] * 5U ^ mac[3] * 11U) % LEARNED_SETS;
}

static bool is_fresh(const struct learned_entry *entry, uint64_t now)
{
	return entry->seen_tsc && now - entry->seen_tsc < LEARNED_SECONDS * clock_tsc_hz;
}

void net_learn(struct net_learned *learned, const uint8_t *mac)
{
	struct learned_entry *set = learned->sets[set_of(mac)], *place = set;

	for (unsigned int i = 0; i < LEARNED_WAYS; i++) {
		if (net_mac_equal(set[i].mac, mac)) {
			set[i].seen_tsc = clock_tsc();
			return;
		}
		if (set[i].seen_tsc < place->seen_tsc)
			place = &set[i];
	}
	memcpy(place->mac, mac, ETH_ALEN);
	place->seen_tsc = clock_tsc();
}

uint64_t net_learned_at(const struct net_learned *learned, const uint8_t *mac)
{
	const struct learned_entry *set = learned->sets[set_of(mac)];

	for (unsigned int i = 0; i < LEARNED_WAYS; i++)
		if (net_mac_equal(set[i].mac, mac) && is_fresh(&set[i], clock_tsc()))
			return set[i].seen_tsc;
	return 0;
}

unsigned int net_learned_entries(const struct net_learned *learned)
{
	const struct learned_entry *entry = learned->sets[0];
	uint64_t now = clock_tsc();
	unsigned int count = 0;

	for (unsigned int i = 0; i < LEARNED_SETS * LEARNED_WAYS; i++)
		count += is_fresh(&entry[i], now);
	return count;
}
