/* SPDX-License-Identifier: BSD-2-Clause */
/* "Did you mean ...?": the known word that a mistyped one most likely stands for. */
#ifndef BALLAST_MGMT_SUGGEST_H
#define BALLAST_MGMT_SUGGEST_H

#include "lib/util.h"

/*
 * The candidate with the fewest typing errors (letters missing, added, wrong or swapped; case and
 * `_` for `-` are free) away from `length` bytes at `word`; NULL when none is near: more than two
 * errors, or more than a third of the word.
 */
const char *suggest_word(const char *word, size_t length, const char *const *candidates,
	size_t count);

#endif
