/* SPDX-License-Identifier: BSD-2-Clause */
/* mem policy: by what rules memory is given to guests when it is short. */
#include "balloon/economy.h"
#include "balloon/policy.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/commands.h"
#include "mgmt/config_parser.h"
#include "mgmt/console.h"
#include "mgmt/mem_view.h"
#include "mgmt/text.h"

#define MOST_FREE_PERCENT 50

struct setting {
	const char *name;
	size_t offset; /* of a uint32_t in struct policy_settings */
	uint32_t least, most;
	const char *unit;
};

static const struct setting settings[] = {
	{ "tax", offsetof(struct policy_settings, tax_percent), 0, POLICY_TAX_MAX, "%" },
	{ "high", offsetof(struct policy_settings, high_percent), 1, MOST_FREE_PERCENT, "%" },
	{ "soft", offsetof(struct policy_settings, soft_percent), 1, MOST_FREE_PERCENT, "%" },
	{ "hard", offsetof(struct policy_settings, hard_percent), 1, MOST_FREE_PERCENT, "%" },
	{ "low", offsetof(struct policy_settings, low_percent), 0, MOST_FREE_PERCENT, "%" },
	{ "step", offsetof(struct policy_settings, step_percent), 1, 100, "%" },
	{ "scan", offsetof(struct policy_settings, scan_pages), 0, 1000000, "" },
	{ "sample", offsetof(struct policy_settings, sample_period_s), 0, 3600, "s" },
};

const char *shell_policy(size_t index)
{
	static char word[16];

	if (index >= ARRAY_SIZE(settings))
		return NULL;
	snprintf(word, sizeof(word), "%s=", settings[index].name);
	return word;
}

static const struct setting *find_setting(struct span key)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (span_equals(key, settings[i].name))
			return &settings[i];
	return NULL;
}

/* "tax=50%", "tax=50"; false after a sentence. */
static bool take_word(struct span word, struct policy_settings *to)
{
	char shown[CONFIG_WORD_BYTES];
	const struct setting *setting;
	struct span key, raw, rest;
	uint64_t number;

	setting = lex_assignment(word, &key, &raw) == LEX_OK ? find_setting(key) : NULL;
	if (!setting) {
		console_print("mem policy: '%s' is none of tax, high, soft, hard, low, step, scan,"
			" sample\n", config_show(word, shown));
		return false;
	}
	if (!config_number(raw, &number, &rest) ||
		(rest.length && !span_equals(rest, setting->unit)) ||
		number < setting->least || number > setting->most) {
		console_print("mem policy: %s '%s' is not %u%s to %u%s\n", setting->name,
			config_show(raw, shown), setting->least, setting->unit, setting->most,
			setting->unit);
		return false;
	}
	*(uint32_t *)((char *)to + setting->offset) = (uint32_t)number;
	return true;
}

static bool take_words(const char *text, struct policy_settings *to)
{
	while (*text) {
		const char *end = strchr(text, ' ');
		size_t length = end ? (size_t)(end - text) : strlen(text);

		if (length && !take_word((struct span){ text, length }, to))
			return false;
		text += length + (end != NULL);
	}
	if (to->high_percent > to->soft_percent && to->soft_percent > to->hard_percent &&
		to->hard_percent > to->low_percent)
		return true;
	console_print("mem policy: high, soft, hard, low must be less each, not %u%%, %u%%, "
		"%u%%, %u%%\n", to->high_percent, to->soft_percent, to->hard_percent,
		to->low_percent);
	return false;
}

static void show_threshold(enum policy_state state, uint32_t percent, uint64_t pages,
	const char *meaning)
{
	console_print("  %-5s %2u%%, here %-9s %s\n", policy_state_name(state), percent,
		text_size(pages * PAGE_SIZE).chars, meaning);
}

static void show(void)
{
	const struct policy_settings *now = &policy_settings;
	struct policy_thresholds at;
	struct memory_view view;

	economy_view(&view);
	at = policy_thresholds(now, view.total_pages);
	console_print("tax   %u%%: idle memory counts %u.%02u times\n", now->tax_percent,
		100 / (100 - now->tax_percent), 10000 / (100 - now->tax_percent) % 100);
	console_print("step  %u%% of its memory: so far a guest's target moves at once\n",
		now->step_percent);
	console_print("scan  %u pages of each guest are looked at in a second, for equal ones\n",
		now->scan_pages);
	console_print("sample %us: so long pages are watched, to tell how many are in use\n",
		now->sample_period_s);
	mem_view_print_cost("       costs ", &view.sampling);
	console_print("free  %s of %s, the state is %s\n",
		text_size(view.free_pages * PAGE_SIZE).chars,
		text_size(view.total_pages * PAGE_SIZE).chars, policy_state_name(view.state));
	show_threshold(POLICY_HIGH, now->high_percent, at.high_pages, "and more: no need");
	show_threshold(POLICY_SOFT, now->soft_percent, at.soft_pages, "below: ask by balloons");
	show_threshold(POLICY_HARD, now->hard_percent, at.hard_pages,
		"below: share, compress, swap");
	show_threshold(POLICY_LOW, now->low_percent, at.low_pages,
		"below: guests above their target wait");
}

void cmd_mem_policy(const struct shell_call *call)
{
	struct policy_settings wanted = policy_settings;

	if (!take_words(call->rest, &wanted))
		return;
	policy_settings = wanted;
	show();
}
