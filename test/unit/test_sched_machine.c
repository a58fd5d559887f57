/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole scheduler on many CPUs in virtual time: queues, balance, pinning, pause, the account of times. Guests
 * here only run and sleep.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/unit/fake_machine.h"
#include "vcpu/lapic.h"
#include "vcpu/sched_internal.h"
#include "vcpu/vm.h"

#define VMS 512
#define FOR_EVER (1ULL << 60)

/* A vCPU that runs and sleeps, each so long, and half as long again at random. */
struct actor {
	struct vcpu vcpu;
	struct timer timer;
	uint64_t run_ns, sleep_ns;
	uint64_t left_ns;
	uint64_t ran_ns, woke_ns, wakes, latency_max_ns, late_wakes;
	uint64_t ran_on[FAKE_MACHINE_CPUS];
};

static struct vm *vms[VMS];
static unsigned int vm_count;
static uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(random_state >> 33) % bound;
}

static struct actor *actor_of(struct vcpu *vcpu)
{
	return container_of(vcpu, struct actor, vcpu);
}

static uint64_t roughly(uint64_t ns)
{
	return ns >= FOR_EVER ? ns : ns + random_below((uint32_t)(ns / 2) + 1);
}

/* What vcpu/sched*.c and vcpu/event.c call. */

static void no_window(struct vcpu *vcpu, uint32_t windows, uint8_t priority)
{
	(void)vcpu, (void)windows, (void)priority;
}

static const struct hw_ops fake_hw = { .want_window = no_window };
const struct hw_ops *hw = &fake_hw;

int lapic_waiting_vector(struct vcpu *vcpu)
{
	(void)vcpu;
	return -1;
}

void lapic_accept(struct vcpu *vcpu, uint8_t vector)
{
	(void)vcpu, (void)vector;
}

bool lapic_accepts_extint(struct vcpu *vcpu)
{
	(void)vcpu;
	return false;
}

void vm_stop(struct vm *vm, enum vm_stop stop, uint32_t status, const char *reason)
{
	(void)vm, (void)stop, (void)status, (void)reason;
}

void vcpu_load(struct vcpu *vcpu)
{
	struct cpu *cpu = this_cpu();

	if (cpu->loaded == vcpu)
		return;
	if (cpu->loaded)
		cpu->loaded->loaded_on = NULL;
	cpu->loaded = vcpu;
	if (!vcpu)
		return;
	assert_null(vcpu->loaded_on);
	vcpu->loaded_on = cpu;
}

static void run_until_interrupted(struct actor *actor)
{
	uint64_t before = clock_tsc();

	if (!fake_machine_interrupted())
		fake_machine_pass(before + actor->left_ns);
	actor->ran_ns += clock_tsc() - before;
	actor->ran_on[this_cpu()->id] += clock_tsc() - before;
	actor->left_ns -= MIN(actor->left_ns, clock_tsc() - before);
}

static void note_start(struct actor *actor)
{
	uint64_t latency = clock_tsc() - actor->woke_ns;

	if (!actor->woke_ns)
		return;
	actor->wakes++;
	actor->late_wakes += latency > NS_PER_MS;
	actor->latency_max_ns = MAX(actor->latency_max_ns, latency);
	actor->woke_ns = 0;
}

bool vcpu_run(struct vcpu *vcpu)
{
	struct actor *actor = actor_of(vcpu);
	struct cpu *cpu = this_cpu();
	bool preempted = false;

	vcpu_load(vcpu);
	cpu->running = vcpu;
	while (!preempted) {
		uint32_t requests = __atomic_exchange_n(&vcpu->requests, 0, __ATOMIC_SEQ_CST);

		if (requests & REQUEST_PREEMPT)
			break;
		if (!actor->left_ns) {
			timer_set(&actor->timer, clock_tsc() + roughly(actor->sleep_ns));
			if (!sched_block(vcpu, VCPU_HALTED))
				continue;
			cpu->running = NULL;
			return false;
		}
		note_start(actor);
		run_until_interrupted(actor);
		if (fake_machine_interrupted())
			irq_window();
		preempted = cpu->kick;
	}
	cpu->running = NULL;
	return true;
}

/* The scenes. */

