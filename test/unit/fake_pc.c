/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_pc.h. */
#include "test/unit/fake_pc.h"

#undef NDEBUG /* its checks are part of the tests, in every kind of build */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "host/log.h"
#include "host/memory.h"

#define CPUID_X2APIC BIT(21)
#define CPUID_TSC_DEADLINE BIT(24)
#define FAKE_WALL_NS 1700000000123456789ULL /* 2023-11-14 22:13:20 UTC and a bit */

struct fake_pc pc;

static void pull(struct vcpu *vcpu, uint32_t groups)
{
	assert(groups == REG_TPR);
	vcpu->special.tpr = pc.hardware_tpr[vcpu->id];
	vcpu->valid |= groups;
}

static const struct tsc_format tsc_format = { .whole_bits = 16, .fraction_bits = 48 };
static const struct hw_ops fake_hw = { .name = "fake", .pull = pull, .tsc_format = &tsc_format };
const struct hw_ops *hw = &fake_hw;

void *heap_alloc(size_t bytes, enum frame_use use)
{
	assert(use == FRAME_VM);
	return calloc(1, bytes);
}

void heap_free(void *object)
{
	free(object);
}

void vcpu_request(struct vcpu *vcpu, uint32_t bits)
{
	__atomic_fetch_or(&vcpu->requests, bits, __ATOMIC_ACQ_REL);
}

void *guest_memory_ptr(struct guest_memory *memory, gpa_t gpa, uint64_t access, uint64_t *bytes)
{
	(void)access;
	assert(memory == &pc.vm.memory);
	pc.ram_walks++;
	if (bytes)
		*bytes = PAGE_SIZE - (gpa & PAGE_MASK);
	return pc.ram_gone || pc.ram_away || gpa >= FAKE_PC_RAM_BYTES ? NULL : pc.ram + gpa;
}

bool guest_memory_is_mapped(const struct guest_memory *memory, gpa_t gpa, uint64_t access, uint64_t *bytes)
{
	(void)access;
	assert(memory == &pc.vm.memory);
	*bytes = PAGE_SIZE - (gpa & PAGE_MASK);
	return !pc.ram_gone && !pc.ram_away && gpa < FAKE_PC_RAM_BYTES;
}

enum memory_answer guest_memory_fault(struct guest_memory *memory, gpa_t gpa, uint64_t access)
{
	if (!guest_memory_is_ram(memory, gpa))
		return MEMORY_MMIO;
	return guest_memory_ptr(memory, gpa, access, NULL) ? MEMORY_MAPPED : MEMORY_WAIT;
}

static bool in_ram(gpa_t gpa, uint64_t bytes)
{
	return !pc.ram_gone && gpa < FAKE_PC_RAM_BYTES && bytes <= FAKE_PC_RAM_BYTES - gpa;
}

bool guest_memory_is_ram(const struct guest_memory *memory, gpa_t gpa)
{
	(void)memory;
	return in_ram(gpa, 1);
}

int guest_memory_pin(struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	(void)memory;
	pc.pins += (unsigned int)((gpa + bytes - 1) / PAGE_SIZE - gpa / PAGE_SIZE + 1);
	return 0;
}

void guest_memory_unpin(struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	(void)memory;
	pc.pins -= (unsigned int)((gpa + bytes - 1) / PAGE_SIZE - gpa / PAGE_SIZE + 1);
}

/* Nobody puts anything off here. */
void vm_work_init(struct vm_work *work, void (*run)(struct vm_work *work))
{
	work->run = run;
}

void vm_work_queue(struct vm *vm, struct vm_work *work)
{
	(void)vm, (void)work;
}

void vm_work_cancel(struct vm *vm, struct vm_work *work)
{
	(void)vm, (void)work;
}

int guest_memory_read(struct guest_memory *memory, gpa_t gpa, void *to, uint64_t bytes)
{
	(void)memory;
	if (!in_ram(gpa, bytes))
		return -EFAULT;
	if (pc.ram_away)
		return -EAGAIN;
	memcpy(to, pc.ram + gpa, bytes);
	return 0;
}

int guest_memory_write(struct guest_memory *memory, gpa_t gpa, const void *from, uint64_t bytes)
{
	(void)memory;
	if (!in_ram(gpa, bytes))
		return -EFAULT;
	if (pc.ram_away)
		return -EAGAIN;
	memcpy(pc.ram + gpa, from, bytes);
	return 0;
}

unsigned int vm_io_begin(struct vm *vm)
{
	vm->io_in_flight++;
	return guest_memory_hold(&vm->memory);
}

void vm_io_end(struct vm *vm, unsigned int hold)
{
	assert(vm->io_in_flight > 0);
	assert(vm->memory.limbo.holds[hold] > 0);
	guest_memory_release(&vm->memory, hold);
	vm->io_in_flight--;
}

void log_line(const char *format, ...)
{
	(void)format;
	pc.log_lines++;
}

void vcpu_inject_nmi(struct vcpu *vcpu)
{
	pc.nmis[vcpu->id]++;
}

