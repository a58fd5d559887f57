/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduling policy in simulated time: who gets how much. Weights, caps, many vCPUs, several CPUs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "test/unit/sched_sim.h"

#define MANY 1000

static struct sim sim;
static struct sim_vm *vms[MANY];

static void begin(unsigned int cpus)
{
	sim_begin(&sim, cpus, 42);
	sim.check_every = 7;
	sim.jitter_ns = 30 * NS_PER_US;
}

static int end(void **state)
{
	(void)state;
	sim_end(&sim);
	return 0;
}

static struct sim_vm *vm_of_hogs(uint32_t weight, uint32_t cap, unsigned int vcpus, unsigned int first_cpu)
{
	struct sim_vm *vm = sim_add_vm(&sim, weight, cap);

	for (unsigned int i = 0; i < vcpus; i++)
		sim_add_vcpu(&sim, vm, (first_cpu + i) % sim.cpu_count, &sim_hog, 0);
	return vm;
}

/* Run for `ns` more and give the VM's part of one CPU in hundredths of a percent. */
static unsigned int window_of(const struct sim_vm *vm, uint64_t ns)
{
	uint64_t before = sim_vm_run_ns(&sim, vm);

	sim_run(&sim, ns);
	return (unsigned int)((sim_vm_run_ns(&sim, vm) - before) * 10000 / ns);
}

static unsigned int part(const struct sim_vm *vm, uint64_t of_ns)
{
	return (unsigned int)(sim_vm_run_ns(&sim, vm) * 10000 / of_ns);
}

static void assert_near(unsigned int is, unsigned int wanted, unsigned int percent)
{
	unsigned int slack = wanted * percent / 100;

	assert_in_range(is, wanted - slack, wanted + slack);
}

static void weights_of_hogs(void **state)
{
	uint64_t ns = 10 * NS_PER_SEC;

	(void)state;
	begin(1);
	for (unsigned int i = 0; i < 3; i++)
		vms[i] = vm_of_hogs(100U << i, 0, 1, 0);
	sim_run(&sim, ns);
	printf("weights 1:2:4 on one CPU, 10 s: ");
	for (unsigned int i = 0; i < 3; i++) {
		printf(" %.2f %%", part(vms[i], ns) / 100.0);
		assert_near(part(vms[i], ns), (1U << i) * 10000 / 7, 1);
	}
	printf("\n");
}

/* And in every second of it, beside sleepers. */
static void weights_in_every_second(void **state)
{
	struct sim_behaviour nap = sim_sleeper(300 * NS_PER_US, 5 * NS_PER_MS);

	(void)state;
	begin(1);
	for (unsigned int i = 0; i < 3; i++)
		vms[i] = vm_of_hogs(100U << i, 0, 1, 0);
	for (unsigned int i = 0; i < 4; i++)
		sim_add_vcpu(&sim, sim_add_vm(&sim, 100, 0), 0, &nap, 0);
	sim_run(&sim, NS_PER_SEC);
	for (unsigned int second = 0; second < 20; second++) {
		uint64_t before[3], all = 0, ran[3];

		for (unsigned int i = 0; i < 3; i++)
			before[i] = sim_vm_run_ns(&sim, vms[i]);
		sim_run(&sim, NS_PER_SEC);
		for (unsigned int i = 0; i < 3; i++)
			all += ran[i] = sim_vm_run_ns(&sim, vms[i]) - before[i];
		assert_true(all > NS_PER_SEC * 3 / 4);
		for (unsigned int i = 0; i < 3; i++)
			assert_near((unsigned int)(ran[i] * 10000 / all), (1U << i) * 10000 / 7, 4);
	}
}

/* The error may be a few turns, the policy's grain, but no more however long it goes on. */
static void a_thousand_random_weights(void **state)
{
	uint64_t ns = 200 * NS_PER_SEC, sum = 0;
	double worst = 0, worst_part = 0;

	(void)state;
	begin(1);
	sim.check_every = 9973;
	for (unsigned int i = 0; i < MANY; i++) {
		uint32_t weight = 1 + sim_random(&sim) % 1000;

		vms[i] = vm_of_hogs(weight, 0, 1, 0);
		sum += weight;
	}
	sim_run(&sim, ns);
	for (unsigned int i = 0; i < MANY; i++) {
		double wanted = (double)ns * vms[i]->weight / (double)sum;
		double off = (double)sim_vm_run_ns(&sim, vms[i]) - wanted;

		off = off < 0 ? -off : off;
		if (off > worst)
			worst = off;
		if (vms[i]->weight >= 100 && off / wanted > worst_part)
			worst_part = off / wanted;
		assert_true(off <= 4 * SCHED_SLICE_MIN_NS || off / wanted < 0.04);
	}
	printf("1000 vCPUs of random weights 1..1000, 200 s: off by %.2f ms at most, %.2f %% of weight >= 100\n",
		worst / 1e6, worst_part * 100);
}

