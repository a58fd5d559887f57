/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/config_lex.h"
#include "lib/string.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_slash(char c)
{
	return c == '/' || c == '\\';
}

static struct span span_from(struct span span, size_t skip)
{
	return (struct span){ span.start + skip, span.length - skip };
}

struct span span_trim(struct span span)
{
	while (span.length > 0 && is_blank(span.start[0]))
		span = span_from(span, 1);
	while (span.length > 0 && is_blank(span.start[span.length - 1]))
		span.length--;
	return span;
}

bool span_equals(struct span span, const char *word)
{
	return span.length == strlen(word) && memcmp(span.start, word, span.length) == 0;
}

struct span span_split_word(struct span span, struct span *rest)
{
	struct span word = span_trim(span);
	size_t length = 0;

	while (length < word.length && !is_blank(word.start[length]))
		length++;
	*rest = span_trim(span_from(word, length));
	word.length = length;
	return word;
}

void config_reader_init(struct config_reader *reader, const char *text, size_t bytes)
{
	reader->rest = (struct span){ text, bytes };
	reader->line = 0;
	if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		reader->rest = span_from(reader->rest, 3);
}

bool config_reader_next(struct config_reader *reader, struct span *line)
{
	const char *end;

	if (reader->rest.length == 0)
		return false;
	end = memchr(reader->rest.start, '\n', reader->rest.length);
	*line = reader->rest;
	if (end)
		line->length = (size_t)(end - line->start);
	reader->rest = span_from(reader->rest, line->length + (end ? 1 : 0));
	reader->line++;
	if (line->length > 0 && line->start[line->length - 1] == '\r')
		line->length--;
	return true;
}

static bool starts_comment(struct span span)
{
	return span.length > 0 && (span.start[0] == '#' || span.start[0] == ';');
}

bool lex_is_blank(struct span line)
{
	line = span_trim(line);
	return line.length == 0 || starts_comment(line);
}

int lex_bad_byte(struct span line)
{
	for (size_t i = 0; i < line.length; i++) {
		unsigned char c = (unsigned char)line.start[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return c;
	}
	return -1;
}

enum lex_error lex_section(struct span line, struct span *kind, struct span *name)
{
	struct span inside = span_from(span_trim(line), 1);
	const char *end = memchr(inside.start, ']', inside.length);
	struct span after;

	if (!end)
		return LEX_NO_BRACKET;
	after = span_from(inside, (size_t)(end - inside.start) + 1);
	inside.length = (size_t)(end - inside.start);
	*kind = span_split_word(inside, name);
	return lex_is_blank(after) ? LEX_OK : LEX_AFTER_BRACKET;
}

enum lex_error lex_assignment(struct span line, struct span *key, struct span *raw)
{
	const char *equals;

	line = span_trim(line);
	equals = memchr(line.start, '=', line.length);
	*key = line;
	*raw = (struct span){ line.start + line.length, 0 };
	if (!equals)
		return LEX_NO_EQUALS;
	key->length = (size_t)(equals - line.start);
	*raw = span_trim(span_from(line, key->length + 1));
	*key = span_trim(*key);
	return key->length ? LEX_OK : LEX_NO_KEY;
}

/* Up to a comment that follows a blank, or begins the span. */
struct span lex_cut_comment(struct span span)
{
	for (size_t i = 0; i < span.length; i++) {
		if (!starts_comment(span_from(span, i)) || (i > 0 && !is_blank(span.start[i - 1])))
			continue;
		span.length = i;
		break;
	}
	return span_trim(span);
}

/* The text between the quotes that `raw` begins with; *after is the rest of the line. */
static enum lex_error lex_quoted(struct span raw, struct span *value, struct span *after)
{
	struct span inside = span_from(raw, 1);
	const char *end = memchr(inside.start, raw.start[0], inside.length);

	if (!end)
		return LEX_NO_QUOTE;
	*value = inside;
	value->length = (size_t)(end - inside.start);
	*after = span_from(inside, value->length + 1);
	return LEX_OK;
}

static bool starts_quote(struct span span)
{
	return span.length > 0 && (span.start[0] == '"' || span.start[0] == '\'');
}

enum lex_error lex_value(struct span raw, struct span *value)
{
	struct span after;
	enum lex_error error;

	if (!starts_quote(raw)) {
		*value = lex_cut_comment(raw);
		return LEX_OK;
	}
	error = lex_quoted(raw, value, &after);
	if (error != LEX_OK)
		return error;
	return lex_is_blank(after) ? LEX_OK : LEX_AFTER_QUOTE;
}

enum lex_error lex_module(struct span raw, struct span *path, struct span *words)
{
	struct span after = raw;
	enum lex_error error = LEX_OK;

	if (!starts_quote(raw)) {
		*path = span_split_word(lex_cut_comment(raw), words);
		return LEX_OK;
	}
	error = lex_quoted(raw, path, &after);
	if (error != LEX_OK)
		return error;
	if (lex_is_blank(after)) {
		*path = span_split_word(*path, words);
		return LEX_OK;
	}
	*words = lex_cut_comment(after);
	return is_blank(after.start[0]) ? LEX_OK : LEX_AFTER_QUOTE;
}

/* The component at the start of `path`, which does not begin with a slash. */
static struct span path_component(struct span path)
{
	size_t length = 0;

	while (length < path.length && !is_slash(path.start[length]))
		length++;
	path.length = length;
	return path;
}

static enum lex_error append_component(char normal[CONFIG_PATH_BYTES], size_t *used,
	struct span part)
{
	if (part.length + 2 > CONFIG_PATH_BYTES - *used)
		return LEX_PATH_LONG;
	normal[(*used)++] = '\\';
	memcpy(normal + *used, part.start, part.length);
	*used += part.length;
	normal[*used] = '\0';
	return LEX_OK;
}

enum lex_error lex_path(struct span path, char normal[CONFIG_PATH_BYTES])
{
	size_t used = 0;

	for (size_t i = 0; i < path.length; i++) {
		if (path.start[i] < ' ' || path.start[i] > '~')
			return LEX_PATH_BYTE;
	}
	while (path.length > 0) {
		struct span part = path_component(path);
		enum lex_error error;

		path = span_from(path, MIN(part.length + 1, path.length));
		if (part.length == 0 || span_equals(part, "."))
			continue;
		if (span_equals(part, ".."))
			return LEX_PATH_PARENT;
		error = append_component(normal, &used, part);
		if (error != LEX_OK)
			return error;
	}
	return used ? LEX_OK : LEX_PATH_EMPTY;
}
