/* SPDX-License-Identifier: BSD-2-Clause */
/* Values of keys, and what is said about those that are none; see mgmt/config_parser.h. */
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/config_parser.h"
#include "mgmt/suggest.h"

static const char lost_error[] = "ballast.conf: more mistakes than can be listed";

/* The room for the next diagnostic; NULL when the list is full, or a command has one already. */
static char *new_diagnostic(struct config_parser *p, unsigned int line)
{
	struct config_diagnostic *d;

	if (!p->out)
		return p->error[0] ? NULL : p->error;
	if (p->out->diagnostic_count == CONFIG_MAX_DIAGNOSTICS) {
		p->out->diagnostics_lost++;
		return NULL;
	}
	d = &p->out->diagnostics[p->out->diagnostic_count++];
	d->line = line;
	snprintf(d->text, sizeof(d->text), "ballast.conf:%u: ", line);
	return d->text;
}

void config_diagnose_line(struct config_parser *p, unsigned int line, const char *format, ...)
{
	char *text = new_diagnostic(p, line);
	size_t used;
	va_list args;

	if (text) {
		used = strlen(text);
		va_start(args, format);
		vsnprintf(text + used, CONFIG_DIAGNOSTIC_BYTES - used, format, args);
		va_end(args);
	}
	if (p->vm && !p->vm->error)
		p->vm->error = text ? text : lost_error;
}

const char *config_show(struct span span, char word[CONFIG_WORD_BYTES])
{
	size_t length = MIN(span.length, (size_t)CONFIG_WORD_BYTES - 1);

	for (size_t i = 0; i < length; i++) {
		char c = span.start[i];

		word[i] = c < ' ' || c > '~' ? '?' : c;
	}
	if (length < span.length)
		memcpy(word + length - 3, "...", 3);
	word[length] = '\0';
	return word;
}

const char *config_keep(struct config_parser *p, struct span span)
{
	struct config_strings *strings = p->strings;
	char *copy = strings->bytes + strings->used;

	/* Each string is shorter than its line, and all lines fit: this is for the reader. */
	if (span.length + 1 > strings->size - strings->used)
		return NULL;
	memcpy(copy, span.start, span.length);
	copy[span.length] = '\0';
	strings->used += span.length + 1;
	return copy;
}

/* Of what no value can be read from; the first word is the key. */
static void diagnose_lex(struct config_parser *p, const char *key, enum lex_error error)
{
	static const char *const sentences[] = {
		[LEX_NO_QUOTE] =
			"%s begins with a quote that is not closed; expected another at the end",
		[LEX_AFTER_QUOTE] =
			"%s has text behind its closing quote; expected the end of the line",
		[LEX_PATH_EMPTY] =
			"%s has no path; expected the path of a file, such as /ballast/vmlinuz",
		[LEX_PATH_LONG] = "the path of %s is too long; expected at most %d characters",
		[LEX_PATH_BYTE] = "the path of %s has a character outside ASCII; expected"
				  " letters, digits and the like",
		[LEX_PATH_PARENT] =
			"the path of %s goes through '..'; expected a path from the volume's root",
	};

	config_diagnose(p, sentences[error], key, CONFIG_PATH_BYTES - 2);
}

bool config_take_value(struct config_parser *p, const char *key, struct span raw,
	struct span *value)
{
	enum lex_error error = lex_value(raw, value);

	if (error != LEX_OK)
		diagnose_lex(p, key, error);
	return error == LEX_OK;
}

bool config_next_item(struct span *list, struct span *item)
{
	const char *comma = memchr(list->start, ',', list->length);
	size_t length = comma ? (size_t)(comma - list->start) : list->length;

	if (!list->length)
		return false;
	*item = span_trim((struct span){ list->start, length });
	length += comma != NULL;
	*list = (struct span){ list->start + length, list->length - length };
	return true;
}

bool config_number(struct span span, uint64_t *number, struct span *rest)
{
	size_t i = 0;

	*number = 0;
	for (; i < span.length && span.start[i] >= '0' && span.start[i] <= '9'; i++) {
		if (*number < BIT(60))
			*number = *number * 10 + (uint64_t)(span.start[i] - '0');
	}
	*rest = (struct span){ span.start + i, span.length - i };
	return i > 0;
}

