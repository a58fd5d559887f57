# SPDX-License-Identifier: BSD-2-Clause
set(VCPU_SOURCES
	vcpu/control.c
	vcpu/cpuid.c
	vcpu/dump.c
	vcpu/event.c
	vcpu/exits.c
	vcpu/fpu.c
	vcpu/hw.c
	vcpu/hypercall.c
	vcpu/msr.c
	vcpu/ports.c
	vcpu/pv.c
	vcpu/pvclock.c
	vcpu/run.c
	vcpu/sched.c
	vcpu/sched_cap.c
	vcpu/sched_queue.c
	vcpu/tlb.c
	vcpu/vcpu.c
	vcpu/vm.c)
# Decoder, emulator, guest address space.
set(VCPU_EMULATE_SOURCES
	vcpu/emulate.c
	vcpu/emulate_alu.c
	vcpu/emulate_bits.c
	vcpu/emulate_fast.c
	vcpu/emulate_flags.c
	vcpu/emulate_length.c
	vcpu/emulate_move.c
	vcpu/emulate_multiply.c
	vcpu/emulate_operand.c
	vcpu/emulate_shift.c
	vcpu/emulate_simd.c
	vcpu/emulate_stack.c
	vcpu/emulate_string.c
	vcpu/emulate_table.c
	vcpu/guest_access.c
	vcpu/guest_fetch.c
	vcpu/guest_segment.c
	vcpu/guest_walk.c
	vcpu/insn.c
	vcpu/insn_check.c
	vcpu/insn_table.c
	vcpu/insn_vector.c
	vcpu/simd_registers.c)
list(APPEND VCPU_SOURCES ${VCPU_EMULATE_SOURCES})
# Buses, interrupt lines, virtual LAPIC.
set(VCPU_LAPIC_SOURCES
	vcpu/bus.c
	vcpu/irq.c
	vcpu/lapic.c
	vcpu/lapic_ipi.c
	vcpu/lapic_regs.c
	vcpu/lapic_timer.c
	vcpu/pv_eoi.c
	vcpu/pv_record.c)
list(APPEND VCPU_SOURCES ${VCPU_LAPIC_SOURCES})