static void wake(struct timer *timer)
{
	struct actor *actor = container_of(timer, struct actor, timer);

	actor->left_ns = roughly(actor->run_ns);
	actor->woke_ns = clock_tsc();
	vcpu_request(&actor->vcpu, REQUEST_UNHALT);
}

static void begin(unsigned int cpus)
{
	vm_count = 0;
	random_state = 5;
	fake_machine_begin(cpus, sched_run);
	assert_int_equal(sched_init(), 0);
	for (unsigned int id = 1; id < cpus; id++)
		sched_open(cpu_by_id(id));
}

static int end(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < vm_count; i++) {
		for (unsigned int j = 0; j < vms[i]->vcpu_count; j++)
			free(actor_of(vms[i]->vcpus[j]));
		sched_vm_destroy(vms[i]);
		free(vms[i]);
	}
	for (unsigned int id = 0; id < cpu_count(); id++)
		free(cpu_by_id(id)->sched);
	memset(&sched_idle, 0, sizeof(sched_idle));
	memset(&sched_busy, 0, sizeof(sched_busy));
	fake_machine_end();
	return 0;
}

static struct vm *add_vm(uint32_t weight, unsigned int vcpus, uint64_t run_ns, uint64_t sleep_ns)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	vms[vm_count++] = vm;
	sprintf(vm->name, "vm%u", vm_count);
	assert_int_equal(sched_vm_init(vm), 0);
	vm->sched.weight = weight;
	for (unsigned int i = 0; i < vcpus; i++) {
		struct actor *actor = calloc(1, sizeof(*actor));

		actor->vcpu.vm = vm;
		actor->vcpu.id = i;
		actor->run_ns = run_ns;
		actor->sleep_ns = sleep_ns;
		actor->left_ns = roughly(run_ns);
		timer_init(&actor->timer, wake);
		vm->vcpus[vm->vcpu_count++] = &actor->vcpu;
	}
	vm->state = VM_RUNNING;
	vm->started_ns = clock_now_ns();
	sched_vm_start(vm);
	for (unsigned int i = 0; i < vcpus; i++) {
		vm->vcpus[i]->state = VCPU_WAIT_SIPI;
		vcpu_request(vm->vcpus[i], REQUEST_EVENTS);
	}
	fake_machine_nudge();
	return vm;
}

static struct vm *add_hogs(uint32_t weight, unsigned int vcpus)
{
	return add_vm(weight, vcpus, FOR_EVER, FOR_EVER);
}

static uint64_t run_of(const struct vm *vm)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		struct sched_times times;

		sched_times(vm->vcpus[i], &times);
		assert_true(times.run_ns + times.steal_ns + times.halted_ns == clock_now_ns() - vm->started_ns);
		sum += times.run_ns;
	}
	return sum;
}

static void set(struct vm *vm, const struct sched_params *params)
{
	assert_int_equal(sched_set(vm, params), 0);
	fake_machine_nudge();
}

/* What each VM gets from now on for `ns`, in thousandths of a CPU. */
static unsigned int got[VMS];

static void measure(uint64_t ns)
{
	uint64_t before[VMS];

	for (unsigned int i = 0; i < vm_count; i++)
		before[i] = run_of(vms[i]);
	fake_machine_run(ns);
	for (unsigned int i = 0; i < vm_count; i++)
		got[i] = (unsigned int)((run_of(vms[i]) - before[i]) * 1000 / ns);
}

static void assert_near(unsigned int is, unsigned int wanted, unsigned int percent)
{
	assert_in_range(is, wanted - wanted * percent / 100, wanted + wanted * percent / 100);
}

static void what_does_not_divide_evenly_takes_turns(void **state)
{
	(void)state;
	begin(2);
	for (unsigned int i = 0; i < 3; i++)
		add_hogs(100, 1);
	fake_machine_run(NS_PER_SEC);
	measure(20 * NS_PER_SEC);
	printf("three hogs on two CPUs: %u %u %u thousandths of a CPU\n", got[0], got[1], got[2]);
	for (unsigned int i = 0; i < 3; i++)
		assert_near(got[i], 666, 5);
}

