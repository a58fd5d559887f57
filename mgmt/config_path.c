/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/string.h"
#include "mgmt/config.h"

void config_path_slashes(const char *path, char slashes[CONFIG_PATH_BYTES])
{
	size_t length = strnlen(path, CONFIG_PATH_BYTES - 1);

	for (size_t i = 0; i < length; i++)
		slashes[i] = path[i] == '\\' ? '/' : path[i];
	slashes[length] = '\0';
}
