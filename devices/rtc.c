/* SPDX-License-Identifier: BSD-2-Clause */
/* The RTC and CMOS memory; see devices/rtc.h. */
#include "devices/rtc.h"

#include "devices/rtc_time.h"
#include "host/memory.h"

#define INDEX_MASK 0x7f /* bit 7 masks NMIs, of which the platform has none */
#define DATA_PORT 1

#define REG_A_POWER_UP 0x26 /* 32768 Hz time base, 1024 Hz periodic rate */
#define REG_B_POWER_UP 0x02 /* BCD, 24 hours */
#define REG_B_INTERRUPTS (RTC_B_PIE | RTC_B_AIE | RTC_B_UIE)
#define REG_D_VALID 0x80

/* The update-in-progress bit announces an update this long before. */
#define UIP_NS 244000ULL
#define FIRST_UPDATE_NS 500000000ULL /* after the divider is let go */

#define CMOS_EQUIPMENT 0x14
#define CMOS_BASE_MEMORY 0x15
#define CMOS_EXTENDED_MEMORY 0x17
#define CMOS_CHECKSUM_FIRST 0x10
#define CMOS_CHECKSUM 0x2e
#define CMOS_EXTENDED_MEMORY_FOUND 0x30
#define CMOS_MEMORY_ABOVE_16M 0x34
#define CMOS_MEMORY_ABOVE_4G 0x5b
#define CMOS_CPUS 0x5f
#define EQUIPMENT_FPU 0x02
#define BASE_MEMORY_KIB 640

static bool divider_held(const struct rtc *rtc)
{
	return (rtc->cmos[RTC_REG_A] & RTC_A_DIVIDER_RESET) == RTC_A_DIVIDER_RESET;
}

static bool updates_stopped(const struct rtc *rtc)
{
	return divider_held(rtc) || (rtc->cmos[RTC_REG_B] & RTC_B_SET);
}

static uint64_t guest_now_ns(const struct rtc *rtc)
{
	return divider_held(rtc) ? rtc->frozen_ns : clock_wall_ns() + rtc->offset_ns;
}

/* 0: no periodic interrupt is selected. */
static uint64_t period_ns(const struct rtc *rtc)
{
	unsigned int rate = rtc->cmos[RTC_REG_A] & RTC_A_RATE;

	if (rate == 0)
		return 0;
	/* The two fastest selections give what 8 and 9 give. */
	if (rate <= 2)
		rate += 7;
	return (NS_PER_SEC << (rate - 1)) / 32768;
}

static void update_line(struct rtc *rtc)
{
	uint8_t *c = &rtc->cmos[RTC_REG_C];

	*c &= ~RTC_C_IRQ;
	if (*c & rtc->cmos[RTC_REG_B] & REG_B_INTERRUPTS)
		*c |= RTC_C_IRQ;
	vm_set_irq(rtc->device.vm, IRQ_RTC, *c & RTC_C_IRQ);
}

static uint64_t next_alarm_ns(const struct rtc *rtc, uint64_t after_ns)
{
	return rtc_time_next_alarm(rtc->cmos, after_ns / NS_PER_SEC) * NS_PER_SEC;
}

/* Without its interrupt the flag says that there was a period; with it, each period counts. */
static void sync_periodic(struct rtc *rtc, uint64_t seen_ns, uint64_t now_ns)
{
	uint64_t period = period_ns(rtc);
	uint64_t count = period ? now_ns / period - seen_ns / period : 0;
	uint8_t *c = &rtc->cmos[RTC_REG_C];

	if (rtc->cmos[RTC_REG_B] & RTC_B_PIE) {
		ticks_owe(&rtc->ticks, count, period);
		if (ticks_give(&rtc->ticks, clock_tsc()))
			*c |= RTC_C_PERIODIC;
	} else if (count) {
		*c |= RTC_C_PERIODIC;
	}
}

/* Set the flags for what has happened since the last look. */
static void sync_flags(struct rtc *rtc, uint64_t now_ns)
{
	uint64_t seen_ns = rtc->seen_ns;
	uint8_t *c = &rtc->cmos[RTC_REG_C];

	rtc->seen_ns = now_ns;
	if (now_ns < seen_ns)
		return;
	sync_periodic(rtc, seen_ns, now_ns);
	if (!updates_stopped(rtc) && now_ns / NS_PER_SEC != seen_ns / NS_PER_SEC) {
		uint64_t alarm_ns = next_alarm_ns(rtc, seen_ns);

		*c |= RTC_C_UPDATE;
		if (alarm_ns && alarm_ns <= now_ns)
			*c |= RTC_C_ALARM;
	}
	update_line(rtc);
}

/* The guest counts anew. A flag that is set waits to be read all the same. */
static void forget_ticks(struct rtc *rtc)
{
	ticks_forget(&rtc->ticks);
	rtc->ticks.waiting = rtc->cmos[RTC_REG_C] & RTC_C_PERIODIC;
}

