/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Simulated CPUs that run simulated vCPUs by the policy of vcpu/sched_queue.h: events in order of
 * their time, nothing random but from a fixed seed. The CPUs do what vcpu/sched.c does with the
 * policy, but no more: a vCPU stays on its CPU unless an idle one takes it.
 */
#ifndef BALLAST_TEST_SCHED_SIM_H
#define BALLAST_TEST_SCHED_SIM_H

#include "vcpu/sched_queue.h"

#define SIM_CPUS_MAX 64
#define SIM_HISTOGRAM 40 /* of wake latencies: below 1 us, 2 us, 4 us, ... */
#define SIM_FOR_EVER (~0ULL >> 1)

struct sim;
struct sim_vcpu;

/* What a vCPU does. */
struct sim_behaviour {
	/* It gets the CPU after a sleep: run so long, then sleep so long (0: it only yields). */
	uint64_t (*run_ns)(struct sim_vcpu *vcpu);
	uint64_t (*sleep_ns)(struct sim_vcpu *vcpu);
	/* It goes to sleep: it may wake others (sim_wake()). NULL: it does not. */
	void (*asleep)(struct sim_vcpu *vcpu);
	uint64_t a, b; /* for these functions */
};

struct sim_vcpu {
	struct sched_entity entity;
	struct sim *sim;
	struct sim_vm *vm;
	struct sim_vcpu *next;       /* of the VM */
	struct sim_behaviour does;
	unsigned int cpu;            /* where it is, or was last */
	uint64_t left_ns;            /* of its present run */
	uint64_t ready_ns;           /* since then it waits for the CPU */
	uint64_t woke_ns;            /* it woke then and has not run since; 0: no */
	uint64_t wake_at_ns;         /* it sleeps until then */
	uint64_t run_ns;             /* all of its time on CPUs */
	uint64_t wait_max_ns;        /* the longest that it waited, its VM's cap aside */
	uint64_t latency_max_ns, wakes, turns, moves;
	uint64_t histogram[SIM_HISTOGRAM];
	struct heap_node event;      /* its waking */
};

struct sim_vm {
	struct sched_group group;
	struct sched_share shares[SIM_CPUS_MAX];
	struct sim_vcpu *vcpus;
	uint32_t weight;
};

struct sim_cpu {
	struct sched_queue queue;
	struct heap_node event;      /* its timer */
	bool armed;
	uint64_t since_ns;           /* the current vCPU got it */
	uint64_t idle_ns, idle_since_ns;
	uint64_t last_virtual_ns;
};

struct sim {
	uint64_t now_ns;
	unsigned int cpu_count;
	struct sim_cpu cpus[SIM_CPUS_MAX];
	struct heap_node *events;
	uint64_t random;
	uint64_t steps;
	uint64_t checksum;           /* of all decisions: the same run gives the same */
	unsigned int check_every;    /* so many steps, all queues' structure is checked; 0: never */
	bool steals;                 /* an idle CPU takes one that waits elsewhere */
	uint64_t jitter_ns;          /* timers come so much late at most */
	struct sim_vm **vms;
	unsigned int vm_count;
};

void sim_begin(struct sim *sim, unsigned int cpus, uint64_t seed);
void sim_end(struct sim *sim);
struct sim_vm *sim_add_vm(struct sim *sim, uint32_t weight, uint32_t cap_percent);
void sim_set_weight(struct sim_vm *vm, uint32_t weight);
/* It starts asleep and wakes at once, or at `at_ns`. */
struct sim_vcpu *sim_add_vcpu(struct sim *sim, struct sim_vm *vm, unsigned int cpu,
	const struct sim_behaviour *does, uint64_t at_ns);
void sim_run(struct sim *sim, uint64_t ns);
/* One that sleeps wakes now; others do not notice. */
void sim_wake(struct sim_vcpu *vcpu);

uint32_t sim_random(struct sim *sim);
/* Evenly in [low, high]. */
uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high);

/* Run time of all its vCPUs until now. */
uint64_t sim_vm_run_ns(const struct sim *sim, const struct sim_vm *vm);
uint64_t sim_vcpu_run_ns(const struct sim *sim, const struct sim_vcpu *vcpu);
/* All CPUs together. */
uint64_t sim_idle_ns(const struct sim *sim);
/* The latency that so many of 1000 wakes do not exceed (to a power of two), in ns. */
uint64_t sim_latency(const struct sim_vcpu *vcpu, unsigned int permille);
/* Begin to count them anew, and the longest waits. */
void sim_forget_latencies(struct sim *sim);
void sim_print_latency(const char *name, const struct sim_vcpu *vcpu);

/* Ready-made behaviours. */
extern const struct sim_behaviour sim_hog;
/* Runs `run_ns`, sleeps `sleep_ns`, each up to half as long again, at random. */
struct sim_behaviour sim_sleeper(uint64_t run_ns, uint64_t sleep_ns);
/* Exactly so long. */
struct sim_behaviour sim_cycle(uint64_t run_ns, uint64_t sleep_ns);

/*
 * The structure of one queue: order and links of its heaps, flags, counts and sums. What is wrong,
 * as text, or NULL. Under the queue's lock; `groups` are all VMs that may have someone there.
 */
const char *sched_check_queue(const struct sched_queue *queue, struct sched_group *const *groups,
	unsigned int count);

#endif
