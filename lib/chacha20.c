/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block is a square of words, of which each row is a vector: a quarter round is done with all
 * columns at once. Two blocks are made together, because the steps of one wait for each other.
 */
#include "lib/chacha20.h"

#include "lib/string.h"

#define DOUBLE_ROUNDS 10
#define ROWS 4
#define TOGETHER 2
#define XMM_REGISTERS 16

typedef uint32_t row_t __attribute__((vector_size(16)));
typedef uint16_t halves_t __attribute__((vector_size(16)));

struct square {
	row_t row[ROWS];
};

/* The rest of the program is made without vectors. SSE2 is in every x86-64 CPU. */
#define WITH_VECTORS __attribute__((target("sse2")))
#define INLINE_WITH_VECTORS WITH_VECTORS static inline __attribute__((always_inline))

INLINE_WITH_VECTORS row_t rotate(row_t row, int bits)
{
	return row << bits | row >> (32 - bits);
}

INLINE_WITH_VECTORS row_t rotate_16(row_t row)
{
	halves_t halves = (halves_t)row;

	return (row_t)__builtin_shufflevector(halves, halves, 1, 0, 3, 2, 5, 4, 7, 6);
}

/* "The ChaCha Quarter Round", in each column. */
INLINE_WITH_VECTORS void quarter_rounds(struct square *x)
{
	x->row[0] += x->row[1];
	x->row[3] = rotate_16(x->row[3] ^ x->row[0]);
	x->row[2] += x->row[3];
	x->row[1] = rotate(x->row[1] ^ x->row[2], 12);
	x->row[0] += x->row[1];
	x->row[3] = rotate(x->row[3] ^ x->row[0], 8);
	x->row[2] += x->row[3];
	x->row[1] = rotate(x->row[1] ^ x->row[2], 7);
}

#define TURN(row, by) \
	__builtin_shufflevector(row, row, (by) % 4, ((by) + 1) % 4, ((by) + 2) % 4, ((by) + 3) % 4)

INLINE_WITH_VECTORS void diagonals_to_columns(struct square *x)
{
	x->row[1] = TURN(x->row[1], 1);
	x->row[2] = TURN(x->row[2], 2);
	x->row[3] = TURN(x->row[3], 3);
}

INLINE_WITH_VECTORS void columns_to_diagonals(struct square *x)
{
	x->row[1] = TURN(x->row[1], 3);
	x->row[2] = TURN(x->row[2], 2);
	x->row[3] = TURN(x->row[3], 1);
}

INLINE_WITH_VECTORS struct square sum_of(const struct square *x, const struct square *y)
{
	return (struct square){ .row = {
		x->row[0] + y->row[0],
		x->row[1] + y->row[1],
		x->row[2] + y->row[2],
		x->row[3] + y->row[3],
	} };
}

/* "The ChaCha20 Block Function": the key stream's next blocks. */
INLINE_WITH_VECTORS void make_blocks(struct square *state, struct square stream[TOGETHER])
{
	const row_t next = { 1, 0, 0, 0 };
	struct square a = *state, b = *state;

	b.row[3] += next;
	for (unsigned int i = 0; i < DOUBLE_ROUNDS; i++) {
		quarter_rounds(&a);
		quarter_rounds(&b);
		diagonals_to_columns(&a);
		diagonals_to_columns(&b);
		quarter_rounds(&a);
		quarter_rounds(&b);
		columns_to_diagonals(&a);
		columns_to_diagonals(&b);
	}
	stream[0] = sum_of(&a, state);
	state->row[3] += next;
	stream[1] = sum_of(&b, state);
	state->row[3] += next;
}

INLINE_WITH_VECTORS void xor_square(const struct square *stream, const uint8_t *from, uint8_t *to)
{
	struct square x;

	__builtin_memcpy(&x, from, sizeof(x));
	x.row[0] ^= stream->row[0];
	x.row[1] ^= stream->row[1];
	x.row[2] ^= stream->row[2];
	x.row[3] ^= stream->row[3];
	__builtin_memcpy(to, &x, sizeof(x));
}

/* Apart from its caller, who has the registers saved, and on a stack that may not be aligned. */
WITH_VECTORS __attribute__((noinline, force_align_arg_pointer)) static void xor_stream(
	const uint32_t words[ROWS * 4], const uint8_t *from, uint8_t *to, size_t bytes)
{
	struct square state, stream[TOGETHER];
	const uint8_t *part = (const uint8_t *)stream;

	__builtin_memcpy(&state, words, sizeof(state));
	for (; bytes >= sizeof(stream); bytes -= sizeof(stream)) {
		make_blocks(&state, stream);
		xor_square(&stream[0], from, to);
		xor_square(&stream[1], from + sizeof(*stream), to + sizeof(*stream));
		from += sizeof(stream);
		to += sizeof(stream);
	}
	if (!bytes)
		return;
	make_blocks(&state, stream);
	for (size_t i = 0; i < bytes; i++)
		to[i] = from[i] ^ part[i];
}

/* What a guest, or whoever calls, has in the vector registers. */
struct vectors {
	uint64_t words[XMM_REGISTERS * 2];
};

#define ALL_XMM(what)                                           \
	what(0) what(1) what(2) what(3) what(4) what(5) what(6) \
	what(7) what(8) what(9) what(10) what(11) what(12)      \
	what(13) what(14) what(15)
#define SAVE(n) "movups %%xmm" #n ", 16 * " #n "(%0)\n\t"
#define RESTORE(n) "movups 16 * " #n "(%0), %%xmm" #n "\n\t"

static inline void save(struct vectors *vectors)
{
	__asm__ volatile(ALL_XMM(SAVE) : : "r"(vectors->words) : "memory");
}

/* The copy is erased: it would lie about on the stack. */
static inline void restore(struct vectors *vectors)
{
	volatile uint64_t *word = vectors->words;

	__asm__ volatile(ALL_XMM(RESTORE) : : "r"(vectors->words) : "memory");
	for (unsigned int i = 0; i < ARRAY_SIZE(vectors->words); i++)
		word[i] = 0;
}

void chacha20_set_key(struct chacha20_key *key, const uint8_t bytes[CHACHA20_KEY_BYTES])
{
	memcpy(key->words, bytes, CHACHA20_KEY_BYTES);
}

void chacha20_xor(const struct chacha20_key *key, const uint8_t nonce[CHACHA20_NONCE_BYTES],
	uint32_t block, const void *from, void *to, size_t bytes)
{
	/* "expand 32-byte k" */
	uint32_t words[ROWS * 4] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
	struct vectors vectors;

	memcpy(words + 4, key->words, CHACHA20_KEY_BYTES);
	words[12] = block;
	memcpy(words + 13, nonce, CHACHA20_NONCE_BYTES);
	save(&vectors);
	xor_stream(words, from, to, bytes);
	restore(&vectors);
}
