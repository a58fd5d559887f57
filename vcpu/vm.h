/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtual machine: memory, buses, devices, interrupt routing, vCPUs. mgmt/ creates and drives
 * it; devices/ fill it. Lock order: vm.lock, then memory.lock, then leaf locks (timers, log).
 */
#ifndef BALLAST_VCPU_VM_H
#define BALLAST_VCPU_VM_H

#include "ept/guest_memory.h"
#include "host/lock.h"
#include "lib/list.h"
#include "vcpu/bus.h"
#include "vcpu/sched.h"
#include "vcpu/vcpu.h"
#include "vcpu/work.h"

#define VM_MAX_VCPUS 64
#define VM_MAX_IRQCHIPS 4

/* Standard places of the PC platform. */
#define LAPIC_DEFAULT_BASE 0xfee00000ULL
#define IOAPIC_BASE 0xfec00000ULL
#define PCI_HOLE_START 0xc0000000ULL /* guest RAM ends below; the rest goes above 4 GiB */

enum vm_state {
	VM_STOPPED, /* never started, or stopped; its memory has been given back */
	VM_RUNNING,
};

/* Why a running VM is to stop: the first request wins. */
enum vm_stop {
	VM_STOP_NONE,
	VM_STOP_OPERATOR,  /* `vm stop`, `vm reset`, `vm destroy` */
	VM_STOP_POWER_OFF, /* the guest: ACPI S5 */
	VM_STOP_RESET,     /* the guest: 0xcf9, port 0x92, keyboard controller */
	VM_STOP_EXIT,      /* the guest: debug-exit port; vm.stop_status */
	VM_STOP_FAULT,     /* triple fault, failed entry, something Ballast cannot do */
};

struct vm;
struct vm_balloon;
struct vm_economy;

/* One device of a VM, embedded in the device's own structure. */
struct device {
	const char *name;
	struct vm *vm;
	struct list link;                     /* in vm.devices */
	void (*reset)(struct device *device); /* to the power-up state; under vm.lock */
	/*
	 * Memory of the guest that a queue waits for may have come. Boot CPU, under vm.lock. NULL:
	 * it never waits.
	 */
	void (*memory_came)(struct device *device);
	/*
	 * Stop timers, free. Without vm.lock: it waits for callbacks, and those take the lock. The
	 * device does not touch any other one, nor the buses.
	 */
	void (*destroy)(struct device *device);
};

/* An interrupt controller of the platform; embedded in the PIC's and the IOAPIC's structures. */
struct irqchip {
	/* Line `gsi` (an ISA interrupt below 16) has a new level. Under vm.lock. */
	void (*set_line)(struct irqchip *chip, unsigned int gsi, bool level);
	/* The LAPIC finished a level-triggered vector. Under vm.lock. NULL: not wanted. */
	void (*end_of_interrupt)(struct irqchip *chip, uint8_t vector);
	/* INTA cycle: the vector, or -1 when nothing is waiting. Under vm.lock. NULL: not a PIC. */
	int (*acknowledge)(struct irqchip *chip);
	/* Does an edge of ISA interrupt 0 wait for a vCPU? Under vm.lock. NULL: never. */
	bool (*tick_waits)(struct irqchip *chip);
};

/* The device whose edges the guest counts, of ISA interrupt 0; embedded in it. */
struct tick_source {
	/* A vCPU has taken an edge. Under vm.lock, from anywhere but within vm_pulse_irq(). */
	void (*taken)(struct tick_source *source);
};

