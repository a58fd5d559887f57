/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks: limit_lock is a leaf. */
#include "mgmt/console_log.h"

#include "host/clock.h"
#include "host/cpu.h"
#include "host/lock.h"
#include "host/log.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/config.h"
#include "mgmt/console.h"

#define TRACE_PREFIX "trace "
#define GUEST_PREFIX "vm "
/* Each guest may cause so many lines at once, and one more in each of these times. */
#define BURST_LINES 10
#define REFILL_NS (2 * NS_PER_SEC)
#define REPORT_NS (5 * NS_PER_SEC)
#define TRACE_REPORT_NS NS_PER_SEC

/* Guests with lines of late. When so many names share a place, they share an allowance, too. */
#define ALLOWANCES 256
#define PROBES 8

struct allowance {
	char name[CONFIG_NAME_BYTES]; /* whose it was last */
	uint64_t refilled_ns;
	unsigned int used;
	unsigned int left_out;
};

static struct spinlock limit_lock;
/* By a hash of the name; a slot whose time is up is free for another name. [limit_lock] */
static struct allowance allowances[ALLOWANCES];
static uint32_t guests_left_out;                    /* [a] some allowance's left_out is not 0 */
static uint32_t trace_left_out;                     /* [a] */
static uint64_t report_ns, trace_report_ns;         /* boot CPU */

/* Under the lock: as many lines as time has earned are forgiven. */
static void refill(struct allowance *allowance, uint64_t now_ns)
{
	uint64_t earned = (now_ns - allowance->refilled_ns) / REFILL_NS;

	allowance->used -= (unsigned int)MIN(earned, (uint64_t)allowance->used);
	allowance->refilled_ns += earned * REFILL_NS;
}

static size_t hash(const char *name, size_t length)
{
	size_t sum = 5381;

	while (length--)
		sum = sum * 33 + (unsigned char)*name++;
	return sum;
}

/* Under the lock. */
static struct allowance *find_allowance(const char *name, size_t length, uint64_t now_ns)
{
	size_t start = hash(name, length);
	struct allowance *unused = NULL;

	for (size_t i = 0; i < PROBES; i++) {
		struct allowance *allowance = &allowances[(start + i) % ALLOWANCES];

		refill(allowance, now_ns);
		if (strlen(allowance->name) == length && memcmp(allowance->name, name, length) == 0)
			return allowance;
		if (!unused && !allowance->used && !allowance->left_out)
			unused = allowance;
	}
	if (!unused)
		return &allowances[start % ALLOWANCES];
	memset(unused->name, 0, sizeof(unused->name));
	memcpy(unused->name, name, length);
	return unused;
}

static bool may_show(const char *line)
{
	const char *name = line + strlen(GUEST_PREFIX), *end;
	struct allowance *allowance;
	bool may;

	if (strncmp(line, GUEST_PREFIX, strlen(GUEST_PREFIX)) != 0)
		return true;
	end = strchr(name, ':');
	if (!end || end == name || end - name >= CONFIG_NAME_BYTES)
		return true;
	spin_lock(&limit_lock);
	allowance = find_allowance(name, (size_t)(end - name), clock_now_ns());
	may = allowance->used < BURST_LINES;
	if (may)
		allowance->used++;
	else
		allowance->left_out++;
	spin_unlock(&limit_lock);
	if (!may && !__atomic_exchange_n(&guests_left_out, 1, __ATOMIC_RELAXED))
		cpu_notify(cpu_by_id(0));
	return may;
}

static void show(const char *line)
{
	if (strncmp(line, TRACE_PREFIX, strlen(TRACE_PREFIX)) == 0) {
		if (!console_line_if_idle(line) &&
			!__atomic_fetch_add(&trace_left_out, 1, __ATOMIC_RELAXED))
			cpu_notify(cpu_by_id(0));
	} else if (may_show(line)) {
		console_line(line);
	}
}

void console_log_init(void)
{
	log_set_sink(show);
}

static bool take_left_out(struct allowance *allowance, char name[CONFIG_NAME_BYTES],
	unsigned int *count)
{
	spin_lock(&limit_lock);
	*count = allowance->left_out;
	allowance->left_out = 0;
	memcpy(name, allowance->name, CONFIG_NAME_BYTES);
	spin_unlock(&limit_lock);
	return *count != 0;
}

static void report_guests(void)
{
	char name[CONFIG_NAME_BYTES];
	unsigned int count;

	__atomic_store_n(&guests_left_out, 0, __ATOMIC_RELAXED);
	for (size_t i = 0; i < ALLOWANCES; i++)
		if (take_left_out(&allowances[i], name, &count))
			console_linef("(%u lines about vm %s were left out; `log` has the last)",
				count, name);
}

static void report_trace(void)
{
	char line[80];
	uint32_t count = __atomic_exchange_n(&trace_left_out, 0, __ATOMIC_RELAXED);

	if (!count)
		return;
	snprintf(line, sizeof(line), "(%u lines of trace were left out)", count);
	if (!console_line_if_idle(line))
		__atomic_fetch_add(&trace_left_out, count, __ATOMIC_RELAXED);
}

uint64_t console_log_poll(void)
{
	uint64_t now = clock_now_ns(), again = 0;

	if (now >= report_ns) {
		report_guests();
		report_ns = now + REPORT_NS;
	}
	if (now >= trace_report_ns && trace_left_out) {
		report_trace();
		trace_report_ns = now + TRACE_REPORT_NS;
	}
	if (guests_left_out)
		again = report_ns;
	if (trace_left_out && (!again || trace_report_ns < again))
		again = trace_report_ns;
	return again;
}
