/* SPDX-License-Identifier: BSD-2-Clause */
/* ballast.conf: what each section and key means, and what is said about mistakes. */
#include "mgmt/config.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/config_lex.h"
#include "mgmt/suggest.h"

/* A word of the file as it is quoted in a diagnostic. */
#define WORD_BYTES 44

enum section {
	SECTION_NONE,    /* before the first */
	SECTION_VM,
	SECTION_BALLAST,
	SECTION_SKIPPED, /* its head had a mistake, which has been reported */
};

enum key {
	KEY_MEMORY, KEY_VCPUS, KEY_KERNEL, KEY_INITRD, KEY_MODULE, KEY_CMDLINE, KEY_BOOT,
	KEY_AUTOSTART, KEY_DEBUG_EXIT, KEYS
};

static const char *const key_names[KEYS] = {
	[KEY_MEMORY] = "memory",
	[KEY_VCPUS] = "vcpus",
	[KEY_KERNEL] = "kernel",
	[KEY_INITRD] = "initrd",
	[KEY_MODULE] = "module",
	[KEY_CMDLINE] = "cmdline",
	[KEY_BOOT] = "boot",
	[KEY_AUTOSTART] = "autostart",
	[KEY_DEBUG_EXIT] = "debug-exit",
};

#define EXPECTED_KEYS \
	"memory, vcpus, kernel, initrd, module, cmdline, boot, autostart or debug-exit"

struct parser {
	struct config *out;
	enum section section;
	struct vm_config *vm;       /* in SECTION_VM */
	unsigned int key_line[KEYS]; /* where the VM's keys were seen; 0: not yet */
	unsigned int line;
};

static const char lost_error[] = "ballast.conf: more mistakes than can be listed";

/* Store a diagnostic for `line`; the VM being parsed, if any, is not startable from here on. */
static void __printf(3, 4) diagnose_line(struct parser *p, unsigned int line, const char *format,
	...)
{
	const char *text = lost_error;

	if (p->out->diagnostic_count < CONFIG_MAX_DIAGNOSTICS) {
		struct config_diagnostic *d = &p->out->diagnostics[p->out->diagnostic_count++];
		size_t used;
		va_list args;

		d->line = line;
		snprintf(d->text, sizeof(d->text), "ballast.conf:%u: ", line);
		used = strlen(d->text);
		va_start(args, format);
		vsnprintf(d->text + used, sizeof(d->text) - used, format, args);
		va_end(args);
		text = d->text;
	} else {
		p->out->diagnostics_lost++;
	}
	if (p->vm && !p->vm->error)
		p->vm->error = text;
}

#define diagnose(p, ...) diagnose_line(p, (p)->line, __VA_ARGS__)

/* The span as it may be shown: printable, and cut when it is long. */
static const char *show(struct span span, char word[WORD_BYTES])
{
	size_t length = MIN(span.length, (size_t)WORD_BYTES - 1);

	for (size_t i = 0; i < length; i++) {
		char c = span.start[i];

		word[i] = c < ' ' || c > '~' ? '?' : c;
	}
	if (length < span.length)
		memcpy(word + length - 3, "...", 3);
	word[length] = '\0';
	return word;
}

/* A terminated copy that lives as long as the config. */
static const char *keep(struct parser *p, struct span span)
{
	struct config *out = p->out;
	char *copy = out->strings + out->string_bytes;

	/* Each string is shorter than its line, and all lines fit: this is for the reader. */
	if (span.length + 1 > sizeof(out->strings) - out->string_bytes)
		return NULL;
	memcpy(copy, span.start, span.length);
	copy[span.length] = '\0';
	out->string_bytes += span.length + 1;
	return copy;
}

static void diagnose_lex(struct parser *p, const char *what, enum lex_error error)
{
	switch (error) {
	case LEX_NO_QUOTE:
		diagnose(p,
			"%s begins with a quote that is not closed; expected another at the end",
			what);
		break;
	case LEX_AFTER_QUOTE:
		diagnose(p, "%s has text behind its closing quote; expected the end of the line",
			what);
		break;
	case LEX_PATH_EMPTY:
		diagnose(p, "%s has no path; expected the path of a file, such as /ballast/vmlinuz",
			what);
		break;
	case LEX_PATH_LONG:
		diagnose(p, "the path of %s is too long; expected at most %d characters", what,
			CONFIG_PATH_BYTES - 2);
		break;
	case LEX_PATH_BYTE:
		diagnose(p,
			"the path of %s has a character outside ASCII; expected letters, digits and"
			" the like",
			what);
		break;
	case LEX_PATH_PARENT:
		diagnose(p,
			"the path of %s goes through '..'; expected a path from the volume's root",
			what);
		break;
	default:
		break;
	}
}

