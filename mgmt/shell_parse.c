/* SPDX-License-Identifier: BSD-2-Clause */
/* From a line to a call of a command, and to what might be typed next; see mgmt/shell.h. */
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/lineedit.h"
#include "mgmt/shell.h"
#include "mgmt/suggest.h"
#include "mgmt/vms.h"

struct words {
	const char *at[SHELL_WORDS];
	size_t count;
	bool more; /* than there is room for */
};

static const char *const switch_words[] = {"off", "on"};
static const char *const port_words[] = {"com1", "hvc0"};
static const char *const mode_words[] = {
	[MITIGATION_AUTO] = "auto", [MITIGATION_ON] = "on", [MITIGATION_OFF] = "off",
};

static void split(char *line, struct words *words)
{
	words->count = 0;
	words->more = false;
	for (;;) {
		while (*line == ' ')
			*line++ = '\0';
		if (!*line)
			return;
		if (words->count == SHELL_WORDS) {
			words->more = true;
			return;
		}
		words->at[words->count++] = line;
		while (*line && *line != ' ')
			line++;
	}
}

/* --- Sentences about mistakes --- */

struct sentence {
	char *text;
	size_t length;
};

static void say(struct sentence *sentence, const char *format, ...) __printf(2, 3);
static void say(struct sentence *sentence, const char *format, ...)
{
	size_t room = SHELL_ERROR_BYTES - sentence->length;
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(sentence->text + sentence->length, room, format, args);
	va_end(args);
	sentence->length += MIN((size_t)length, room - 1);
}

/* One of a list; a list that is too long ends in dots. */
static void say_item(struct sentence *sentence, const char *item, bool first)
{
	if (sentence->length + strlen(item) + 8 < SHELL_ERROR_BYTES)
		say(sentence, "%s%s", first ? "" : ", ", item);
	else if (sentence->text[sentence->length - 1] != '.')
		say(sentence, ", ...");
}

static void say_vms(struct sentence *sentence)
{
	say(sentence, vms_count() ? "; there %s: " : "; there are none yet",
		vms_count() == 1 ? "is" : "are");
	for (size_t i = 0; i < vms_count(); i++)
		say_item(sentence, vms_at(i)->config->name, i == 0);
}

static const char *suggest_vm(const char *name)
{
	static const char *names[VMS_MAX];

	for (size_t i = 0; i < vms_count(); i++)
		names[i] = vms_at(i)->config->name;
	return suggest_word(name, strlen(name), names, vms_count());
}

/* "vm start": as many of its words as there are, up to `count`. */
static void say_words(struct sentence *sentence, const struct shell_command *command, size_t count)
{
	for (size_t i = 0; i < count && command->word[i]; i++)
		say(sentence, "%s%s", i ? " " : "", command->word[i]);
}

static void say_command(struct sentence *sentence, const struct shell_command *command)
{
	say_words(sentence, command, SHELL_COMMAND_WORDS);
}

static void say_usage(struct sentence *sentence, const struct shell_command *command)
{
	say_command(sentence, command);
	say(sentence, "%s%s", command->arguments[0] ? " " : "", command->arguments);
}

/* --- Commands --- */

static const struct shell_command *find_family(const struct shell_table *table, const char *word)
{
	for (size_t i = 0; i < table->count; i++)
		if (strcmp(table->commands[i].word[0], word) == 0)
			return &table->commands[i];
	return NULL;
}

/* Is it one of those whose first `depth` words are those of `family`? */
static bool same_family(const struct shell_table *table, const struct shell_command *command,
	const struct shell_command *family, size_t depth)
{
	if (command >= table->commands + table->count)
		return false;
	for (size_t i = 0; i < depth; i++)
		if (strcmp(command->word[i], family->word[i]) != 0)
			return false;
	return true;
}

/* The first that has this word behind `depth` others. */
static const struct shell_command *find_member(const struct shell_table *table,
	const struct shell_command *family, size_t depth, const char *word)
{
	if (depth == SHELL_COMMAND_WORDS)
		return NULL;
	for (const struct shell_command *at = family; same_family(table, at, family, depth); at++)
		if (at->word[depth] && strcmp(at->word[depth], word) == 0)
			return at;
	return NULL;
}

static bool needs_word(const struct shell_command *family, size_t depth)
{
	return depth < SHELL_COMMAND_WORDS && family->word[depth];
}

