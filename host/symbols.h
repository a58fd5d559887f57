/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of Ballast's functions, for backtraces. boot/symbols.py writes the table from the linked
 * program: for each function, by address, its distance from the one before (LEB128), how many
 * leading characters its name shares with that one's (a byte), and the rest, ended by a zero.
 */
#ifndef BALLAST_HOST_SYMBOLS_H
#define BALLAST_HOST_SYMBOLS_H

#include "lib/util.h"

#define SYMBOL_NAME_BYTES 64

/* Name of the function at or before `address`, and the distance; false outside the program. */
bool symbol_find(uint64_t address, char name[SYMBOL_NAME_BYTES], uint64_t *offset);

#endif