/* The value of `key`, unquoted; false when that was reported as a mistake. */
static bool take_value(struct parser *p, enum key key, struct span raw, struct span *value)
{
	enum lex_error error = lex_value(raw, value);

	if (error != LEX_OK)
		diagnose_lex(p, key_names[key], error);
	return error == LEX_OK;
}

/* Digits at the start of the span; false when there are none. Stops counting at 2^60. */
static bool take_number(struct span span, uint64_t *number, struct span *rest)
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

/* Bytes that a size stands for, with as many as 2^63 for all that is more. */
static bool take_size(struct span span, uint64_t *bytes, bool *has_unit)
{
	static const char units[] = "kKmMgGtT";
	struct span unit;
	const char *found;
	unsigned int shift = 0;

	if (!take_number(span, bytes, &unit) || unit.length > 1)
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

static void set_memory(struct parser *p, struct span raw)
{
	char word[WORD_BYTES];
	struct span value;
	uint64_t bytes;
	bool has_unit;

	if (!take_value(p, KEY_MEMORY, raw, &value))
		return;
	show(value, word);
	if (!take_size(value, &bytes, &has_unit))
		diagnose(p,
			"memory '%s' is not a size; expected a number with K, M or G, such as 256M",
			word);
	else if (bytes == 0)
		diagnose(p, "memory is zero; expected at least 1M");
	else if (!has_unit && bytes < MIB(1))
		diagnose(p, "memory '%s' means %s bytes; did you mean '%sM'?", word, word, word);
	else if (bytes < CONFIG_MIN_MEMORY)
		diagnose(p, "memory '%s' is too little; expected at least 1M", word);
	else if (bytes > CONFIG_MAX_MEMORY)
		diagnose(p, "memory '%s' is too much; expected at most 16T", word);
	else if (!IS_ALIGNED(bytes, PAGE_SIZE))
		diagnose(p, "memory '%s' is not a whole number of pages; expected a multiple of 4K",
			word);
	else
		p->vm->memory_bytes = bytes;
}

static void set_vcpus(struct parser *p, struct span raw)
{
	char word[WORD_BYTES];
	struct span value, rest;
	uint64_t number;

	if (!take_value(p, KEY_VCPUS, raw, &value))
		return;
	if (!take_number(value, &number, &rest) || rest.length > 0)
		diagnose(p, "vcpus '%s' is not a number; expected 1 to %d", show(value, word),
			CONFIG_MAX_VCPUS);
	else if (number < 1 || number > CONFIG_MAX_VCPUS)
		diagnose(p, "vcpus '%s' is out of range; expected 1 to %d", show(value, word),
			CONFIG_MAX_VCPUS);
	else
		p->vm->vcpus = (unsigned int)number;
}

/* The kept copy of a path, or NULL after a diagnostic. */
static const char *take_path(struct parser *p, enum key key, struct span path)
{
	char normal[CONFIG_PATH_BYTES];
	enum lex_error error = lex_path(path, normal);

	if (error != LEX_OK) {
		diagnose_lex(p, key_names[key], error);
		return NULL;
	}
	return keep(p, (struct span){ normal, strlen(normal) });
}

static void set_kernel(struct parser *p, struct span raw)
{
	struct span value;

	if (take_value(p, KEY_KERNEL, raw, &value))
		p->vm->kernel = take_path(p, KEY_KERNEL, value);
}

static void set_initrd(struct parser *p, struct span raw)
{
	struct span value;

	if (take_value(p, KEY_INITRD, raw, &value))
		p->vm->initrd = take_path(p, KEY_INITRD, value);
}

static void set_module(struct parser *p, struct span raw)
{
	struct config_module *module = &p->vm->modules[p->vm->module_count];
	struct span path, words;
	enum lex_error error = lex_module(raw, &path, &words);

	if (error != LEX_OK) {
		diagnose_lex(p, key_names[KEY_MODULE], error);
		return;
	}
	if (p->vm->module_count == CONFIG_MAX_MODULES) {
		diagnose(p, "one module too many; expected at most %d", CONFIG_MAX_MODULES);
		return;
	}
	module->path = take_path(p, KEY_MODULE, path);
	module->words = keep(p, words);
	if (module->path && module->words)
		p->vm->module_count++;
}

static void set_cmdline(struct parser *p, struct span raw)
{
	struct span value;

	if (take_value(p, KEY_CMDLINE, raw, &value))
		p->vm->cmdline = keep(p, value);
}

/* The index of the value among `words`; -1 after a diagnostic, which names `expected`. */
static int take_choice(struct parser *p, enum key key, struct span raw, const char *const *words,
	size_t count, const char *expected)
{
	char word[WORD_BYTES];
	struct span value;
	const char *near;

	if (!take_value(p, key, raw, &value))
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (span_equals(value, words[i]))
			return (int)i;
	}
	near = suggest_word(value.start, value.length, words, count);
	if (near)
		diagnose(p, "%s '%s' is not known; did you mean '%s'?", key_names[key],
			show(value, word), near);
	else
		diagnose(p, "%s '%s' is not known; expected %s", key_names[key], show(value, word),
			expected);
	return -1;
}

