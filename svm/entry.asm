; SPDX-License-Identifier: BSD-2-Clause
;
; One run of a guest, then svm_decode_exit() of svm/exit.c, which returns to the caller. Offsets
; are those of vcpu->regs.gpr, asserted in svm/exit.c; RAX and RSP live in the VMCB.
bits 64
default rel

extern svm_decode_exit

%include "host/mitigation_entry.inc"

%define RCX_AT 1*8
%define RDX_AT 2*8
%define RBX_AT 3*8
%define RBP_AT 5*8
%define RSI_AT 6*8
%define RDI_AT 7*8
%define R8_AT 8*8
%define R9_AT 9*8
%define R10_AT 10*8
%define R11_AT 11*8
%define R12_AT 12*8
%define R13_AT 13*8
%define R14_AT 14*8
%define R15_AT 15*8

section .text

%macro push_callee_saved 0
	push rbp
	push rbx
	push r12
	push r13
	push r14
	push r15
%endmacro

%macro load_guest 0
	mov rax, rsi
	mov rcx, [rdi + RCX_AT]
	mov rdx, [rdi + RDX_AT]
	mov rbx, [rdi + RBX_AT]
	mov rbp, [rdi + RBP_AT]
	mov rsi, [rdi + RSI_AT]
	mov r8, [rdi + R8_AT]
	mov r9, [rdi + R9_AT]
	mov r10, [rdi + R10_AT]
	mov r11, [rdi + R11_AT]
	mov r12, [rdi + R12_AT]
	mov r13, [rdi + R13_AT]
	mov r14, [rdi + R14_AT]
	mov r15, [rdi + R15_AT]
	mov rdi, [rdi + RDI_AT]
	; Nothing comes between CLGI and STGI. VMRUN takes the host's IF: with it set, a physical
	; interrupt ends the run whatever the guest's IF says (V_INTR_MASKING).
	clgi
	sti
	vmload
%endmacro

%macro save_guest 0
	vmsave
	pop rax
	vmload
	pop rax
	mov [rax + RCX_AT], rcx
	mov [rax + RDX_AT], rdx
	mov [rax + RBX_AT], rbx
	mov [rax + RBP_AT], rbp
	mov [rax + RSI_AT], rsi
	mov [rax + RDI_AT], rdi
	mov [rax + R8_AT], r8
	mov [rax + R9_AT], r9
	mov [rax + R10_AT], r10
	mov [rax + R11_AT], r11
	mov [rax + R12_AT], r12
	mov [rax + R13_AT], r13
	mov [rax + R14_AT], r14
	mov [rax + R15_AT], r15
	mov rdi, rax
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbx
	pop rbp
%endmacro

section .text

; void svm_run_guest(struct vcpu *vcpu, hpa_t guest_vmcb, hpa_t host_vmcb)
align 16
global svm_run_guest
svm_run_guest:
	push_callee_saved
	push rdi
	push rdx
	load_guest
	vmrun
.exited:
	save_guest
.leave:
	cli
	stgi
	; An NMI that ended the guest's run is taken here.
global svm_run_guest.open
.open:
	jmp svm_decode_exit

; The same where something is to be mitigated.
align 16
global svm_run_guest_mitigated
svm_run_guest_mitigated:
	push_callee_saved
	push rdi
	push rdx
	mitigate_before_entry
	load_guest
	mitigate_last
	vmrun
.exited:
	save_guest
	mitigate_after_exit
	jmp svm_run_guest.leave

; Bochs lets a single-step trap that the guest's exit cut short through to the host, here: go on.
section .fixups progbits alloc noexec nowrite align=4
	dd svm_run_guest.exited - $
	dd svm_run_guest.exited - $
	dd svm_run_guest_mitigated.exited - $
	dd svm_run_guest_mitigated.exited - $
