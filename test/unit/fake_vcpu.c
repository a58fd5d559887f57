/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_vcpu.h. */
#include "test/unit/fake_vcpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/x86.h"
#include "vcpu/fpu.h"
#include "vcpu/lapic.h"
#include "vcpu/ports.h"
#include "vcpu/simd_registers.h"

struct fake fake;
uint8_t fake_vectors[16][32];

/* assert(), in release builds of the tests too. */
static void check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "fake vCPU: %s\n", what);
	abort();
}

static void pull(struct vcpu *vcpu, uint32_t groups)
{
	struct special_regs *to = &vcpu->special, *from = &fake.truth;
	unsigned int i;

	if (groups & REG_RIP)
		to->rip = from->rip;
	if (groups & REG_RSP)
		vcpu->regs.gpr[GPR_RSP] = fake.rsp;
	if (groups & REG_RFLAGS)
		to->rflags = from->rflags;
	if (groups & REG_CR0)
		to->cr0 = from->cr0;
	if (groups & REG_CR3)
		to->cr3 = from->cr3;
	if (groups & REG_CR4)
		to->cr4 = from->cr4;
	if (groups & REG_EFER)
		to->efer = from->efer;
	if (groups & REG_CS)
		to->segments[SEG_CS] = from->segments[SEG_CS];
	if (groups & REG_SS) {
		to->segments[SEG_SS] = from->segments[SEG_SS];
		to->cpl = from->cpl;
	}
	if (groups & REG_SEGMENTS) {
		for (i = 0; i < SEG_COUNT; i++) {
			if (i != SEG_CS && i != SEG_SS)
				to->segments[i] = from->segments[i];
		}
	}
	if (groups & REG_CR2)
		to->cr2 = from->cr2;
	if (groups & REG_SHADOW) {
		to->interrupt_shadow = from->interrupt_shadow;
		to->nmi_blocked = from->nmi_blocked;
	}
	vcpu->valid |= groups;
}

static const struct hw_ops fake_hw = {.name = "fake", .pull = pull};
const struct hw_ops *hw = &fake_hw;

void fake_begin(void)
{
	struct vcpu *vcpu = &fake.vcpu;

	memset(&vcpu->special, 0xa5, sizeof(vcpu->special));
	vcpu->special.interrupt_shadow = vcpu->special.nmi_blocked = true;
	vcpu->regs.gpr[GPR_RSP] = 0xa5a5a5a5a5a5a5a5;
	vcpu->valid = vcpu->dirty = 0;
	fake.device_count = fake.port_count = 0;
	fake.exceptions = fake.stops = 0;
	fake.reason[0] = 0;
}

void fake_end(void)
{
	struct vcpu *vcpu = &fake.vcpu;
	struct special_regs now = vcpu->special;
	uint64_t rsp = vcpu->regs.gpr[GPR_RSP];
	uint32_t dirty = vcpu->dirty;

	check((dirty & ~vcpu->valid) == 0, "dirty registers that are not valid");
	if (dirty & REG_RIP)
		fake.truth.rip = now.rip;
	if (dirty & REG_RSP)
		fake.rsp = rsp;
	if (dirty & REG_RFLAGS)
		fake.truth.rflags = now.rflags;
	if (dirty & REG_CS)
		fake.truth.segments[SEG_CS] = now.segments[SEG_CS];
	if (dirty & REG_SS)
		fake.truth.segments[SEG_SS] = now.segments[SEG_SS];
	if (dirty & REG_SEGMENTS) {
		fake.truth.segments[SEG_DS] = now.segments[SEG_DS];
		fake.truth.segments[SEG_ES] = now.segments[SEG_ES];
		fake.truth.segments[SEG_FS] = now.segments[SEG_FS];
		fake.truth.segments[SEG_GS] = now.segments[SEG_GS];
	}
	if (dirty & REG_SHADOW)
		fake.truth.interrupt_shadow = now.interrupt_shadow;
	vcpu->regs.gpr[GPR_RSP] = fake.rsp;
}

