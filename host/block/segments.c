/* SPDX-License-Identifier: BSD-2-Clause */
/* Moving data between buffers and the segments of a request. */
#include "host/block/block.h"
#include "host/memory.h"
#include "lib/string.h"

/* Where a walk over a request's segments stands. */
struct cursor {
	const struct block_segment *segment;
	uint64_t offset; /* in it */
};

static struct cursor cursor_at(const struct block_request *request, uint64_t at)
{
	struct cursor cursor = { request->segments, at };

	while (cursor.offset && cursor.offset >= cursor.segment->bytes)
		cursor.offset -= cursor.segment++->bytes;
	return cursor;
}

/* The next piece in one part, of `bytes` at most: how long it is. */
static uint64_t cursor_take(struct cursor *cursor, uint64_t bytes, hpa_t *start)
{
	uint64_t part = MIN(bytes, cursor->segment->bytes - cursor->offset);

	*start = cursor->segment->start + cursor->offset;
	cursor->offset += part;
	if (cursor->offset == cursor->segment->bytes) {
		cursor->segment++;
		cursor->offset = 0;
	}
	return part;
}

void block_copy_to(const struct block_request *request, uint64_t at, const void *buffer,
	uint64_t bytes)
{
	struct cursor cursor = cursor_at(request, at);
	const uint8_t *from = buffer;

	while (bytes) {
		hpa_t to;
		uint64_t part = cursor_take(&cursor, bytes, &to);

		memcpy(host_ptr(to), from, part);
		from += part;
		bytes -= part;
	}
}

void block_copy_from(const struct block_request *request, uint64_t at, void *buffer, uint64_t bytes)
{
	struct cursor cursor = cursor_at(request, at);
	uint8_t *to = buffer;

	while (bytes) {
		hpa_t from;
		uint64_t part = cursor_take(&cursor, bytes, &from);

		memcpy(to, host_ptr(from), part);
		to += part;
		bytes -= part;
	}
}

void block_zero(const struct block_request *request, uint64_t at, uint64_t bytes)
{
	struct cursor cursor = cursor_at(request, at);

	while (bytes) {
		hpa_t start;
		uint64_t part = cursor_take(&cursor, bytes, &start);

		memset(host_ptr(start), 0, part);
		bytes -= part;
	}
}

unsigned int block_slice(const struct block_request *request, uint64_t at, uint64_t bytes,
	struct block_segment segments[BLOCK_MAX_SEGMENTS])
{
	struct cursor cursor = cursor_at(request, at);
	unsigned int count = 0;

	while (bytes) {
		struct block_segment *piece = &segments[count++];

		piece->bytes = (uint32_t)cursor_take(&cursor, bytes, &piece->start);
		bytes -= piece->bytes;
	}
	return count;
}
