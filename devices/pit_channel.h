/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One channel of the 8254, a function of time: `now` is the host's TSC. A channel whose state may
 * have changed with time is synchronised first (pit_channel_sync).
 */
#ifndef BALLAST_DEVICES_PIT_CHANNEL_H
#define BALLAST_DEVICES_PIT_CHANNEL_H

#include "devices/pit.h"

/* Duration of that many clocks, rounded up: after it they have passed. */
uint64_t pit_tsc_from_clocks(uint64_t clocks);
/* Clocks counted since the channel started. */
uint64_t pit_channel_clocks(const struct pit_channel *channel, uint64_t now);
/* Load a count whose time has come (modes 2 and 3 finish their cycle first). */
void pit_channel_sync(struct pit_channel *channel, uint64_t now);
bool pit_channel_out(const struct pit_channel *channel, uint64_t now);

/* A control word other than a latch command. */
void pit_channel_control(struct pit_channel *channel, uint8_t value);
/* True when the channel began to count, or stopped, by this byte. */
bool pit_channel_write(struct pit_channel *channel, uint8_t value, uint64_t now);
uint8_t pit_channel_read(struct pit_channel *channel, uint64_t now);
void pit_channel_latch_count(struct pit_channel *channel, uint64_t now);
void pit_channel_latch_status(struct pit_channel *channel, uint64_t now);
void pit_channel_set_gate(struct pit_channel *channel, bool gate, uint64_t now);

#endif
