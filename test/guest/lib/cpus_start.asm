; SPDX-License-Identifier: BSD-2-Clause
;
; Where application processors begin: what stands between ap_blob and ap_blob_end is copied to
; AP_PAGE, where the SIPI sends them in real mode. They go to long mode on the boot CPU's tables.

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
	jmp	dword 0x08:ap_protected
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
	mov	eax, 0x10
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	mov	fs, eax
	mov	gs, eax
	lgdt	[guest_gdt_pointer]
	mov	eax, cr4
	or	eax, 1 << 5 | 3 << 9    ; PAE, OSFXSR, OSXMMEXCPT
	mov	cr4, eax
	mov	eax, page_pml4
	mov	cr3, eax
	mov	ecx, 0xc0000080
	rdmsr
	or	eax, 1 << 8             ; LME
	wrmsr
	mov	eax, cr0
	or	eax, 1 << 31 | 1 << 16 | 1 << 1
	and	eax, ~(1 << 2 | 1 << 3)
	mov	cr0, eax
	jmp	0x18:.long_mode
bits 64
.long_mode:
	mov	rsp, [ap_stack]
	xor	ebp, ebp
	call	ap_main
.halt:
	cli
	hlt
	jmp	.halt
