; SPDX-License-Identifier: BSD-2-Clause
;
; Where application processors begin: what stands between ap_blob and ap_blob_end is copied to
; AP_PAGE, where the SIPI sends them in real mode. They go to long mode on the boot CPU's tables.

%include "modes.inc"

extern guest_gdt, guest_gdt_pointer, page_pml4, ap_main
global ap_blob, ap_blob_end, ap_stack

AP_PAGE	equ 0x9000
%define AT(label) ((label) - ap_blob)

section .data
align 16
ap_blob:
bits 16
	cli
	mov	ax, cs
	mov	ds, ax
	o32 lgdt [AT(.gdt_pointer)]
	mov	eax, cr0
	and	eax, ~(1 << 30 | 1 << 29)
	or	eax, 1
	mov	cr0, eax
	jmp	dword CODE32:ap_protected
align 4
.gdt_pointer:
	dw 0x10 + 0x10 - 1
	dd AP_PAGE + AT(.gdt)
align 8
.gdt:
	dq 0
	dq 0x00cf9b000000ffff           ; 08: 32-bit code
	dq 0x00cf93000000ffff           ; 10: data
	dq 0
ap_blob_end:

ap_stack:
	dq 0

section .text
bits 32
ap_protected:
	load_segments DATA, ds, es, ss, fs, gs
	lgdt	[guest_gdt_pointer]
	start_long_mode
	mov	rsp, [ap_stack]
	xor	ebp, ebp
	call	ap_main
.halt:
	cli
	hlt
	jmp	.halt
