/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/config_words.h"

#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/config_parser.h"
#include "mgmt/suggest.h"

#define LIKE_KEY "like"

static struct span rest_of(struct span span, size_t from)
{
	return (struct span){ span.start + from, span.length - from };
}

/* Bytes up to the end of the quoted text at the start; all when it has none. */
static size_t quoted_length(struct span text)
{
	const char *end;

	if (!text.length || (text.start[0] != '"' && text.start[0] != '\''))
		return 0;
	end = memchr(text.start + 1, text.start[0], text.length - 1);
	return end ? (size_t)(end - text.start) + 1 : text.length;
}

/* Cut off the first word: blanks in the quotes of a value belong to it. False: there is none. */
static bool next_word(struct span *text, struct span *word)
{
	bool value = false;
	size_t length = 0;

	*word = span_trim(*text);
	while (length < word->length && word->start[length] != ' ' && word->start[length] != '\t') {
		bool equals = !value && word->start[length] == '=';

		length++;
		if (equals) {
			value = true;
			length += quoted_length(rest_of(*word, length));
		}
	}
	*text = rest_of(*word, length);
	word->length = length;
	return length > 0;
}

bool config_words_like(const char *text, char name[CONFIG_NAME_BYTES])
{
	struct span rest = { text, strlen(text) }, word, key, raw, value;

	while (next_word(&rest, &word)) {
		if (lex_assignment(word, &key, &raw) != LEX_OK || !span_equals(key, LIKE_KEY) ||
			lex_value(raw, &value) != LEX_OK)
			continue;
		snprintf(name, CONFIG_NAME_BYTES, "%.*s", (int)MIN(value.length, 99U),
			value.start);
		return true;
	}
	return false;
}

/* A key that is none, where `like` is one, too. */
static bool means_like(struct span key)
{
	static const char *const like = LIKE_KEY;

	return suggest_word(key.start, key.length, &like, 1) != NULL;
}

/* What the words say of what may be given again and again is all of it. */
static void begin_list(struct vm_config *vm, int key)
{
	if (key == CONFIG_KEY_MODULE)
		vm->module_count = 0;
	else if (key == CONFIG_KEY_DISK)
		vm->disk_count = 0;
	else if (key == CONFIG_KEY_NET)
		vm->net_count = 0;
}

static void parse_bare_word(struct config_parser *p, struct config_words *words, struct span word)
{
	char shown[CONFIG_WORD_BYTES];

	if (config_parse_bare(p, &config_vm_keys, word))
		words->given |= (uint32_t)BIT(config_find_key(&config_vm_keys, word));
	else
		config_diagnose(p, "'%s' has no '='; expected key=value",
			config_show(word, shown));
}

static void parse_word(struct config_parser *p, struct config_words *words, struct span word)
{
	char shown[CONFIG_WORD_BYTES];
	struct span key, raw;
	enum lex_error error = lex_assignment(word, &key, &raw);
	int index;

	if (error == LEX_NO_EQUALS) {
		parse_bare_word(p, words, word);
		return;
	}
	if (error == LEX_NO_KEY)
		config_diagnose(p, "nothing stands before '='; expected key=value");
	if (error != LEX_OK || (words->like && span_equals(key, LIKE_KEY)))
		return;
	index = config_find_key(&config_vm_keys, key);
	if (index >= 0 && !p->key_line[index])
		begin_list(p->vm, index);
	if (index >= 0)
		words->given |= (uint32_t)BIT(index);
	else if (words->like && means_like(key))
		config_diagnose(p, "unknown key '%s'; did you mean '" LIKE_KEY "'?",
			config_show(key, shown));
	config_parse_key(p, &config_vm_keys, key, raw);
}

/* Is it text that can be parsed? `error` says what is wrong. */
static void begin_words(struct config_parser *p, struct config_words *words, struct span text)
{
	words->error[0] = '\0';
	words->given = 0;
	/* Each text that is kept is shorter than its word, so that there is room for all. */
	if (text.length + 2 >= sizeof(words->strings))
		config_diagnose(p, "there are too many words; expected %d characters at most",
			CONFIG_WORDS_BYTES - 3);
	else if (lex_bad_byte(text) >= 0)
		config_diagnose(p, "there is a control character; expected text");
}

int config_words_parse(struct config_words *words, const char *text)
{
	struct config_strings strings = { words->strings, sizeof(words->strings), 0 };
	struct config_parser parser = {
		.error = words->error, .strings = &strings, .vm = &words->vm, .line = 1
	};
	struct span rest = { text, strlen(text) }, word;

	begin_words(&parser, words, rest);
	while (!words->error[0] && next_word(&rest, &word))
		parse_word(&parser, words, word);
	if (!words->error[0])
		config_check_memory(&parser);
	words->vm.error = NULL;
	return words->error[0] ? -EINVAL : 0;
}

int config_words_add(struct config_words *words, enum config_vm_key key, const char *text)
{
	struct config_strings strings = { words->strings, sizeof(words->strings), 0 };
	struct config_parser parser = {
		.error = words->error, .strings = &strings, .vm = &words->vm, .line = 1
	};
	const struct config_key *entry = &config_vm_keys.keys[key];
	struct span raw = span_trim((struct span){ text, strlen(text) });

	begin_words(&parser, words, raw);
	if (!words->error[0])
		entry->set(&parser, entry->name, raw);
	words->given = (uint32_t)BIT(key);
	words->vm.error = NULL;
	return words->error[0] ? -EINVAL : 0;
}

int config_words_name(const char *name, char error[CONFIG_DIAGNOSTIC_BYTES])
{
	struct span span = { name, strlen(name) };
	char shown[CONFIG_WORD_BYTES];
	const char *fault = config_name_fault(span);

	if (!fault && span.length)
		return 0;
	snprintf(error, CONFIG_DIAGNOSTIC_BYTES, "the name '%s' %s; expected " CONFIG_NAME_RULE,
		config_show(span, shown), fault ? fault : "is empty", CONFIG_NAME_BYTES - 1);
	return -EINVAL;
}

/* --- Copies --- */

static size_t text_bytes(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

size_t config_clone_bytes(const struct vm_config *vm)
{
	size_t bytes = sizeof(*vm) + text_bytes(vm->kernel) + text_bytes(vm->initrd) +
		text_bytes(vm->cmdline);

	for (size_t i = 0; i < vm->disk_count; i++)
		bytes += text_bytes(vm->disks[i].source);
	for (size_t i = 0; i < vm->module_count; i++)
		bytes += text_bytes(vm->modules[i].path) + text_bytes(vm->modules[i].words);
	return bytes;
}

static const char *clone_text(const char *text, char **room)
{
	char *copy = *room;

	if (!text)
		return NULL;
	memcpy(copy, text, text_bytes(text));
	*room += text_bytes(text);
	return copy;
}

void config_clone(const struct vm_config *vm, struct vm_config *copy)
{
	char *room = (char *)(copy + 1);

	*copy = *vm;
	copy->kernel = clone_text(vm->kernel, &room);
	copy->initrd = clone_text(vm->initrd, &room);
	copy->cmdline = clone_text(vm->cmdline, &room);
	for (size_t i = 0; i < vm->disk_count; i++)
		copy->disks[i].source = clone_text(vm->disks[i].source, &room);
	for (size_t i = 0; i < vm->module_count; i++) {
		copy->modules[i].path = clone_text(vm->modules[i].path, &room);
		copy->modules[i].words = clone_text(vm->modules[i].words, &room);
	}
}
