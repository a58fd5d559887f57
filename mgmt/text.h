/* SPDX-License-Identifier: BSD-2-Clause */
/* Quantities as an operator reads them, and lines of 80 columns. Pure. */
#ifndef BALLAST_MGMT_TEXT_H
#define BALLAST_MGMT_TEXT_H

#include "lib/util.h"

#define TEXT_BYTES 24

struct sched_params;
struct vm_config;

struct text {
	char chars[TEXT_BYTES];
};

/* "256 MiB": three digits at least, where the unit has them. */
struct text text_size(uint64_t bytes);
/* Four digits and a unit at most: "1024K", "9999M". */
struct text text_short_size(uint64_t bytes);
/* "0:03:12", "3d 04:00:59" */
struct text text_duration(uint64_t ns);
/* "65.8%"; of nothing: "0.0%" */
struct text text_share(uint64_t part, uint64_t whole);

/* "weight 50, cap 25%, cpus 0-3,6"; cut when the set of CPUs is long. (mgmt/text_sched.c) */
struct text_line {
	char chars[120];
};
struct text_line text_sched(const struct sched_params *sched);
/* "memory 256 MiB, 64 MiB guaranteed, 2560 shares", and what else there is. (mgmt/text_memory.c) */
struct text_line text_memory(const struct vm_config *config);

/*
 * Write `words` as lines of at most 79 columns, broken at blanks, `label` before the first and as
 * many blanks before the others.
 */
void text_wrap(const char *label, const char *words, void (*line)(const char *line));

#endif
