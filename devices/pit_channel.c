/* SPDX-License-Identifier: BSD-2-Clause */
/* One counter of the 8254; see devices/pit_channel.h. */
#include "devices/pit_channel.h"

#define STATUS_OUT BIT(7)
#define STATUS_NULL_COUNT BIT(6)
#define STATUS_ACCESS_SHIFT 4
#define STATUS_MODE_SHIFT 1

static bool is_periodic(const struct pit_channel *channel)
{
	return channel->mode == 2 || channel->mode == 3;
}

/* Modes 1 and 5 start by a rising gate instead of by a count. */
static bool is_triggered(const struct pit_channel *channel)
{
	return channel->mode == 1 || channel->mode == 5;
}

static uint32_t modulus(const struct pit_channel *channel)
{
	return channel->bcd ? 10000 : 0x10000;
}

static uint16_t bcd_from_binary(uint32_t value)
{
	return value % 10 | (value / 10 % 10) << 4 | (value / 100 % 10) << 8 |
		(value / 1000 % 10) << 12;
}

/* Digits above 9, which no program should write, count as what their place makes them. */
static uint32_t binary_from_bcd(uint16_t value)
{
	return (value & 15) + (value >> 4 & 15) * 10 + (value >> 8 & 15) * 100 +
		(value >> 12) * 1000;
}

uint64_t pit_tsc_from_clocks(uint64_t clocks)
{
	return mul_div(clocks, clock_tsc_hz, PIT_HZ) + 1;
}

uint64_t pit_channel_clocks(const struct pit_channel *channel, uint64_t now)
{
	if (!channel->gate && !is_triggered(channel))
		return channel->paused_clock;
	return mul_div(now - channel->start_tsc, PIT_HZ, clock_tsc_hz);
}

void pit_channel_sync(struct pit_channel *channel, uint64_t now)
{
	if (!channel->switch_clock || pit_channel_clocks(channel, now) < channel->switch_clock)
		return;
	channel->start_tsc += mul_div(channel->switch_clock, clock_tsc_hz, PIT_HZ);
	channel->reload = channel->next_reload;
	channel->next_reload = 0;
	channel->switch_clock = 0;
}

/* The counting element, before its conversion to BCD. */
static uint32_t current_count(const struct pit_channel *channel, uint64_t now)
{
	uint32_t reload = channel->reload;
	uint64_t clocks = pit_channel_clocks(channel, now);
	uint32_t phase, half;

	if (!channel->counting)
		return reload % modulus(channel);
	switch (channel->mode) {
	case 2:
		return (reload - clocks % reload) % modulus(channel);
	case 3:
		/* Counts down by two, twice a cycle; an odd count gives the first half a clock. */
		phase = clocks % reload;
		half = (reload + 1) / 2;
		if (phase >= half)
			phase -= half;
		return ((reload & ~1U) - 2 * phase) % modulus(channel);
	default:
		/* Goes on through zero. */
		return (reload + modulus(channel) - clocks % modulus(channel)) % modulus(channel);
	}
}

static uint16_t visible_count(const struct pit_channel *channel, uint64_t now)
{
	uint32_t count = current_count(channel, now);

	return channel->bcd ? bcd_from_binary(count) : count;
}

bool pit_channel_out(const struct pit_channel *channel, uint64_t now)
{
	uint32_t reload = channel->reload;
	uint64_t clocks;

	if (!channel->counting)
		return channel->mode != 0;
	clocks = pit_channel_clocks(channel, now);
	switch (channel->mode) {
	case 0:
	case 1:
		return clocks >= reload;
	case 2:
		return !channel->gate || clocks % reload != reload - 1;
	case 3:
		return !channel->gate || clocks % reload < (reload + 1) / 2;
	default:
		return clocks != reload;
	}
}

void pit_channel_control(struct pit_channel *channel, uint8_t value)
{
	uint8_t mode = (value >> 1) & 7;

	/* Bit 2 of the mode means nothing in modes 2 and 3. */
	channel->mode = mode > 5 ? mode - 4 : mode;
	channel->access = (value >> 4) & 3;
	channel->bcd = value & 1;
	channel->counting = false;
	channel->high_write_next = false;
	channel->high_read_next = false;
	channel->count_latched = false;
	channel->status_latched = false;
	channel->next_reload = 0;
	channel->switch_clock = 0;
	channel->paused_clock = 0;
	channel->reload = modulus(channel);
}

