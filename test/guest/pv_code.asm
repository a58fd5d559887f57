; SPDX-License-Identifier: BSD-2-Clause
;
; Hypercalls from elsewhere than 64-bit code in ring 0.

%include "modes.inc"

global ring3_call, ring3_resume, ring3_stack, ring3_vmcall, ring3_vmmcall
global compat_call

section .data
ring3_stack:	dq 0

section .text
bits 64
; int64_t ring3_call(void (*code)(void), uint64_t number): the breakpoint that follows the call in
; ring 3 goes on at ring3_resume, RAX being the answer.
ring3_call:
	save_registers
	mov	[ring3_stack], rsp
	mov	rax, rsi
	mov	ebx, 1
	mov	ecx, 1
	push	qword 0x3b
	push	qword [ring3_stack]
	pushfq
	push	qword 0x43
	push	rdi
	iretq
ring3_resume:
	restore_registers
	ret
ring3_vmcall:
	vmcall
	int3
ring3_vmmcall:
	vmmcall
	int3

; int32_t compat_call(bool intel, uint32_t number, a, b, c, d): from 32-bit code, with rubbish in the
; upper halves of all registers.
compat_call:
	push	rbx
	push	rbp
	mov	rbp, rdi
	mov	rax, rsi
	mov	rbx, rdx
	mov	rdx, r8
	mov	rsi, r9
	mov	rdi, 0x5a5a5a5a00000000
	or	rax, rdi
	or	rbx, rdi
	or	rcx, rdi
	or	rdx, rdi
	or	rsi, rdi
	enter_compatibility_mode
	test	ebp, ebp
	jz	.amd
	vmcall
	jmp	CODE64:.back
.amd:
	vmmcall
	jmp	CODE64:.back
bits 64
.back:
	pop	rbp
	pop	rbx
	ret
