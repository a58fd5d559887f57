/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VM is made of, without anything inside: for the tests of its life. */
#ifndef BALLAST_TEST_FAKE_PARTS_H
#define BALLAST_TEST_FAKE_PARTS_H

#include "devices/virtio/mem.h"
#include "mgmt/vms.h"

struct fake_parts {
	unsigned int created, destroyed, loaded, started, reset, stop_requests;
	unsigned int economies; /* VMs that the economy was told of */
	bool no_room;         /* what is guaranteed to a VM that starts is not free yet */
	uint64_t room_wanted; /* pages, the last time */
	int create_error, tsc_error, platform_error, find_error, load_error;
	uint64_t free_frames, vm_frames, guest_frames;
	struct virtio_mem_state hotplug; /* of the VM that has one */
	uint64_t hotplug_bytes;
};
extern struct fake_parts fake;
extern const struct hw_ops fake_hw;

struct fake_sched {
	struct sched_params set;
	unsigned int paused, resumed, sets, clocks_told;
};
extern struct fake_sched sched;

extern char log_text[65536];

/*
 * VMs "one" and "two" that can be started, and "bad" that cannot; files \\k, \\tiny\\i and
 * \\images\\base.img in memory. To change one's configuration: before fake_parts_begin().
 */
extern struct config config;
void fake_parts_reset(void);
void fake_parts_begin(void);
void fake_parts_end(void);

/* Its vCPUs have left their CPUs. */
void leave_cpus(struct managed_vm *managed);

#endif
