; SPDX-License-Identifier: BSD-2-Clause
;
; Entry from the IDT: exceptions save every register and get a struct trap_frame; interrupts arrive
; only where C expects them, so they save what a C function may change, and nothing else.
bits 64
default rel

extern trap_exception
extern irq_dispatch

%define FIRST_IRQ 0x20
%define STUB_BYTES 16

section .text

; Stubs of a fixed size, so that the table of gates needs no table of addresses. After a stub the
; stack holds: vector, error code (or 0), and what the CPU pushed.
%macro stub 1
	align STUB_BYTES, int3
	%if !(%1 == 8 || (%1 >= 10 && %1 <= 14) || %1 == 17 || %1 == 21 || %1 == 29 || %1 == 30)
	push byte 0
	%endif
	push dword %1
	%if %1 < FIRST_IRQ
	jmp exception
	%else
	jmp interrupt
	%endif
%endmacro

align STUB_BYTES, int3
global trap_stubs
trap_stubs:
%assign vector 0
%rep 0x100
	stub vector
	%assign vector vector + 1
%endrep

align 16
exception:
	push rax
	push rcx
	push rdx
	push rbx
	push rbp
	push rsi
	push rdi
	push r8
	push r9
	push r10
	push r11
	push r12
	push r13
	push r14
	push r15
	cld
	mov rdi, rsp
	call trap_exception
	pop r15
	pop r14
	pop r13
	pop r12
	pop r11
	pop r10
	pop r9
	pop r8
	pop rdi
	pop rsi
	pop rbp
	pop rbx
	pop rdx
	pop rcx
	pop rax
	add rsp, 16
	iretq

align 16
interrupt:
	push rax
	mov eax, [rsp + 8]
	push rcx
	push rdx
	push rsi
	push rdi
	push r8
	push r9
	push r10
	push r11
	cld
	mov edi, eax
	call irq_dispatch
	pop r11
	pop r10
	pop r9
	pop r8
	pop rdi
	pop rsi
	pop rdx
	pop rcx
	pop rax
	add rsp, 16
	iretq

section .note.GNU-stack noalloc noexec nowrite progbits
