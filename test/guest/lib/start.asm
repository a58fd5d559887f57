; SPDX-License-Identifier: BSD-2-Clause
;
; Entry of a test guest: a Multiboot 1 kernel that Ballast enters in 32-bit protected mode. Builds
; an identity mapping of the first 4 GiB with 2 MiB pages, goes to long mode and calls guest_main().

MULTIBOOT_MAGIC equ 0x1badb002
MULTIBOOT_FLAGS equ 0x3                 ; page-aligned modules, memory information

%include "modes.inc"

extern guest_main
extern guest_exit
global _start
global multiboot_info
global code16_selector, data16_selector
global guest_gdt, guest_gdt_pointer
global page_pml4, page_pdpt, page_directories
global stack_top

section .multiboot align=4
	dd MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

bits 32
section .text
_start:
	mov	esp, stack_top
	mov	[multiboot_info], ebx
	lgdt	[guest_gdt_pointer]
	call	build_tables
	start_long_mode
	load_segments DATA, ds, es, ss, fs, gs
	mov	rsp, stack_top
	xor	ebp, ebp
	call	guest_main
	mov	edi, eax
	call	guest_exit

bits 32
build_tables:
	mov	eax, page_pdpt
	or	eax, 3
	mov	[page_pml4], eax
	mov	ecx, 0
.directory:
	mov	eax, ecx
	shl	eax, 12
	add	eax, page_directories
	or	eax, 3
	mov	[page_pdpt + ecx * 8], eax
	inc	ecx
	cmp	ecx, 4
	jb	.directory
	xor	ecx, ecx
.page:
	mov	eax, ecx
	shl	eax, 21
	or	eax, 0x83               ; present, writable, 2 MiB
	mov	[page_directories + ecx * 8], eax
	inc	ecx
	cmp	ecx, 2048
	jb	.page
	ret

section .data
align 16
guest_gdt:
	dq 0
	dq 0x00cf9b000000ffff           ; 08: 32-bit code
	dq 0x00cf93000000ffff           ; 10: data
	dq 0x00af9b000000ffff           ; 18: 64-bit code
	dq 0x00009b000000ffff           ; 20: 16-bit code, base 0, limit 64 KiB
	dq 0x000093000000ffff           ; 28: 16-bit data
	dq 0x00cffb000000ffff           ; 30: 32-bit code, ring 3
	dq 0x00cff3000000ffff           ; 38: data, ring 3
	dq 0x00affb000000ffff           ; 40: 64-bit code, ring 3
guest_gdt_tss:
	dq 0, 0                         ; 48: TSS, filled in by guest.c
	dq 0x00409310000000ff           ; 58: data, base 0x100000, 256 bytes: for limit tests
guest_gdt_end:
guest_gdt_pointer:
	dw guest_gdt_end - guest_gdt - 1
	dq guest_gdt

multiboot_info:
	dq 0

section .bss nobits align=4096
page_pml4:
	resb 4096
page_pdpt:
	resb 4096
page_directories:
	resb 4 * 4096
	resb 16384
stack_top:
