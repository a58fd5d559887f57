/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block is a chain of sequences: a token with two lengths, the rest of the first length, so many
 * literal bytes, an offset backwards, the rest of the second length. The last one ends behind its
 * literals.
 */
#include "lib/lz.h"

#include "lib/load.h"
#include "lib/string.h"

#define PAGE_BYTES 4096U
/* The format's own: the shortest match; where the last one begins and ends, from the end. */
#define MATCH_LEAST 4U
#define MATCH_LAST_START 12U
#define LITERALS_LAST 5U

#define LENGTH_IN_TOKEN 15U
#define LENGTH_BYTE 255U

#define TABLE_BITS 11
#define TABLE_ENTRIES (1U << TABLE_BITS)
_Static_assert(TABLE_ENTRIES * sizeof(uint16_t) == LZ_STACK_BYTES, "the table on the stack");
/* After so many positions in vain the next ones are passed over, ever more of them. */
#define PATIENCE_BITS 5

/* Fast copies move whole words, and so may write up to this much behind their end. */
#define SLACK 8U
/* What a sequence without further lengths may touch, in words: of a block, and of a page. */
#define SHORT_BLOCK 17U
#define SHORT_INPUT 16U
#define SHORT_OUTPUT (LENGTH_IN_TOKEN - 1 + 24U)

struct output {
	uint8_t *bytes;
	uint32_t at, capacity;
};

static inline uint16_t *table_place(uint16_t *table, uint32_t word)
{
	return &table[word * 2654435761U >> (32 - TABLE_BITS)];
}

static inline void copy64(uint8_t *to, const uint8_t *from)
{
	uint64_t value = load64(from);

	__builtin_memcpy(to, &value, sizeof(value));
}

/* `bytes` at least, SLACK - 1 more at most; the two are SLACK apart, or more. */
static inline void copy_words(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i += SLACK)
		copy64(to + i, from + i);
}

static inline void copy_bytes(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		to[i] = from[i];
}

/* Not a byte more; the same distance. */
static inline void copy_exactly(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	uint32_t words = ROUND_DOWN(bytes, SLACK);

	copy_words(to, from, words);
	copy_bytes(to + words, from + words, bytes - words);
}

/*
 * The first position from `at` on, before `end`, whose next bytes have been seen; `*seen` is where.
 * `end`: there is none. Position 0 stands for an empty place of the table, and is compared anyway.
 */
static inline uint32_t find_match(const uint8_t *page, uint16_t *table, uint32_t at, uint32_t end,
	uint32_t *seen)
{
	uint32_t tries = 1U << PATIENCE_BITS;

	for (; at < end; at += tries++ >> PATIENCE_BITS) {
		uint32_t word = load32(page + at);
		uint16_t *place = table_place(table, word);

		*seen = *place;
		*place = (uint16_t)at;
		if (load32(page + *seen) == word)
			return at;
	}
	return end;
}

/* How many bytes are equal, as far as `end`. */
static inline uint32_t match_length(const uint8_t *page, uint32_t a, uint32_t b, uint32_t end)
{
	uint32_t start = b;

	for (; b + 8 <= end; a += 8, b += 8) {
		uint64_t difference = load64(page + a) ^ load64(page + b);

		if (difference)
			return b - start + (uint32_t)__builtin_ctzll(difference) / 8;
	}
	while (b < end && page[a] == page[b]) {
		a++;
		b++;
	}
	return b - start;
}

/* What a length takes behind the token. */
static inline uint32_t length_bytes(uint32_t length)
{
	return length < LENGTH_IN_TOKEN ? 0 : (length - LENGTH_IN_TOKEN) / LENGTH_BYTE + 1;
}

static inline void put_length(struct output *out, uint32_t length)
{
	if (length < LENGTH_IN_TOKEN)
		return;
	for (length -= LENGTH_IN_TOKEN; length >= LENGTH_BYTE; length -= LENGTH_BYTE)
		out->bytes[out->at++] = LENGTH_BYTE;
	out->bytes[out->at++] = (uint8_t)length;
}

/* `match` is a match's length above the least. */
static inline void put_token(struct output *out, uint32_t literals, uint32_t match)
{
	out->bytes[out->at++] = (uint8_t)(MIN(literals, LENGTH_IN_TOKEN) << 4 |
		MIN(match, LENGTH_IN_TOKEN));
	put_length(out, literals);
}

/* What most sequences are: both lengths in the token, and room to copy without looking. */
static inline bool put_short(struct output *out, const uint8_t *literals, uint32_t count,
	uint32_t offset, uint32_t match)
{
	uint8_t *to = out->bytes + out->at;

	if (count >= LENGTH_IN_TOKEN || match >= LENGTH_IN_TOKEN ||
		out->capacity - out->at < SHORT_BLOCK)
		return false;
	to[0] = (uint8_t)(count << 4 | match);
	copy64(to + 1, literals);
	if (count > SLACK) /* the page may end 12 bytes behind the literals */
		copy64(to + 1 + SLACK, literals + SLACK);
	to[1 + count] = (uint8_t)offset;
	to[2 + count] = (uint8_t)(offset >> 8);
	out->at += 3 + count;
	return true;
}

static inline bool put_sequence(struct output *out, const uint8_t *literals, uint32_t count,
	uint32_t offset, uint32_t match)
{
	uint32_t room = out->capacity - out->at;
	uint32_t need = 1 + length_bytes(count) + count + 2 + length_bytes(match);

	if (put_short(out, literals, count, offset, match))
		return true;
	if (need > room)
		return false;
	put_token(out, count, match);
	/* Behind literals that a match follows the page has MATCH_LAST_START bytes more. */
	if (room - need >= SLACK)
		copy_words(out->bytes + out->at, literals, count);
	else
		copy_exactly(out->bytes + out->at, literals, count);
	out->at += count;
	out->bytes[out->at++] = (uint8_t)offset;
	out->bytes[out->at++] = (uint8_t)(offset >> 8);
	put_length(out, match);
	return true;
}

