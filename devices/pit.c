/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8254: registers, channel 0's interrupts, port 0x61. See devices/pit.h, pit_channel.c. */
#include "devices/pit.h"

#include "devices/pit_channel.h"
#include "devices/platform.h"
#include "host/memory.h"
#include "lib/string.h"

#define CONTROL_PORT 3
#define READ_BACK 3
#define READ_BACK_NO_COUNT BIT(5)
#define READ_BACK_NO_STATUS BIT(4)

#define CONTROL_B_GATE2 BIT(0)
#define CONTROL_B_WRITABLE 0x0f
#define CONTROL_B_REFRESH BIT(4)
#define CONTROL_B_OUT2 BIT(5)
#define REFRESH_NS 15085 /* a row of DRAM each: the bit toggles */

/* Rising edges of channel 0 within its first `clocks` clocks. */
static uint64_t edges_until(const struct pit_channel *channel, uint64_t clocks)
{
	switch (channel->mode) {
	case 2:
	case 3:
		return clocks / channel->reload;
	case 0:
		return clocks >= channel->reload;
	case 4:
		return clocks > channel->reload;
	default: /* the gate of channel 0 is always high: nothing triggers it */
		return 0;
	}
}

static void owe(struct pit *pit, uint64_t edges)
{
	uint64_t period_ns = pit->channels[0].reload * NS_PER_SEC / PIT_HZ;

	ticks_owe(&pit->ticks, edges - pit->edges_seen, period_ns);
	pit->edges_seen = edges;
}

/* Count the edges up to now; a new count may have been loaded in between. */
static void count_edges(struct pit *pit, uint64_t now)
{
	struct pit_channel *channel = &pit->channels[0];

	if (!channel->counting)
		return;
	if (channel->switch_clock && pit_channel_clocks(channel, now) >= channel->switch_clock) {
		owe(pit, edges_until(channel, channel->switch_clock));
		pit->edges_seen = 0;
	}
	pit_channel_sync(channel, now);
	owe(pit, edges_until(channel, pit_channel_clocks(channel, now)));
}

/* When the next edge after those seen comes, or 0: never. */
static uint64_t next_edge_tsc(const struct pit *pit)
{
	const struct pit_channel *channel = &pit->channels[0];

	if (!channel->counting)
		return 0;
	if (channel->mode == 2 || channel->mode == 3)
		return channel->start_tsc +
			pit_tsc_from_clocks((pit->edges_seen + 1) * channel->reload);
	if (pit->edges_seen || (channel->mode != 0 && channel->mode != 4))
		return 0;
	return channel->start_tsc + pit_tsc_from_clocks(channel->reload + (channel->mode == 4));
}

static void schedule(struct pit *pit, uint64_t now)
{
	uint64_t next = next_edge_tsc(pit);

	if (pit->ticks.owed && pit->ticks.waiting)
		device_timer_set(&pit->edge, now + clock_tsc_from_ns(PIT_LOOK_NS));
	else if (pit->ticks.owed)
		device_timer_set(&pit->edge, ticks_soonest_tsc(&pit->ticks));
	else if (next)
		device_timer_set(&pit->edge, MAX(next, ticks_soonest_tsc(&pit->ticks)));
	else
		device_timer_stop(&pit->edge);
}

/* Give the guest an edge that it is owed, if any. False: it is not listening. */
static bool give_edge(struct pit *pit, uint64_t now)
{
	if (!ticks_give(&pit->ticks, now))
		return true;
	vm_pulse_irq(pit->device.vm, IRQ_PIT);
	if (vm_tick_waits(pit->device.vm))
		return true;
	ticks_forget(&pit->ticks);
	return false;
}

static void edge_due(struct device_timer *timer)
{
	struct pit *pit = container_of(timer, struct pit, edge);
	uint64_t now = clock_tsc(), soonest;

	count_edges(pit, now);
	if (pit->ticks.waiting && !vm_tick_waits(pit->device.vm))
		ticks_taken(&pit->ticks);
	if (give_edge(pit, now)) {
		schedule(pit, now);
		return;
	}
	schedule(pit, now);
	soonest = now + clock_tsc_from_ns(PIT_INTERVAL_UNHEARD_NS);
	if (device_timer_armed(timer) && timer->deadline_tsc < soonest)
		device_timer_set(timer, soonest);
}

static void edge_taken(struct tick_source *source)
{
	struct pit *pit = container_of(source, struct pit, source);
	uint64_t now = clock_tsc();

	ticks_taken(&pit->ticks);
	/* Else the timer is armed for the next edge. */
	if (!pit->ticks.owed)
		return;
	count_edges(pit, now);
	(void)give_edge(pit, now);
	schedule(pit, now);
}