static void set_boot(struct parser *p, struct span raw)
{
	static const char *const words[] = {
		[CONFIG_BOOT_AUTO] = "auto",
		[CONFIG_BOOT_LINUX] = "linux",
		[CONFIG_BOOT_MULTIBOOT] = "multiboot",
		[CONFIG_BOOT_PVH] = "pvh",
	};
	int choice = take_choice(p, KEY_BOOT, raw, words, ARRAY_SIZE(words),
		"auto, linux, multiboot or pvh");

	if (choice >= 0)
		p->vm->boot = (enum config_boot)choice;
}

static void set_switch(struct parser *p, enum key key, struct span raw, bool *on)
{
	static const char *const words[] = { "no", "yes" };
	int choice = take_choice(p, key, raw, words, ARRAY_SIZE(words), "yes or no");

	if (choice >= 0)
		*on = choice == 1;
}

static void set_autostart(struct parser *p, struct span raw)
{
	set_switch(p, KEY_AUTOSTART, raw, &p->vm->autostart);
}

static void set_debug_exit(struct parser *p, struct span raw)
{
	set_switch(p, KEY_DEBUG_EXIT, raw, &p->vm->debug_exit);
}

static void (*const key_setters[KEYS])(struct parser *p, struct span raw) = {
	[KEY_MEMORY] = set_memory,
	[KEY_VCPUS] = set_vcpus,
	[KEY_KERNEL] = set_kernel,
	[KEY_INITRD] = set_initrd,
	[KEY_MODULE] = set_module,
	[KEY_CMDLINE] = set_cmdline,
	[KEY_BOOT] = set_boot,
	[KEY_AUTOSTART] = set_autostart,
	[KEY_DEBUG_EXIT] = set_debug_exit,
};

static int find_key(struct span key)
{
	for (int i = 0; i < KEYS; i++) {
		if (span_equals(key, key_names[i]))
			return i;
	}
	return -1;
}

static void parse_unknown_key(struct parser *p, struct span key)
{
	const char *near = suggest_word(key.start, key.length, key_names, KEYS);
	char word[WORD_BYTES];

	if (near)
		diagnose(p, "unknown key '%s'; did you mean '%s'?", show(key, word), near);
	else
		diagnose(p, "unknown key '%s'; expected " EXPECTED_KEYS, show(key, word));
}

static void parse_vm_key(struct parser *p, struct span key, struct span raw)
{
	int index = find_key(key);

	if (index < 0) {
		parse_unknown_key(p, key);
		return;
	}
	if (p->key_line[index] && index != KEY_MODULE) {
		diagnose(p, "%s is given again; expected it once, as on line %u", key_names[index],
			p->key_line[index]);
		return;
	}
	p->key_line[index] = p->line;
	key_setters[index](p, raw);
}

static void parse_assignment(struct parser *p, struct span line)
{
	char word[WORD_BYTES];
	struct span key, raw;
	enum lex_error error = lex_assignment(line, &key, &raw);

	if (p->section == SECTION_SKIPPED)
		return;
	if (error == LEX_NO_EQUALS)
		diagnose(p, "'%s' has no '='; expected key = value", show(key, word));
	else if (error == LEX_NO_KEY)
		diagnose(p, "nothing stands before '='; expected key = value");
	else if (p->section == SECTION_NONE)
		diagnose(p, "'%s' stands before any section; expected [vm NAME] above it",
			show(key, word));
	else if (p->section == SECTION_BALLAST)
		diagnose(p, "unknown key '%s' in [ballast]; expected none yet", show(key, word));
	else
		parse_vm_key(p, key, raw);
}

/* What the section just left still lacks. */
static void finish_section(struct parser *p)
{
	if (p->vm && !p->key_line[KEY_KERNEL])
		diagnose_line(p, p->vm->line,
			"vm '%s' has no kernel; expected a line kernel = PATH", p->vm->name);
	p->vm = NULL;
}

