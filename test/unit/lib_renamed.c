/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/ under other names, so that a test can hold it against the build machine's libc. */
#define memcpy ballast_memcpy
#define memmove ballast_memmove
#define memset ballast_memset
#define memcmp ballast_memcmp
#define memchr ballast_memchr
#define strlen ballast_strlen
#define strnlen ballast_strnlen
#define strcmp ballast_strcmp
#define strncmp ballast_strncmp
#define strchr ballast_strchr
#define vsnprintf ballast_vsnprintf
#define snprintf ballast_snprintf

#include "lib/string.c"
#include "lib/printf.c"
