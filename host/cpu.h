/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Per-CPU data and SMP. Ballast runs with interrupts disabled, one stack for each CPU and no
 * threads; interrupts and timers are served only in irq_window() and while a CPU idles, so code
 * never races with an interrupt handler of its own CPU.
 */
#ifndef BALLAST_HOST_CPU_H
#define BALLAST_HOST_CPU_H

#include "lib/list.h"
#include "lib/util.h"

#define CPU_MAX 256
#define CPU_MITIGATIONS 5 /* MITIGATIONS of host/mitigation_plan.h */

struct vcpu;
struct timer_queue;
struct watch;
struct nmi_report;

struct cpu {
	struct cpu *self;      /* [I] at %gs:0 */
	/* Own CPU: host/mitigation.inc knows where these two are. */
	uint64_t mitigated[CPU_MITIGATIONS]; /* how often each was carried out */
	bool l1d_stale;        /* more than the guest's exits was served since the last flush */
	uint32_t mitigation_generation; /* own CPU: whose settings its MSRs have */
	uint64_t domain;       /* own CPU: which VM ran here last; see vm.domain */
	uint32_t id;           /* [I] dense, 0 is the boot CPU */
	uint32_t apic_id;      /* [I] */
	struct timer_queue *timers; /* [I] own timers; locked inside */
	struct vcpu *loaded;   /* own CPU: whose register state the hardware holds */
	struct vcpu *running;  /* [a] non-NULL while inside the guest or about to enter it */
	hpa_t hw_page;         /* [I] VMXON region or SVM host save area */
	void *hw_data;         /* [I] the vendor's own per-CPU record */
	void *sched;           /* [I] the scheduler's per-CPU record */
	volatile uint32_t kick; /* [a] set by cpu_kick(), cleared by the kicked CPU */
	uint32_t work;         /* [a] set by cpu_notify(), cleared by cpu_take_work() */
	bool online;           /* [a] */
	bool runs_guests;      /* [a] it can: virtualization is on */
	hpa_t stack_top;       /* [I] */
	uint64_t nmi_count;    /* own CPU */
	uint64_t grace;        /* [a] own CPU writes: see host/grace.h */
	uint32_t served;       /* [a] own CPU writes: interrupts served, its sign of life */
	bool idle;             /* [a] it halts */
	bool unwatched;        /* [a] its watcher rests: to be woken at the next interrupt */
	struct watch *watch;   /* [I] its watch over another CPU; NULL: none */
	struct nmi_report *nmi_report; /* [a] the next NMI is to fill it; see host/watchdog.h */
	const char *guest_name; /* own CPU: VM of `loaded`, for the watchdog */
	uint32_t guest_vcpu;    /* own CPU: with guest_name */
	uint64_t timer_late_tsc; /* [a] own CPU writes: how late its timer was served, at most */
	uint64_t timer_late_at_tsc; /* [a] when that was */
	uint64_t idle_tsc;       /* [a] own CPU writes: time halted, but for the present halt */
	uint64_t idle_since_tsc; /* [a] own CPU writes: halted since then; 0: it is not */
};

#ifdef BALLAST_UNIT_TEST
struct cpu *this_cpu(void); /* the test's own */
#else
static inline struct cpu *this_cpu(void)
{
	struct cpu *cpu;

	__asm__("mov %%gs:0, %0" : "=r"(cpu));
	return cpu;
}
#endif

unsigned int cpu_count(void);                 /* online CPUs; ids are 0 .. count-1 */
struct cpu *cpu_by_id(unsigned int id);       /* NULL beyond cpu_count() */

/* Make `cpu` leave the guest or its idle halt and look at its work. Any CPU. */
void cpu_kick(struct cpu *cpu);
/*
 * The same, and what the CPU does besides running guests has something to do: on the boot CPU, the
 * operator's side. A kick alone is the scheduler's. Any CPU.
 */
void cpu_notify(struct cpu *cpu);
/* Was this CPU notified since the last call? What the notifier wrote before is then visible. */
bool cpu_take_work(void);

/*
 * Interrupt `cpu`, which runs a guest, for a moment: the guest leaves, and comes back unless there
 * is something to do. Any CPU; its own, on the way into a guest, leaves at once.
 */
void cpu_poke(struct cpu *cpu);

/*
 * Halt until an interrupt has been served. Interrupts are off again on return. True when cpu_kick()
 * was called before or meanwhile: that is then done with.
 */
bool cpu_idle(void);

/* How long the CPU has halted in cpu_idle() so far; any CPU. */
uint64_t cpu_idle_tsc(const struct cpu *cpu);

/* Let pending interrupts (timers among them) be served: the only place they are, besides idle. */
void irq_window(void);

/*
 * Route interrupt `gsi` of the machine (identity-mapped ISA irq, overrides applied) to the boot
 * CPU. The handler runs in irq_window() or cpu_idle() with interrupts off. 0, -ENODEV without an
 * IOAPIC, -ENOSPC.
 */
int irq_register_isa(unsigned int isa_irq, void (*handler)(void *), void *argument) __must_check;

#endif
