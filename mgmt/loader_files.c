/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's files among those that boot/ read. */
#include "host/machine.h"
#include "lib/printf.h"
#include "mgmt/loader.h"

static int find_file(const char *role, const char *path, struct loader_file *file, char *why,
	size_t size)
{
	const struct machine_file *found = machine_find_file(path);

	if (found && found->data) {
		*file = (struct loader_file){ found->data, found->bytes };
		return 0;
	}
	if (!found || found->error == -ENOENT)
		snprintf(why, size, "%s %s is not on the boot volume", role, path);
	else if (found->error == -ENOMEM)
		snprintf(why, size, "%s %s did not fit into the machine's memory", role, path);
	else
		snprintf(why, size, "%s %s could not be read from the boot volume (error %d)", role,
			path, found->error);
	return found && found->error ? found->error : -ENOENT;
}

int loader_find_files(const struct vm_config *config, struct loader_files *files, char *why,
	size_t size)
{
	int error = find_file("kernel", config->kernel, &files->kernel, why, size);

	files->initrd = (struct loader_file){ 0 };
	if (!error && config->initrd)
		error = find_file("initrd", config->initrd, &files->initrd, why, size);
	for (size_t i = 0; i < config->module_count && !error; i++)
		error = find_file("module", config->modules[i].path, &files->modules[i], why, size);
	return error;
}
