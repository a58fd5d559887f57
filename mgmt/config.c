/* SPDX-License-Identifier: BSD-2-Clause */
/* ballast.conf: its sections and lines. */
#include "mgmt/config.h"
#include "lib/string.h"
#include "mgmt/config_parser.h"

enum section {
	SECTION_NONE,    /* before the first */
	SECTION_VM,
	SECTION_BALLAST,
	SECTION_NETWORK,
	SECTION_SKIPPED, /* its head had a mistake, which has been reported */
};

static const struct config_keys *section_keys(const struct config_parser *p)
{
	if (p->vm)
		return &config_vm_keys;
	return p->network ? &config_network_keys : &config_ballast_keys;
}

static void parse_assignment(struct config_parser *p, struct span line)
{
	char word[CONFIG_WORD_BYTES];
	struct span key, raw;
	enum lex_error error = lex_assignment(line, &key, &raw);

	if (p->section == SECTION_SKIPPED)
		return;
	if (p->section != SECTION_NONE && config_parse_bare(p, section_keys(p), line))
		return;
	if (error == LEX_NO_EQUALS)
		config_diagnose(p, "'%s' has no '='; expected key = value", config_show(key, word));
	else if (error == LEX_NO_KEY)
		config_diagnose(p, "nothing stands before '='; expected key = value");
	else if (p->section == SECTION_NONE)
		config_diagnose(p, "'%s' stands before any section; expected [vm NAME] above it",
			config_show(key, word));
	else
		config_parse_key(p, section_keys(p), key, raw);
}

/* What the section just left still lacks. */
static void finish_section(struct config_parser *p)
{
	if (p->vm && !p->key_line[CONFIG_KEY_KERNEL])
		config_diagnose_line(p, p->vm->line,
			"vm '%s' has no kernel; expected a line kernel = PATH", p->vm->name);
	if (p->vm && !p->vm->error)
		config_check_memory(p);
	p->vm = NULL;
	p->network = NULL;
}

const char *config_name_fault(struct span name)
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
static bool check_vm_name(struct config_parser *p, struct span name)
{
	const struct vm_config *same = find_vm(p->out, name);
	const char *fault = config_name_fault(name);
	char word[CONFIG_WORD_BYTES];

	if (name.length == 0)
		config_diagnose(p, "the section has no name; expected [vm NAME]");
	else if (fault)
		config_diagnose(p, "vm name '%s' %s; expected " CONFIG_NAME_RULE,
			config_show(name, word), fault, CONFIG_NAME_BYTES - 1);
	else if (same)
		config_diagnose(p, "vm '%s' is there already, on line %u; expected another name",
			same->name, same->line);
	else if (p->out->vm_count == CONFIG_MAX_VMS)
		config_diagnose(p, "vm '%s' is one too many; expected at most %d",
			config_show(name, word), CONFIG_MAX_VMS);
	else
		return true;
	return false;
}

static void begin_vm(struct config_parser *p, struct span name)
{
	struct vm_config *vm;

	if (!check_vm_name(p, name))
		return;
	vm = &p->out->vms[p->out->vm_count++];
	config_vm_init(vm);
	memcpy(vm->name, name.start, name.length);
	vm->line = p->line;
	p->vm = vm;
	p->section = SECTION_VM;
}

const struct config_network *config_find_network(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->network_count; i++)
		if (strcmp(config->networks[i].name, name) == 0)
			return &config->networks[i];
	return NULL;
}

static void begin_network(struct config_parser *p, struct span name)
{
	const char *fault = name.length ? config_name_fault(name) : "is empty";
	struct config_network *network = &p->out->networks[p->out->network_count];
	char word[CONFIG_WORD_BYTES], text[CONFIG_NAME_BYTES] = "";
	const struct config_network *same;

	config_show(name, word);
	if (fault) {
		config_diagnose(p, "the name of net '%s' %s; expected " CONFIG_NAME_RULE, word,
			fault, CONFIG_NAME_BYTES - 1);
		return;
	}
	memcpy(text, name.start, name.length);
	same = config_find_network(p->out, text);
	if (same) {
		config_diagnose(p, "net '%s' is there already, on line %u; expected another name",
			same->name, same->line);
	} else if (p->out->network_count == CONFIG_MAX_NETWORKS) {
		config_diagnose(p, "net '%s' is one too many; expected at most %d", word,
			CONFIG_MAX_NETWORKS);
	} else {
		memcpy(network->name, text, sizeof(text));
		network->line = p->line;
		p->out->network_count++;
		p->network = network;
		p->section = SECTION_NETWORK;
	}
}

static void parse_section(struct config_parser *p, struct span line)
{
	char word[CONFIG_WORD_BYTES];
	struct span kind, name;
	enum lex_error error = lex_section(line, &kind, &name);

	finish_section(p);
	p->section = SECTION_SKIPPED;
	memset(p->key_line, 0, sizeof(p->key_line));
	if (error == LEX_NO_BRACKET)
		config_diagnose(p, "the section has no ']'; expected [vm NAME]");
	else if (error == LEX_AFTER_BRACKET)
		config_diagnose(p, "there is text behind ']'; expected the end of the line");
	else if (span_equals(kind, "vm"))
		begin_vm(p, name);
	else if (span_equals(kind, "net"))
		begin_network(p, name);
	else if (span_equals(kind, "ballast") && name.length == 0)
		p->section = SECTION_BALLAST;
	else
		config_diagnose(p, "unknown section '%s'; expected [vm NAME], [net NAME] or"
			" [ballast]",
			config_show(kind, word));
}

static void parse_line(struct config_parser *p, struct span line)
{
	int bad;

	if (lex_is_blank(line))
		return;
	bad = lex_bad_byte(line);
	if (line.length >= CONFIG_LINE_BYTES)
		config_diagnose(p, "the line has %zu characters; expected at most %d", line.length,
			CONFIG_LINE_BYTES - 1);
	else if (bad == 0)
		config_diagnose(p, "the line has a NUL byte in it; expected text");
	else if (bad > 0)
		config_diagnose(p, "the line has a control character (0x%02x) in it; expected text",
			bad);
	else if (span_trim(line).start[0] == '[')
		parse_section(p, line);
	else
		parse_assignment(p, line);
}

/* False when the file as a whole cannot be what it should be. */
static bool check_file(struct config_parser *p, const char *text, size_t bytes)
{
	p->line = 1;
	if (bytes > CONFIG_FILE_BYTES)
		config_diagnose(p, "the file has %zu bytes; expected at most %u", bytes,
			(unsigned int)CONFIG_FILE_BYTES);
	else if (bytes >= 2 &&
		 (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
		config_diagnose(p, "the file is UTF-16; expected plain text (ASCII or UTF-8)");
	else
		return true;
	return false;
}

void config_parse(const char *text, size_t bytes, struct config *out)
{
	struct config_strings strings = { out->strings, sizeof(out->strings), 0 };
	struct config_parser parser = { .out = out, .strings = &strings };
	struct config_reader reader;
	struct span line;

	memset(out, 0, sizeof(*out));
	out->ballast.memory_tax_percent = CONFIG_DEFAULT_TAX;
	if (!check_file(&parser, text, bytes))
		return;
	config_reader_init(&reader, text, bytes);
	while (config_reader_next(&reader, &line)) {
		parser.line = reader.line;
		parse_line(&parser, line);
	}
	finish_section(&parser);
	out->string_bytes = strings.used;
}

const struct vm_config *config_find_vm(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->vm_count; i++) {
		if (strcmp(config->vms[i].name, name) == 0)
			return &config->vms[i];
	}
	return NULL;
}
