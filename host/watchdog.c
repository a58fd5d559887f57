/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See host/watchdog.h. A watch belongs to the watcher's CPU; only what is to be printed is handed
 * over, by an atomic exchange of `news`. There are no locks: whoever is stuck may hold any.
 */
#include "host/watchdog.h"

#include "host/apic.h"
#include "host/backtrace.h"
#include "host/irq.h"
#include "host/log.h"
#include "host/memory.h"
#include "host/serial.h"
#include "lib/printf.h"
#include "lib/string.h"

enum watch_state {
	WATCH_REST,   /* the ward is idle: no timer */
	WATCH_LOOK,   /* it has given a sign lately */
	WATCH_PROBED, /* it has been sent an interrupt */
	WATCH_ASKED,  /* it has been sent an NMI */
	WATCH_STUCK,  /* and reported */
};

enum watch_news { NEWS_NONE, NEWS_STUCK, NEWS_BACK };

struct watch {
	struct cpu *ward;         /* [I] */
	struct timer timer;       /* on the watcher */
	enum watch_state state;
	uint32_t seen;            /* the ward's `served` at the last look */
	uint64_t since_tsc;       /* when it was probed */
	uint32_t news;            /* [a] enum watch_news: what the boot CPU has to print */
	uint64_t stuck_tsc;       /* with the news: for how long */
	struct nmi_report report; /* with NEWS_STUCK */
};

uint64_t watchdog_guest_rip;

static uint32_t news_waiting; /* [a] how many watches have news */

void watchdog_call(struct cpu *cpu)
{
	const struct cpu *watcher = cpu_by_id((cpu->id + 1) % cpu_count());

	if (__atomic_exchange_n(&cpu->unwatched, false, __ATOMIC_SEQ_CST))
		apic_send(watcher->apic_id, IRQ_VECTOR_WATCH);
}

static void look_again(struct watch *watch, uint64_t ns)
{
	timer_set(&watch->timer, clock_tsc() + clock_tsc_from_ns(ns));
}

void watchdog_wake(void)
{
	struct watch *watch = this_cpu()->watch;

	if (!watch || watch->state != WATCH_REST)
		return;
	watch->state = WATCH_LOOK;
	watch->seen = __atomic_load_n(&watch->ward->served, __ATOMIC_RELAXED);
	look_again(watch, WATCHDOG_PERIOD_NS);
}

void watchdog_ask(struct cpu *cpu, struct nmi_report *report)
{
	memset(report, 0, sizeof(*report));
	__atomic_store_n(&cpu->nmi_report, report, __ATOMIC_SEQ_CST);
	apic_send_nmi(cpu->apic_id);
}

void watchdog_nmi(uint64_t rip, uint64_t rsp)
{
	struct cpu *cpu = this_cpu();
	struct nmi_report *report = __atomic_exchange_n(&cpu->nmi_report, NULL, __ATOMIC_SEQ_CST);
	const char *name = cpu->guest_name;

	if (!report)
		return;
	report->rip = rip;
	report->in_guest = rip == watchdog_guest_rip;
	report->caller_count = backtrace_scan(rsp, report->callers, NMI_REPORT_ADDRESSES);
	for (unsigned int i = 0; name && name[i] && i < NMI_REPORT_NAME_BYTES - 1; i++)
		report->guest_name[i] = name[i];
	report->guest_vcpu = cpu->guest_vcpu;
	__atomic_store_n(&report->ready, true, __ATOMIC_RELEASE);
}

void watchdog_describe(const char *where, const struct nmi_report *report,
	void (*line)(const char *format, ...))
{
	char text[BACKTRACE_TEXT_BYTES];

	if (!__atomic_load_n(&report->ready, __ATOMIC_ACQUIRE)) {
		line("%s, and takes no NMI", where);
		return;
	}
	if (report->in_guest) {
		line("%s: in guest %s vCPU %u", where, report->guest_name, report->guest_vcpu);
		return;
	}
	backtrace_describe(report->rip, text);
	line("%s: at %s", where, text);
	for (unsigned int i = 0; i < report->caller_count; i++) {
		backtrace_describe(report->callers[i] - 1, text);
		line("    from %s", text);
	}
	if (report->guest_name[0])
		line("    with the state of guest %s vCPU %u", report->guest_name,
			report->guest_vcpu);
}

static void print(const struct watch *watch, enum watch_news news,
	void (*line)(const char *format, ...))
{
	uint64_t tenths = clock_ns_from_tsc(watch->stuck_tsc) / (NS_PER_SEC / 10);
	char where[80];

	if (news == NEWS_BACK) {
		line("cpu %u is back after %lu.%lu s", watch->ward->id, tenths / 10, tenths % 10);
		return;
	}
	snprintf(where, sizeof(where), "cpu %u has not come back for %lu.%lu s", watch->ward->id,
		tenths / 10, tenths % 10);
	watchdog_describe(where, &watch->report, line);
}

/* Past the console, whose locks may be held by the CPU that is stuck. */
static void __printf(1, 2) line_to_port(const char *format, ...)
{
	char line[200];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	serial_write_panic("\r\n", 2);
	serial_write_panic(line, MIN((size_t)length, sizeof(line) - 1));
}

