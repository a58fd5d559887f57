/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compression of a page of 4 KiB, in the LZ4 block format: fast rather than tight. Pure; nothing is
 * allocated, the compressor has a table of LZ_STACK_BYTES on the stack.
 */
#ifndef BALLAST_LIB_LZ_H
#define BALLAST_LIB_LZ_H

#include "lib/util.h"

#define LZ_STACK_BYTES 4096

/*
 * How many bytes of `out` the page took; 0 when `capacity` is not enough for it. What `out` holds
 * then is undefined; nothing beyond `capacity` is ever written. The bytes depend on the page alone.
 */
size_t lz_compress(const void *page, void *out, size_t capacity) __must_check;

/*
 * The page again, from exactly `bytes` bytes. -EINVAL when they are no page in this format: nothing
 * outside of `in` was read, nor outside of `page` written, whatever they are.
 */
int lz_decompress(const void *in, size_t bytes, void *page) __must_check;

#endif
