/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The time between the firmware's call and the host's own life. Everything here but ballast_main()
 * runs with the firmware's boot services, on the firmware's stack, on the boot CPU.
 */
#ifndef BALLAST_BOOT_BOOT_H
#define BALLAST_BOOT_BOOT_H

#include <efi.h>

#include "host/machine.h"
#include "lib/util.h"

/* Make the image's pointers right for where it was loaded: before anything else. */
void image_relocate(void);

/* The firmware's own tables, valid until ExitBootServices. */
extern EFI_SYSTEM_TABLE *firmware;
extern EFI_HANDLE firmware_image;

/* Print on the firmware's console; the text is ASCII, lines end with \n. */
void firmware_print(const char *format, ...) __printf(1, 2);
/* A configuration table by its GUID; NULL when there is none. */
void *firmware_find_table(const EFI_GUID *guid);
/* ACPI tables, serial port, wall clock and firmware's name into `machine`. */
void firmware_read_machine(void);

/* The boot volume's configuration and the files it names, with progress; into `machine`. */
void files_load(void);

/* CPUs by MADT or by the firmware's MP services, the boot CPU first; into `machine`. */
void processors_find(void);

/*
 * End the firmware's boot services; on success nothing of the firmware may be called any more, and
 * `firmware` is NULL. Fills machine.mappings, machine.ram_bytes and the trampoline.
 */
EFI_STATUS memmap_exit_boot_services(void);
/* The largest run of memory that was free even for the firmware. */
struct memory_range memmap_largest_unused(void);
/* Fill machine.memory with all that is free now, less the `taken` part. */
void memmap_make_free_list(struct memory_range taken);

/* The host's life, on its own stack: boot/main.c. Never returns. */
void ballast_main(void) __noreturn;
/* Where the host lives before it has a frame allocator: filled before ballast_main(). */
extern struct memory_range boot_pool;

#endif