static inline bool put_last(struct output *out, const uint8_t *literals, uint32_t count)
{
	if (1 + length_bytes(count) + count > out->capacity - out->at)
		return false;
	put_token(out, count, 0);
	memcpy(out->bytes + out->at, literals, count);
	out->at += count;
	return true;
}

size_t lz_compress(const void *in, void *buffer, size_t capacity)
{
	struct output out = { buffer, 0, (uint32_t)MIN(capacity, 2U * PAGE_BYTES) };
	const uint32_t end = PAGE_BYTES - MATCH_LAST_START;
	uint32_t at = 1, done = 0, seen, match;
	uint16_t table[TABLE_ENTRIES];
	const uint8_t *page = in;

	memset(table, 0, sizeof(table));
	for (;;) {
		at = find_match(page, table, at, end, &seen);
		if (at >= end)
			break;
		match = match_length(page, seen + MATCH_LEAST, at + MATCH_LEAST,
			PAGE_BYTES - LITERALS_LAST);
		for (; at > done && seen && page[at - 1] == page[seen - 1]; at--, seen--)
			match++;
		if (!put_sequence(&out, page + done, at - done, at - seen, match))
			return 0;
		at += MATCH_LEAST + match;
		done = at;
		if (at < end)
			*table_place(table, load32(page + at - 2)) = (uint16_t)(at - 2);
	}
	return put_last(&out, page + done, PAGE_BYTES - done) ? out.at : 0;
}

struct input {
	const uint8_t *bytes;
	uint32_t at, end;
};

/* The rest of a length that did not fit the token. False: the input ends, or it is over a page. */
static inline bool get_length(struct input *in, uint32_t *length)
{
	uint8_t byte;

	if (*length < LENGTH_IN_TOKEN)
		return true;
	do {
		if (in->at == in->end || *length > PAGE_BYTES)
			return false;
		byte = in->bytes[in->at++];
		*length += byte;
	} while (byte == LENGTH_BYTE);
	return true;
}

static inline bool get_literals(struct input *in, uint8_t *page, uint32_t *done, uint32_t count)
{
	uint32_t left = in->end - in->at, room = PAGE_BYTES - *done;

	if (count > left || count > room)
		return false;
	if (left - count >= SLACK && room - count >= SLACK)
		copy_words(page + *done, in->bytes + in->at, count);
	else
		copy_exactly(page + *done, in->bytes + in->at, count);
	in->at += count;
	*done += count;
	return true;
}

/* Bytes that may overlap with what they are copied from: those nearer than `offset` repeat. */
static inline void copy_match(uint8_t *page, uint32_t to, uint32_t offset, uint32_t count)
{
	if (offset < SLACK) {
		/* Once behind the first word, what repeats does so at multiples of the offset. */
		copy_bytes(page + to, page + to - offset, MIN(count, SLACK));
		if (count <= SLACK)
			return;
		to += SLACK;
		count -= SLACK;
		offset *= (SLACK + offset - 1) / offset;
	}
	if (PAGE_BYTES - to >= count + SLACK)
		copy_words(page + to, page + to - offset, count);
	else
		copy_exactly(page + to, page + to - offset, count);
}

/* What most sequences are: both lengths in the token, and room to copy without looking. */
static inline bool get_short(struct input *in, uint8_t *page, uint32_t *done, uint8_t token)
{
	uint32_t literals = token >> 4, match = (token & LENGTH_IN_TOKEN) + MATCH_LEAST, offset, to;
	const uint8_t *from = in->bytes + in->at;

	if (literals == LENGTH_IN_TOKEN || match == LENGTH_IN_TOKEN + MATCH_LEAST ||
		in->end - in->at < SHORT_INPUT || PAGE_BYTES - *done < SHORT_OUTPUT)
		return false;
	to = *done + literals;
	offset = from[literals] | (uint32_t)from[literals + 1] << 8;
	if (offset < SLACK || offset > to)
		return false;
	copy64(page + *done, from);
	copy64(page + *done + 8, from + 8);
	copy64(page + to, page + to - offset);
	copy64(page + to + 8, page + to + 8 - offset);
	copy64(page + to + 16, page + to + 16 - offset);
	in->at += literals + 2;
	*done = to + match;
	return true;
}

static inline bool get_match(struct input *in, uint8_t *page, uint32_t *done, uint32_t count)
{
	uint32_t offset;

	if (in->end - in->at < 2)
		return false;
	offset = in->bytes[in->at] | (uint32_t)in->bytes[in->at + 1] << 8;
	in->at += 2;
	if (!get_length(in, &count))
		return false;
	count += MATCH_LEAST;
	if (!offset || offset > *done || count > PAGE_BYTES - *done)
		return false;
	copy_match(page, *done, offset, count);
	*done += count;
	return true;
}

int lz_decompress(const void *bytes, size_t count, void *page)
{
	struct input in = { bytes, 0, (uint32_t)MIN(count, 2U * PAGE_BYTES) };
	uint32_t done = 0, literals;
	uint8_t token;

	while (in.at < in.end) {
		token = in.bytes[in.at++];
		if (get_short(&in, page, &done, token))
			continue;
		literals = token >> 4;
		if (!get_length(&in, &literals) || !get_literals(&in, page, &done, literals))
			return -EINVAL;
		if (in.at == in.end)
			return done == PAGE_BYTES && in.end == count ? 0 : -EINVAL;
		if (!get_match(&in, page, &done, token & LENGTH_IN_TOKEN))
			return -EINVAL;
	}
	return -EINVAL;
}