static void unknown_command(const struct shell_table *table, const char *word,
	struct sentence *error)
{
	const char *first[64], *near;
	size_t count = 0;

	for (size_t i = 0; i < table->count && count < ARRAY_SIZE(first); i++)
		first[count++] = table->commands[i].word[0];
	near = suggest_word(word, strlen(word), first, count);
	say(error, "'%s' is no command", word);
	if (near)
		say(error, ", perhaps '%s' is meant", near);
	say(error, "; 'help' lists them all");
}

static void unknown_member(const struct shell_table *table, const struct shell_command *family,
	size_t depth, const char *word, struct sentence *error)
{
	say_words(error, family, depth);
	if (word)
		say(error, ": '%s' is none of its words", word);
	else
		say(error, ": one more word is needed");
	say(error, "; there are: ");
	for (const struct shell_command *at = family; same_family(table, at, family, depth); at++)
		if (at == family || strcmp(at->word[depth], at[-1].word[depth]) != 0)
			say_item(error, at->word[depth], at == family);
}

/* The command, and in *used how many words are its own; NULL with a sentence. */
static const struct shell_command *find_command(const struct shell_table *table,
	const struct words *words, size_t *used, struct sentence *error)
{
	const struct shell_command *family = find_family(table, words->at[0]), *member;

	if (!family)
		unknown_command(table, words->at[0], error);
	for (*used = 1; family; ++*used) {
		const char *word = *used < words->count ? words->at[*used] : NULL;

		member = word ? find_member(table, family, *used, word) : NULL;
		if (!member && !needs_word(family, *used))
			break;
		if (!member)
			unknown_member(table, family, *used, word, error);
		family = member;
	}
	return family;
}

/* --- Arguments --- */

static bool take_vm(const char *word, struct shell_call *call, struct sentence *error)
{
	const char *near;

	call->vm = word ? vms_find(word) : NULL;
	if (call->vm)
		return true;
	if (!word) {
		say(error, "it needs the name of a VM");
		say_vms(error);
		return false;
	}
	near = suggest_vm(word);
	say(error, "no VM is called '%s'", word);
	if (near)
		say(error, ", perhaps '%s' is meant", near);
	say_vms(error);
	return false;
}

static bool take_switch(const char *word, struct shell_call *call, struct sentence *error)
{
	call->on = word && strcmp(word, "on") == 0;
	if (call->on || (word && strcmp(word, "off") == 0))
		return true;
	if (word)
		say(error, "'%s' is neither 'on' nor 'off'", word);
	else
		say(error, "say 'on' or 'off' after the VM");
	return false;
}

static bool take_number(const char *word, struct shell_call *call, struct sentence *error)
{
	uint64_t number = 0;

	if (!word)
		return true;
	for (const char *digit = word; *digit; digit++) {
		if (*digit < '0' || *digit > '9' || number > 1000000) {
			say(error, "'%s' is no number from 1 to 1000000", word);
			return false;
		}
		number = number * 10 + (uint64_t)(*digit - '0');
	}
	call->number = number;
	if (!number)
		say(error, "'%s' is no number from 1 to 1000000", word);
	return number != 0;
}

static bool take_index(const char *word, struct shell_call *call, struct sentence *error)
{
	if (!word || word[0] < '0' || word[0] > '9' || word[1]) {
		say(error, "%s%s%sit needs a disk's number; 'vm disk list' shows them",
			word ? "'" : "", word ? word : "", word ? "' is none: " : "");
		return false;
	}
	call->number = (uint64_t)(word[0] - '0');
	return true;
}

static bool take_port(const char *word, struct shell_call *call, struct sentence *error)
{
	call->hvc = word && strcmp(word, port_words[1]) == 0;
	if (!word || call->hvc || strcmp(word, port_words[0]) == 0)
		return true;
	say(error, "'%s' is neither '%s' nor '%s'", word, port_words[0], port_words[1]);
	return false;
}

static bool take_reset(const char *word, struct shell_call *call, struct sentence *error)
{
	call->on = word && strcmp(word, "reset") == 0;
	if (word && !call->on)
		say(error, "'%s' is not 'reset'", word);
	return !word || call->on;
}

