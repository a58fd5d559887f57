/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The steps of bringing up the host, in the order in which boot/main.c calls them. What each needs
 * stands with it. All run once, on the boot CPU, interrupts off.
 */
#ifndef BALLAST_HOST_INIT_H
#define BALLAST_HOST_INIT_H

#include "host/descriptor.h"
#include "host/memory.h"
#include "lib/util.h"

/* The UART by machine.serial_*: polled from here on. No memory, no traps needed. */
void serial_init(void);
/* Interrupts or a polling timer for it: after timers and ioapic_init(). */
void serial_start(void);

/* GDT, IDT, stacks of the boot CPU, on its area; control registers and EFER as in all the host. */
void cpu_init_boot(struct cpu_area *area, uint32_t apic_id);
/* The same registers on another CPU, whose descriptors are loaded. */
void cpu_init_registers(void);

/*
 * Build the host's page tables from machine.mappings and switch to them; their pages are taken
 * from the start of `pool`. Returns the bytes of the pool that were used. Later tables come from
 * the frame allocator.
 */
uint64_t mmu_init(struct memory_range pool);
/* An upper bound of what mmu_init() uses, in bytes. */
uint64_t mmu_pool_bytes(void);
/* CR3 for CPUs that start with four-level paging. */
hpa_t mmu_root(void);
/* Make the page at `page` executable and read-only, or ordinary data again. */
int mmu_set_executable(hpa_t page, bool executable) __must_check;

/*
 * Time. clock_start() takes the first reading, at EFI entry; clock_sample() may be called now and
 * then while the firmware loads files, so that a 24-bit timer's wraps are seen; clock_init()
 * computes the frequency, spinning only when too little time has passed.
 */
void clock_start(void);
void clock_sample(void);
void clock_init(void);

/* The calling CPU's timer queue. */
void timer_init_cpu(struct cpu *cpu);

/* Start the other CPUs; each calls `main` on its own stack, with its registers and APIC set up. */
void smp_init(void (*main)(void));

/* The image's sections, for W^X: symbols of boot/efi.lds. */
extern const char image_text[], image_text_end[], image_rodata_end[], image_end[];

#endif