/* When the next event comes that is to interrupt, in guest time; 0: none. */
static uint64_t next_event_ns(const struct rtc *rtc, uint64_t now_ns)
{
	uint8_t wanted = rtc->cmos[RTC_REG_B] & ~rtc->cmos[RTC_REG_C];
	uint64_t period = period_ns(rtc), next = 0, at;

	if (divider_held(rtc))
		return 0;
	if ((wanted & RTC_B_PIE) && period)
		next = (now_ns / period + 1) * period;
	if (updates_stopped(rtc))
		return next;
	if (wanted & RTC_B_UIE) {
		at = (now_ns / NS_PER_SEC + 1) * NS_PER_SEC;
		next = next ? MIN(next, at) : at;
	}
	if (wanted & RTC_B_AIE) {
		at = next_alarm_ns(rtc, now_ns);
		if (at)
			next = next ? MIN(next, at) : at;
	}
	return next;
}

static void schedule(struct rtc *rtc, uint64_t now_ns)
{
	uint64_t next = next_event_ns(rtc, now_ns);
	uint64_t at = next ? clock_tsc() + clock_tsc_from_ns(next - now_ns) + 1 : ~0ULL;

	if (rtc->ticks.owed && !rtc->ticks.waiting)
		at = MIN(at, ticks_soonest_tsc(&rtc->ticks));
	if (at != ~0ULL)
		device_timer_set(&rtc->event, at);
	else
		device_timer_stop(&rtc->event);
}

static void event_due(struct device_timer *timer)
{
	struct rtc *rtc = container_of(timer, struct rtc, event);
	uint64_t now_ns = guest_now_ns(rtc);

	sync_flags(rtc, now_ns);
	schedule(rtc, now_ns);
}

static bool is_time_register(uint8_t index)
{
	return index == RTC_CENTURY || index == RTC_SECONDS || index == RTC_MINUTES ||
		index == RTC_HOURS || (index >= RTC_DAY_OF_WEEK && index <= RTC_YEAR);
}

/* Bring the time registers up to date, unless the guest is setting them. */
static void refresh_time(struct rtc *rtc, uint64_t now_ns)
{
	if (!(rtc->cmos[RTC_REG_B] & RTC_B_SET))
		rtc_time_store(rtc->cmos, now_ns / NS_PER_SEC);
}

/* Take the time from its registers; the fraction of the second goes on. */
static void adopt_time(struct rtc *rtc, uint64_t now_ns)
{
	uint64_t guest_ns = rtc_time_load(rtc->cmos) * NS_PER_SEC + now_ns % NS_PER_SEC;

	rtc->offset_ns += guest_ns - now_ns;
	rtc->frozen_ns += guest_ns - now_ns;
	rtc->seen_ns = guest_ns;
}

static void write_register_a(struct rtc *rtc, uint8_t value, uint64_t now_ns)
{
	bool was_held = divider_held(rtc);

	if ((value ^ rtc->cmos[RTC_REG_A]) & RTC_A_RATE)
		forget_ticks(rtc);
	rtc->cmos[RTC_REG_A] = value & ~RTC_A_UIP;
	if (!was_held && divider_held(rtc)) {
		rtc->frozen_ns = now_ns;
	} else if (was_held && !divider_held(rtc)) {
		/* The first update comes half a second after the divider is let go. */
		uint64_t seconds_ns = now_ns - now_ns % NS_PER_SEC;

		rtc->offset_ns = seconds_ns + FIRST_UPDATE_NS - clock_wall_ns();
		rtc->seen_ns = seconds_ns + FIRST_UPDATE_NS;
	}
}

static void write_register_b(struct rtc *rtc, uint8_t value, uint64_t now_ns)
{
	uint8_t changed = value ^ rtc->cmos[RTC_REG_B];

	if (changed & value & RTC_B_SET)
		refresh_time(rtc, now_ns);
	if (changed & RTC_B_PIE)
		forget_ticks(rtc);
	if (value & RTC_B_SET)
		value &= ~RTC_B_UIE;
	rtc->cmos[RTC_REG_B] = value;
	if (changed & RTC_B_SET & ~value)
		adopt_time(rtc, now_ns);
	update_line(rtc);
}

static void write_data(struct rtc *rtc, uint8_t value)
{
	uint64_t now_ns = guest_now_ns(rtc);

	sync_flags(rtc, now_ns);
	switch (rtc->index) {
	case RTC_REG_A:
		write_register_a(rtc, value, now_ns);
		break;
	case RTC_REG_B:
		write_register_b(rtc, value, now_ns);
		break;
	case RTC_REG_C:
	case RTC_REG_D:
		return; /* read-only */
	default:
		if (is_time_register(rtc->index)) {
			refresh_time(rtc, now_ns);
			rtc->cmos[rtc->index] = value;
			if (!(rtc->cmos[RTC_REG_B] & RTC_B_SET))
				adopt_time(rtc, now_ns);
		} else {
			rtc->cmos[rtc->index] = value;
		}
		break;
	}
	schedule(rtc, guest_now_ns(rtc));
}