struct vm {
	char name[VM_NAME_BYTES];              /* [I] */
	uint64_t domain;                       /* [I] a number that no other VM had or will have */
	struct spinlock lock;                  /* device state, buses' devices, irqchips */
	struct guest_memory memory;            /* own lock */
	struct vm_tlb tlb;                     /* see vcpu/tlb.h */
	struct io_bus ports;                   /* [lock] */
	struct io_bus mmio;                    /* [lock] LAPICs are not on it */
	struct list devices;                   /* boot CPU; more may come while it runs */
	struct vm_work_queue work;             /* what devices have put off; own lock */
	uint32_t io_in_flight;                 /* [a] see vm_io_begin(); vcpu/work.c */
	struct irqchip *irqchips[VM_MAX_IRQCHIPS]; /* [I] */
	size_t irqchip_count;
	struct tick_source *tick_source;       /* [I] once running; NULL: none */
	struct vcpu *vcpus[VM_MAX_VCPUS];      /* [I] */
	unsigned int vcpu_count;               /* [I] */
	struct cpuid_table *cpuid;             /* [I] what CPUID says here */
	struct vm_balloon *balloon;            /* [I] once running; NULL: there is none */
	struct vm_economy *economy;            /* boot CPU: balloon/'s record of it; NULL: none */
	uint64_t tsc_hz;                       /* [I] of the guest's TSC */
	struct sched_params sched;             /* boot CPU; the CPUs [a] */
	struct sched_group group;              /* how its vCPUs compete; see vcpu/sched_queue.h */
	bool paused;                           /* [a] by the operator; without effect on a stop */
	enum vm_state state;                   /* boot CPU */
	enum vm_stop stop;                     /* [a] */
	uint32_t stop_status;                  /* with VM_STOP_EXIT */
	char stop_reason[96];                  /* one sentence, for VM_STOP_FAULT */
	uint64_t created_ns;
	uint64_t started_ns;
	uint64_t overhead_bytes_before;        /* host memory in use before creation */
};

/*
 * A stopped VM with reset vCPUs and empty buses; the caller adds memory slots and devices.
 * -ENOMEM leaves nothing behind.
 */
int vm_create(const char *name, unsigned int vcpu_count, struct vm **out) __must_check;
/*
 * Give the guest a TSC of another frequency than the machine's, which a new VM has. Before the VM
 * runs for the first time. -ENOTSUP, and nothing changes: this CPU cannot scale its TSC to it.
 */
int vm_set_tsc_hz(struct vm *vm, uint64_t hz) __must_check;
/* Devices are destroyed, all memory is freed. The VM does not run. */
void vm_destroy(struct vm *vm);
/*
 * Memory that vCPUs wait for may have come: they look again. Any CPU. `devices`: and so do devices,
 * on the boot CPU.
 */
void vm_memory_came(struct vm *vm, bool devices);
/* vCPUs, devices and memory back to power-up. The VM does not run. */
void vm_reset(struct vm *vm);

/* Place the vCPUs on CPUs and let them run. Boot CPU. */
void vm_start(struct vm *vm);
/*
 * Ask a running VM to stop; any CPU, from a device or a handler (which then returns ACTION_STOP
 * or simply goes on: the vCPU leaves before its next entry). `reason` may be NULL; it is copied.
 */
void vm_stop(struct vm *vm, enum vm_stop stop, uint32_t status, const char *reason);
/*
 * True once every vCPU of a VM with a stop request has left its CPU, and no I/O is under way that
 * touches its memory. Boot CPU.
 */
bool vm_has_stopped(struct vm *vm);

/* Add a device to the VM's list; its regions are added with io_bus_add(). Boot CPU. */
void vm_add_device(struct vm *vm, struct device *device);
/* Before the VM runs. -ENOSPC. */
int vm_add_irqchip(struct vm *vm, struct irqchip *chip) __must_check;

/* A device's interrupt line changes level. Under vm.lock. */
void vm_set_irq(struct vm *vm, unsigned int gsi, bool level);
/* A rising edge and its end. Under vm.lock. */
void vm_pulse_irq(struct vm *vm, unsigned int gsi);
/* Does an edge of ISA interrupt 0 wait for a vCPU to take it? Under vm.lock. */
bool vm_tick_waits(struct vm *vm);
/* A vCPU has taken one. Under vm.lock. */
void vm_tick_taken(struct vm *vm);
/* The PIC's output to LINT0 of the boot vCPU. Under vm.lock. */
void vm_set_extint(struct vm *vm, bool level);

#endif