static bool take_mitigation(const char *word, struct shell_call *call, struct sentence *error)
{
	int found = word ? mitigation_find(word, strlen(word)) : -1;

	call->mitigation = (enum mitigation)found;
	if (found >= 0)
		return true;
	if (word)
		say(error, "'%s' is no mitigation; there are: ", word);
	else
		say(error, "it needs the name of a mitigation; there are: ");
	for (unsigned int i = 0; mitigation_name(i); i++)
		say_item(error, mitigation_name(i), i == 0);
	return false;
}

static bool take_mode(const char *word, struct shell_call *call, struct sentence *error)
{
	for (unsigned int i = 0; word && i < ARRAY_SIZE(mode_words); i++) {
		call->mode = (enum mitigation_mode)i;
		if (strcmp(word, mode_words[i]) == 0)
			return true;
	}
	if (word)
		say(error, "'%s' is none of on, off and auto", word);
	else
		say(error, "say on, off or auto after its name");
	return false;
}

static bool take_name(const char *word, struct shell_call *call, struct sentence *error)
{
	call->name = word;
	if (!word)
		say(error, "it needs a name for the new VM");
	return word != NULL;
}

static bool take_settings(enum shell_argument kind, const char *rest, struct shell_call *call,
	struct sentence *error)
{
	call->rest = rest;
	if (*rest || kind == ARGUMENT_NEW || kind == ARGUMENT_POLICY)
		return true;
	if (kind == ARGUMENT_DISK)
		say(error, "it needs a disk, such as '/images/debian.img, cow' or nvme0p3");
	else if (kind == ARGUMENT_NET)
		say(error, "it needs a network, such as lan0");
	else
		say(error, "it needs key=value, such as weight=50; 'help vm set' has the keys");
	return false;
}

static bool take_argument(enum shell_argument kind, const char *word, struct shell_call *call,
	struct sentence *error)
{
	switch (kind) {
	case ARGUMENT_VM:
		return take_vm(word, call, error);
	case ARGUMENT_SWITCH:
		return take_switch(word, call, error);
	case ARGUMENT_NUMBER:
		return take_number(word, call, error);
	case ARGUMENT_RESET:
		return take_reset(word, call, error);
	case ARGUMENT_MITIGATION:
		return take_mitigation(word, call, error);
	case ARGUMENT_MODE:
		return take_mode(word, call, error);
	case ARGUMENT_NAME:
		return take_name(word, call, error);
	case ARGUMENT_NEW:
	case ARGUMENT_CHANGES:
	case ARGUMENT_DISK:
	case ARGUMENT_NET:
	case ARGUMENT_POLICY:
		return take_settings(kind, word ? word : "", call, error);
	case ARGUMENT_ANY_VM:
		return !word || take_vm(word, call, error);
	case ARGUMENT_INDEX:
		return take_index(word, call, error);
	case ARGUMENT_PORT:
		return take_port(word, call, error);
	case ARGUMENT_COMMAND:
	case ARGUMENT_NONE:
		break;
	}
	return true;
}

static bool takes_rest(enum shell_argument kind)
{
	return kind == ARGUMENT_NEW || kind == ARGUMENT_CHANGES || kind == ARGUMENT_DISK ||
		kind == ARGUMENT_NET || kind == ARGUMENT_POLICY;
}

/* -EINVAL after "vm start: ..." */
static int take_arguments(const char *line, const struct words *words, size_t used,
	struct shell_call *call, struct sentence *error)
{
	const struct shell_command *command = call->command;
	size_t prefix;

	say_command(error, command);
	say(error, ": ");
	prefix = error->length;
	if (command->argument[0] == ARGUMENT_COMMAND) {
		call->word_count = words->count - used;
		memcpy(call->words, words->at + used, call->word_count * sizeof(call->words[0]));
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(command->argument); i++) {
		const char *word = used < words->count ? words->at[used] : NULL;
		bool rest = takes_rest(command->argument[i]);

		if (command->argument[i] == ARGUMENT_NONE)
			break;
		/* The words were cut apart in place: as it was typed it stands in the copy. */
		if (rest && word)
			word = call->text + (word - line);
		if (!take_argument(command->argument[i], word, call, error))
			return -EINVAL;
		if (rest)
			return 0;
		used++;
	}
	if (used < words->count) {
		say(error, "'%s' is a word too many; it is: ", words->at[used]);
		say_usage(error, command);
	}
	return error->length == prefix ? 0 : -EINVAL;
}

