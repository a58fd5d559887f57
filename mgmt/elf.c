/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System V ABI, "Object Files" and "Program Loading". Nothing is read through a structure pointer:
 * the file may be misaligned and shorter than it says.
 */
#include "mgmt/elf.h"
#include "lib/string.h"
#include <linux/elf.h>

static bool read_at(const struct elf *elf, uint64_t offset, void *to, size_t size)
{
	if (!range_within(offset, size, elf->bytes))
		return false;
	memcpy(to, elf->data + offset, size);
	return true;
}

static int bad(const char **fault, const char *what)
{
	*fault = what;
	return -EINVAL;
}

static bool open_32(struct elf *elf, uint16_t *machine)
{
	Elf32_Ehdr header;

	if (!read_at(elf, 0, &header, sizeof(header)))
		return false;
	elf->entry = header.e_entry;
	elf->headers = header.e_phoff;
	elf->header_bytes = header.e_phentsize;
	elf->segment_count = header.e_phnum;
	*machine = header.e_machine;
	return true;
}

static bool open_64(struct elf *elf, uint16_t *machine)
{
	Elf64_Ehdr header;

	if (!read_at(elf, 0, &header, sizeof(header)))
		return false;
	elf->entry = header.e_entry;
	elf->headers = header.e_phoff;
	elf->header_bytes = header.e_phentsize;
	elf->segment_count = header.e_phnum;
	*machine = header.e_machine;
	return true;
}

static int check_headers(const struct elf *elf, uint16_t machine, const char **fault)
{
	size_t least = elf->is_64bit ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	uint64_t bytes = (uint64_t)elf->segment_count * elf->header_bytes;

	if (machine != EM_386 && machine != EM_X86_64)
		return bad(fault, "it is a program for another kind of CPU");
	if (elf->segment_count == 0)
		return bad(fault, "it has no program headers");
	if (elf->segment_count > ELF_MAX_SEGMENTS)
		return bad(fault, "it has too many program headers");
	if (elf->header_bytes < least)
		return bad(fault, "its program headers are too small");
	if (!range_within(elf->headers, bytes, elf->bytes))
		return bad(fault, "its program headers lie beyond the end of the file");
	return 0;
}

int elf_open(struct elf *elf, const uint8_t *data, uint64_t bytes, const char **fault)
{
	uint8_t ident[EI_NIDENT];
	uint16_t machine = 0;
	bool complete;

	*elf = (struct elf){ .data = data, .bytes = bytes };
	if (!read_at(elf, 0, ident, sizeof(ident)) || memcmp(ident, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	if (ident[EI_DATA] != ELFDATA2LSB)
		return bad(fault, "it is big-endian");
	if (ident[EI_CLASS] != ELFCLASS32 && ident[EI_CLASS] != ELFCLASS64)
		return bad(fault, "it is neither 32-bit nor 64-bit");
	elf->is_64bit = ident[EI_CLASS] == ELFCLASS64;
	complete = elf->is_64bit ? open_64(elf, &machine) : open_32(elf, &machine);
	if (!complete)
		return bad(fault, "its header is cut short");
	return check_headers(elf, machine, fault);
}

static void read_segment(const struct elf *elf, uint64_t at, struct elf_segment *segment)
{
	if (elf->is_64bit) {
		Elf64_Phdr header;

		memcpy(&header, elf->data + at, sizeof(header));
		*segment = (struct elf_segment){ header.p_type, header.p_offset, header.p_filesz,
			header.p_vaddr, header.p_paddr, header.p_memsz };
	} else {
		Elf32_Phdr header;

		memcpy(&header, elf->data + at, sizeof(header));
		*segment = (struct elf_segment){ header.p_type, header.p_offset, header.p_filesz,
			header.p_vaddr, header.p_paddr, header.p_memsz };
	}
}

int elf_get_segment(const struct elf *elf, unsigned int index, struct elf_segment *segment,
	const char **fault)
{
	uint64_t end;

	read_segment(elf, elf->headers + (uint64_t)index * elf->header_bytes, segment);
	if (!range_within(segment->offset, segment->file_bytes, elf->bytes))
		return bad(fault, "a segment lies beyond the end of the file");
	if (segment->type == PT_LOAD && segment->file_bytes > segment->memory_bytes)
		return bad(fault, "a segment is larger in the file than in memory");
	if (add_overflows(segment->physical_start, segment->memory_bytes, &end))
		return bad(fault, "a segment ends beyond the address space");
	return 0;
}

/* One note of a segment: its header, name and description, each padded to 4 bytes. */
struct note {
	Elf32_Nhdr header; /* the same in both classes */
	uint64_t name, description, next; /* offsets in the file */
};

static bool read_note(const struct elf *elf, uint64_t at, uint64_t end, struct note *note)
{
	if (!range_within(at, sizeof(note->header), end))
		return false;
	memcpy(&note->header, elf->data + at, sizeof(note->header));
	note->name = at + sizeof(note->header);
	note->description = note->name + ROUND_UP((uint64_t)note->header.n_namesz, 4);
	note->next = note->description + ROUND_UP((uint64_t)note->header.n_descsz, 4);
	return range_within(note->description, note->header.n_descsz, end);
}

static bool note_matches(const struct elf *elf, const struct note *note, const char *owner,
	uint32_t type)
{
	size_t owner_bytes = strlen(owner) + 1;

	return note->header.n_type == type && note->header.n_namesz == owner_bytes &&
	       memcmp(elf->data + note->name, owner, owner_bytes) == 0 &&
	       note->header.n_descsz >= 1 && note->header.n_descsz <= 8;
}

static bool find_in_segment(const struct elf *elf, const struct elf_segment *segment,
	const char *owner, uint32_t type, uint64_t *value)
{
	uint64_t at = segment->offset, end = segment->offset + segment->file_bytes;
	struct note note;

	for (int i = 0; i < ELF_MAX_NOTES && read_note(elf, at, end, &note); i++) {
		if (note_matches(elf, &note, owner, type)) {
			*value = 0;
			memcpy(value, elf->data + note.description, note.header.n_descsz);
			return true;
		}
		at = note.next;
	}
	return false;
}

int elf_find_note(const struct elf *elf, const char *owner, uint32_t type, uint64_t *value)
{
	struct elf_segment segment;
	const char *fault;

	for (unsigned int i = 0; i < elf->segment_count; i++) {
		if (elf_get_segment(elf, i, &segment, &fault) != 0 || segment.type != PT_NOTE)
			continue;
		if (find_in_segment(elf, &segment, owner, type, value))
			return 0;
	}
	return -ENOENT;
}

uint64_t elf_physical_entry(const struct elf *elf)
{
	struct elf_segment segment;
	const char *fault;

	for (unsigned int i = 0; i < elf->segment_count; i++) {
		if (elf_get_segment(elf, i, &segment, &fault) != 0 || segment.type != PT_LOAD)
			continue;
		if (elf->entry >= segment.virtual_start &&
			elf->entry - segment.virtual_start < segment.memory_bytes)
			return segment.physical_start + (elf->entry - segment.virtual_start);
	}
	return elf->entry;
}
