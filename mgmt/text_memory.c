/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VM has of the machine's memory, in words. */
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/config.h"
#include "mgmt/text.h"

static void add(struct text_line *line, const char *format, ...) __printf(2, 3);
static void add(struct text_line *line, const char *format, ...)
{
	size_t used = strlen(line->chars);
	va_list args;

	va_start(args, format);
	vsnprintf(line->chars + used, sizeof(line->chars) - used, format, args);
	va_end(args);
}

struct text_line text_memory(const struct vm_config *config)
{
	struct text_line line = {""};

	add(&line, "memory %s", text_size(config->memory_bytes).chars);
	if (config_max_memory(config) > config->memory_bytes)
		add(&line, " of %s", text_size(config_max_memory(config)).chars);
	add(&line, ", %s guaranteed, %u shares", text_size(config_min_memory(config)).chars,
		config_shares(config));
	if (config->group[0])
		add(&line, ", group %s", config->group);
	return line;
}