/* With as many as 2^63 for all that is more. */
bool config_read_size(struct span span, uint64_t *bytes, bool *has_unit)
{
	static const char units[] = "kKmMgGtT";
	struct span unit;
	const char *found;
	unsigned int shift = 0;

	if (!config_number(span, bytes, &unit) || unit.length > 1)
		return false;
	*has_unit = unit.length == 1;
	if (*has_unit) {
		found = memchr(units, unit.start[0], sizeof(units) - 1);
		if (!found)
			return false;
		shift = (unsigned int)((found - units) / 2 + 1) * 10;
	}
	*bytes = *bytes > BIT(63) >> shift ? BIT(63) : *bytes << shift;
	return true;
}

bool config_take_number(struct config_parser *p, const char *key, struct span raw, uint64_t least,
	uint64_t most, uint64_t *number)
{
	char word[CONFIG_WORD_BYTES];
	struct span value, rest;
	bool valid;

	if (!config_take_value(p, key, raw, &value))
		return false;
	valid = config_number(value, number, &rest) && !rest.length;
	if (valid && *number >= least && *number <= most)
		return true;
	config_diagnose(p, "%s '%s' is %s; expected %llu to %llu", key, config_show(value, word),
		valid ? "out of range" : "not a number", (unsigned long long)least,
		(unsigned long long)most);
	return false;
}

bool config_check_size(struct config_parser *p, const char *key, struct span value,
	uint64_t *bytes)
{
	char word[CONFIG_WORD_BYTES];
	bool has_unit;

	config_show(value, word);
	if (!config_read_size(value, bytes, &has_unit))
		config_diagnose(p,
			"%s '%s' is not a size; expected a number with K, M or G, such as 256M",
			key, word);
	else if (*bytes == 0)
		config_diagnose(p, "%s is zero; expected at least 1M", key);
	else if (!has_unit && *bytes < MIB(1))
		config_diagnose(p, "%s '%s' means %s bytes; did you mean '%sM'?", key, word, word,
			word);
	else if (*bytes < CONFIG_MIN_MEMORY)
		config_diagnose(p, "%s '%s' is too little; expected at least 1M", key, word);
	else if (*bytes > CONFIG_MAX_MEMORY)
		config_diagnose(p, "%s '%s' is too much; expected at most 16T", key, word);
	else if (!IS_ALIGNED(*bytes, PAGE_SIZE))
		config_diagnose(p,
			"%s '%s' is not a whole number of pages; expected a multiple of 4K", key,
			word);
	else
		return true;
	return false;
}

bool config_take_size(struct config_parser *p, const char *key, struct span raw, uint64_t *bytes)
{
	struct span value;

	return config_take_value(p, key, raw, &value) && config_check_size(p, key, value, bytes);
}

const char *config_keep_path(struct config_parser *p, const char *key, struct span path)
{
	char normal[CONFIG_PATH_BYTES];
	enum lex_error error = lex_path(path, normal);

	if (error != LEX_OK) {
		diagnose_lex(p, key, error);
		return NULL;
	}
	return config_keep(p, (struct span){ normal, strlen(normal) });
}

const char *config_take_path(struct config_parser *p, const char *key, struct span raw)
{
	struct span value;

	return config_take_value(p, key, raw, &value) ? config_keep_path(p, key, value) : NULL;
}

bool config_take_module(struct config_parser *p, const char *key, struct span raw,
	struct config_module *module)
{
	struct span path, words;
	enum lex_error error = lex_module(raw, &path, &words);

	if (error != LEX_OK) {
		diagnose_lex(p, key, error);
		return false;
	}
	module->path = config_keep_path(p, key, path);
	module->words = config_keep(p, words);
	return module->path && module->words;
}

/* "a, b or c" behind "; expected ", of `count` words. */
struct word_list {
	char text[CONFIG_DIAGNOSTIC_BYTES];
	size_t used;
};

static void add_word(struct word_list *list, const char *word, size_t index, size_t count)
{
	const char *before = index == 0 ? "" : index + 1 < count ? ", " : " or ";

	snprintf(list->text + list->used, sizeof(list->text) - list->used, "%s%s", before, word);
	list->used = strlen(list->text);
}

