/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a VM's balloon device (devices/) and the memory economy (balloon/) meet: neither includes
 * the other. The device embeds it, fills in the functions and sets vm->balloon; the economy writes
 * the target and reads the rest.
 */
#ifndef BALLAST_VCPU_BALLOON_PORT_H
#define BALLAST_VCPU_BALLOON_PORT_H

#include <linux/virtio_balloon.h>

#include "lib/util.h"

#define BALLOON_STAT_UNKNOWN (~0ULL)

struct vm_balloon {
	/* The economy's. */
	uint64_t target_pages;             /* [a] of 4 KiB, that the guest is to do without */
	/* The device's. */
	uint64_t actual_pages;             /* [a] that it does without: those that were taken in */
	bool live;                         /* [a] the guest has a driver that runs */
	uint64_t stats[VIRTIO_BALLOON_S_NR]; /* [a] BALLOON_STAT_UNKNOWN: not told */
	uint64_t stats_ns;                 /* [a] when they were told; 0: never */
	uint64_t reported_pages;           /* [a] by free-page reporting, since the start */
	uint64_t skipped_pages;            /* [a] that it named, and that are none of its RAM */
	/* The target is another, or the figures are wanted anew. Any CPU, without vm.lock. */
	void (*retarget)(struct vm_balloon *balloon);   /* [I] */
	void (*want_stats)(struct vm_balloon *balloon); /* [I] */
};

#endif
