/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a VM's devices put off: queues to go on with, requests that disks have completed, packets
 * that have arrived. A vCPU of the same VM does it before its next entry, so it is paid for from
 * that VM's own share of the machine and never delays another's.
 */
#ifndef BALLAST_VCPU_WORK_H
#define BALLAST_VCPU_WORK_H

#include "host/lock.h"
#include "lib/list.h"

struct vm;

/* One piece of work, embedded in its device. */
struct vm_work {
	/*
	 * Under vm.lock, on the CPU of a vCPU of this VM. Does a bounded part (tens of
	 * microseconds) and queues itself again for the rest.
	 */
	void (*run)(struct vm_work *work); /* [I] */
	struct list link;                  /* [queue.lock] */
	bool queued;                       /* [queue.lock] */
};

struct vm_work_queue {
	struct spinlock lock;              /* below vm.lock and below every lock of host/ */
	struct list list;                  /* [lock] */
};

void vm_work_queue_init(struct vm_work_queue *queue);
void vm_work_init(struct vm_work *work, void (*run)(struct vm_work *work));

/*
 * Have it run soon; once, if it is queued already. Any CPU, with or without vm.lock. By the vCPU
 * that runs on this CPU if it is of this VM, else by the VM's first one, which is woken for it.
 */
void vm_work_queue(struct vm *vm, struct vm_work *work);
/* Out of the queue, if it is there: from its device's reset() or destroy(). Not while it runs. */
void vm_work_cancel(struct vm *vm, struct vm_work *work);

/* Run some of what is queued, and ask again for the rest. Run loop only, without vm.lock. */
void vm_work_run(struct vm *vm);

/*
 * Somebody outside the VM (a disk's controller, say) is about to touch memory of this guest, or has
 * finished. While one has not, the VM does not count as stopped, and frames that are taken from it
 * do not go to others. vm_io_begin() comes in the handler that finds the pointers; vm_io_end()
 * gets its answer. Any CPU.
 */
unsigned int vm_io_begin(struct vm *vm) __must_check;
void vm_io_end(struct vm *vm, unsigned int hold);
/*
 * Is none under way? If one is, the boot CPU is notified when the last one ends. Nothing can begin
 * one meanwhile. Boot CPU.
 */
bool vm_io_has_ended(struct vm *vm);

#endif