void fake_map_identity(uint64_t tables)
{
	uint64_t *pml4 = (uint64_t *)(fake.ram + tables), *page_table = pml4 + 3 * 512;
	unsigned int i;

	memset(pml4, 0, 4 * PAGE_SIZE);
	pml4[0] = (tables + PAGE_SIZE) | 7;
	pml4[512] = (tables + 2 * PAGE_SIZE) | 7;
	pml4[2 * 512] = (tables + 3 * PAGE_SIZE) | 7;
	for (i = 0; i < 512; i++)
		page_table[i] = i * PAGE_SIZE | 7;
}

void fake_reset(unsigned int mode_bits)
{
	static const uint16_t data = 0x93 | SEGMENT_G | SEGMENT_DB;
	uint8_t *ram = fake.ram;
	struct segment *segments = fake.truth.segments;
	unsigned int i;

	memset(&fake, 0, sizeof(fake));
	fake.ram = ram ? ram : malloc(FAKE_RAM_BYTES);
	memset(fake.ram, 0, FAKE_RAM_BYTES);
	fake.cpuid.physical_bits = 40;
	fake.vm.cpuid = &fake.cpuid;
	fake.vm.memory.slots[0] = (struct memory_slot){ .bytes = FAKE_DEVICE_START };
	fake.vm.memory.slots[1] = (struct memory_slot){
		.start = FAKE_DEVICE_START + FAKE_DEVICE_BYTES,
		.bytes = FAKE_ROM_START - FAKE_DEVICE_START - FAKE_DEVICE_BYTES };
	fake.vm.memory.slots[2] = (struct memory_slot){
		.start = FAKE_ROM_START, .bytes = FAKE_RAM_BYTES - FAKE_ROM_START, .read_only = true };
	fake.vm.memory.slot_count = 3;
	fake.vcpu.vm = &fake.vm;
	fake.vcpu.exit.kind = EXIT_UNKNOWN;
	fake.vcpu.xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	fake.truth.rflags = RFLAGS_FIXED1;
	fake.truth.cr4 = CR4_OSFXSR | CR4_OSXSAVE;
	for (i = 0; i < SEG_COUNT; i++)
		segments[i] = (struct segment){.attributes = data, .limit = 0xffffffff};
	segments[SEG_CS].attributes = 0x9b | SEGMENT_G | SEGMENT_DB;
	if (mode_bits == 16) {
		for (i = 0; i < SEG_COUNT; i++)
			segments[i] = (struct segment){.attributes = 0x93, .limit = 0xffff};
		return;
	}
	fake.truth.cr0 = CR0_PE;
	if (mode_bits == 32)
		return;
	segments[SEG_CS].attributes = 0x9b | SEGMENT_G | SEGMENT_L;
	fake.truth.cr0 |= CR0_PG;
	fake.truth.cr4 |= CR4_PAE;
	fake.truth.efer = EFER_LME | EFER_LMA | EFER_NXE;
	fake.truth.cr3 = FAKE_TABLES;
	fake_map_identity(FAKE_TABLES);
}

/* ---- what the code under test calls ---- */

bool guest_memory_is_ram(const struct guest_memory *memory, gpa_t gpa)
{
	size_t i;

	for (i = 0; i < memory->slot_count; i++) {
		if (gpa - memory->slots[i].start < memory->slots[i].bytes)
			return true;
	}
	return false;
}

void *guest_memory_ptr(struct guest_memory *memory, gpa_t gpa, uint64_t access, uint64_t *bytes)
{
	(void)access;
	if (fake.ram_exhausted || !guest_memory_is_ram(memory, gpa) ||
		(fake.ram_away && (gpa & ~(gpa_t)PAGE_MASK) == fake.ram_away))
		return NULL;
	if (bytes)
		*bytes = PAGE_SIZE - (gpa & PAGE_MASK);
	return fake.ram + gpa;
}

static void log_access(struct fake_access *log, unsigned int *count, struct fake_access access)
{
	check(access.size == 1 || access.size == 2 || access.size == 4 || access.size == 8,
		"size of an access");
	if (*count < FAKE_LOG)
		log[*count] = access;
	++*count;
}

