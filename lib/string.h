/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of <string.h> that Ballast uses, under its standard names: GCC emits calls to the mem*
 * functions by itself, and the build-machine tests link the same callers against libc.
 */
#ifndef BALLAST_LIB_STRING_H
#define BALLAST_LIB_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
void *memchr(const void *start, int byte, size_t size);

size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t max);
char *strchr(const char *s, int c);

#endif
