; SPDX-License-Identifier: BSD-2-Clause
;
; legacy_run(entry): leave long mode for 32-bit protected mode without paging, for good, and go to
; `entry` there, with an IDT in which no gate is present.

%include "modes.inc"

global legacy_run
global legacy_jump_tss, legacy_task_gate, legacy_alignment, legacy_virtual_8086, legacy_stack16
global legacy_bad_pae

EXIT_PORT	equ 0xf4
HOLE	equ 0xf0000000
TSS_A	equ 0x18
TSS_B	equ 0x20
STACK16	equ 0x28
USER_CODE equ 0x30 | 3
USER_DATA equ 0x38 | 3

; Descriptor of a TSS at %1, and gate to %2:%3 in IDT entry %1 with attributes %4.
%macro describe_tss 2
	mov	eax, %2
	mov	word [gdt + %1], 103
	mov	[gdt + %1 + 2], ax
	shr	eax, 16
	mov	[gdt + %1 + 4], al
	mov	byte [gdt + %1 + 5], 0x89
	mov	[gdt + %1 + 7], ah
%endmacro
%macro gate 4
	mov	eax, %3
	mov	[idt + %1 * 8], ax
	mov	word [idt + %1 * 8 + 2], %2
	mov	word [idt + %1 * 8 + 4], %4
	shr	eax, 16
	mov	[idt + %1 * 8 + 6], ax
%endmacro

section .bss nobits align=4096
pdpt:		resq 512
idt:		resq 32
tss_a:		resb 104
tss_b:		resb 104
		resb 4096
stack:		resb 64

section .data align=16
gdt:
	dq 0
	dq 0x00cf9b000000ffff           ; 08: code
	dq 0x00cf93000000ffff           ; 10: data
	dq 0, 0                         ; 18, 20: task state segments
	dq 0x000093000000ffff           ; 28: 16-bit stack, 64 KiB
	dq 0x00cffb000000ffff           ; 30: code, ring 3
	dq 0x00cff3000000ffff           ; 38: data, ring 3
gdt_end:
gdt_pointer:
	dw gdt_end - gdt - 1
	dq gdt
idt_pointer:
	dw 32 * 8 - 1
	dq idt

section .text
bits 64
legacy_run:
	lgdt	[gdt_pointer]
	lidt	[idt_pointer]
	mov	rbx, rdi
	leave_long_mode
	load_segments DATA, fs, gs
	mov	esp, stack
	mov	eax, cr4
	and	eax, ~CR4_PAE
	mov	cr4, eax
	describe_tss TSS_A, tss_a
	describe_tss TSS_B, tss_b
	mov	dword [tss_a + 4], stack
	mov	dword [tss_a + 8], DATA
	mov	dword [tss_b + 32], succeed     ; EIP
	mov	dword [tss_b + 36], 2           ; EFLAGS
	mov	dword [tss_b + 56], stack       ; ESP
	mov	dword [tss_b + 72], DATA        ; ES
	mov	dword [tss_b + 76], CODE32      ; CS
	mov	dword [tss_b + 80], DATA        ; SS
	mov	dword [tss_b + 84], DATA        ; DS
	mov	eax, TSS_A
	ltr	ax
	jmp	ebx

succeed:
	xor	eax, eax
	out	EXIT_PORT, eax
	jmp	succeed
fail:
	mov	eax, 1
	out	EXIT_PORT, eax
	jmp	fail

legacy_jump_tss:
	jmp	TSS_B:0

; #UD finds no gate, nor does the #NP of that: a double fault, by a task gate.
legacy_task_gate:
	gate	8, TSS_B, 0, 0x8500
	ud2

; In ring 3 with a stack that is not aligned, and a handler of #AC in ring 3: each delivery's pushes
; raise it again (CVE-2015-5307).
legacy_alignment:
	gate	17, USER_CODE, .handler, 0xee00
	mov	eax, cr0
	or	eax, 1 << 18
	mov	cr0, eax
	push	dword USER_DATA
	push	dword stack - 1
	push	dword 1 << 18 | 2
	push	dword USER_CODE
	push	dword .user
	iretd
.user:
	mov	eax, USER_DATA
	mov	ds, eax
	mov	eax, [stack - 31]
.handler:
	jmp	.handler

; Device memory and a hole through real-mode addresses in ring 3, then an instruction that ring 3 may
; not execute: #GP, with EFLAGS.VM in its frame.
legacy_virtual_8086:
	gate	13, CODE32, .fault, 0x8e00
	mov	ecx, .code_end - .code
	mov	esi, .code
	mov	edi, 0x20000
	cld
	rep movsb
	push	dword 0
	push	dword 0
	push	dword 0
	push	dword 0
	push	dword 0x3000            ; SS
	push	dword 0xfffe
	push	dword 1 << 17 | 2       ; EFLAGS: VM
	push	dword 0x2000            ; CS
	push	dword 0
	iretd
.fault:
	test	dword [esp + 12], 1 << 17
	jz	fail
	cmp	dword [esp + 4], .code_cli - .code
	jne	fail
	cmp	bx, 0xffff
	jne	fail
	cmp	cx, 0
	jne	fail
	jmp	succeed
bits 16
.code:
	mov	ax, 0xa000
	mov	ds, ax
	mov	es, ax
	mov	bx, [0x123]
	mov	[0x321], ax
	push	word [0x456]
	pop	word [es:0xfffe]
	mov	di, 0xfff0
	mov	cx, 64
	rep stosb                       ; DI wraps
	mov	ax, 0xffff
	mov	ds, ax
	mov	eax, [0xffff0 & 0xffff] ; beyond 1 MiB
.code_cli:
	cli
.code_end:
bits 32

; PUSH and POP of device memory on a stack of 16 bits: SP wraps, the upper half of ESP stays.
legacy_stack16:
	mov	eax, STACK16
	mov	ss, eax
	mov	esp, 0x12340000
	push	dword [HOLE]
	cmp	esp, 0x1234fffc
	jne	fail
	pop	dword [HOLE]
	cmp	esp, 0x12340000
	jne	fail
	mov	esp, 0x12340002
	mov	ecx, HOLE
	push	dword [ecx]             ; around the end of the segment: #SS, and there is no gate
	jmp	fail

; Reserved bits in PAE's directory pointers: refused with #GP, which has no gate.
legacy_bad_pae:
	mov	dword [pdpt], 0x1e7
	mov	dword [pdpt + 4], 0xffffffff
	mov	eax, cr4
	or	eax, CR4_PAE
	mov	cr4, eax
	mov	eax, pdpt
	mov	cr3, eax
	mov	eax, cr0
	or	eax, CR0_PG
	mov	cr0, eax
	nop
	mov	eax, [0x1000]
	jmp	fail
