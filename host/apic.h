/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPU's own local APIC, in x2APIC mode where the CPU has it, and its timer. */
#ifndef BALLAST_HOST_APIC_H
#define BALLAST_HOST_APIC_H

#include "host/cpu.h"

/* Choose the mode and set up the boot CPU's APIC; starts measuring the timer's frequency. */
void apic_init(void);
/* Finish measuring: after clock_init(). */
void apic_timer_init(void);
/* Set up the calling CPU's APIC as the boot CPU's is. */
void apic_init_cpu(void);
/* The calling CPU's APIC id. Works before apic_init(). */
uint32_t apic_read_id(void);
bool apic_is_x2apic(void);
bool apic_has_tsc_deadline(void);

void apic_end_interrupt(void);
/*
 * Have the calling CPU's APIC offer once more what waits in it. Needed where `apic_forgetful`: an
 * emulated CPU's threads may lose an interrupt that the APIC has offered (svm/svm.h says how).
 */
void apic_offer_again(void);
extern bool apic_forgetful; /* [I] set before the other CPUs run guests */
/* Interprocessor interrupts; they return when the APIC has accepted the command. */
void apic_send(uint32_t apic_id, uint8_t vector);
void apic_send_init(uint32_t apic_id);
void apic_send_startup(uint32_t apic_id, hpa_t page);
void apic_send_nmi(uint32_t apic_id);
void apic_send_nmi_others(void);

/*
 * Ask for IRQ_VECTOR_TIMER at the TSC `deadline`, one at a time. Returns for when it was asked:
 * less when the deadline is too far away for the hardware. The timer may count by a clock of its
 * own: when its interrupt comes, that time has come, even if the TSC does not quite show it yet.
 */
uint64_t apic_timer_program(uint64_t deadline_tsc);

#endif