static void start(struct pit_channel *channel, uint64_t now)
{
	if (channel->next_reload)
		channel->reload = channel->next_reload;
	channel->next_reload = 0;
	channel->switch_clock = 0;
	channel->start_tsc = now;
	channel->paused_clock = 0;
	channel->counting = true;
}

/* A whole count was written. True when counting starts with it. */
static bool load(struct pit_channel *channel, uint16_t written, uint64_t now)
{
	uint32_t count = channel->bcd ? binary_from_bcd(written) : written;

	if (count == 0)
		count = modulus(channel);
	/* A cycle of one clock is not defined; the shortest the chip knows is two. */
	if (is_periodic(channel) && count == 1)
		count = 2;
	channel->next_reload = count;
	if (is_triggered(channel))
		return false;
	if (is_periodic(channel) && channel->counting) {
		uint64_t clocks = pit_channel_clocks(channel, now);

		channel->switch_clock = (clocks / channel->reload + 1) * channel->reload;
		return false;
	}
	start(channel, now);
	return true;
}

bool pit_channel_write(struct pit_channel *channel, uint8_t value, uint64_t now)
{
	pit_channel_sync(channel, now);
	switch (channel->access) {
	case PIT_ACCESS_LOW:
		return load(channel, value, now);
	case PIT_ACCESS_HIGH:
		return load(channel, value << 8, now);
	default:
		channel->high_write_next = !channel->high_write_next;
		if (!channel->high_write_next)
			return load(channel, value << 8 | channel->low_written, now);
		channel->low_written = value;
		/* In mode 0 the first byte already stops the counter and lowers the output. */
		if (channel->mode != 0 || !channel->counting)
			return false;
		channel->counting = false;
		return true;
	}
}

uint8_t pit_channel_read(struct pit_channel *channel, uint64_t now)
{
	uint16_t count;
	bool high;

	if (channel->status_latched) {
		channel->status_latched = false;
		return channel->status;
	}
	count = channel->count_latched ? channel->latched : visible_count(channel, now);
	high = channel->access == PIT_ACCESS_HIGH;
	if (channel->access == PIT_ACCESS_BOTH) {
		high = channel->high_read_next;
		channel->high_read_next = !high;
	}
	/* With two bytes to be read, the latch opens after the second. */
	if (channel->access != PIT_ACCESS_BOTH || high)
		channel->count_latched = false;
	return high ? count >> 8 : count;
}

void pit_channel_latch_count(struct pit_channel *channel, uint64_t now)
{
	if (channel->count_latched)
		return;
	pit_channel_sync(channel, now);
	channel->latched = visible_count(channel, now);
	channel->count_latched = true;
}

void pit_channel_latch_status(struct pit_channel *channel, uint64_t now)
{
	if (channel->status_latched)
		return;
	channel->status = channel->access << STATUS_ACCESS_SHIFT |
		channel->mode << STATUS_MODE_SHIFT | channel->bcd;
	if (pit_channel_out(channel, now))
		channel->status |= STATUS_OUT;
	if (!channel->counting || channel->next_reload)
		channel->status |= STATUS_NULL_COUNT;
	channel->status_latched = true;
}

void pit_channel_set_gate(struct pit_channel *channel, bool gate, uint64_t now)
{
	if (gate == channel->gate)
		return;
	pit_channel_sync(channel, now);
	if (!gate) {
		channel->paused_clock = pit_channel_clocks(channel, now);
	} else if (is_triggered(channel)) {
		/* A trigger before any count was written has nothing to count. */
		if (channel->counting || channel->next_reload)
			start(channel, now);
	} else if (is_periodic(channel)) {
		if (channel->counting)
			start(channel, now);
	} else {
		channel->start_tsc = now - mul_div(channel->paused_clock, clock_tsc_hz, PIT_HZ);
	}
	channel->gate = gate;
}
