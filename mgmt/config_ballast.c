/* SPDX-License-Identifier: BSD-2-Clause */
/* The keys of [ballast]: what concerns the machine, not one VM. */
#include "mgmt/config_parser.h"

#include "lib/string.h"

static void set_load(struct config_parser *p, const char *key, struct span raw)
{
	struct ballast_config *ballast = &p->out->ballast;

	if (ballast->load_count == CONFIG_MAX_LOADS) {
		config_diagnose(p, "one file too many; expected at most %d", CONFIG_MAX_LOADS);
		return;
	}
	ballast->loads[ballast->load_count] = config_take_path(p, key, raw);
	if (ballast->loads[ballast->load_count])
		ballast->load_count++;
}

/* All that are not named are off. */
static void set_named(struct config_parser *p, const char *key, struct span list)
{
	enum mitigation_mode *modes = p->out->ballast.mitigations;
	char word[CONFIG_WORD_BYTES];
	struct span name;

	for (unsigned int i = 0; i < MITIGATIONS; i++)
		modes[i] = MITIGATION_OFF;
	while (config_next_item(&list, &name)) {
		int which = mitigation_find(name.start, name.length);

		if (which >= 0)
			modes[which] = MITIGATION_ON;
		else
			config_diagnose(p, "%s: '%s' is not known; expected auto, off, or some of "
				"ibpb, ibrs, rsb, verw, l1d", key, config_show(name, word));
	}
}

static void set_mitigations(struct config_parser *p, const char *key, struct span raw)
{
	struct span value;

	if (!config_take_value(p, key, raw, &value))
		return;
	if (!span_equals(value, "auto"))
		set_named(p, key, span_equals(value, "off") ? (struct span){ "", 0 } : value);
}

static void set_smt(struct config_parser *p, const char *key, struct span raw)
{
	static const char *const words[] = {
		[CONFIG_SMT_AUTO] = "auto", [CONFIG_SMT_ON] = "on", [CONFIG_SMT_OFF] = "off",
	};
	int choice = config_take_choice(p, key, raw, words, ARRAY_SIZE(words));

	if (choice >= 0)
		p->out->ballast.smt = (enum config_smt)choice;
}

/* "75%", "75" */
static void set_memory_tax(struct config_parser *p, const char *key, struct span raw)
{
	char word[CONFIG_WORD_BYTES];
	struct span value, rest;
	uint64_t number;

	if (!config_take_value(p, key, raw, &value))
		return;
	if (!config_number(value, &number, &rest) || (rest.length && !span_equals(rest, "%")) ||
		number > CONFIG_MAX_TAX)
		config_diagnose(p, "%s '%s' is no tax on idle memory; expected 0%% to %d%%", key,
			config_show(value, word), CONFIG_MAX_TAX);
	else
		p->out->ballast.memory_tax_percent = (uint32_t)number;
}

static const struct config_key keys[] = {
	{ .name = "load", .set = set_load, .repeats = true },
	{ .name = "mitigations", .set = set_mitigations },
	{ .name = "smt", .set = set_smt },
	{ .name = "memory-tax", .set = set_memory_tax },
	{ .name = "swap", .set = config_set_swap },
};
_Static_assert(ARRAY_SIZE(keys) <= CONFIG_MAX_KEYS, "each has its line");

const struct config_keys config_ballast_keys = { keys, ARRAY_SIZE(keys), " in [ballast]" };
