/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the configuration's parser share: the state of a parse, tables of keys, values
 * and diagnostics. Only config*.c. The same keys are read from ballast.conf and from the words of a
 * command; a mistake is a line in the list of the one, and the answer of the other.
 */
#ifndef BALLAST_MGMT_CONFIG_PARSER_H
#define BALLAST_MGMT_CONFIG_PARSER_H

#include "mgmt/config_lex.h"

/* A word of the file as it is quoted in a diagnostic. */
#define CONFIG_WORD_BYTES 44
#define CONFIG_MAX_KEYS 24 /* of one section */

struct config_parser;

/* A key of a section. `set` stores the value, or diagnoses what is wrong with it. */
struct config_key {
	const char *name;
	void (*set)(struct config_parser *p, const char *key, struct span raw);
	bool repeats; /* may be given again and again */
	bool bare;    /* may stand by itself: as with "yes" */
};

struct config_keys {
	const struct config_key *keys;
	size_t count;
	const char *where; /* behind "unknown key 'x'": "", " in [ballast]" */
};

extern const struct config_keys config_vm_keys;      /* config_vm.c */
extern const struct config_keys config_ballast_keys; /* config_ballast.c */
extern const struct config_keys config_network_keys; /* config_devices.c */

/* config_memory.c, for the table of config_vm.c */
void config_set_memory(struct config_parser *p, const char *key, struct span raw);
void config_set_maxmem(struct config_parser *p, const char *key, struct span raw);
void config_set_hotplug(struct config_parser *p, const char *key, struct span raw);
void config_set_min(struct config_parser *p, const char *key, struct span raw);
void config_set_shares(struct config_parser *p, const char *key, struct span raw);
void config_set_group(struct config_parser *p, const char *key, struct span raw);
/* All keys of p->vm have been read: do those about memory go together? */
void config_check_memory(struct config_parser *p);

/* config_devices.c, for the table of config_vm.c */
void config_set_disk(struct config_parser *p, const char *key, struct span raw);
void config_set_net(struct config_parser *p, const char *key, struct span raw);
void config_set_console(struct config_parser *p, const char *key, struct span raw);
void config_set_rng(struct config_parser *p, const char *key, struct span raw);
void config_set_balloon(struct config_parser *p, const char *key, struct span raw);
/* For that of config_ballast.c. */
void config_set_swap(struct config_parser *p, const char *key, struct span raw);
/* Is what a disk comes from a path, and not the name of one of the machine's? */
bool config_is_path(struct span text);

/* Where texts are kept. */
struct config_strings {
	char *bytes;
	size_t size, used;
};

struct config_parser {
	struct config *out;                      /* NULL: the words of a command */
	char *error;                             /* of a command: CONFIG_DIAGNOSTIC_BYTES */
	struct config_strings *strings;
	struct vm_config *vm;                    /* while keys of a VM are read */
	struct config_network *network;          /* while those of a network are */
	unsigned int key_line[CONFIG_MAX_KEYS];  /* where a key was seen; 0: not yet */
	unsigned int line;
	unsigned int section;                    /* config.c's */
};

/* NULL when a VM may have this name; else what is wrong with it: "is too long". */
const char *config_name_fault(struct span name);
#define CONFIG_NAME_RULE "1 to %d letters, digits, '-', '_' or '.'" /* CONFIG_NAME_BYTES - 1 */

/* One of the table's keys has been given; mistakes are diagnosed. */
void config_parse_key(struct config_parser *p, const struct config_keys *table, struct span key,
	struct span raw);
/* A key that stands by itself, such as `rng`; false: the line is none. */
bool config_parse_bare(struct config_parser *p, const struct config_keys *table, struct span line);
/* The index of a key; -1: there is none of this name. */
int config_find_key(const struct config_keys *table, struct span key);

/* Store a diagnostic for `line`; the VM being parsed, if any, is not startable from here on. */
void config_diagnose_line(struct config_parser *p, unsigned int line, const char *format, ...)
	__printf(3, 4);
#define config_diagnose(p, ...) config_diagnose_line(p, (p)->line, __VA_ARGS__)

/* The span as it may be shown: printable, and cut when it is long. */
const char *config_show(struct span span, char word[CONFIG_WORD_BYTES]);
/* A terminated copy that lives as long as the strings. */
const char *config_keep(struct config_parser *p, struct span span);

/* Digits at the start of the span; false when there are none. Stops counting at 2^60. */
bool config_number(struct span span, uint64_t *number, struct span *rest);

/* The next of the items that commas part, trimmed; false: there are no more. */
bool config_next_item(struct span *list, struct span *item);
/* "10M": a number and perhaps a unit. */
bool config_read_size(struct span span, uint64_t *bytes, bool *has_unit);
/* Whole pages, at least 1M; false after a diagnostic, as with those below. */
bool config_check_size(struct config_parser *p, const char *key, struct span value,
	uint64_t *bytes);
/* The kept, normalised path, or NULL. */
const char *config_keep_path(struct config_parser *p, const char *key, struct span path);

/* These take what `key` was given; false, -1 or NULL after a diagnostic. */
bool config_take_value(struct config_parser *p, const char *key, struct span raw,
	struct span *value);
bool config_take_number(struct config_parser *p, const char *key, struct span raw, uint64_t least,
	uint64_t most, uint64_t *number);
bool config_take_size(struct config_parser *p, const char *key, struct span raw, uint64_t *bytes);
/* The index of one of the words. */
int config_take_choice(struct config_parser *p, const char *key, struct span raw,
	const char *const *words, size_t count);
/* "yes" or "no" */
void config_take_switch(struct config_parser *p, const char *key, struct span raw, bool *on);
/* The kept, normalised path. */
const char *config_take_path(struct config_parser *p, const char *key, struct span raw);
/* PATH words */
bool config_take_module(struct config_parser *p, const char *key, struct span raw,
	struct config_module *module);
/* "0-3,6", "all" */
bool config_take_cpus(struct config_parser *p, const char *key, struct span raw,
	struct cpu_set *cpus);

#endif