/* NULL when the name is good; else what is wrong with it. */
static const char *name_fault(struct span name)
{
	if (name.length >= CONFIG_NAME_BYTES)
		return "is too long";
	for (size_t i = 0; i < name.length; i++) {
		char c = name.start[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
			c != '-' && c != '_' && c != '.')
			return "has a character that a name may not have";
	}
	return NULL;
}

static struct vm_config *find_vm(struct config *config, struct span name)
{
	for (size_t i = 0; i < config->vm_count; i++) {
		if (span_equals(name, config->vms[i].name))
			return &config->vms[i];
	}
	return NULL;
}

/* True when a VM of this name may be added. */
static bool check_vm_name(struct parser *p, struct span name)
{
	const struct vm_config *same = find_vm(p->out, name);
	const char *fault = name_fault(name);
	char word[WORD_BYTES];

	if (name.length == 0)
		diagnose(p, "the section has no name; expected [vm NAME]");
	else if (fault)
		diagnose(p, "vm name '%s' %s; expected 1 to %d letters, digits, '-', '_' or '.'",
			show(name, word), fault, CONFIG_NAME_BYTES - 1);
	else if (same)
		diagnose(p, "vm '%s' is there already, on line %u; expected another name",
			same->name, same->line);
	else if (p->out->vm_count == CONFIG_MAX_VMS)
		diagnose(p, "vm '%s' is one too many; expected at most %d", show(name, word),
			CONFIG_MAX_VMS);
	else
		return true;
	return false;
}

static void begin_vm(struct parser *p, struct span name)
{
	struct vm_config *vm;

	if (!check_vm_name(p, name))
		return;
	vm = &p->out->vms[p->out->vm_count++];
	memcpy(vm->name, name.start, name.length);
	vm->memory_bytes = CONFIG_DEFAULT_MEMORY;
	vm->vcpus = 1;
	vm->cmdline = "";
	vm->line = p->line;
	p->vm = vm;
	p->section = SECTION_VM;
	memset(p->key_line, 0, sizeof(p->key_line));
}

static void parse_section(struct parser *p, struct span line)
{
	char word[WORD_BYTES];
	struct span kind, name;
	enum lex_error error = lex_section(line, &kind, &name);

	finish_section(p);
	p->section = SECTION_SKIPPED;
	if (error == LEX_NO_BRACKET)
		diagnose(p, "the section has no ']'; expected [vm NAME]");
	else if (error == LEX_AFTER_BRACKET)
		diagnose(p, "there is text behind ']'; expected the end of the line");
	else if (span_equals(kind, "vm"))
		begin_vm(p, name);
	else if (span_equals(kind, "ballast") && name.length == 0)
		p->section = SECTION_BALLAST;
	else
		diagnose(p, "unknown section '%s'; expected [vm NAME] or [ballast]",
			show(kind, word));
}

static void parse_line(struct parser *p, struct span line)
{
	int bad;

	if (lex_is_blank(line))
		return;
	bad = lex_bad_byte(line);
	if (line.length >= CONFIG_LINE_BYTES)
		diagnose(p, "the line has %zu characters; expected at most %d", line.length,
			CONFIG_LINE_BYTES - 1);
	else if (bad == 0)
		diagnose(p, "the line has a NUL byte in it; expected text");
	else if (bad > 0)
		diagnose(p, "the line has a control character (0x%02x) in it; expected text", bad);
	else if (span_trim(line).start[0] == '[')
		parse_section(p, line);
	else
		parse_assignment(p, line);
}

/* False when the file as a whole cannot be what it should be. */
static bool check_file(struct parser *p, const char *text, size_t bytes)
{
	p->line = 1;
	if (bytes > CONFIG_FILE_BYTES)
		diagnose(p, "the file has %zu bytes; expected at most %u", bytes,
			(unsigned int)CONFIG_FILE_BYTES);
	else if (bytes >= 2 &&
		 (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
		diagnose(p, "the file is UTF-16; expected plain text (ASCII or UTF-8)");
	else
		return true;
	return false;
}

void config_parse(const char *text, size_t bytes, struct config *out)
{
	struct parser parser = { .out = out };
	struct config_reader reader;
	struct span line;

	memset(out, 0, sizeof(*out));
	if (!check_file(&parser, text, bytes))
		return;
	config_reader_init(&reader, text, bytes);
	while (config_reader_next(&reader, &line)) {
		parser.line = reader.line;
		parse_line(&parser, line);
	}
	finish_section(&parser);
}

const struct vm_config *config_find_vm(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->vm_count; i++) {
		if (strcmp(config->vms[i].name, name) == 0)
			return &config->vms[i];
	}
	return NULL;
}