/* A VM's weight is its own, not its vCPUs': more of them win no more time. */
static void vcpus_win_no_more(void **state)
{
	uint64_t ns = 10 * NS_PER_SEC;

	(void)state;
	begin(1);
	vms[0] = vm_of_hogs(100, 0, 1, 0);
	vms[1] = vm_of_hogs(100, 0, 16, 0);
	sim_run(&sim, ns);
	printf("1 vCPU beside 16 of another VM on one CPU: %.2f %%, %.2f %%\n", part(vms[0], ns) / 100.0,
		part(vms[1], ns) / 100.0);
	assert_near(part(vms[0], ns), 5000, 2);
	for (const struct sim_vcpu *vcpu = vms[1]->vcpus; vcpu; vcpu = vcpu->next)
		assert_near((unsigned int)(sim_vcpu_run_ns(&sim, vcpu) * 10000 / ns), 5000 / 16, 4);
}

/* Over four CPUs: VMs of four vCPUs share as their weights say. */
static void weights_on_several_cpus(void **state)
{
	uint64_t ns = 10 * NS_PER_SEC;

	(void)state;
	begin(4);
	for (unsigned int i = 0; i < 3; i++)
		vms[i] = vm_of_hogs(100U << i, 0, 4, i);
	sim_run(&sim, ns);
	printf("weights 1:2:4, four vCPUs each, four CPUs: ");
	for (unsigned int i = 0; i < 3; i++) {
		printf(" %.2f %%", part(vms[i], ns) / 100.0);
		assert_near(part(vms[i], ns), (1U << i) * 40000 / 7, 4);
	}
	printf("\n");
}

/* A VM of 64 vCPUs on 64 CPUs, and 64 VMs of one vCPU each, of the same weight as it. */
static void a_wide_vm_is_one_vm(void **state)
{
	uint64_t ns = 10 * NS_PER_SEC, wide, least = ~0ULL;

	(void)state;
	begin(64);
	sim.check_every = 997;
	vms[64] = vm_of_hogs(100, 0, 64, 0);
	for (unsigned int i = 0; i < 64; i++)
		vms[i] = vm_of_hogs(100, 0, 1, i);
	sim_run(&sim, ns);
	for (unsigned int i = 0; i < 64; i++)
		least = MIN(least, sim_vm_run_ns(&sim, vms[i]));
	wide = sim_vm_run_ns(&sim, vms[64]);
	printf("64 CPUs, a VM of 64 vCPUs gets %.2f CPUs; each of 64 VMs of the same weight at least %.3f\n",
		(double)wide / (double)ns, (double)least / (double)ns);
	/* 65 VMs, 64 CPUs: each is due 0.985 of one. */
	assert_true(wide > ns * 9 / 10 && wide < ns * 13 / 10);
	assert_true(least > ns * 95 / 100);
}

static void caps_are_held(void **state)
{
	static const uint32_t caps[] = {1, 5, 10, 25, 50, 99};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(caps); i++) {
		unsigned int worst = 0;

		begin(1);
		vms[0] = vm_of_hogs(100, caps[i], 1, 0);
		sim_run(&sim, NS_PER_SEC);
		for (unsigned int second = 0; second < 20; second++) {
			unsigned int is = window_of(vms[0], NS_PER_SEC);
			unsigned int off = is > caps[i] * 100 ? is - caps[i] * 100 : caps[i] * 100 - is;

			worst = MAX(worst, off);
		}
		printf("cap of %u %% alone: %.2f %%, in no second off by more than %.2f points\n", caps[i],
			window_of(vms[0], 10 * NS_PER_SEC) / 100.0, worst / 100.0);
		assert_true(worst <= 200);
		sim_end(&sim);
	}
	begin(1);
}

