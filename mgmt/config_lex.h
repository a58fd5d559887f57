/* SPDX-License-Identifier: BSD-2-Clause */
/* The words of ballast.conf: lines, sections, assignments, quoted values, paths. Only config.c. */
#ifndef BALLAST_MGMT_CONFIG_LEX_H
#define BALLAST_MGMT_CONFIG_LEX_H

#include "mgmt/config.h"

/* A part of the text; not terminated. */
struct span {
	const char *start;
	size_t length;
};

struct config_reader {
	struct span rest;
	unsigned int line; /* number of the line read last */
};

/* A byte order mark of UTF-8 is skipped. */
void config_reader_init(struct config_reader *reader, const char *text, size_t bytes);
/* The next line without its end; false after the last one. */
bool config_reader_next(struct config_reader *reader, struct span *line);

struct span span_trim(struct span span);
bool span_equals(struct span span, const char *word);
/* Cut the first word off; both parts come back trimmed, and may be empty. */
struct span span_split_word(struct span span, struct span *rest);

/* Without a comment at its end. */
struct span lex_cut_comment(struct span line);
/* Nothing, or a comment. */
bool lex_is_blank(struct span line);
/* The first byte that is no text (a control character other than a tab), or -1. */
int lex_bad_byte(struct span line);

enum lex_error {
	LEX_OK,
	LEX_NO_BRACKET,     /* a section without its ']' */
	LEX_AFTER_BRACKET,  /* text behind it */
	LEX_NO_EQUALS,
	LEX_NO_KEY,
	LEX_NO_QUOTE,       /* an opening quote only */
	LEX_AFTER_QUOTE,    /* text behind the closing one */
	LEX_PATH_EMPTY,
	LEX_PATH_LONG,
	LEX_PATH_BYTE,      /* not printable ASCII */
	LEX_PATH_PARENT,    /* a component `..` */
};

/* [kind name], of a line whose first byte is '['. */
enum lex_error lex_section(struct span line, struct span *kind, struct span *name);
/* key = raw: the raw value still has its quotes and comment. */
enum lex_error lex_assignment(struct span line, struct span *key, struct span *raw);
/* The value without quotes and comment. */
enum lex_error lex_value(struct span raw, struct span *value);
/* PATH words, the path being quoted or not. */
enum lex_error lex_module(struct span raw, struct span *path, struct span *words);
/* Normalise a path: see struct vm_config. */
enum lex_error lex_path(struct span path, char normal[CONFIG_PATH_BYTES]);

#endif
