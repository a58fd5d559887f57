/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/loader_common.h"
#include "lib/printf.h"
#include "lib/string.h"
#include <linux/elf.h>

int loader_fail(struct loader *loader, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(loader->why, loader->why_bytes, format, args);
	va_end(args);
	return error;
}

int loader_write(struct loader *loader, gpa_t gpa, const void *data, uint64_t bytes)
{
	if (bytes == 0 || guest_memory_write(&loader->vm->memory, gpa, data, bytes) == 0)
		return 0;
	return loader_fail(loader, -ENOMEM, "the host has no memory left for the guest's kernel");
}

/* Set aside room for boot information. */
static int take_room(struct loader *loader, uint64_t bytes, uint64_t align, gpa_t *at)
{
	gpa_t start = ROUND_UP(loader->next_boot, align);

	if (!range_within(start, bytes, LAYOUT_BOOT_END))
		return loader_fail(loader, -ENOSPC, "the command lines are too long");
	*at = start;
	loader->next_boot = start + bytes;
	return 0;
}

int loader_place(struct loader *loader, const void *data, uint64_t bytes, uint64_t align, gpa_t *at)
{
	int error = take_room(loader, bytes, align, at);

	return error ? error : loader_write(loader, *at, data, bytes);
}

void *loader_place_page(struct loader *loader, gpa_t *at)
{
	void *page;

	if (take_room(loader, PAGE_SIZE, PAGE_SIZE, at) != 0)
		return NULL;
	page = guest_memory_ptr(&loader->vm->memory, *at, S2_WRITE, NULL);
	if (page)
		memset(page, 0, PAGE_SIZE);
	else
		loader_fail(loader, -ENOMEM, "the host has no memory left for the guest's kernel");
	return page;
}

int loader_place_words(struct loader *loader, const char *first, const char *second, gpa_t *at)
{
	size_t first_bytes = strlen(first), second_bytes = strlen(second);
	gpa_t part;
	int error = loader_place(loader, first, first_bytes, 1, at);

	if (!error && first_bytes && second_bytes)
		error = loader_place(loader, " ", 1, 1, &part);
	if (!error)
		error = loader_place(loader, second, second_bytes + 1, 1, &part);
	return error;
}

static int check_segment(struct loader *loader, const struct elf_segment *segment)
{
	const struct loader *l = loader;
	uint64_t memory = l->memory_bytes;

	if (guest_layout_is_free(memory, segment->physical_start, segment->memory_bytes))
		return 0;
	if (segment->physical_start >= LAYOUT_LOW_END)
		return loader_fail(loader, -ENOSPC,
			"kernel %s needs memory up to %lluM and the guest has %lluM below 3G",
			l->config->kernel,
			(unsigned long long)((segment->physical_start + segment->memory_bytes +
						     MIB(1) - 1) >> 20),
			(unsigned long long)(guest_layout_low_end(memory) >> 20));
	return loader_fail(loader, -ENOTSUP,
		"kernel %s is to be loaded at 0x%llx, where boot information or firmware lies",
		l->config->kernel, (unsigned long long)segment->physical_start);
}

static bool segments_overlap(const struct elf_segment *a, const struct elf_segment *b)
{
	return a->physical_start < b->physical_start + b->memory_bytes &&
	       b->physical_start < a->physical_start + a->memory_bytes;
}

/* Each byte of guest memory is written once at most, which bounds the work. */
static int check_overlap(struct loader *loader, const struct elf *elf, unsigned int index,
	const struct elf_segment *segment)
{
	struct elf_segment other;
	const char *fault;

	for (unsigned int i = 0; i < index; i++) {
		if (elf_get_segment(elf, i, &other, &fault) == 0 && other.type == PT_LOAD &&
			segments_overlap(segment, &other))
			return loader_fail(loader, -EINVAL,
				"kernel %s is damaged: two of its segments overlap",
				loader->config->kernel);
	}
	return 0;
}

static int load_segment(struct loader *loader, const struct elf *elf, unsigned int index,
	gpa_t *end)
{
	struct elf_segment segment;
	const char *fault;
	int error = elf_get_segment(elf, index, &segment, &fault);

	if (error)
		return loader_fail(loader, error, "kernel %s is damaged: %s",
			loader->config->kernel, fault);
	if (segment.type != PT_LOAD || segment.memory_bytes == 0)
		return 0;
	error = check_segment(loader, &segment);
	if (!error)
		error = check_overlap(loader, elf, index, &segment);
	if (error)
		return error;
	*end = MAX(*end, segment.physical_start + segment.memory_bytes);
	/* What the file does not fill is zero already: the VM's memory has just been cleared. */
	return loader_write(loader, segment.physical_start, elf->data + segment.offset,
		segment.file_bytes);
}

int loader_load_elf(struct loader *loader, const struct elf *elf, gpa_t *end)
{
	*end = 0;
	for (unsigned int i = 0; i < elf->segment_count; i++) {
		int error = load_segment(loader, elf, i, end);

		if (error)
			return error;
	}
	if (*end == 0)
		return loader_fail(loader, -EINVAL, "kernel %s has nothing to load",
			loader->config->kernel);
	return 0;
}

int loader_load_module(struct loader *loader, const char *path, const struct loader_file *file,
	gpa_t *next, struct loaded_module *module)
{
	uint64_t memory_bytes = loader->memory_bytes;
	int error;

	module->start = MAX(ROUND_UP(*next, PAGE_SIZE), LAYOUT_LOW_END);
	module->bytes = file->bytes;
	if (!guest_layout_is_free(memory_bytes, module->start, file->bytes))
		return loader_fail(loader, -ENOSPC,
			"%s (%lluK) does not fit behind the kernel into the guest's %lluM",
			path, (unsigned long long)((file->bytes + KIB(1) - 1) >> 10),
			(unsigned long long)(memory_bytes >> 20));
	error = loader_write(loader, module->start, file->data, file->bytes);
	*next = module->start + file->bytes;
	return error;
}
