/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM made of the real LAPICs, buses and devices around vCPUs that execute nothing: a test plays
 * the guest by port and memory accesses, and takes interrupts when it likes. One instance.
 */
#ifndef BALLAST_TEST_FAKE_PC_H
#define BALLAST_TEST_FAKE_PC_H

#include "test/unit/fake_clock.h"
#include "vcpu/cpuid.h"
#include "vcpu/lapic.h"
#include "vcpu/vm.h"

#define FAKE_PC_VCPUS 8

#define FAKE_PC_RAM_BYTES 65536

struct fake_pc {
	struct vm vm;
	struct vcpu vcpus[FAKE_PC_VCPUS];
	struct cpuid_table cpuid;
	uint8_t hardware_tpr[FAKE_PC_VCPUS]; /* what CR8 writes have made of it */
	uint8_t ram[FAKE_PC_RAM_BYTES] __aligned(4096); /* from address 0 */
	bool ram_gone;                       /* guest_memory_ptr() finds nothing */
	bool ram_away;                       /* it is RAM, and cannot be had now */
	unsigned int pins;                   /* pages that are pinned */
	unsigned int ram_walks;              /* calls of it */
	unsigned int log_lines;
	unsigned int nmis[FAKE_PC_VCPUS];
	enum vm_stop stop;
	uint32_t stop_status;
	unsigned int stops;
};

extern struct fake_pc pc;

/* A machine of vCPUs with LAPICs and nothing else; the clock is reset. */
void fake_pc_begin(unsigned int vcpu_count);
void fake_pc_end(void);
void fake_pc_reset_devices(void);

uint64_t pc_in(uint16_t port, unsigned int size);
void pc_out(uint16_t port, unsigned int size, uint64_t value);
static inline uint8_t inb(uint16_t port)
{
	return pc_in(port, 1);
}
static inline void outb(uint16_t port, uint8_t value)
{
	pc_out(port, 1, value);
}
uint32_t pc_read32(uint64_t gpa);
void pc_write32(uint64_t gpa, uint32_t value);
/* The same on a vCPU's own LAPIC page. */
uint32_t lapic_read32(unsigned int vcpu, unsigned int offset);
void lapic_write32(unsigned int vcpu, unsigned int offset, uint32_t value);

/* The run loop leaves the guest: what the hardware holds is no longer known. */
void pc_exit(unsigned int vcpu);
/*
 * Take what the vCPU would take now with interrupts enabled, the LAPIC's before the PIC's: the
 * vector, or -1.
 */
int pc_take_interrupt(unsigned int vcpu);
/* Were these requests made since the last call? They are forgotten. */
bool pc_requested(unsigned int vcpu, uint32_t bits);
/* An access of a device's other side, under vm.lock. */
#define PC_LOCKED(statement)                                                                       \
	do {                                                                                       \
		spin_lock(&pc.vm.lock);                                                            \
		statement;                                                                         \
		spin_unlock(&pc.vm.lock);                                                          \
	} while (0)

#endif