static void caps_beside_others(void **state)
{
	(void)state;
	begin(1);
	vms[0] = vm_of_hogs(800, 25, 1, 0);
	vms[1] = vm_of_hogs(100, 0, 1, 0);
	vms[2] = vm_of_hogs(200, 0, 1, 0);
	sim_run(&sim, NS_PER_SEC);
	assert_in_range(window_of(vms[0], 5 * NS_PER_SEC), 2300, 2700);
	assert_near(window_of(vms[1], 5 * NS_PER_SEC), 2500, 4);
	assert_near(window_of(vms[2], 5 * NS_PER_SEC), 5000, 4);
	/* A cap is no promise: one of little weight gets its weight's part. */
	sim_end(&sim);
	begin(1);
	vms[0] = vm_of_hogs(100, 50, 1, 0);
	vms[1] = vm_of_hogs(400, 0, 1, 0);
	sim_run(&sim, NS_PER_SEC);
	assert_near(window_of(vms[0], 5 * NS_PER_SEC), 2000, 4);
}

/* The cap is the VM's, wherever its vCPUs run. */
static void caps_of_wide_vms(void **state)
{
	static const uint32_t caps[] = {10, 25, 100, 150, 333};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(caps); i++) {
		begin(4);
		vms[0] = vm_of_hogs(100, caps[i], 8, 0);
		sim_run(&sim, NS_PER_SEC);
		for (unsigned int second = 0; second < 5; second++) {
			unsigned int is = window_of(vms[0], NS_PER_SEC);

			assert_in_range(is, caps[i] * 100 - 200, caps[i] * 100 + 200);
		}
		printf("cap of %u %%, 8 vCPUs on 4 CPUs: %.2f %%\n", caps[i],
			window_of(vms[0], 10 * NS_PER_SEC) / 100.0);
		sim_end(&sim);
	}
	begin(1);
}

/* One that sleeps saves up no more than the cap's tolerance. */
static void caps_of_sleepers(void **state)
{
	struct sim_behaviour burst = sim_cycle(200 * NS_PER_MS, 3 * NS_PER_SEC);

	(void)state;
	begin(1);
	vms[0] = sim_add_vm(&sim, 100, 20);
	sim_add_vcpu(&sim, vms[0], 0, &burst, 0);
	for (unsigned int i = 0; i < 100; i++)
		assert_true(window_of(vms[0], 200 * NS_PER_MS) <= 2000 + 1500);
	sim_end(&sim);
	begin(1);
	burst = sim_cycle(500 * NS_PER_US, 500 * NS_PER_US);
	vms[0] = sim_add_vm(&sim, 100, 20);
	sim_add_vcpu(&sim, vms[0], 0, &burst, 0);
	sim_run(&sim, NS_PER_SEC);
	for (unsigned int i = 0; i < 10; i++)
		assert_in_range(window_of(vms[0], NS_PER_SEC), 1800, 2200);
}

static void live_changes(void **state)
{
	(void)state;
	begin(1);
	vms[0] = vm_of_hogs(100, 0, 1, 0);
	vms[1] = vm_of_hogs(100, 0, 1, 0);
	assert_near(window_of(vms[0], 2 * NS_PER_SEC), 5000, 2);
	sim_set_weight(vms[0], 300);
	assert_near(window_of(vms[0], NS_PER_SEC), 7500, 3);
	sim_set_weight(vms[0], 1);
	sim_set_weight(vms[1], 10000);
	sim_run(&sim, NS_PER_SEC);
	assert_true(window_of(vms[0], 10 * NS_PER_SEC) < 20);
	/* What it owes from then is not held against it for long. */
	sim_set_weight(vms[0], 100);
	sim_set_weight(vms[1], 100);
	sim_run(&sim, 4 * NS_PER_SEC);
	assert_near(window_of(vms[0], NS_PER_SEC), 5000, 4);
	sched_cap_set(&vms[0]->group.cap, 10);
	sim_run(&sim, NS_PER_SEC);
	assert_in_range(window_of(vms[0], 2 * NS_PER_SEC), 800, 1200);
	sched_cap_set(&vms[0]->group.cap, 0);
	sim_run(&sim, NS_PER_SEC);
	assert_near(window_of(vms[0], 2 * NS_PER_SEC), 5000, 4);
}

