/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtual machine's life, below the level of configuration; see vcpu/vm.h. */
#include "vcpu/vm.h"

#include "host/memory.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "vcpu/cpuid.h"
#include "vcpu/sched.h"

static void free_vcpus(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vcpu_destroy(vm->vcpus[i]);
}

static int create_vcpus(struct vm *vm, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		int error = vcpu_create(vm, i, &vm->vcpus[i]);

		if (error)
			return error;
		vm->vcpu_count++;
	}
	return 0;
}

static uint64_t last_domain; /* [a] */

static void flush(struct guest_memory *memory)
{
	vm_shootdown(container_of(memory, struct vm, memory));
}

int vm_create(const char *name, unsigned int vcpu_count, struct vm **out)
{
	struct vm *vm = heap_alloc(sizeof(*vm), FRAME_VM);
	int error = -ENOMEM;

	if (!vm)
		return -ENOMEM;
	snprintf(vm->name, sizeof(vm->name), "%s", name);
	vm->domain = __atomic_add_fetch(&last_domain, 1, __ATOMIC_RELAXED);
	list_init(&vm->devices);
	vm_work_queue_init(&vm->work);
	vm->created_ns = clock_now_ns();
	vm->cpuid = heap_alloc(sizeof(*vm->cpuid), FRAME_VM);
	if (!vm->cpuid || sched_vm_init(vm))
		goto fail;
	cpuid_table_build(vm->cpuid, vcpu_count);
	vm->tsc_hz = clock_tsc_hz;
	error = guest_memory_init(&vm->memory, hw->s2_format);
	if (error)
		goto fail;
	vm->memory.flush = flush;
	error = tlb_init(vm);
	if (!error)
		error = create_vcpus(vm, vcpu_count);
	if (error)
		goto fail_vcpus;
	*out = vm;
	return 0;

fail_vcpus:
	free_vcpus(vm);
	tlb_destroy(vm);
	guest_memory_destroy(&vm->memory);
fail:
	sched_vm_destroy(vm);
	heap_free(vm->cpuid);
	heap_free(vm);
	return error;
}

int vm_set_tsc_hz(struct vm *vm, uint64_t hz)
{
	uint64_t ratio;
	int error;

	/* The machine's own, to the kHz, as which it is shown. */
	if (hz / 1000 == clock_tsc_hz / 1000)
		return 0;
	error = tsc_find_ratio(hw->tsc_format, hz, clock_tsc_hz, &ratio);
	if (error)
		return error;
	vm->tsc_hz = hz;
	cpuid_set_tsc_hz(vm->cpuid, hz);
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vm->vcpus[i]->tsc_ratio = ratio;
	return 0;
}

void vm_destroy(struct vm *vm)
{
	struct device *device, *after;

	list_for_each_safe(device, after, &vm->devices, struct device, link) {
		list_remove(&device->link);
		device->destroy(device);
	}
	free_vcpus(vm);
	tlb_destroy(vm);
	guest_memory_destroy(&vm->memory);
	sched_vm_destroy(vm);
	heap_free(vm->cpuid);
	heap_free(vm);
}

void vm_memory_came(struct vm *vm, bool devices)
{
	struct device *device;

	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		if (__atomic_exchange_n(&vm->vcpus[i]->sleeps, false, __ATOMIC_ACQ_REL))
			vcpu_request(vm->vcpus[i], REQUEST_EVENTS);
	}
	if (!devices)
		return;
	spin_lock(&vm->lock);
	list_for_each(device, &vm->devices, struct device, link) {
		if (device->memory_came)
			device->memory_came(device);
	}
	spin_unlock(&vm->lock);
}

void vm_reset(struct vm *vm)
{
	struct device *device;

	guest_memory_clear(&vm->memory);
	tlb_changed(vm);
	/* Without the lock: a device waits for its timer's callback, which takes the lock. */
	list_for_each(device, &vm->devices, struct device, link)
		device->reset(device);
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vcpu_reset(vm->vcpus[i], false);
	vm->stop = VM_STOP_NONE;
	vm->stop_status = 0;
	vm->stop_reason[0] = '\0';
}

void vm_start(struct vm *vm)
{
	/* All vCPUs of a VM see the same TSC. */
	uint64_t tsc_offset = -vcpu_scale_tsc(vm->vcpus[0], clock_tsc());

	vm->state = VM_RUNNING;
	vm->started_ns = clock_now_ns();
	sched_vm_start(vm);
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = vm->vcpus[i];

		vcpu->tsc_offset = tsc_offset;
		vcpu->tsc_written = false;
		vcpu_set_dirty(vcpu, REG_TSC);
		memset(vcpu->exits, 0, sizeof(vcpu->exits));
		vcpu->pause_yields = 0;
		/* From here on its sisters may wake it. */
		__atomic_store_n(&vcpu->state, VCPU_WAIT_SIPI, __ATOMIC_RELEASE);
		/* Cached translations of its page tables may be those of an earlier run. */
		vcpu_request(vcpu, REQUEST_TLB_GUEST | REQUEST_EVENTS);
	}
}

void vm_stop(struct vm *vm, enum vm_stop stop, uint32_t status, const char *reason)
{
	enum vm_stop none = VM_STOP_NONE;

	/* The first request wins, and only it writes what goes with it. */
	if (!__atomic_compare_exchange_n(
		    &vm->stop, &none, stop, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return;
	vm->stop_status = status;
	snprintf(vm->stop_reason, sizeof(vm->stop_reason), "%s", reason ? reason : "");
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vcpu_request(vm->vcpus[i], REQUEST_STOP);
	sched_release(vm);
}

bool vm_has_stopped(struct vm *vm)
{
	if (__atomic_load_n(&vm->stop, __ATOMIC_ACQUIRE) == VM_STOP_NONE)
		return false;
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		if (__atomic_load_n(&vm->vcpus[i]->state, __ATOMIC_ACQUIRE) != VCPU_STOPPED)
			return false;
	}
	return vm_io_has_ended(vm);
}

void vm_add_device(struct vm *vm, struct device *device)
{
	device->vm = vm;
	list_add_tail(&vm->devices, &device->link);
}
