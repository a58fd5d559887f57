/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scheduling policy in simulated time: how soon one that wakes runs, what those gain who sleep and wake
 * as suits them best, that nobody starves, and what each operation costs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "test/unit/sched_sim.h"

#define VMS 256
#define JITTER_NS (30 * NS_PER_US)

static struct sim sim;
static struct sim_vm *vms[VMS];

static void begin(unsigned int cpus, uint64_t seed)
{
	sim_begin(&sim, cpus, seed);
	sim.check_every = 11;
	sim.jitter_ns = JITTER_NS;
}

static int end(void **state)
{
	(void)state;
	sim_end(&sim);
	return 0;
}

/* Those that are new have no part of their share to their credit yet. */
static void settle(void)
{
	sim_run(&sim, NS_PER_SEC / 2);
	sim_forget_latencies(&sim);
}

static struct sim_vcpu *vm_of_one(unsigned int i, uint32_t weight, const struct sim_behaviour *does)
{
	vms[i] = sim_add_vm(&sim, weight, 0);
	return sim_add_vcpu(&sim, vms[i], 0, does, i * NS_PER_MS);
}

/* As long as it takes less than its share, it runs a shortest turn and a timer's lateness after it woke. */
static void one_that_wakes_beside_hogs(void **state)
{
	static const unsigned int hogs[] = {1, 2, 8, 64};
	struct sim_behaviour nap = sim_sleeper(100 * NS_PER_US, 10 * NS_PER_MS);
	char name[32];

	(void)state;
	printf("wake to run, one that runs 0.1 ms every 10 ms beside\n");
	for (unsigned int i = 0; i < ARRAY_SIZE(hogs); i++) {
		struct sim_vcpu *vcpu;

		begin(1, i);
		for (unsigned int j = 0; j < hogs[i]; j++)
			vm_of_one(j, 100, &sim_hog);
		vcpu = vm_of_one(hogs[i], 100, &nap);
		settle();
		sim_run(&sim, 20 * NS_PER_SEC);
		snprintf(name, sizeof(name), "%u hogs", hogs[i]);
		sim_print_latency(name, vcpu);
		if (hogs[i] <= 8)
			assert_true(vcpu->latency_max_ns <= SCHED_SLICE_MIN_NS + JITTER_NS);
		else /* it wants 1 % and gets 1/65th: now and then it has to wait for its share */
			assert_true(sim_latency(vcpu, 900) <= 2 * SCHED_SLICE_MIN_NS);
		sim_end(&sim);
	}
	begin(1, 0);
}

/* Twenty that wake often: the last of those that wake together waits for the others. */
static void many_that_wake_beside_hogs(void **state)
{
	struct sim_behaviour nap = sim_sleeper(100 * NS_PER_US, 10 * NS_PER_MS);
	struct sim_vcpu *vcpus[20];
	uint64_t worst = 0;

	(void)state;
	begin(1, 5);
	for (unsigned int i = 0; i < 4; i++)
		vm_of_one(i, 100, &sim_hog);
	for (unsigned int i = 0; i < 20; i++)
		vcpus[i] = vm_of_one(4 + i, 100, &nap);
	settle();
	sim_run(&sim, 20 * NS_PER_SEC);
	for (unsigned int i = 0; i < 20; i++)
		worst = MAX(worst, vcpus[i]->latency_max_ns);
	printf("20 of these beside 4 hogs\n");
	sim_print_latency("the first of them", vcpus[0]);
	assert_true(worst <= SCHED_SLICE_MIN_NS + JITTER_NS + 20 * 150 * NS_PER_US);
	assert_true(sim_latency(vcpus[0], 900) <= 2 * SCHED_SLICE_MIN_NS);
}

/* An interrupt for a vCPU whose sisters are hogs. */
static void one_that_wakes_beside_sisters(void **state)
{
	struct sim_behaviour nap = sim_sleeper(100 * NS_PER_US, 10 * NS_PER_MS);
	struct sim_vcpu *vcpu;

	(void)state;
	begin(1, 6);
	vcpu = vm_of_one(0, 100, &nap);
	for (unsigned int i = 0; i < 3; i++)
		sim_add_vcpu(&sim, vms[0], 0, &sim_hog, 0);
	vm_of_one(1, 100, &sim_hog);
	settle();
	sim_run(&sim, 20 * NS_PER_SEC);
	printf("one of four vCPUs, its sisters hogs, beside another VM's\n");
	sim_print_latency("that one", vcpu);
	/* While the other VM has its turn, this one is ahead or behind by its sisters' doing. */
	assert_true(vcpu->latency_max_ns <= 2 * SCHED_SLICE_NS + 2 * JITTER_NS);
	assert_true(sim_vm_run_ns(&sim, vms[1]) > 98 * NS_PER_SEC / 10);
}