/* New caps while one of the VM's vCPUs runs on what the old one gave it, and gives part of that back. */
static void live_changes_of_caps(void **state)
{
	struct sim_behaviour naps = sim_cycle(300 * NS_PER_US, 100 * NS_PER_US);

	(void)state;
	begin(2);
	vms[0] = sim_add_vm(&sim, 100, 50);
	sim_add_vcpu(&sim, vms[0], 0, &naps, 0);
	sim_add_vcpu(&sim, vms[0], 1, &naps, 70 * NS_PER_US);
	for (unsigned int i = 0; i < 200; i++) {
		uint32_t cap = 1 + sim_random(&sim) % 140;

		sched_cap_set(&vms[0]->group.cap, cap);
		sim_run(&sim, sim_between(&sim, 0, 40 * NS_PER_MS));
		sched_cap_set(&vms[0]->group.cap, 40);
		sim_run(&sim, 200 * NS_PER_MS);
		assert_in_range(window_of(vms[0], 200 * NS_PER_MS), 3000, 5000);
	}
}

/* All CPUs have work while there is some, and VMs of one vCPU share the machine. */
static void idle_cpus_take_work(void **state)
{
	uint64_t least = ~0ULL, most = 0, idle = 0;
	struct sim_behaviour on_and_off = sim_sleeper(20 * NS_PER_MS, 10 * NS_PER_MS);

	(void)state;
	begin(8);
	sim.check_every = 101;
	sim.steals = true;
	for (unsigned int i = 0; i < 32; i++) {
		vms[i] = sim_add_vm(&sim, 100, 0);
		sim_add_vcpu(&sim, vms[i], i % 2, &on_and_off, i * NS_PER_MS);
	}
	sim_run(&sim, 10 * NS_PER_SEC);
	for (unsigned int i = 0; i < 32; i++) {
		uint64_t ran = sim_vm_run_ns(&sim, vms[i]);

		least = MIN(least, ran);
		most = MAX(most, ran);
	}
	idle = sim_idle_ns(&sim);
	printf("8 CPUs, 32 VMs that come and go: %.0f to %.0f ms each, CPUs idle %.2f %%\n", (double)least / 1e6,
		(double)most / 1e6, (double)idle / 8e8);
	assert_true(idle < NS_PER_SEC);
	assert_true(least * 32 > 70 * NS_PER_SEC);
	assert_true(least * 10 > most * 8);
}

static uint64_t mixture(unsigned int seed)
{
	struct sim_behaviour nap = sim_sleeper(500 * NS_PER_US, 3 * NS_PER_MS);
	uint64_t checksum;

	sim_begin(&sim, 4, seed);
	sim.steals = true;
	sim.check_every = 13;
	for (unsigned int i = 0; i < 40; i++) {
		struct sim_vm *vm = sim_add_vm(&sim, 1 + sim_random(&sim) % 500, i % 5 ? 0 : 30);

		for (unsigned int j = 0; j <= i % 4; j++)
			sim_add_vcpu(&sim, vm, sim_random(&sim) % 4, i % 3 ? &nap : &sim_hog, 0);
	}
	sim_run(&sim, 2 * NS_PER_SEC);
	checksum = sim.checksum;
	sim_end(&sim);
	return checksum;
}

static void the_same_seed_gives_the_same_run(void **state)
{
	(void)state;
	assert_true(mixture(1) == mixture(1));
	assert_true(mixture(1) != mixture(2));
	begin(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(weights_of_hogs, end),
		cmocka_unit_test_teardown(weights_in_every_second, end),
		cmocka_unit_test_teardown(a_thousand_random_weights, end),
		cmocka_unit_test_teardown(vcpus_win_no_more, end),
		cmocka_unit_test_teardown(weights_on_several_cpus, end),
		cmocka_unit_test_teardown(a_wide_vm_is_one_vm, end),
		cmocka_unit_test_teardown(caps_are_held, end),
		cmocka_unit_test_teardown(caps_beside_others, end),
		cmocka_unit_test_teardown(caps_of_wide_vms, end),
		cmocka_unit_test_teardown(caps_of_sleepers, end),
		cmocka_unit_test_teardown(live_changes, end),
		cmocka_unit_test_teardown(live_changes_of_caps, end),
		cmocka_unit_test_teardown(idle_cpus_take_work, end),
		cmocka_unit_test_teardown(the_same_seed_gives_the_same_run, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
