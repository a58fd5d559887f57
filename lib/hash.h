/* SPDX-License-Identifier: BSD-2-Clause */
/* A fast checksum that tells different contents apart, and damage: XXH64. It keeps no secrets. */
#ifndef BALLAST_LIB_HASH_H
#define BALLAST_LIB_HASH_H

#include "lib/util.h"

/* Of a page of 4 KiB. */
uint64_t hash_page(const void *page, uint64_t seed);

#endif