static void weights_hold_on_four_cpus(void **state)
{
	(void)state;
	begin(4);
	for (unsigned int i = 0; i < 3; i++)
		add_hogs(100U << i, 4);
	fake_machine_run(NS_PER_SEC);
	measure(20 * NS_PER_SEC);
	printf("weights 1:2:4, four vCPUs each, four CPUs: %u %u %u\n", got[0], got[1], got[2]);
	for (unsigned int i = 0; i < 3; i++)
		assert_near(got[i], (4000U << i) / 7, 5);
}

/* Who would get more than one CPU gets one; the others share what is left by their weights. */
static void single_vcpus_of_random_weights(void **state)
{
	unsigned int wanted[16] = {0}, left = 4000, worst = 0;
	uint32_t sum = 0;
	bool changed;

	(void)state;
	begin(4);
	for (unsigned int i = 0; i < 16; i++)
		sum += add_hogs(20 + random_below(400), 1)->sched.weight;
	do {
		changed = false;
		for (unsigned int i = 0; i < 16; i++) {
			if (wanted[i] || (uint64_t)vms[i]->sched.weight * left < (uint64_t)sum * 1000)
				continue;
			wanted[i] = 1000;
			left -= 1000;
			sum -= vms[i]->sched.weight;
			changed = true;
		}
	} while (changed);
	fake_machine_run(2 * NS_PER_SEC);
	measure(40 * NS_PER_SEC);
	printf("16 VMs on four CPUs, weight wanted got:");
	for (unsigned int i = 0; i < 16; i++) {
		unsigned int off;

		if (!wanted[i])
			wanted[i] = left * vms[i]->sched.weight / sum;
		printf(" %u %u %u;", vms[i]->sched.weight, wanted[i], got[i]);
		off = got[i] > wanted[i] ? got[i] - wanted[i] : wanted[i] - got[i];
		worst = MAX(worst, off * 100 / wanted[i]);
	}
	printf(" off by %u %% at most\n", worst);
	assert_true(worst <= 20);
}

static void pinned_ones_stay(void **state)
{
	struct sched_params params;
	struct vm *pinned;

	(void)state;
	begin(4);
	pinned = add_hogs(100, 2);
	sched_get(pinned, &params);
	params.cpus = (struct cpu_set){ { BIT(2) } };
	set(pinned, &params);
	for (unsigned int i = 0; i < 4; i++)
		add_hogs(100, 1);
	fake_machine_run(100 * NS_PER_MS);
	for (unsigned int i = 0; i < 2; i++)
		memset(actor_of(pinned->vcpus[i])->ran_on, 0, sizeof(actor_of(pinned->vcpus[i])->ran_on));
	measure(10 * NS_PER_SEC);
	for (unsigned int i = 0; i < 2; i++) {
		for (unsigned int id = 0; id < 4; id++)
			assert_true(id == 2 || actor_of(pinned->vcpus[i])->ran_on[id] == 0);
	}
	printf("a VM pinned to one of four CPUs, four others: %u; %u %u %u %u\n", got[0], got[1], got[2], got[3],
		got[4]);
	assert_true(got[0] + got[1] + got[2] + got[3] + got[4] >= 3990);
	assert_true(got[0] >= 600);
	/* Let go, it takes its part again. */
	params.cpus = CPU_SET_ALL;
	set(pinned, &params);
	fake_machine_run(NS_PER_SEC);
	measure(10 * NS_PER_SEC);
	assert_near(got[0], 800, 25);
}

static void no_cpu_idles_while_others_wait(void **state)
{
	unsigned int sum = 0;
	uint64_t sent;

	(void)state;
	begin(8);
	for (unsigned int i = 0; i < 8; i++)
		add_hogs(100, 1);
	fake_machine_run(NS_PER_SEC);
	sent = fake_machine_interrupts();
	measure(10 * NS_PER_SEC);
	for (unsigned int i = 0; i < 8; i++)
		assert_true(got[i] >= 999);
	/* And then nobody has a reason to disturb anybody. */
	printf("8 hogs on 8 CPUs: %llu interrupts in 10 s\n",
		(unsigned long long)(fake_machine_interrupts() - sent));
	assert_true(fake_machine_interrupts() - sent < 100);
	for (unsigned int i = 0; i < 24; i++)
		add_vm(100, 1, 5 * NS_PER_MS, 5 * NS_PER_MS);
	fake_machine_run(NS_PER_SEC);
	measure(10 * NS_PER_SEC);
	for (unsigned int i = 0; i < vm_count; i++)
		sum += got[i];
	printf("and 24 that come and go: %u.%u %% of the CPUs used\n", sum / 80, sum / 8 % 10);
	assert_true(sum >= 7960);
}