uint64_t io_bus_read(struct io_bus *bus, uint64_t address, unsigned int size)
{
	uint64_t value = byte_mask(size);

	(void)bus;
	if (address - FAKE_DEVICE_START < FAKE_DEVICE_BYTES) {
		value = 0;
		memcpy(&value, fake.ram + address, size);
	}
	log_access(fake.device, &fake.device_count,
		(struct fake_access){address, size, false, value});
	return value;
}

void io_bus_write(struct io_bus *bus, uint64_t address, unsigned int size, uint64_t value)
{
	(void)bus;
	if (address - FAKE_DEVICE_START < FAKE_DEVICE_BYTES)
		memcpy(fake.ram + address, &value, size);
	log_access(fake.device, &fake.device_count,
		(struct fake_access){address, size, true, value});
}

bool lapic_claims(struct vcpu *vcpu, uint64_t gpa)
{
	(void)vcpu;
	return (gpa & ~PAGE_MASK) == LAPIC_DEFAULT_BASE;
}

uint64_t lapic_mmio_read(struct vcpu *vcpu, uint64_t gpa, unsigned int size)
{
	(void)vcpu;
	log_access(fake.device, &fake.device_count, (struct fake_access){gpa, size, false, 0x1234});
	return 0x1234 & byte_mask(size);
}

void lapic_mmio_write(struct vcpu *vcpu, uint64_t gpa, unsigned int size, uint64_t value)
{
	(void)vcpu;
	log_access(fake.device, &fake.device_count, (struct fake_access){gpa, size, true, value});
}

uint32_t port_read(struct vcpu *vcpu, uint16_t port, unsigned int size)
{
	uint32_t value = fake.port_value++ & byte_mask(size);

	(void)vcpu;
	log_access(fake.ports, &fake.port_count, (struct fake_access){port, size, false, value});
	return value;
}

void port_write(struct vcpu *vcpu, uint16_t port, unsigned int size, uint32_t value)
{
	(void)vcpu;
	log_access(fake.ports, &fake.port_count, (struct fake_access){port, size, true, value});
}

void vcpu_inject_exception(struct vcpu *vcpu, uint8_t vector)
{
	(void)vcpu;
	fake.exceptions++;
	fake.vector = vector;
	fake.has_error = false;
	fake.error = 0;
}

void vcpu_inject_exception_error(struct vcpu *vcpu, uint8_t vector, uint32_t error)
{
	vcpu_inject_exception(vcpu, vector);
	fake.has_error = true;
	fake.error = error;
}

void vcpu_inject_page_fault(struct vcpu *vcpu, uint64_t address, uint32_t error)
{
	vcpu_inject_exception_error(vcpu, VECTOR_PF, error);
	fake.fault_address = address;
}

void vcpu_inject_gp(struct vcpu *vcpu)
{
	vcpu_inject_exception_error(vcpu, VECTOR_GP, 0);
}

void vcpu_inject_ud(struct vcpu *vcpu)
{
	vcpu_inject_exception(vcpu, VECTOR_UD);
}

void vm_stop(struct vm *vm, enum vm_stop stop, uint32_t status, const char *reason)
{
	(void)vm;
	(void)stop;
	(void)status;
	fake.stops++;
	if (reason)
		strncpy(fake.reason, reason, sizeof(fake.reason) - 1);
}

uint64_t fpu_guest_xcr0(void)
{
	return fake.vcpu.xcr0;
}

void simd_register_read(unsigned int number, unsigned int bytes, void *to)
{
	check(number < 16 && bytes <= 32, "no such vector register");
	memcpy(to, fake_vectors[number], bytes);
}

void simd_register_write(unsigned int number, unsigned int bytes, enum simd_upper upper,
	const void *from)
{
	check(number < 16 && bytes <= 32, "no such vector register");
	if (upper == SIMD_ZERO)
		memset(fake_vectors[number], 0, sizeof(fake_vectors[number]));
	memcpy(fake_vectors[number], from, bytes);
}