int shell_parse(const struct shell_table *table, char *line, struct shell_call *call,
	char error[SHELL_ERROR_BYTES])
{
	struct sentence sentence = {.text = error};
	struct words words;
	size_t used;

	memset(call, 0, sizeof(*call));
	line[strnlen(line, sizeof(call->text) - 1)] = '\0';
	memcpy(call->text, line, strlen(line));
	split(line, &words);
	if (!words.count)
		return -ENOENT;
	call->command = find_command(table, &words, &used, &sentence);
	if (!call->command)
		return -EINVAL;
	return take_arguments(line, &words, used, call, &sentence);
}

/* --- Completion --- */

static const char *vm_name(size_t index)
{
	return index < vms_count() ? vms_at(index)->config->name : NULL;
}

/*
 * The words of a command that may stand behind `depth` others: all of them; the caller passes
 * repetitions over.
 */
static const char *command_word(const struct shell_table *table, const char *const *before,
	size_t depth, size_t index)
{
	const struct shell_command *family = table->commands, *at;

	for (size_t i = 0; i < depth && family; i++)
		family = i == 0 ? find_family(table, before[0]) :
			find_member(table, family, i, before[i]);
	if (!family || depth == SHELL_COMMAND_WORDS)
		return NULL;
	/* Behind a command that needs no more words there may be longer ones. */
	at = family + index + (needs_word(family, depth) ? 0 : 1);
	return same_family(table, at, family, depth) ? at->word[depth] : NULL;
}

static const char *argument_word(const struct shell_table *table, const struct words *words,
	enum shell_argument kind, size_t used, const char *typed_word, size_t index)
{
	switch (kind) {
	case ARGUMENT_VM:
	case ARGUMENT_ANY_VM:
		return vm_name(index);
	case ARGUMENT_SWITCH:
		return index < ARRAY_SIZE(switch_words) ? switch_words[index] : NULL;
	case ARGUMENT_RESET:
		return index == 0 ? "reset" : NULL;
	case ARGUMENT_MITIGATION:
		return mitigation_name((unsigned int)index);
	case ARGUMENT_MODE:
		return index < ARRAY_SIZE(mode_words) ? mode_words[index] : NULL;
	case ARGUMENT_COMMAND:
		return command_word(table, words->at + used, words->count - used, index);
	case ARGUMENT_PORT:
		return index < ARRAY_SIZE(port_words) ? port_words[index] : NULL;
	case ARGUMENT_DISK:
		return shell_disk(index);
	case ARGUMENT_NET:
		return shell_net(index);
	case ARGUMENT_POLICY:
		return shell_policy(index);
	case ARGUMENT_NEW:
	case ARGUMENT_CHANGES:
		return shell_setting(typed_word, kind == ARGUMENT_NEW, index);
	case ARGUMENT_NUMBER:
	case ARGUMENT_INDEX:
	case ARGUMENT_NAME:
	case ARGUMENT_NONE:
		break;
	}
	return NULL;
}

/* Of which kind the word behind those typed is. */
static enum shell_argument argument_at(const struct shell_command *command, size_t typed)
{
	if (command->argument[0] == ARGUMENT_COMMAND)
		return ARGUMENT_COMMAND;
	for (size_t i = 0; i < ARRAY_SIZE(command->argument); i++)
		if (i == typed || takes_rest(command->argument[i]))
			return command->argument[i];
	return ARGUMENT_NONE;
}

const char *shell_candidate(const struct shell_table *table, const char *line, size_t start,
	size_t index)
{
	char before[LINEEDIT_BYTES], unused[SHELL_ERROR_BYTES];
	struct sentence error = {.text = unused};
	const struct shell_command *command;
	const char *word;
	struct words words;
	size_t used, own = 0;

	start = MIN(start, sizeof(before) - 1);
	memcpy(before, line, start);
	before[start] = '\0';
	split(before, &words);
	word = command_word(table, words.at, words.count, index);
	if (word || words.count == 0)
		return word;
	command = find_command(table, &words, &used, &error);
	if (!command)
		return NULL;
	/* What it takes comes after its longer forms. */
	while (own < index && command_word(table, words.at, words.count, own))
		own++;
	return argument_word(table, &words, argument_at(command, words.count - used), used,
		line + start, index - own);
}