static enum watch_news take_news(struct watch *watch)
{
	enum watch_news news = __atomic_exchange_n(&watch->news, NEWS_NONE, __ATOMIC_ACQ_REL);

	if (news != NEWS_NONE)
		__atomic_fetch_sub(&news_waiting, 1, __ATOMIC_RELAXED);
	return news;
}

/* On the watcher: the boot CPU has not printed it. */
static void print_here(struct watch *watch)
{
	enum watch_news news = take_news(watch);

	if (news == NEWS_NONE)
		return;
	print(watch, news, line_to_port);
	serial_write_panic("\r\n", 2);
}

static void tell(struct watch *watch, enum watch_news news)
{
	/* What was not printed by now has waited for longer than the console may need. */
	print_here(watch);
	watch->stuck_tsc = clock_tsc() - watch->since_tsc;
	__atomic_fetch_add(&news_waiting, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&watch->news, news, __ATOMIC_RELEASE);
	if (watch->ward->id == 0 && news == NEWS_STUCK)
		print_here(watch);
	else
		cpu_notify(cpu_by_id(0));
}

void watchdog_poll(void)
{
	if (!__atomic_load_n(&news_waiting, __ATOMIC_RELAXED))
		return;
	for (unsigned int id = 0; id < cpu_count(); id++) {
		struct watch *watch = cpu_by_id(id)->watch;
		enum watch_news news = watch ? take_news(watch) : NEWS_NONE;

		if (news != NEWS_NONE)
			print(watch, news, log_line);
	}
}

/* The ward halts. False: it has stopped doing so meanwhile, and leaves the watch to this CPU. */
static bool rest(struct watch *watch)
{
	struct cpu *ward = watch->ward;

	watch->state = WATCH_REST;
	__atomic_store_n(&ward->unwatched, true, __ATOMIC_SEQ_CST);
	/* Seen awake now, it may have looked too early: whoever takes the flag back watches. */
	if (__atomic_load_n(&ward->idle, __ATOMIC_SEQ_CST))
		return true;
	return !__atomic_exchange_n(&ward->unwatched, false, __ATOMIC_SEQ_CST);
}

/* The ward gave a sign since the last look, or needs to give none. */
static void is_well(struct watch *watch, uint32_t served)
{
	print_here(watch);
	if (watch->state == WATCH_STUCK)
		tell(watch, NEWS_BACK);
	watch->state = WATCH_LOOK;
	watch->seen = served;
	if (__atomic_load_n(&watch->ward->idle, __ATOMIC_SEQ_CST) && !watch->news && rest(watch))
		return;
	watch->state = WATCH_LOOK;
	look_again(watch, WATCHDOG_PERIOD_NS);
}

static void gave_no_sign(struct watch *watch)
{
	uint64_t now = clock_tsc(), next_ns = WATCHDOG_PERIOD_NS;

	switch (watch->state) {
	case WATCH_PROBED:
		if (now - watch->since_tsc < clock_tsc_from_ns(WATCHDOG_LIMIT_NS))
			break;
		watch->state = WATCH_ASKED;
		watchdog_ask(watch->ward, &watch->report);
		next_ns = WATCHDOG_NMI_NS;
		break;
	case WATCH_ASKED:
		if (!__atomic_load_n(&watch->report.ready, __ATOMIC_ACQUIRE) &&
			now - watch->since_tsc <
			clock_tsc_from_ns(WATCHDOG_LIMIT_NS + WATCHDOG_NMI_LIMIT_NS)) {
			next_ns = WATCHDOG_NMI_NS;
			break;
		}
		watch->state = WATCH_STUCK;
		/* An NMI that comes from now on finds nobody to tell. */
		__atomic_store_n(&watch->ward->nmi_report, NULL, __ATOMIC_SEQ_CST);
		tell(watch, NEWS_STUCK);
		break;
	case WATCH_STUCK:
		print_here(watch);
		break;
	default:
		watch->state = WATCH_PROBED;
		watch->since_tsc = now;
		apic_send(watch->ward->apic_id, IRQ_VECTOR_KICK);
	}
	look_again(watch, next_ns);
}

static void look(struct timer *timer)
{
	struct watch *watch = container_of(timer, struct watch, timer);
	uint32_t served = __atomic_load_n(&watch->ward->served, __ATOMIC_RELAXED);

	if (served != watch->seen || __atomic_load_n(&watch->ward->idle, __ATOMIC_SEQ_CST))
		is_well(watch, served);
	else
		gave_no_sign(watch);
}

int watchdog_init(void)
{
	unsigned int count = cpu_count();

	if (count < 2)
		return 0;
	for (unsigned int id = 0; id < count; id++) {
		struct cpu *watcher = cpu_by_id((id + 1) % count);
		struct watch *watch = heap_alloc(sizeof(*watch), FRAME_HOST);

		if (!watch)
			return -ENOMEM;
		watch->ward = cpu_by_id(id);
		timer_init(&watch->timer, look);
		watch->timer.watches = true;
		watcher->watch = watch;
	}
	for (unsigned int id = 0; id < count; id++)
		__atomic_store_n(&cpu_by_id(id)->unwatched, true, __ATOMIC_RELEASE);
	return 0;
}
