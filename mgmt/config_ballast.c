/* SPDX-License-Identifier: BSD-2-Clause */
/* The keys of [ballast]: what concerns the machine, not one VM. */
#include "mgmt/config_parser.h"

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

static const struct config_key keys[] = {
	{ "load", set_load, true },
};
_Static_assert(ARRAY_SIZE(keys) <= CONFIG_MAX_KEYS, "each has its line");

const struct config_keys config_ballast_keys = { keys, ARRAY_SIZE(keys), " in [ballast]" };
