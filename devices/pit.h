/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 8254 timer and port 0x61 (Intel 8254 data sheet). Counters are computed from the clock when
 * they are read; nothing ticks. Only channel 0's rising edges take a timer.
 *
 * Edges that come while the guest does not take them are owed to it (vcpu/ticks.h), until it
 * programs channel 0 anew: it begins to count anew then. As long as one waits no timer is needed
 * but to see, every PIT_LOOK_NS, whether it still does: a controller that is masked or programmed
 * anew may have lost it. Where every controller masks the line nothing is owed, and edges come
 * no faster than each PIT_INTERVAL_UNHEARD_NS.
 */
#ifndef BALLAST_DEVICES_PIT_H
#define BALLAST_DEVICES_PIT_H

#include "devices/device_timer.h"
#include "vcpu/ticks.h"

#define PIT_HZ 1193182ULL
#define PIT_CHANNELS 3
#define PIT_INTERVAL_UNHEARD_NS 1000000ULL
#define PIT_LOOK_NS 10000000ULL

enum pit_access { PIT_ACCESS_LOW = 1, PIT_ACCESS_HIGH = 2, PIT_ACCESS_BOTH = 3 };

struct pit_channel {
	uint8_t mode;             /* 0 to 5 */
	uint8_t access;           /* enum pit_access */
	bool bcd;
	bool gate;
	bool counting;            /* a count was loaded, and in modes 1 and 5 triggered */
	bool high_write_next;     /* PIT_ACCESS_BOTH: the next byte written is the upper one */
	bool high_read_next;
	bool count_latched;
	bool status_latched;
	uint8_t low_written;
	uint8_t status;           /* latched */
	uint16_t latched;
	uint32_t reload;          /* 1 to 65536, in clocks */
	uint32_t next_reload;     /* written and not yet loaded; 0: none */
	uint64_t switch_clock;    /* modes 2, 3: when next_reload is loaded, clocks since start */
	uint64_t start_tsc;       /* when counting from `reload` began */
	uint64_t paused_clock;    /* clocks since start when the gate went low */
};

struct pit {
	struct device device;
	struct io_region ports;
	struct io_region control_b;              /* port 0x61 */
	/* All [vm.lock]. */
	struct pit_channel channels[PIT_CHANNELS];
	struct device_timer edge;                /* channel 0's next rising edge */
	uint64_t edges_seen;                     /* of channel 0 since its start */
	struct ticks ticks;                      /* those seen */
	struct tick_source source;               /* of vm.tick_source */
	uint8_t control;                         /* port 0x61, what can be written */
};

int pit_create(struct vm *vm) __must_check;

#endif
