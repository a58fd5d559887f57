/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUs that do not come back. Every interrupt that a CPU serves is its sign of life. Each CPU is
 * watched by the one after it (the last by the first), once a second, but only while it is not
 * idle: an idle machine has no timer of this. A CPU that gives no sign between two looks is sent
 * an interrupt; when that is not served within WATCHDOG_LIMIT_NS it is stuck, and an NMI makes it
 * write down where it is. The boot CPU prints the report; the watcher does, straight to the serial
 * port, when the boot CPU is the one that is stuck or does not get to it.
 *
 * With one CPU there is nobody to watch it.
 */
#ifndef BALLAST_HOST_WATCHDOG_H
#define BALLAST_HOST_WATCHDOG_H

#include "host/clock.h"
#include "host/cpu.h"

#define WATCHDOG_PERIOD_NS NS_PER_SEC
#define WATCHDOG_LIMIT_NS (2 * NS_PER_SEC)
/* An NMI is answered at once, or not at all; but an emulator may be slow to deliver it. */
#define WATCHDOG_NMI_NS (20 * NS_PER_MS)
#define WATCHDOG_NMI_LIMIT_NS NS_PER_SEC

#define NMI_REPORT_ADDRESSES 20
#define NMI_REPORT_NAME_BYTES 32

/* Where a CPU was when an NMI came; written by that NMI's handler. */
struct nmi_report {
	bool ready;       /* [a] what follows is there */
	bool in_guest;    /* it ran the guest; else it was at `rip` in the host */
	uint64_t rip;
	uint64_t callers[NMI_REPORT_ADDRESSES];
	unsigned int caller_count;
	char guest_name[NMI_REPORT_NAME_BYTES]; /* whose state the CPU held; "": nobody's */
	unsigned int guest_vcpu;
};

/* Once, on the boot CPU, when cpu_count() is final. -ENOMEM: there is no watchdog. */
int watchdog_init(void) __must_check;
/*
 * [a] The vendor says where an NMI that ended a guest's run is taken: an instruction pointer, the
 * same on all CPUs.
 */
extern uint64_t watchdog_guest_rip;

/* The calling CPU, `cpu`, serves an interrupt. */
static inline void watchdog_served(struct cpu *cpu)
{
	__atomic_store_n(&cpu->served, cpu->served + 1, __ATOMIC_RELAXED);
	/* Before it looks at `unwatched`; the watcher does it the other way round. */
	if (unlikely(cpu->idle))
		__atomic_store_n(&cpu->idle, false, __ATOMIC_SEQ_CST);
}
void watchdog_call(struct cpu *cpu);
/* The calling CPU, `cpu`, does more than to watch another one. */
static inline void watchdog_need(struct cpu *cpu)
{
	if (unlikely(__atomic_load_n(&cpu->unwatched, __ATOMIC_RELAXED)))
		watchdog_call(cpu);
}
/* IRQ_VECTOR_WATCH: the CPU that the calling one watches has stopped being idle. */
void watchdog_wake(void);
/* In the NMI's handler, with the frame's RIP and RSP: no locks, nothing that waits. */
void watchdog_nmi(uint64_t rip, uint64_t rsp);

/* Print what there is to say. Boot CPU, now and then. */
void watchdog_poll(void);

/*
 * Send `cpu` an NMI; it fills `report`, for which `ready` is to be looked at. One at a time for
 * each CPU; the report stays where it is until then, or for ever. Any CPU.
 */
void watchdog_ask(struct cpu *cpu, struct nmi_report *report);
/* One line for each part of it. `where` is "cpu 1 has not come back for 2.0 s". */
void watchdog_describe(const char *where, const struct nmi_report *report,
	void (*line)(const char *format, ...));

#endif