static uint8_t read_register_a(const struct rtc *rtc, uint64_t now_ns)
{
	bool soon = now_ns % NS_PER_SEC >= NS_PER_SEC - UIP_NS;

	return rtc->cmos[RTC_REG_A] | (soon && !updates_stopped(rtc) ? RTC_A_UIP : 0);
}

/* Reading shows what happened and forgets it. */
static uint8_t read_register_c(struct rtc *rtc, uint64_t now_ns)
{
	uint8_t value;

	sync_flags(rtc, now_ns);
	value = rtc->cmos[RTC_REG_C];
	rtc->cmos[RTC_REG_C] = 0;
	ticks_taken(&rtc->ticks);
	update_line(rtc);
	schedule(rtc, now_ns);
	return value;
}

static uint8_t read_data(struct rtc *rtc)
{
	uint64_t now_ns = guest_now_ns(rtc);

	if (rtc->index == RTC_REG_A)
		return read_register_a(rtc, now_ns);
	if (rtc->index == RTC_REG_C)
		return read_register_c(rtc, now_ns);
	if (is_time_register(rtc->index))
		refresh_time(rtc, now_ns);
	return rtc->cmos[rtc->index];
}

static uint64_t rtc_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	struct rtc *rtc = container_of(region, struct rtc, region);

	(void)size;
	return offset == DATA_PORT ? read_data(rtc) : 0xff; /* the index is write-only */
}

static void rtc_write(struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct rtc *rtc = container_of(region, struct rtc, region);

	(void)size;
	if (offset == DATA_PORT)
		write_data(rtc, value);
	else
		rtc->index = value & INDEX_MASK;
}

static void put16(struct rtc *rtc, unsigned int at, uint64_t value)
{
	value = MIN(value, 0xffff);
	rtc->cmos[at] = value;
	rtc->cmos[at + 1] = value >> 8;
}

/* How much memory there is, where the firmwares of PCs have written it since the AT. */
static void store_memory_sizes(struct rtc *rtc)
{
	uint64_t low = rtc->options.low_ram_bytes, high = rtc->options.high_ram_bytes / KIB(64);
	uint64_t above_1m = low > MIB(1) ? (low - MIB(1)) / KIB(1) : 0;
	uint16_t sum = 0;

	put16(rtc, CMOS_BASE_MEMORY, MIN(low / KIB(1), BASE_MEMORY_KIB));
	put16(rtc, CMOS_EXTENDED_MEMORY, above_1m);
	put16(rtc, CMOS_EXTENDED_MEMORY_FOUND, above_1m);
	put16(rtc, CMOS_MEMORY_ABOVE_16M, low > MIB(16) ? (low - MIB(16)) / KIB(64) : 0);
	high = MIN(high, 0xffffff);
	for (unsigned int i = 0; i < 3; i++)
		rtc->cmos[CMOS_MEMORY_ABOVE_4G + i] = high >> (8 * i);
	rtc->cmos[CMOS_EQUIPMENT] = EQUIPMENT_FPU;
	rtc->cmos[CMOS_CPUS] = rtc->device.vm->vcpu_count - 1;
	for (unsigned int i = CMOS_CHECKSUM_FIRST; i < CMOS_CHECKSUM; i++)
		sum += rtc->cmos[i];
	rtc->cmos[CMOS_CHECKSUM] = sum >> 8;
	rtc->cmos[CMOS_CHECKSUM + 1] = sum;
}

/* The battery keeps the time that the guest has set, and the memory. */
static void rtc_reset(struct device *device)
{
	struct rtc *rtc = container_of(device, struct rtc, device);

	device_timer_stop(&rtc->event);
	if (divider_held(rtc))
		rtc->offset_ns = rtc->frozen_ns - clock_wall_ns();
	rtc->index = 0;
	rtc->cmos[RTC_REG_A] = REG_A_POWER_UP;
	rtc->cmos[RTC_REG_C] = 0;
	rtc->cmos[RTC_REG_B] = REG_B_POWER_UP;
	rtc->cmos[RTC_REG_D] = REG_D_VALID;
	forget_ticks(rtc);
	rtc->seen_ns = guest_now_ns(rtc);
	store_memory_sizes(rtc);
	update_line(rtc);
}

static void rtc_destroy(struct device *device)
{
	struct rtc *rtc = container_of(device, struct rtc, device);

	device_timer_destroy(&rtc->event);
	heap_free(rtc);
}

int rtc_create(struct vm *vm, const struct platform_options *options)
{
	struct rtc *rtc = heap_alloc(sizeof(*rtc), FRAME_VM);

	if (!rtc)
		return -ENOMEM;
	rtc->device = (struct device){ .name = "rtc", .reset = rtc_reset, .destroy = rtc_destroy };
	rtc->region = (struct io_region){ .start = PORT_RTC, .length = 2, .max_size = 1,
		.read = rtc_read, .write = rtc_write };
	rtc->options = *options;
	device_timer_init(&rtc->event, vm, event_due);
	vm_add_device(vm, &rtc->device);
	rtc_reset(&rtc->device);
	return io_bus_add(&vm->ports, &rtc->region);
}