static void who_wakes_runs_soon(void **state)
{
	uint64_t worst = 0, wakes = 0, late = 0;

	(void)state;
	begin(4);
	for (unsigned int i = 0; i < 8; i++)
		add_hogs(100, 1);
	for (unsigned int i = 0; i < 20; i++)
		add_vm(100, 1, 200 * NS_PER_US, 10 * NS_PER_MS);
	fake_machine_run(NS_PER_SEC);
	for (unsigned int i = 8; i < vm_count; i++) {
		struct actor *actor = actor_of(vms[i]->vcpus[0]);

		actor->latency_max_ns = actor->wakes = actor->late_wakes = 0;
	}
	fake_machine_run(20 * NS_PER_SEC);
	for (unsigned int i = 8; i < vm_count; i++) {
		const struct actor *actor = actor_of(vms[i]->vcpus[0]);

		worst = MAX(worst, actor->latency_max_ns);
		wakes += actor->wakes;
		late += actor->late_wakes;
	}
	printf("20 that wake beside 8 hogs on four CPUs: %llu wakes, %llu of them later than 1 ms, at most %.2f ms\n",
		(unsigned long long)wakes, (unsigned long long)late, (double)worst / 1e6);
	assert_true(wakes > 20000 && late * 10 < wakes);
	assert_true(worst < 20 * NS_PER_MS);
}

static void caps_and_pauses_hold(void **state)
{
	struct sched_params params;

	(void)state;
	begin(4);
	add_hogs(100, 4);
	add_hogs(100, 4);
	sched_get(vms[0], &params);
	params.cap_percent = 130;
	set(vms[0], &params);
	fake_machine_run(NS_PER_SEC);
	measure(5 * NS_PER_SEC);
	printf("a cap of 130 %% and another VM, four vCPUs each on four CPUs: %u %u\n", got[0], got[1]);
	assert_in_range(got[0], 1280, 1320);
	assert_in_range(got[1], 2670, 2721);
	sched_pause(vms[1]);
	fake_machine_nudge();
	fake_machine_run(20 * NS_PER_MS);
	measure(NS_PER_SEC);
	assert_int_equal(got[1], 0);
	assert_in_range(got[0], 1280, 1320);
	sched_resume(vms[1]);
	fake_machine_nudge();
	fake_machine_run(100 * NS_PER_MS);
	measure(NS_PER_SEC);
	assert_in_range(got[1], 2650, 2721);
	params.cap_percent = 0;
	set(vms[0], &params);
	fake_machine_run(NS_PER_SEC);
	measure(5 * NS_PER_SEC);
	assert_near(got[0], 2000, 4);
}

static void two_thousand_on_sixty_four(void **state)
{
	unsigned int least = ~0U, most = 0, sum = 0;

	(void)state;
	begin(64);
	for (unsigned int i = 0; i < 500; i++)
		add_hogs(100, 4);
	fake_machine_run(NS_PER_SEC);
	measure(10 * NS_PER_SEC);
	for (unsigned int i = 0; i < vm_count; i++) {
		least = MIN(least, got[i]);
		most = MAX(most, got[i]);
		sum += got[i];
	}
	printf("500 VMs of 4 vCPUs on 64 CPUs: %u to %u thousandths of a CPU, 128 is fair; %u of 64000 used\n", least,
		most, sum);
	assert_true(sum >= 63000);
	assert_true(least >= 96 && most <= 160);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_does_not_divide_evenly_takes_turns, end),
		cmocka_unit_test_teardown(weights_hold_on_four_cpus, end),
		cmocka_unit_test_teardown(single_vcpus_of_random_weights, end),
		cmocka_unit_test_teardown(pinned_ones_stay, end),
		cmocka_unit_test_teardown(no_cpu_idles_while_others_wait, end),
		cmocka_unit_test_teardown(who_wakes_runs_soon, end),
		cmocka_unit_test_teardown(caps_and_pauses_hold, end),
		cmocka_unit_test_teardown(two_thousand_on_sixty_four, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
