; SPDX-License-Identifier: BSD-2-Clause
;
; modes_run(cr3, cr4): leave long mode for 32-bit protected mode, with paging when cr3 is not zero,
; try things there, and come back.

%include "modes.inc"

extern page_pml4
global modes_run, modes_findings

SCRATCH	equ 0x3ff
%define FOUND(n) [modes_findings + 4 * (n)]

section .bss nobits align=16
saved_stack:	resq 1
saved_idt:	resb 16
saved_gdt:	resb 16
modes_findings:	resd 16
buffer:		resd 4
long_cr4:	resd 1
idt32:		resq 32

section .data align=16
gdt32:
	dq 0
	dq 0x00cf9b000000ffff           ; 08: code
	dq 0x00cf93000000ffff           ; 10: data
	dq 0x00af9b000000ffff           ; 18: 64-bit code
	dq 0xfecf93e00000ffff           ; 20: data, base 0xfee00000
gdt32_end:
gdt32_pointer:
	dw gdt32_end - gdt32 - 1
	dq gdt32
idt32_pointer:
	dw 32 * 8 - 1
	dq idt32

section .text
bits 64
modes_run:
	save_registers
	mov	[saved_stack], rsp
	sidt	[saved_idt]
	sgdt	[saved_gdt]
	lgdt	[gdt32_pointer]
	mov	r8d, edi                ; CR3 and CR4 to be
	mov	r9d, esi
	mov	ebx, r8d
	mov	ebp, r9d
	leave_long_mode
	mov	eax, cr4
	mov	[long_cr4], eax
	and	eax, ~CR4_PAE
	or	eax, ebp
	mov	cr4, eax
	; A page fault handler.
	mov	eax, .page_fault
	mov	[idt32 + 14 * 8], ax
	mov	word [idt32 + 14 * 8 + 2], CODE32
	mov	word [idt32 + 14 * 8 + 4], 0x8e00
	shr	eax, 16
	mov	[idt32 + 14 * 8 + 6], ax
	lidt	[idt32_pointer]
	test	ebx, ebx
	jz	.no_paging
	mov	cr3, ebx
	mov	eax, cr0
	or	eax, CR0_PG
	mov	cr0, eax
	jmp	CODE32:.paging
.paging:
	mov	dword [0x40000123], 1   ; not present
.after_fault:
.no_paging:
	push	ebx
	xor	eax, eax
	cpuid
	mov	FOUND(0), eax
	pop	ebx
	mov	dx, SCRATCH
	mov	al, 0x5a
	out	dx, al
	xor	eax, eax
	in	al, dx
	mov	FOUND(1), eax
	mov	eax, 0x20
	mov	gs, eax
	mov	eax, [gs:0x30]
	mov	FOUND(2), eax
	xor	esi, esi
	mov	si, 0x3e0
	a16 mov	dword [gs:si], 0xb
	a16 mov	eax, [gs:si]
	mov	FOUND(3), eax
	cld
	mov	edi, buffer
	mov	ecx, 4
	rep insb
	sub	edi, buffer
	mov	FOUND(4), edi
	mov	eax, [buffer]
	mov	FOUND(5), eax
	mov	dword FOUND(8), 0x600d

	mov	eax, cr0
	and	eax, ~CR0_PG
	mov	cr0, eax
	mov	eax, [long_cr4]
	mov	cr4, eax
	enter_long_mode
	lgdt	[saved_gdt]
	lidt	[saved_idt]
	mov	rsp, [saved_stack]
	mov	eax, DATA
	mov	gs, eax
	restore_registers
	ret

bits 32
.page_fault:
	mov	eax, cr2
	mov	FOUND(6), eax
	pop	eax
	mov	FOUND(7), eax
	mov	dword [esp], .after_fault
	iret
