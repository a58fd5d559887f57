/* SPDX-License-Identifier: BSD-2-Clause */
/* The order in which the host comes to life. */
#include "boot/boot.h"

#include "host/apic.h"
#include "host/block/block.h"
#include "host/clock.h"
#include "host/init.h"
#include "host/ioapic.h"
#include "host/irq.h"
#include "host/log.h"
#include "host/mitigation.h"
#include "host/net/net.h"
#include "host/pci.h"
#include "host/serial.h"
#include "host/topology.h"
#include "host/watchdog.h"
#include "mgmt/mgmt.h"
#include "vcpu/sched.h"
#include "vcpu/vcpu.h"

/* Other CPUs get so long to make themselves ready before the first guest is placed. */
#define READY_NS (100 * NS_PER_MS)

static uint32_t released; /* [a] other CPUs may run guests */
static uint32_t ready;    /* [a] how many of them have tried to get ready for that */

/*
 * Of the threads of a core only the first runs guests, unless siblings are allowed to: mgmt/
 * decides that later, and opens those that it then finds able.
 */
static void open_for_guests(struct cpu *cpu)
{
	__atomic_store_n(&cpu->runs_guests, true, __ATOMIC_SEQ_CST);
	if (!topology_is_sibling(cpu) ||
		__atomic_load_n(&topology_siblings_allowed, __ATOMIC_SEQ_CST))
		sched_open(cpu);
}

/* What every CPU but the first does, from the end of its own start-up. */
static void secondary_main(void)
{
	while (!__atomic_load_n(&released, __ATOMIC_ACQUIRE))
		cpu_idle();
	if (vcpu_cpu_init(this_cpu()) == 0)
		open_for_guests(this_cpu());
	else
		log_line("cpu %u: virtualization cannot be enabled; it runs no guests",
			this_cpu()->id);
	__atomic_fetch_add(&ready, 1, __ATOMIC_RELEASE);
	sched_cpu_loop();
}

static void release_secondaries(void)
{
	uint64_t limit = clock_tsc() + clock_tsc_from_ns(READY_NS);

	__atomic_store_n(&released, 1, __ATOMIC_RELEASE);
	for (unsigned int id = 1; id < cpu_count(); id++)
		cpu_kick(cpu_by_id(id));
	while (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) + 1 < cpu_count() && clock_tsc() < limit)
		__builtin_ia32_pause();
}

/* Own memory: page tables, and then an allocator for all that they do not take. */
static void memory_init(struct cpu_area *area)
{
	struct memory_range tables = {
		.start = host_phys(area + 1),
		.bytes = mmu_pool_bytes(),
	};
	struct memory_range taken;

	if (tables.start + tables.bytes > boot_pool.start + boot_pool.bytes)
		panic("%lu bytes of free memory are too few", boot_pool.bytes);
	taken.start = boot_pool.start;
	taken.bytes = sizeof(*area) + mmu_init(tables);
	memmap_make_free_list(taken);
	frame_init(machine.memory, machine.memory_count);
	descriptor_unmap_guards(area);
}

void ballast_main(void)
{
	struct cpu_area *area = host_ptr(boot_pool.start);

	page_zero(area->page, PAGE_SIZE);
	serial_init();
	cpu_init_boot(area, machine.apic_ids[0]);
	memory_init(area);
	irq_init();
	apic_init();
	clock_init();
	apic_timer_init();
	timer_init_cpu(this_cpu());
	ioapic_init();
	serial_start();
	smp_init(secondary_main);
	mitigation_init();
	host_pci_init();
	if (watchdog_init())
		log_line("no memory for a watchdog");
	if (sched_init())
		panic("no memory for the scheduler");
	if (vcpu_cpu_init(this_cpu()))
		panic("virtualization cannot be enabled on the boot CPU");
	release_secondaries();
	block_init();
	net_init();
	mgmt_main();
}