/* Runs and sleeps of all kinds: the hog beside keeps its half, but for what a sleeper may save up once. */
static void sleeping_wins_nothing(void **state)
{
	static const uint64_t runs_us[] = {20, 100, 500, 900, 1100, 2500, 5000, 9500, 9990, 10500, 19000, 39000};
	static const uint64_t sleeps_us[] = {1, 10, 100, 900, 2500, 9000, 11000, 39000};
	uint64_t ns = 4 * NS_PER_SEC, least = ~0ULL, least_run = 0, least_sleep = 0;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(runs_us); i++) {
		for (unsigned int j = 0; j < ARRAY_SIZE(sleeps_us); j++) {
			struct sim_behaviour trick = sim_cycle(runs_us[i] * NS_PER_US, sleeps_us[j] * NS_PER_US);
			uint64_t ran;

			begin(1, i * 100 + j);
			vm_of_one(0, 100, &sim_hog);
			vm_of_one(1, 100, &trick);
			sim_run(&sim, ns);
			ran = sim_vm_run_ns(&sim, vms[0]);
			if (ran < least) {
				least = ran;
				least_run = runs_us[i];
				least_sleep = sleeps_us[j];
			}
			assert_true(ran >= ns / 2 - 2 * SCHED_SLICE_NS - SCHED_BONUS_NS);
			sim_end(&sim);
		}
	}
	printf("a hog beside one that runs and sleeps in 96 rhythms keeps at least %.2f %% (%llu us, %llu us)\n",
		(double)least * 100 / (double)ns, (unsigned long long)least_run,
		(unsigned long long)least_sleep);
	begin(1, 0);
}

/* The same by a VM of several vCPUs, which relieve each other. */
static void relieving_each_other_wins_nothing(void **state)
{
	static const uint64_t runs_us[] = {50, 500, 1100, 5000, 12000, 30000};
	uint64_t ns = 4 * NS_PER_SEC, least = ~0ULL;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(runs_us); i++) {
		for (unsigned int vcpus = 2; vcpus <= 16; vcpus *= 2) {
			struct sim_behaviour trick = sim_sleeper(runs_us[i] * NS_PER_US,
				runs_us[i] * NS_PER_US * (vcpus - 1));

			begin(1, i);
			vm_of_one(0, 100, &sim_hog);
			vm_of_one(1, 100, &trick);
			for (unsigned int j = 1; j < vcpus; j++)
				sim_add_vcpu(&sim, vms[1], 0, &trick, j * runs_us[i] * NS_PER_US);
			sim_run(&sim, ns);
			least = MIN(least, sim_vm_run_ns(&sim, vms[0]));
			sim_end(&sim);
		}
	}
	printf("a hog beside a VM of up to 16 vCPUs that take turns to sleep keeps at least %.2f %%\n",
		(double)least * 100 / (double)ns);
	assert_true(least >= ns / 2 - 3 * SCHED_SLICE_NS);
	begin(1, 0);
}

/* All of a VM's vCPUs, on all CPUs, wake at the same moment and sleep again. */
static void wake_all(struct sim_vcpu *vcpu)
{
	for (struct sim_vcpu *other = vcpu->vm->vcpus; other; other = other->next)
		if (other != vcpu)
			sim_wake(other);
}

static void a_wake_storm_wins_nothing(void **state)
{
	struct sim_behaviour storm = sim_cycle(30 * NS_PER_US, 2 * NS_PER_MS);
	struct sim_behaviour nap = sim_sleeper(100 * NS_PER_US, 10 * NS_PER_MS);
	uint64_t ns = 5 * NS_PER_SEC, least = ~0ULL;
	struct sim_vcpu *victim;

	(void)state;
	begin(4, 9);
	sim.check_every = 211;
	storm.asleep = wake_all;
	for (unsigned int i = 0; i < 4; i++) {
		vms[i] = sim_add_vm(&sim, 100, 0);
		sim_add_vcpu(&sim, vms[i], i, &sim_hog, 0);
	}
	vms[4] = sim_add_vm(&sim, 100, 0);
	for (unsigned int i = 0; i < 64; i++)
		sim_add_vcpu(&sim, vms[4], i % 4, &storm, 0);
	victim = vm_of_one(5, 100, &nap);
	sim_run(&sim, ns);
	for (unsigned int i = 0; i < 4; i++)
		least = MIN(least, sim_vm_run_ns(&sim, vms[i]));
	printf("64 vCPUs that wake each other, on 4 CPUs with a hog each: they get %.2f CPUs, hogs at least %.3f\n",
		(double)sim_vm_run_ns(&sim, vms[4]) / (double)ns, (double)least / (double)ns);
	sim_print_latency("one that wakes beside them", victim);
	/* Five VMs of equal weight, and the sleeper: the storm is due 4/5 of a CPU, its hogs as well. */
	assert_true(least >= ns * 72 / 100);
	assert_true(victim->latency_max_ns <= 4 * SCHED_SLICE_MIN_NS);
}

