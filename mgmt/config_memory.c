/* SPDX-License-Identifier: BSD-2-Clause */
/* The keys about a VM's memory and its share of the machine's, and how they go together. */
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/config_parser.h"

#define SIZE_BYTES 24

void config_set_memory(struct config_parser *p, const char *key, struct span raw)
{
	uint64_t bytes;

	if (config_take_size(p, key, raw, &bytes))
		p->vm->memory_bytes = bytes;
}

void config_set_maxmem(struct config_parser *p, const char *key, struct span raw)
{
	uint64_t bytes;

	if (config_take_size(p, key, raw, &bytes))
		p->vm->maxmem_bytes = bytes;
}

void config_set_hotplug(struct config_parser *p, const char *key, struct span raw)
{
	config_take_switch(p, key, raw, &p->vm->hotplug);
}

/* "64M", "25%" */
void config_set_min(struct config_parser *p, const char *key, struct span raw)
{
	char word[CONFIG_WORD_BYTES];
	struct span value, rest;
	uint64_t number, bytes;

	if (!config_take_value(p, key, raw, &value))
		return;
	if (config_number(value, &number, &rest) && span_equals(rest, "%")) {
		p->vm->min_bytes = 0;
		p->vm->min_percent = (uint32_t)MIN(number, 100U);
		if (number > 100)
			config_diagnose(p, "%s '%s' is more than all; expected 0%% to 100%% of "
				"memory, or a size", key, config_show(value, word));
	} else if (config_check_size(p, key, value, &bytes)) {
		p->vm->min_bytes = bytes;
	}
}

static const struct {
	const char *name;
	uint32_t per_mib;
} share_words[] = {
	{ "low", CONFIG_SHARES_NORMAL / 2 },
	{ "normal", CONFIG_SHARES_NORMAL },
	{ "high", CONFIG_SHARES_NORMAL * 2 },
};

void config_set_shares(struct config_parser *p, const char *key, struct span raw)
{
	char word[CONFIG_WORD_BYTES];
	struct span value, rest;
	uint64_t number;

	if (!config_take_value(p, key, raw, &value))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(share_words); i++) {
		if (span_equals(value, share_words[i].name)) {
			p->vm->shares = 0;
			p->vm->shares_per_mib = share_words[i].per_mib;
			return;
		}
	}
	if (config_number(value, &number, &rest) && !rest.length && number &&
		number <= CONFIG_MAX_SHARES)
		p->vm->shares = (uint32_t)number;
	else
		config_diagnose(p, "%s '%s' is no share; expected low, normal, high or 1 to %d",
			key, config_show(value, word), CONFIG_MAX_SHARES);
}

/* "none": with nobody */
void config_set_group(struct config_parser *p, const char *key, struct span raw)
{
	char word[CONFIG_WORD_BYTES];
	struct span value;
	const char *fault;

	if (!config_take_value(p, key, raw, &value))
		return;
	memset(p->vm->group, 0, sizeof(p->vm->group));
	if (span_equals(value, "none"))
		return;
	fault = value.length ? config_name_fault(value) : "is empty";
	if (fault)
		config_diagnose(p, "%s '%s' %s; expected none or " CONFIG_NAME_RULE, key,
			config_show(value, word), fault, CONFIG_NAME_BYTES - 1);
	else
		memcpy(p->vm->group, value.start, value.length);
}

/* "64M": in the largest unit that leaves nothing over. */
static const char *show_size(uint64_t bytes, char text[SIZE_BYTES])
{
	static const char units[] = "KMGT";
	uint64_t number = bytes >> 10;
	size_t unit = 0;

	for (; number && number % 1024 == 0 && unit + 2 < sizeof(units); unit++)
		number >>= 10;
	snprintf(text, SIZE_BYTES, "%llu%c", (unsigned long long)number, units[unit]);
	return text;
}

void config_check_memory(struct config_parser *p)
{
	char small[SIZE_BYTES], large[SIZE_BYTES];
	const struct vm_config *vm = p->vm;
	unsigned int line;

	show_size(vm->memory_bytes, large);
	if (vm->maxmem_bytes && vm->maxmem_bytes < vm->memory_bytes) {
		line = p->key_line[CONFIG_KEY_MAXMEM];
		config_diagnose_line(p, line ? line : vm->line,
			"maxmem %s is less than memory, %s; expected at least as much",
			show_size(vm->maxmem_bytes, small), large);
	} else if (vm->min_bytes > vm->memory_bytes) {
		line = p->key_line[CONFIG_KEY_MIN];
		config_diagnose_line(p, line ? line : vm->line,
			"min %s is more than memory, %s; expected at most as much",
			show_size(vm->min_bytes, small), large);
	}
}

uint64_t config_min_memory(const struct vm_config *vm)
{
	if (vm->min_bytes)
		return vm->min_bytes;
	return ROUND_DOWN(mul_div(vm->memory_bytes, vm->min_percent, 100), PAGE_SIZE);
}

uint32_t config_shares(const struct vm_config *vm)
{
	uint64_t shares = vm->shares;

	if (!shares)
		shares = (vm->memory_bytes >> 20) * vm->shares_per_mib;
	return (uint32_t)MIN(MAX(shares, 1U), CONFIG_MAX_SHARES);
}
