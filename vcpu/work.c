/* SPDX-License-Identifier: BSD-2-Clause */
/* Deferred work of devices; see vcpu/work.h. */
#include "vcpu/work.h"

#include "host/cpu.h"
#include "vcpu/event.h"
#include "vcpu/vm.h"

/* In one go, before the guest is entered again. */
#define WORK_BUDGET 8

/* In vm.io_in_flight: the boot CPU wants to know when it is the only bit left. */
#define IO_AWAITED (1U << 31)

void vm_work_queue_init(struct vm_work_queue *queue)
{
	list_init(&queue->list);
}

void vm_work_init(struct vm_work *work, void (*run)(struct vm_work *work))
{
	work->run = run;
	work->queued = false;
	list_init(&work->link);
}

/* The vCPU of this VM that is to do it. */
static struct vcpu *worker(struct vm *vm)
{
	struct vcpu *here = this_cpu()->running;

	return here && here->vm == vm ? here : vm->vcpus[0];
}

void vm_work_queue(struct vm *vm, struct vm_work *work)
{
	bool added;

	spin_lock(&vm->work.lock);
	added = !work->queued;
	if (added) {
		work->queued = true;
		list_add_tail(&vm->work.list, &work->link);
	}
	spin_unlock(&vm->work.lock);
	if (added)
		vcpu_request(worker(vm), REQUEST_WORK);
}

void vm_work_cancel(struct vm *vm, struct vm_work *work)
{
	spin_lock(&vm->work.lock);
	list_remove(&work->link);
	work->queued = false;
	spin_unlock(&vm->work.lock);
}

static struct vm_work *take(struct vm_work_queue *queue)
{
	struct vm_work *work = NULL;

	spin_lock(&queue->lock);
	if (!list_empty(&queue->list)) {
		work = list_first(&queue->list, struct vm_work, link);
		list_remove(&work->link);
		work->queued = false;
	}
	spin_unlock(&queue->lock);
	return work;
}

void vm_work_run(struct vm *vm)
{
	struct vm_work *work;

	/* The lock first: who takes work out of the queue must not find it running. */
	for (unsigned int i = 0; i < WORK_BUDGET; i++) {
		spin_lock(&vm->lock);
		work = take(&vm->work);
		if (work)
			work->run(work);
		spin_unlock(&vm->lock);
		if (!work)
			return;
	}
	/* There may be more: the guest, or the host's interrupts, come first. */
	vcpu_request(worker(vm), REQUEST_WORK);
}

unsigned int vm_io_begin(struct vm *vm)
{
	__atomic_fetch_add(&vm->io_in_flight, 1, __ATOMIC_RELAXED);
	return guest_memory_hold(&vm->memory);
}

void vm_io_end(struct vm *vm, unsigned int hold)
{
	guest_memory_release(&vm->memory, hold);
	/* The VM may be gone as soon as the last one has ended. */
	if (__atomic_sub_fetch(&vm->io_in_flight, 1, __ATOMIC_ACQ_REL) == IO_AWAITED)
		cpu_notify(cpu_by_id(0));
}

bool vm_io_has_ended(struct vm *vm)
{
	uint32_t before = __atomic_fetch_or(&vm->io_in_flight, IO_AWAITED, __ATOMIC_ACQ_REL);

	if ((before & ~IO_AWAITED) != 0)
		return false;
	__atomic_store_n(&vm->io_in_flight, 0, __ATOMIC_RELAXED);
	return true;
}
