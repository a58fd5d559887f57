; SPDX-License-Identifier: BSD-2-Clause
;
; Into the guest and back (Intel SDM vol. 3, "VM Entries", "VM Exits"). The guest's registers go
; straight between the CPU and struct general_regs; RSP, RIP and RFLAGS are in the VMCS. The CPU
; clears RFLAGS at an exit, so interrupts are off and the direction flag is as the ABI wants it.
bits 64
default rel

%define ENTRY_CONSTANT(name, value) name equ value
%include "vmx/entry.inc"

%macro each_register 1
	%1 rax, ENTRY_RAX
	%1 rcx, ENTRY_RCX
	%1 rdx, ENTRY_RDX
	%1 rbx, ENTRY_RBX
	%1 rbp, ENTRY_RBP
	%1 rsi, ENTRY_RSI
	%1 r8, ENTRY_R8
	%1 r9, ENTRY_R9
	%1 r10, ENTRY_R10
	%1 r11, ENTRY_R11
	%1 r12, ENTRY_R12
	%1 r13, ENTRY_R13
	%1 r14, ENTRY_R14
	%1 r15, ENTRY_R15
%endmacro

%macro load_register 2
	mov %1, [rdi + %2]
%endmacro

%macro save_register 2
	mov [rdi + %2], %1
%endmacro

%macro restore_callee_saved 0
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbx
	pop rbp
%endmacro

%include "host/mitigation_entry.inc"

extern vmx_decode_exit
extern vmx_decode_refusal

section .text

; void vmx_entry_run(struct vcpu *vcpu (rdi), struct vmx_vcpu *hw (rsi)): see vmx.h. The registers
; are the first thing in struct vcpu. It ends by jumping to what is to be done next, so
; that nothing of this function's caller need be kept beside it.
align 16
global vmx_entry_run:function
vmx_entry_run:
	push rbp
	push rbx
	push r12
	push r13
	push r14
	push r15
	push rdi
	; The stack is nearly always as deep as at the last entry: a compare saves a VMWRITE.
	cmp [rsi + ENTRY_HOST_RSP], rsp
	jne .stack_moved
.stack_known:
	; Launched, and nothing to be mitigated: one compare of both.
	cmp dword [rsi + ENTRY_LAUNCHED], 1
	jne .seldom
	each_register load_register
	mov rdi, [rdi + ENTRY_RDI]
	vmresume
	jmp .refused
.seldom:
	cmp word [rsi + ENTRY_MITIGATED], 0
	jne .mitigated
	mov word [rsi + ENTRY_LAUNCHED], 1
	each_register load_register
	mov rdi, [rdi + ENTRY_RDI]
	vmlaunch
	jmp .refused
.mitigated:
	mitigate_before_entry
	cmp word [rsi + ENTRY_LAUNCHED], 0
	je .mitigated_launch
	each_register load_register
	mov rdi, [rdi + ENTRY_RDI]
	mitigate_last
	vmresume
	jmp .refused
.mitigated_launch:
	mov word [rsi + ENTRY_LAUNCHED], 1
	each_register load_register
	mov rdi, [rdi + ENTRY_RDI]
	mitigate_last
	vmlaunch
.refused:
	; The guest did not run; its registers still are where they came from. CF: there is no VMCS;
	; ZF: the VMCS says why.
	mov eax, 1
	mov esi, 2
	cmovc esi, eax
	pop rdi
	restore_callee_saved
	jmp vmx_decode_refusal

.stack_moved:
	mov eax, ENTRY_FIELD_HOST_RSP
	vmwrite rax, rsp
	mov [rsi + ENTRY_HOST_RSP], rsp
	jmp .stack_known

%macro save_guest 0
	push rdi
	mov rdi, [rsp + 8]
	each_register save_register
	pop qword [rdi + ENTRY_RDI]
	pop rdi
	restore_callee_saved
%endmacro

; VM exits arrive here with RSP as above: at the address of the vCPU.
align 16
global vmx_entry_exit:function
vmx_entry_exit:
	save_guest
	jmp vmx_decode_exit

; Or here, where something is to be mitigated.
align 16
global vmx_entry_exit_mitigated:function
vmx_entry_exit_mitigated:
	save_guest
	mitigate_after_exit
	jmp vmx_decode_exit

section .note.GNU-stack noalloc noexec nowrite progbits