/* Whatever others do, who wants the CPU gets it in a time that weights and numbers bound. */
static void nobody_starves(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 9; round++) {
		uint64_t worst = 0, weights = 0, least_weight = ~0ULL, bound;
		unsigned int vcpus = 0;

		begin(1 + round % 3, 1000 + round);
		sim.check_every = 503;
		for (unsigned int i = 0; i < 40; i++) {
			uint32_t weight = 20 + sim_random(&sim) % 200;
			unsigned int width = 1 + sim_random(&sim) % 4;

			vms[i] = sim_add_vm(&sim, weight, 0);
			weights += weight;
			least_weight = MIN(least_weight, weight);
			for (unsigned int j = 0; j < width; j++, vcpus++) {
				uint64_t run = sim_between(&sim, 10 * NS_PER_US, 20 * NS_PER_MS);
				struct sim_behaviour mixed =
					sim_sleeper(run, sim_between(&sim, 0, 5 * NS_PER_MS));

				sim_add_vcpu(&sim, vms[i], sim_random(&sim) % sim.cpu_count,
					sim_random(&sim) % 2 ? &mixed : &sim_hog, 0);
			}
		}
		sim_run(&sim, 15 * NS_PER_SEC);
		for (unsigned int i = 0; i < 40; i++) {
			for (struct sim_vcpu *vcpu = vms[i]->vcpus; vcpu; vcpu = vcpu->next) {
				assert_true(vcpu->turns > 10);
				worst = MAX(worst, vcpu->wait_max_ns);
				if (vcpu->entity.where == SCHED_WAITING)
					worst = MAX(worst, sim.now_ns - vcpu->ready_ns);
			}
		}
		/* Turns are short where many wait; of the lightest VM's part each of its vCPUs gets a fourth. */
		bound = 4 * weights / least_weight * 2 * SCHED_SLICE_MIN_NS;
		printf("%u vCPUs of 40 VMs on %u CPUs: longest wait %.0f ms, bound %.0f ms\n", vcpus, sim.cpu_count,
			(double)worst / 1e6, (double)bound / 1e6);
		assert_true(worst <= bound);
		sim_end(&sim);
	}
	begin(1, 0);
}

/* Basic blocks of the policy that were executed: GCC calls this in each (-fsanitize-coverage). */
static uint64_t blocks;

void __sanitizer_cov_trace_pc(void);
__attribute__((no_sanitize_coverage)) void __sanitizer_cov_trace_pc(void)
{
	blocks++;
}

enum { ADD, PICK, PUT, REMOVE, OPERATIONS };

static struct sched_entity entities[16384];
static struct sched_group groups[16384];
static struct sched_share shares[16384];

/* On average over many, of `count` vCPUs, each of its own VM or all of one. */
static void measure(unsigned int count, bool one_vm, double blocks_of[OPERATIONS])
{
	uint64_t sums[OPERATIONS] = {0}, now = NS_PER_SEC;
	unsigned int rounds = 20000;
	struct sched_queue queue;

	sched_queue_init(&queue, 0);
	for (unsigned int i = 0; i < count; i++) {
		unsigned int group = one_vm ? 0 : i;

		if (!one_vm || i == 0)
			sched_group_init(&groups[group], &shares[group], 1);
		sched_entity_init(&entities[i], &groups[group]);
		blocks = 0;
		sched_queue_add(&queue, &entities[i], now);
		sums[ADD] += blocks;
	}
	for (unsigned int i = 0; i < rounds; i++) {
		struct sched_entity *other = &entities[sim_random(&sim) % count];

		blocks = 0;
		assert_non_null(sched_queue_pick(&queue, now));
		sums[PICK] += blocks;
		now += sim_random(&sim) % SCHED_SLICE_NS;
		blocks = 0;
		sched_queue_put(&queue, SCHED_WAITS, now);
		sums[PUT] += blocks;
		blocks = 0;
		sched_queue_remove(&queue, other, SCHED_SLEEPS);
		sums[REMOVE] += blocks;
		sched_queue_add(&queue, other, now);
	}
	blocks_of[ADD] = (double)sums[ADD] / count;
	for (unsigned int i = PICK; i < OPERATIONS; i++)
		blocks_of[i] = (double)sums[i] / rounds;
}

static void costs_grow_with_the_logarithm(void **state)
{
	static const char *const names[] = {"add", "pick", "put", "remove"};

	(void)state;
	begin(1, 77);
	for (int one_vm = 0; one_vm < 2; one_vm++) {
		double few[OPERATIONS], many[OPERATIONS];

		measure(16, one_vm, few);
		measure(16384, one_vm, many);
		printf("basic blocks executed, 16 and 16384 vCPUs of %s:", one_vm ? "one VM" : "as many VMs");
		for (unsigned int i = 0; i < OPERATIONS; i++) {
			printf(" %s %.0f, %.0f;", names[i], few[i], many[i]);
			/* log2 grows from 4 to 14. */
			assert_true(many[i] <= 14.0 / 4 * few[i] + 20);
		}
		printf("\n");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(one_that_wakes_beside_hogs, end),
		cmocka_unit_test_teardown(many_that_wake_beside_hogs, end),
		cmocka_unit_test_teardown(one_that_wakes_beside_sisters, end),
		cmocka_unit_test_teardown(sleeping_wins_nothing, end),
		cmocka_unit_test_teardown(relieving_each_other_wins_nothing, end),
		cmocka_unit_test_teardown(a_wake_storm_wins_nothing, end),
		cmocka_unit_test_teardown(nobody_starves, end),
		cmocka_unit_test_teardown(costs_grow_with_the_logarithm, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
