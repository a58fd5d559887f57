# SPDX-License-Identifier: BSD-2-Clause
set(BOOT_SOURCES
	boot/efi_main.c
	boot/files.c
	boot/firmware.c
	boot/main.c
	boot/memmap.c
	boot/processors.c
	boot/relocate.c
)
