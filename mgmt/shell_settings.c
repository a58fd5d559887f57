/* SPDX-License-Identifier: BSD-2-Clause */
/* What may be typed as a setting of `vm create` and `vm set`: keys, and values where few. */
#include "host/block/block.h"
#include "host/machine.h"
#include "host/net/net.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/shell.h"
#include "mgmt/vms.h"

static const char *const switches[] = {"yes", "no"};
static const char *const shares[] = {"low", "normal", "high"};

static bool is_key(const char *typed, const char *key)
{
	size_t length = strlen(key);

	return strncmp(typed, key, length) == 0 && typed[length] == '=';
}

/* A file in memory; NULL after the last. */
static const char *file(size_t index)
{
	static char slashes[CONFIG_PATH_BYTES];

	for (size_t i = 0; i < machine.file_count; i++) {
		if (machine.files[i].error || index--)
			continue;
		config_path_slashes(machine.files[i].path, slashes);
		return slashes;
	}
	return NULL;
}

const char *shell_disk(size_t index)
{
	const struct block_device *device;
	size_t files = 0;

	while (file(files))
		files++;
	if (index < files)
		return file(index);
	device = block_at(index - files);
	return device ? device->name : NULL;
}

const char *shell_net(size_t index)
{
	const struct net_switch *net = net_at(index);

	return net ? net_name(net) : NULL;
}

static const char *value(const char *typed, size_t index)
{
	if (is_key(typed, "kernel") || is_key(typed, "initrd") || is_key(typed, "module"))
		return file(index);
	if (is_key(typed, "like"))
		return index < vms_count() ? vms_at(index)->config->name : NULL;
	if (is_key(typed, "boot"))
		return index < CONFIG_BOOTS ? config_boot_names[index] : NULL;
	if (is_key(typed, "shares"))
		return index < ARRAY_SIZE(shares) ? shares[index] : NULL;
	if (is_key(typed, "disk"))
		return shell_disk(index);
	if (is_key(typed, "net"))
		return shell_net(index);
	if (is_key(typed, "autostart") || is_key(typed, "debug-exit") ||
		is_key(typed, "console") || is_key(typed, "rng") || is_key(typed, "balloon"))
		return index < ARRAY_SIZE(switches) ? switches[index] : NULL;
	return NULL;
}

const char *shell_setting(const char *typed, bool is_new, size_t index)
{
	static char word[CONFIG_NAME_BYTES + CONFIG_PATH_BYTES];
	const char *equals = strchr(typed, '='), *name;

	if (equals) {
		name = value(typed, index);
		if (!name || equals - typed >= CONFIG_NAME_BYTES)
			return NULL;
		snprintf(word, sizeof(word), "%.*s=%s", (int)(equals - typed), typed, name);
		return word;
	}
	name = config_key_name(index);
	if (!name && is_new && index == CONFIG_VM_KEYS)
		name = "like";
	if (!name)
		return NULL;
	snprintf(word, sizeof(word), "%s=", name);
	return word;
}
