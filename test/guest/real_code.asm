; SPDX-License-Identifier: BSD-2-Clause
;
; real_run(): long mode -> 32-bit -> 16-bit protected -> real mode and all the way back. The part
; between the labels real_blob and real_blob_end runs at 0x8000, where real.c has copied it.

%include "modes.inc"

extern page_pml4
global real_run, real_blob, real_blob_end

BLOB	equ 0x8000
FOUND	equ 0x7000
BUFFER	equ 0x7200
SCRATCH	equ 0x3ff
%define AT(label) (BLOB + (label) - real_blob)

section .bss nobits
saved_stack:	resq 1
saved_idt:	resb 16

section .text
bits 64
real_run:
	save_registers
	mov	[saved_stack], rsp
	sidt	[saved_idt]
	leave_long_mode
	load_segments DATA, fs          ; keeps its 4 GiB limit in real mode
	mov	esp, 0x7000
	jmp	0x20:BLOB

.back:
	load_segments DATA, ds, es, ss
	enter_long_mode
	mov	rsp, [saved_stack]
	lidt	[saved_idt]
	restore_registers
	ret

back_to_32 equ real_run.back

section .rodata
bits 16
real_blob:
	mov	ax, 0x28
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	eax, cr0
	and	al, ~1
	mov	cr0, eax
	jmp	0:AT(.real)
.real:
	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	sp, 0x7000
	lidt	[AT(ivt)]
	mov	word [0x60 * 4], AT(on_software)
	mov	word [0x60 * 4 + 2], 0
	mov	word [0 * 4], AT(on_divide)
	mov	word [0 * 4 + 2], 0
	mov	word [13 * 4], AT(on_limit)
	mov	word [13 * 4 + 2], 0
	mov	word [0x20 * 4], AT(on_tick)
	mov	word [0x20 * 4 + 2], 0
	mov	eax, cr0
	mov	[FOUND + 40], eax

	xor	eax, eax
	cpuid
	mov	[FOUND + 0], eax

	mov	dx, SCRATCH
	mov	al, 0x3c
	out	dx, al
	xor	eax, eax
	in	al, dx
	mov	[FOUND + 4], eax

	cld
	mov	di, BUFFER
	mov	cx, 4
	rep insb
	movzx	eax, di
	mov	[FOUND + 8], eax
	mov	eax, [BUFFER]
	mov	[FOUND + 12], eax

	int	0x60

	xor	cx, cx
	mov	ax, 1
	xor	dx, dx
	div	cx
	; on_divide returns here
.divided:
	mov	bx, 0xffff
	mov	ax, [bx]                ; a word over the segment's end
.limited:
	mov	eax, [fs:dword 0xfee00030]
	mov	[FOUND + 32], eax
	mov	dword [fs:dword 0xfee003e0], 0xb
	mov	eax, [fs:dword 0xfee003e0]
	mov	[FOUND + 36], eax

	mov	cx, 3
.tick:
	sti
	hlt
	cli
	loop	.tick

	mov	dword [FOUND + 44], 0x600d
	lgdt	[AT(gdt)]
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	jmp	dword CODE32:back_to_32

on_software:
	inc	dword [FOUND + 16]
	iret
on_divide:
	inc	dword [FOUND + 20]
	add	word [esp], 2           ; DIV CX is two bytes
	iret
on_limit:
	inc	dword [FOUND + 24]
	add	word [esp], 2           ; MOV AX, [BX] is two bytes
	iret
on_tick:
	inc	dword [FOUND + 28]
	push	ax
	mov	al, 0x20
	out	0x20, al
	pop	ax
	iret

align 4
ivt:
	dw 0x3ff
	dd 0
gdt:
	dw 0x67
	dd guest_gdt
real_blob_end:
extern guest_gdt
