/* SPDX-License-Identifier: BSD-2-Clause */
/* Which files a configuration names: for boot/, while the firmware can still read them. */
#include "mgmt/config_parser.h"

/* Of a disk, which may also be one of the machine's. */
static enum lex_error disk_path(struct span raw, struct span *path)
{
	struct span value;
	enum lex_error error = lex_value(raw, &value);

	if (error == LEX_OK && (!config_next_item(&value, path) || !config_is_path(*path)))
		return LEX_PATH_EMPTY;
	return error;
}

/* The path that a line of a section names; false when it names none. */
static bool line_path(struct span section, struct span line, char path[CONFIG_PATH_BYTES])
{
	struct span key, raw, value, words;
	enum lex_error error;
	bool of_ballast;

	if (lex_assignment(line, &key, &raw) != LEX_OK)
		return false;
	of_ballast = span_equals(key, "load") || span_equals(key, "swap");
	if (!span_equals(section, of_ballast ? "ballast" : "vm"))
		return false;
	if (span_equals(key, "module"))
		error = lex_module(raw, &value, &words);
	else if (span_equals(key, "disk") || span_equals(key, "swap"))
		error = disk_path(raw, &value);
	else if (span_equals(key, "kernel") || span_equals(key, "initrd") ||
		span_equals(key, "load"))
		error = lex_value(raw, &value);
	else
		return false;
	return error == LEX_OK && lex_path(value, path) == LEX_OK;
}

void config_each_file(const char *text, size_t bytes,
	void (*each)(const char *path, void *argument), void *argument)
{
	struct config_reader reader;
	struct span section = { NULL, 0 };
	struct span line, name;
	char path[CONFIG_PATH_BYTES];

	if (bytes > CONFIG_FILE_BYTES)
		return;
	config_reader_init(&reader, text, bytes);
	while (config_reader_next(&reader, &line)) {
		if (lex_is_blank(line) || line.length >= CONFIG_LINE_BYTES ||
			lex_bad_byte(line) >= 0)
			continue;
		if (span_trim(line).start[0] == '[') {
			if (lex_section(line, &section, &name) != LEX_OK)
				section.length = 0;
		} else if (line_path(section, line, path)) {
			each(path, argument);
		}
	}
}
