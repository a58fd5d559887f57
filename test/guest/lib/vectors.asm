; SPDX-License-Identifier: BSD-2-Clause
;
; 256 interrupt entries that save the registers and call guest_interrupt(struct frame *).

bits 64
extern guest_interrupt
global guest_vectors

section .text
%assign vector 0
%rep 256
entry_%+vector:
%if vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21
	push	qword 0
%endif
	push	qword vector
	jmp	save_registers
%assign vector vector + 1
%endrep

save_registers:
	push	rax
	push	rcx
	push	rdx
	push	rbx
	push	rbp
	push	rsi
	push	rdi
	push	r8
	push	r9
	push	r10
	push	r11
	push	r12
	push	r13
	push	r14
	push	r15
	mov	rdi, rsp
	mov	rbx, rsp
	and	rsp, ~15
	cld
	call	guest_interrupt
	mov	rsp, rbx
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	r11
	pop	r10
	pop	r9
	pop	r8
	pop	rdi
	pop	rsi
	pop	rbp
	pop	rbx
	pop	rdx
	pop	rcx
	pop	rax
	add	rsp, 16
	iretq

section .rodata
align 8
guest_vectors:
%assign vector 0
%rep 256
	dq entry_%+vector
%assign vector vector + 1
%endrep