void vm_stop(struct vm *vm, enum vm_stop stop, uint32_t status, const char *reason)
{
	(void)vm, (void)reason;
	if (pc.stops++)
		return;
	pc.stop = stop;
	pc.stop_status = status;
}

void vm_add_device(struct vm *vm, struct device *device)
{
	device->vm = vm;
	list_add_tail(&vm->devices, &device->link);
}

void fake_pc_begin(unsigned int vcpu_count)
{
	memset(&pc, 0, sizeof(pc));
	fake_clock_reset(FAKE_WALL_NS);
	list_init(&pc.vm.devices);
	pc.vm.memory.slots[0] = (struct memory_slot){ .bytes = FAKE_PC_RAM_BYTES };
	pc.vm.memory.slot_count = 1;
	pc.cpuid.physical_bits = 40;
	pc.cpuid.basic[1].registers.ecx = CPUID_X2APIC | CPUID_TSC_DEADLINE;
	pc.vm.cpuid = &pc.cpuid;
	pc.vm.tsc_hz = FAKE_TSC_HZ;
	for (unsigned int i = 0; i < vcpu_count; i++) {
		struct vcpu *vcpu = &pc.vcpus[i];

		vcpu->vm = &pc.vm;
		vcpu->id = i;
		vcpu->tsc_offset = 0 - clock_tsc();
		pc.vm.vcpus[i] = vcpu;
		if (lapic_create(vcpu))
			abort();
		pc.vm.vcpu_count++;
		vcpu->requests = 0;
	}
}

void fake_pc_end(void)
{
	struct device *device, *after;

	list_for_each_safe(device, after, &pc.vm.devices, struct device, link)
		device->destroy(device);
	for (unsigned int i = 0; i < pc.vm.vcpu_count; i++)
		lapic_destroy(pc.vm.vcpus[i]);
	assert(fake_clock_armed() == 0);
}

void fake_pc_reset_devices(void)
{
	struct device *device;

	spin_lock(&pc.vm.lock);
	list_for_each(device, &pc.vm.devices, struct device, link)
		device->reset(device);
	spin_unlock(&pc.vm.lock);
}

uint64_t pc_in(uint16_t port, unsigned int size)
{
	uint64_t value;

	spin_lock(&pc.vm.lock);
	value = io_bus_read(&pc.vm.ports, port, size);
	spin_unlock(&pc.vm.lock);
	return value;
}

void pc_out(uint16_t port, unsigned int size, uint64_t value)
{
	spin_lock(&pc.vm.lock);
	io_bus_write(&pc.vm.ports, port, size, value);
	spin_unlock(&pc.vm.lock);
}

uint32_t pc_read32(uint64_t gpa)
{
	uint32_t value;

	spin_lock(&pc.vm.lock);
	value = io_bus_read(&pc.vm.mmio, gpa, 4);
	spin_unlock(&pc.vm.lock);
	return value;
}

void pc_write32(uint64_t gpa, uint32_t value)
{
	spin_lock(&pc.vm.lock);
	io_bus_write(&pc.vm.mmio, gpa, 4, value);
	spin_unlock(&pc.vm.lock);
}

uint32_t lapic_read32(unsigned int vcpu, unsigned int offset)
{
	assert(lapic_claims(&pc.vcpus[vcpu], LAPIC_DEFAULT_BASE + offset));
	return lapic_mmio_read(&pc.vcpus[vcpu], LAPIC_DEFAULT_BASE + offset, 4);
}

void lapic_write32(unsigned int vcpu, unsigned int offset, uint32_t value)
{
	assert(lapic_claims(&pc.vcpus[vcpu], LAPIC_DEFAULT_BASE + offset));
	lapic_mmio_write(&pc.vcpus[vcpu], LAPIC_DEFAULT_BASE + offset, 4, value);
}

void pc_exit(unsigned int id)
{
	struct vcpu *vcpu = &pc.vcpus[id];

	if (vcpu->dirty & REG_TPR)
		pc.hardware_tpr[id] = vcpu->special.tpr;
	vcpu->dirty = 0;
	vcpu->valid = 0;
	vcpu->special.tpr = 0xa5;
}

static int acknowledge_pic(void)
{
	int vector = -1;

	spin_lock(&pc.vm.lock);
	for (size_t i = 0; i < pc.vm.irqchip_count && vector < 0; i++) {
		if (pc.vm.irqchips[i]->acknowledge)
			vector = pc.vm.irqchips[i]->acknowledge(pc.vm.irqchips[i]);
	}
	spin_unlock(&pc.vm.lock);
	return vector;
}

int pc_take_interrupt(unsigned int id)
{
	struct vcpu *vcpu = &pc.vcpus[id];
	int vector;

	vcpu_need(vcpu, REG_TPR);
	vector = lapic_waiting_vector(vcpu);
	if (lapic_tpr_passes(vcpu->special.tpr, vector)) {
		lapic_accept(vcpu, vector);
		return vector;
	}
	return vcpu->extint && lapic_accepts_extint(vcpu) ? acknowledge_pic() : -1;
}

bool pc_requested(unsigned int id, uint32_t bits)
{
	uint32_t had = pc.vcpus[id].requests;

	pc.vcpus[id].requests &= ~bits;
	return (had & bits) == bits;
}