int config_take_choice(struct config_parser *p, const char *key, struct span raw,
	const char *const *words, size_t count)
{
	struct word_list list = { .used = 0 };
	char word[CONFIG_WORD_BYTES];
	struct span value;
	const char *near;

	if (!config_take_value(p, key, raw, &value))
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (span_equals(value, words[i]))
			return (int)i;
		add_word(&list, words[i], i, count);
	}
	near = suggest_word(value.start, value.length, words, count);
	if (near)
		config_diagnose(p, "%s '%s' is not known; did you mean '%s'?", key,
			config_show(value, word), near);
	else
		config_diagnose(p, "%s '%s' is not known; expected %s", key,
			config_show(value, word), list.text);
	return -1;
}

void config_take_switch(struct config_parser *p, const char *key, struct span raw, bool *on)
{
	static const char *const words[] = { "yes", "no" };
	int choice = config_take_choice(p, key, raw, words, ARRAY_SIZE(words));

	if (choice >= 0)
		*on = choice == 0;
}

/* One number or range at the start; false when there is none. */
static bool add_cpus(struct span *text, struct cpu_set *cpus)
{
	uint64_t first, last;

	if (!config_number(span_trim(*text), &first, text))
		return false;
	last = first;
	if (text->length && text->start[0] == '-' &&
		!config_number((struct span){ text->start + 1, text->length - 1 }, &last, text))
		return false;
	if (first > last || last >= CPU_MAX)
		return false;
	for (uint64_t id = first; id <= last; id++)
		cpu_set_add(cpus, (unsigned int)id);
	return true;
}

bool config_take_cpus(struct config_parser *p, const char *key, struct span raw,
	struct cpu_set *cpus)
{
	struct cpu_set set = { { 0 } };
	char word[CONFIG_WORD_BYTES];
	struct span value, rest;
	bool more;

	if (!config_take_value(p, key, raw, &value))
		return false;
	rest = value;
	if (span_equals(value, "all")) {
		*cpus = CPU_SET_ALL;
		return true;
	}
	do {
		more = add_cpus(&rest, &set);
		rest = span_trim(rest);
		if (!more || !rest.length)
			break;
		more = rest.start[0] == ',';
		rest = (struct span){ rest.start + 1, rest.length - 1 };
	} while (more);
	if (more) {
		*cpus = set;
		return true;
	}
	config_diagnose(p, "%s '%s' is no set of CPUs; expected numbers up to %d, such as 0-3,6, or"
		" all", key, config_show(value, word), CPU_MAX - 1);
	return false;
}

/* --- Tables of keys --- */

int config_find_key(const struct config_keys *table, struct span key)
{
	for (size_t i = 0; i < table->count; i++) {
		if (span_equals(key, table->keys[i].name))
			return (int)i;
	}
	return -1;
}

static void diagnose_key(struct config_parser *p, const struct config_keys *table, struct span key)
{
	const char *names[CONFIG_MAX_KEYS], *near;
	struct word_list list = { .used = 0 };
	char word[CONFIG_WORD_BYTES];

	for (size_t i = 0; i < table->count; i++) {
		names[i] = table->keys[i].name;
		add_word(&list, names[i], i, table->count);
	}
	near = suggest_word(key.start, key.length, names, table->count);
	config_show(key, word);
	if (near)
		config_diagnose(p, "unknown key '%s'%s; did you mean '%s'?", word, table->where,
			near);
	else
		config_diagnose(p, "unknown key '%s'%s; expected %s", word, table->where,
			list.text);
}

void config_parse_key(struct config_parser *p, const struct config_keys *table, struct span key,
	struct span raw)
{
	int index = config_find_key(table, key);

	if (index < 0) {
		diagnose_key(p, table, key);
	} else if (p->key_line[index] && !table->keys[index].repeats) {
		if (p->out)
			config_diagnose(p, "%s is given again; expected it once, as on line %u",
				table->keys[index].name, p->key_line[index]);
		else
			config_diagnose(p, "%s is given again; expected it once",
				table->keys[index].name);
	} else {
		p->key_line[index] = p->line;
		table->keys[index].set(p, table->keys[index].name, raw);
	}
}

bool config_parse_bare(struct config_parser *p, const struct config_keys *table, struct span line)
{
	struct span word = span_trim(lex_cut_comment(span_trim(line)));
	int index = config_find_key(table, word);

	if (index < 0 || !table->keys[index].bare)
		return false;
	config_parse_key(p, table, word, (struct span){ "yes", 3 });
	return true;
}
