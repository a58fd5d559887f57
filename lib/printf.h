/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Formatted output into a bounded buffer, under the standard names (see lib/string.h for why).
 * Ballast's own implementation knows: %% %c %s %d %i %u %x %X %p; flags `-` and `0`; width and
 * precision as digits or `*`; lengths h, hh, l, ll, z. Nothing else: there is no floating point.
 */
#ifndef BALLAST_LIB_PRINTF_H
#define BALLAST_LIB_PRINTF_H

#include <stdarg.h>
#include <stddef.h>

/* Always terminates when size > 0. Returns the length that the whole text would have. */
int vsnprintf(char *restrict to, size_t size, const char *restrict format, va_list args);
int snprintf(char *restrict to, size_t size, const char *restrict format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
