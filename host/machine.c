/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/machine.h"

struct machine machine;

static char fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '/' ? '\\' : c;
}

bool machine_same_name(const char *a, const char *b)
{
	while (*a && fold(*a) == fold(*b)) {
		a++;
		b++;
	}
	return fold(*a) == fold(*b);
}

/* Paths start at the root of the volume, whether they say so or not. */
static const char *without_root(const char *path)
{
	while (fold(*path) == '\\')
		path++;
	return path;
}

const struct machine_file *machine_find_file(const char *path)
{
	for (size_t i = 0; i < machine.file_count; i++)
		if (machine_same_name(without_root(machine.files[i].path), without_root(path)))
			return &machine.files[i];
	return NULL;
}
