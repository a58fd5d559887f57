/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The image's own relocations, in the packed form (generic ELF specification, "Relative
 * Relocations"): an even word is the address of a pointer; an odd one tells, by its bits, which of
 * the 63 words after the last are pointers, too. GNU-EFI's start-up code knows the long form alone,
 * which would take a tenth of the image.
 */
#include "boot/boot.h"

#include <elf.h>

extern const Elf64_Dyn _DYNAMIC[];
extern char ImageBase[];

void image_relocate(void)
{
	uint64_t base = (uint64_t)(uintptr_t)ImageBase, *at = NULL;
	const uint64_t *packed = NULL, *end = NULL;
	uint64_t bytes = 0;

	for (const Elf64_Dyn *dynamic = _DYNAMIC; dynamic->d_tag != DT_NULL; dynamic++) {
		if (dynamic->d_tag == DT_RELR)
			packed = host_ptr(base + dynamic->d_un.d_ptr);
		else if (dynamic->d_tag == DT_RELRSZ)
			bytes = dynamic->d_un.d_val;
	}
	if (!packed)
		return;
	for (end = packed + bytes / sizeof(*packed); packed < end; packed++) {
		if (!(*packed & 1)) {
			at = host_ptr(base + *packed);
			*at++ += base;
			continue;
		}
		for (uint64_t bits = *packed >> 1, i = 0; bits; bits >>= 1, i++)
			if (bits & 1)
				at[i] += base;
		at += 63;
	}
}
