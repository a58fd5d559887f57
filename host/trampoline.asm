; SPDX-License-Identifier: BSD-2-Clause
;
; Where another CPU begins: real mode, at the start of a page below 1 MiB to which this blob was
; copied. It goes straight to long mode, on page tables whose root is below 4 GiB, takes its stack
; and calls C. The next page, writable, begins with struct trampoline_data of host/smp.c.

%define DATA 0x1000
%define DATA_GDT_POINTER DATA
%define DATA_GDT (DATA + 8)
%define DATA_FAR_TARGET (DATA + 32)
%define DATA_CR3 (DATA + 40)
%define DATA_EFER (DATA + 44)
%define DATA_STACK (DATA + 48)
%define DATA_ENTRY (DATA + 56)
%define DATA_CPU (DATA + 64)

%define MSR_EFER 0xc0000080
%define CR4_PAE 0x20
; PE, MP, ET, NE, WP, PG: caches on, paging and protection in one step.
%define CR0_LONG 0x80010033

section .rodata

global trampoline_start
global trampoline_end

align 16
trampoline_start:
bits 16
	cli
	cld
	mov ax, cs
	mov ds, ax
	o32 lgdt [DATA_GDT_POINTER]
	mov eax, CR4_PAE
	mov cr4, eax
	mov eax, [DATA_CR3]
	mov cr3, eax
	mov ecx, MSR_EFER
	xor edx, edx
	mov eax, [DATA_EFER]
	wrmsr
	mov eax, CR0_LONG
	mov cr0, eax
	o32 jmp far [DATA_FAR_TARGET]

bits 64
trampoline_long:
	; The linear address of this page, without relocations.
	lea rbx, [rel trampoline_start]
	mov ax, 0x10
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov rsp, [rbx + DATA_STACK]
	mov rdi, [rbx + DATA_CPU]
	mov rax, [rbx + DATA_ENTRY]
	call rax
	ud2
trampoline_end:

global trampoline_long_offset
trampoline_long_offset:
	dd trampoline_long - trampoline_start

section .note.GNU-stack noalloc noexec nowrite progbits