/* Channel 0 starts anew: what it owed belongs to its former programme. */
static void restart_edges(struct pit *pit, uint64_t now)
{
	pit->edges_seen = 0;
	ticks_forget(&pit->ticks);
	schedule(pit, now);
}

static void write_control(struct pit *pit, uint8_t value, uint64_t now)
{
	unsigned int index = value >> 6;

	if (index == READ_BACK) {
		for (unsigned int i = 0; i < PIT_CHANNELS; i++) {
			if (!(value & BIT(i + 1)))
				continue;
			pit_channel_sync(&pit->channels[i], now);
			if (!(value & READ_BACK_NO_COUNT))
				pit_channel_latch_count(&pit->channels[i], now);
			if (!(value & READ_BACK_NO_STATUS))
				pit_channel_latch_status(&pit->channels[i], now);
		}
		return;
	}
	if (!(value & 0x30)) {
		pit_channel_latch_count(&pit->channels[index], now);
		return;
	}
	pit_channel_control(&pit->channels[index], value);
	if (index == 0)
		restart_edges(pit, now);
}

static void write_count(struct pit *pit, unsigned int index, uint8_t value, uint64_t now)
{
	struct pit_channel *channel = &pit->channels[index];
	bool restarted = pit_channel_write(channel, value, now);

	if (index == 0 && restarted)
		restart_edges(pit, now);
}

static uint64_t pit_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	struct pit *pit = container_of(region, struct pit, ports);
	uint64_t now = clock_tsc();

	(void)size;
	if (offset == CONTROL_PORT)
		return 0xff; /* write-only */
	if (offset == 0)
		count_edges(pit, now);
	pit_channel_sync(&pit->channels[offset], now);
	return pit_channel_read(&pit->channels[offset], now);
}

static void pit_write(struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pit *pit = container_of(region, struct pit, ports);
	uint64_t now = clock_tsc();

	(void)size;
	count_edges(pit, now);
	if (offset == CONTROL_PORT)
		write_control(pit, value, now);
	else
		write_count(pit, offset, value, now);
}

static uint64_t control_b_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	struct pit *pit = container_of(region, struct pit, control_b);
	struct pit_channel *speaker = &pit->channels[2];
	uint64_t now = clock_tsc();
	uint8_t value = pit->control;

	(void)offset, (void)size;
	if ((clock_ns_from_tsc(now) / REFRESH_NS) & 1)
		value |= CONTROL_B_REFRESH;
	pit_channel_sync(speaker, now);
	if (pit_channel_out(speaker, now))
		value |= CONTROL_B_OUT2;
	return value;
}

static void control_b_write(
	struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pit *pit = container_of(region, struct pit, control_b);

	(void)offset, (void)size;
	pit->control = value & CONTROL_B_WRITABLE;
	pit_channel_set_gate(&pit->channels[2], value & CONTROL_B_GATE2, clock_tsc());
}

static void pit_reset(struct device *device)
{
	struct pit *pit = container_of(device, struct pit, device);

	device_timer_stop(&pit->edge);
	memset(pit->channels, 0, sizeof(pit->channels));
	for (unsigned int i = 0; i < PIT_CHANNELS; i++) {
		pit->channels[i].access = PIT_ACCESS_BOTH;
		pit->channels[i].reload = 0x10000;
		pit->channels[i].gate = i != 2;
	}
	pit->edges_seen = 0;
	ticks_forget(&pit->ticks);
	pit->control = 0;
}

static void pit_destroy(struct device *device)
{
	struct pit *pit = container_of(device, struct pit, device);

	device_timer_destroy(&pit->edge);
	heap_free(pit);
}

int pit_create(struct vm *vm)
{
	struct pit *pit = heap_alloc(sizeof(*pit), FRAME_VM);
	int error;

	if (!pit)
		return -ENOMEM;
	pit->device = (struct device){ .name = "pit", .reset = pit_reset, .destroy = pit_destroy };
	pit->ports = (struct io_region){ .start = PORT_PIT, .length = 4, .max_size = 1,
		.read = pit_read, .write = pit_write };
	pit->control_b = (struct io_region){ .start = PORT_SYSTEM_CONTROL_B, .length = 1,
		.max_size = 1, .read = control_b_read, .write = control_b_write };
	pit->source.taken = edge_taken;
	device_timer_init(&pit->edge, vm, edge_due);
	vm_add_device(vm, &pit->device);
	vm->tick_source = &pit->source;
	pit_reset(&pit->device);
	error = io_bus_add(&vm->ports, &pit->ports);
	return error ? error : io_bus_add(&vm->ports, &pit->control_b);
}
