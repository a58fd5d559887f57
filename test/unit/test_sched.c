/* SPDX-License-Identifier: BSD-2-Clause */
/* The run queues on three fake CPUs: turns, blocking and waking, placement, moves, pause, caps, times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "host/clock.h"
#include "host/memory.h"
#include "vcpu/sched_internal.h"

enum { CPUS = 3, VMS = 4, VCPUS = 6 };

static struct cpu cpus[CPUS];
static struct cpu *current;
static struct vm vms[VMS];
static struct vcpu vcpus[VCPUS];
static struct vcpu *ran[64];
static unsigned int runs, idles, kicks;
static uint64_t now;
/* What the next vcpu_run() does before it says whether the vCPU is runnable. */
static bool (*during_run)(struct vcpu *vcpu);

struct cpu *this_cpu(void)
{
	return current;
}

unsigned int cpu_count(void)
{
	return CPUS;
}

struct cpu *cpu_by_id(unsigned int id)
{
	return id < CPUS ? &cpus[id] : NULL;
}

void cpu_kick(struct cpu *cpu)
{
	cpu->kick = 1;
	kicks++;
}

/* The interrupt that ends a halt. */
static void (*during_idle)(void);

bool cpu_idle(void)
{
	bool kicked;

	idles++;
	if (during_idle)
		during_idle();
	kicked = current->kick;
	current->kick = 0;
	return kicked;
}

uint64_t clock_tsc(void)
{
	return now;
}

void timer_init(struct timer *timer, void (*expired)(struct timer *))
{
	timer->expired = expired;
	timer->cpu = NULL;
}

void timer_set(struct timer *timer, uint64_t deadline)
{
	timer->node.key = deadline;
	timer->cpu = current;
}

void timer_cancel(struct timer *timer)
{
	timer->cpu = NULL;
}

void vcpu_request(struct vcpu *vcpu, uint32_t bits)
{
	vcpu->requests |= bits;
	if (vcpu->state == VCPU_HALTED || vcpu->state == VCPU_WAIT_SIPI)
		sched_wake(vcpu);
}

void vcpu_load(struct vcpu *vcpu)
{
	if (current->loaded)
		current->loaded->loaded_on = NULL;
	current->loaded = vcpu;
	if (vcpu)
		vcpu->loaded_on = current;
}

/* Without a hook: runs until its timer expires, at most 10 ms. */
bool vcpu_run(struct vcpu *vcpu)
{
	struct timer *timer = &queue_of(current)->timer;

	assert_true(!vcpu->loaded_on || vcpu->loaded_on == current);
	assert_ptr_equal(vcpu->cpu, current);
	vcpu_load(vcpu);
	ran[runs++ % ARRAY_SIZE(ran)] = vcpu;
	if (during_run)
		return during_run(vcpu);
	now += 10 * NS_PER_MS;
	if (timer_armed(timer) && timer->node.key <= now) {
		timer->cpu = NULL;
		timer->expired(timer);
	}
	vcpu->requests &= ~REQUEST_PREEMPT;
	return true;
}

static bool stops(struct vcpu *vcpu)
{
	vcpu_load(NULL);
	sched_unplace(vcpu);
	vcpu->state = VCPU_STOPPED;
	return false;
}

static bool blocks(struct vcpu *vcpu)
{
	now += NS_PER_MS;
	assert_true(sched_block(vcpu, VCPU_HALTED));
	assert_int_equal(vcpu->state, VCPU_HALTED);
	return false;
}

static bool blocks_and_is_woken(struct vcpu *vcpu)
{
	assert_true(sched_block(vcpu, VCPU_HALTED));
	sched_wake(vcpu); /* from a timer, say, before the CPU is done with it */
	assert_int_equal(vcpu->state, VCPU_RUNNABLE);
	return false;
}

static bool cannot_block(struct vcpu *vcpu)
{
	vcpu->requests = REQUEST_EVENTS;
	assert_false(sched_block(vcpu, VCPU_HALTED));
	assert_int_equal(vcpu->state, VCPU_RUNNABLE);
	vcpu->requests = 0;
	return true;
}

/* A VM of so many vCPUs, all blocked; they are vcpus[first] and on. */
static struct vm *start(unsigned int id, unsigned int first, unsigned int count)
{
	struct vm *vm = &vms[id];

	if (!vm->group.shares)
		assert_int_equal(sched_vm_init(vm), 0);
	vm->vcpu_count = count;
	for (unsigned int i = 0; i < count; i++) {
		vm->vcpus[i] = &vcpus[first + i];
		vcpus[first + i].vm = vm;
		vcpus[first + i].id = i;
	}
	vm->state = VM_RUNNING;
	vm->stop = VM_STOP_NONE;
	sched_vm_start(vm);
	for (unsigned int i = 0; i < count; i++)
		vcpus[first + i].state = VCPU_HALTED;
	return vm;
}

static void pin(struct vm *vm, unsigned int cpu)
{
	struct sched_params params;

	sched_get(vm, &params);
	params.cpus = (struct cpu_set){ 0 };
	cpu_set_add(&params.cpus, cpu);
	assert_int_equal(sched_set(vm, &params), 0);
}

/* That CPU looks at its queue; until somebody ran there, for kicks and moves take a look of their own. */
static void turn(unsigned int cpu)
{
	unsigned int before = runs + idles;

	current = &cpus[cpu];
	for (unsigned int i = 0; i < 4 && runs + idles == before; i++)
		sched_run(current);
	current = &cpus[0];
}

/* So many looks of all CPUs side by side; each turn takes as long as all of them do. */
static void turns(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		uint64_t begin = now, end = now;

		for (unsigned int cpu = 0; cpu < CPUS; cpu++) {
			now = begin;
			turn(cpu);
			end = now > end ? now : end;
		}
		now = end == begin ? begin + 10 * NS_PER_MS : end;
	}
}

static int setup(void **state)
{
	(void)state;
	memset(cpus, 0, sizeof(cpus));
	memset(vms, 0, sizeof(vms));
	memset(vcpus, 0, sizeof(vcpus));
	memset(&sched_idle, 0, sizeof(sched_idle));
	memset(&sched_busy, 0, sizeof(sched_busy));
	sched_busy_count = 0;
	for (unsigned int i = 0; i < CPUS; i++)
		cpus[i].id = i;
	current = &cpus[0];
	runs = idles = kicks = 0;
	now = NS_PER_SEC;
	during_run = NULL;
	during_idle = NULL;
	assert_int_equal(sched_init(), 0);
	return 0;
}

static void open_all(void)
{
	for (unsigned int i = 0; i < CPUS; i++)
		sched_open(&cpus[i]);
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < CPUS; i++)
		free(cpus[i].sched);
	for (unsigned int i = 0; i < VMS; i++)
		sched_vm_destroy(&vms[i]);
	return 0;
}

static void idles_without_work(void **state)
{
	(void)state;
	turn(0);
	assert_int_equal(idles, 1);
	assert_int_equal(runs, 0);
}

static void a_kick_comes_first(void **state)
{
	(void)state;
	start(0, 0, 1);
	sched_wake(&vcpus[0]);
	cpus[0].kick = 1;
	sched_run(&cpus[0]);
	assert_int_equal(runs, 0);
	assert_int_equal(cpus[0].kick, 0);
	sched_run(&cpus[0]);
	assert_int_equal(runs, 1);
}

static void takes_turns(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		start(i, i, 1);
		sched_wake(&vcpus[i]);
	}
	for (unsigned int i = 0; i < 9; i++)
		turn(0);
	assert_int_equal(runs, 9);
	for (unsigned int i = 0; i < 9; i += 3) {
		assert_ptr_not_equal(ran[i], ran[i + 1]);
		assert_ptr_not_equal(ran[i], ran[i + 2]);
		assert_ptr_not_equal(ran[i + 1], ran[i + 2]);
	}
}

static void no_timer_when_nobody_waits(void **state)
{
	(void)state;
	start(0, 0, 1);
	sched_wake(&vcpus[0]);
	turn(0);
	assert_false(timer_armed(&queue_of(&cpus[0])->timer));
	start(1, 1, 1);
	sched_wake(&vcpus[1]);
	during_run = cannot_block;
	turn(0);
	assert_true(timer_armed(&queue_of(&cpus[0])->timer));
}

static void blocked_ones_do_not_run(void **state)
{
	(void)state;
	start(0, 0, 1);
	sched_wake(&vcpus[0]);
	during_run = blocks;
	turn(0);
	turn(0);
	assert_int_equal(runs, 1);
	assert_int_equal(idles, 2); /* with it, and without */
	sched_wake(&vcpus[0]);
	sched_wake(&vcpus[0]); /* twice is once */
	turn(0);
	turn(0);
	assert_int_equal(runs, 2);
}

static void no_wake_is_lost(void **state)
{
	(void)state;
	start(0, 0, 1);
	sched_wake(&vcpus[0]);
	during_run = blocks_and_is_woken;
	turn(0);
	during_run = cannot_block;
	turn(0);
	turn(0);
	assert_int_equal(runs, 3);
	assert_int_equal(idles, 1); /* before it was woken */
}

static void wakes_here(void)
{
	now += NS_PER_MS;
	sched_wake(&vcpus[0]);
}

static void wakes_here_and_kicks(void)
{
	cpu_kick(current);
	wakes_here();
}

static void wakes_elsewhere(void)
{
	current = &cpus[1];
	wakes_here();
	current = &cpus[0];
}

static void another_wakes_too(void)
{
	sched_wake(&vcpus[1]);
	wakes_here();
}

static void pauses_and_wakes(void)
{
	sched_pause(&vms[0]);
	wakes_here();
}

static void pins_elsewhere_and_wakes(void)
{
	pin(&vms[0], 1);
	wakes_here();
}

/* How the next halt's interrupt leaves it: it runs on. */
static bool dozes(struct vcpu *vcpu)
{
	struct sched_times before, times;
	uint32_t load = queue_of(current)->policy.load;

	/* The end of a turn that another shared is none any more. */
	timer_set(&queue_of(current)->timer, now + 1);
	sched_times(vcpu, &before);
	assert_false(sched_block(vcpu, VCPU_HALTED));
	assert_int_equal(vcpu->state, VCPU_RUNNABLE);
	assert_ptr_equal(queue_of(current)->running, vcpu);
	assert_ptr_equal(queue_of(current)->policy.current, &vcpu->sched);
	assert_int_equal(queue_of(current)->policy.load, load);
	assert_int_equal(vcpu->vm->group.active, 1);
	assert_false(cpu_set_test(&sched_idle, current->id));
	assert_false(timer_armed(&queue_of(current)->timer));
	now += 5 * NS_PER_US;
	sched_times(vcpu, &times);
	assert_int_equal(times.halted_ns - before.halted_ns, NS_PER_MS);
	assert_int_equal(times.run_ns - before.run_ns, 5 * NS_PER_US);
	assert_int_equal(times.steal_ns, before.steal_ns);
	return true;
}

/* Or: it has left. */
static bool dozes_and_leaves(struct vcpu *vcpu)
{
	assert_true(sched_block(vcpu, VCPU_HALTED));
	assert_int_equal(vcpu->state, VCPU_RUNNABLE);
	assert_null(queue_of(current)->running);
	assert_null(queue_of(current)->policy.current);
	return false;
}

static void dozing(bool (*how)(struct vcpu *vcpu), void (*interrupt)(void))
{
	sched_open(&cpus[1]);
	start(0, 0, 1);
	pin(&vms[0], 0);
	start(1, 1, 1);
	pin(&vms[1], 0);
	sched_wake(&vcpus[0]);
	during_run = how;
	during_idle = interrupt;
	turn(0);
	assert_int_equal(idles, 1);
	during_run = NULL;
	during_idle = NULL;
}

static void one_that_is_alone_is_woken_in_place(void **state)
{
	(void)state;
	dozing(dozes, wakes_here);
	assert_int_equal(cpus[0].kick, 0);
	/* And keeps nobody from his turn. */
	sched_wake(&vcpus[1]);
	for (unsigned int i = 0; i < 4; i++)
		turn(0);
	assert_int_equal(runs, 5);
	assert_ptr_not_equal(ran[1], ran[2]);
	assert_ptr_not_equal(ran[3], ran[4]);
}

static void a_kick_outlasts_a_doze(void **state)
{
	(void)state;
	dozing(dozes, wakes_here_and_kicks);
	assert_int_equal(cpus[0].kick, 1);
}

static void a_wake_from_elsewhere_ends_a_doze(void **state)
{
	(void)state;
	dozing(dozes_and_leaves, wakes_elsewhere);
	assert_int_equal(kicks, 1);
	turn(0);
	assert_ptr_equal(ran[1], &vcpus[0]);
}

static void another_vcpu_ends_a_doze(void **state)
{
	(void)state;
	dozing(dozes_and_leaves, another_wakes_too);
	turn(0);
	turn(0);
	assert_int_equal(runs, 3);
	assert_ptr_not_equal(ran[1], ran[2]);
}

static void a_paused_one_is_not_woken_in_place(void **state)
{
	(void)state;
	dozing(dozes_and_leaves, pauses_and_wakes);
	assert_true(vcpus[0].shelved);
	turn(0);
	assert_int_equal(runs, 1);
	sched_resume(&vms[0]);
	turn(0);
	assert_int_equal(runs, 2);
}

static void one_pinned_elsewhere_is_not_woken_in_place(void **state)
{
	(void)state;
	dozing(dozes_and_leaves, pins_elsewhere_and_wakes);
	turn(0); /* it is sent on */
	turn(1);
	assert_ptr_equal(vcpus[0].cpu, &cpus[1]);
	assert_int_equal(runs, 2);
}

static void set_cap(struct vm *vm, uint32_t percent)
{
	struct sched_params params;

	sched_get(vm, &params);
	params.cap_percent = percent;
	assert_int_equal(sched_set(vm, &params), 0);
}

static void caps_and_wakes(void)
{
	set_cap(&vms[0], 10);
	wakes_here();
}

static void one_with_a_cap_is_not_woken_in_place(void **state)
{
	(void)state;
	dozing(dozes_and_leaves, caps_and_wakes);
	turn(0);
	assert_int_equal(runs, 2);
	turn(0); /* it has had more than its cap allows */
	assert_int_equal(runs, 2);
	assert_int_equal(idles, 2);
}

/* One that waits for its cap needs the CPU's timer. */
static void nobody_dozes_beside_a_parked_one(void **state)
{
	(void)state;
	start(0, 0, 1);
	start(1, 1, 1);
	set_cap(&vms[1], 10);
	sched_wake(&vcpus[1]);
	turn(0);
	turn(0);
	assert_int_equal(runs, 1);
	assert_int_equal(idles, 1);
	sched_wake(&vcpus[0]);
	during_run = blocks;
	turn(0);
	assert_int_equal(runs, 2);
	assert_int_equal(idles, 1);
	assert_true(timer_armed(&queue_of(&cpus[0])->timer));
}

/* Two wait for CPU 1: who has nothing to do on CPU 0 looks there at once, and takes one. */
static void nobody_dozes_while_others_wait_elsewhere(void **state)
{
	(void)state;
	sched_open(&cpus[1]);
	start(0, 0, 1);
	pin(&vms[0], 0);
	start(1, 1, 2);
	pin(&vms[1], 1);
	sched_wake(&vcpus[1]);
	sched_wake(&vcpus[2]);
	sched_wake(&vcpus[0]);
	queue_of(&cpus[1])->policy.current = NULL;
	sched_change_busy(queue_of(&cpus[1]), true);
	during_run = blocks;
	turn(0);
	assert_int_equal(runs, 1);
	assert_int_equal(idles, 0);
	assert_false(cpu_set_test(&sched_idle, 0));
}

static void placement_spreads(void **state)
{
	(void)state;
	/* CPU 2 cannot run guests. */
	sched_open(&cpus[1]);
	start(0, 0, 1);
	assert_ptr_equal(vcpus[0].cpu, &cpus[1]);
	start(1, 1, 1);
	assert_ptr_equal(vcpus[1].cpu, &cpus[0]); /* the boot CPU is the last choice */
	sched_open(&cpus[2]);
	start(2, 2, 1);
	assert_ptr_equal(vcpus[2].cpu, &cpus[2]);
	for (unsigned int i = 0; i < CPUS; i++)
		assert_int_equal(sched_placed(&cpus[i]), 1);
}

static void an_idle_cpu_is_kicked(void **state)
{
	(void)state;
	open_all();
	turn(1);
	assert_int_equal(idles, 1);
	start(0, 0, 1);
	assert_ptr_equal(vcpus[0].cpu, &cpus[1]);
	/* As it is between its look at the queue and its halt. */
	cpu_set_raise(&sched_idle, 1);
	sched_wake(&vcpus[0]);
	assert_int_equal(kicks, 1);
	assert_int_equal(cpus[1].kick, 1);
	sched_wake(&vcpus[0]);
	assert_int_equal(kicks, 1);
	turn(1);
	assert_int_equal(runs, 1);
}

static bool wakes_another(struct vcpu *vcpu)
{
	(void)vcpu;
	sched_wake(&vcpus[1]);
	return true;
}

static void who_wakes_goes_to_an_idle_cpu(void **state)
{
	(void)state;
	open_all();
	start(0, 0, 1);
	start(1, 1, 1);
	vcpus[1].cpu = vcpus[0].cpu = &cpus[1];
	sched_wake(&vcpus[0]);
	cpu_set_raise(&sched_idle, 2);
	during_run = wakes_another;
	turn(1);
	assert_ptr_equal(vcpus[1].cpu, &cpus[2]);
	assert_int_equal(cpus[2].kick, 1);
	assert_false(cpu_set_test(&sched_idle, 2));
}

static void registers_stay_where_they_are(void **state)
{
	(void)state;
	open_all();
	start(0, 0, 1);
	vcpus[0].cpu = &cpus[2];
	sched_wake(&vcpus[0]);
	during_run = blocks;
	turn(2);
	assert_ptr_equal(vcpus[0].loaded_on, &cpus[2]);
	cpu_set_raise(&sched_idle, 1);
	sched_wake(&vcpus[0]);
	assert_ptr_equal(vcpus[0].cpu, &cpus[2]);
	/* Nor is it stolen from there; when it is put, it is. */
	queue_of(&cpus[2])->busy = true;
	cpu_set_raise(&sched_busy, 2);
	sched_busy_count++;
	during_run = NULL;
	turn(1);
	assert_int_equal(runs, 1);
	vcpus[0].loaded_on = NULL;
	turn(1);
	assert_int_equal(runs, 2);
	assert_ptr_equal(vcpus[0].cpu, &cpus[1]);
}

static void an_idle_cpu_steals(void **state)
{
	(void)state;
	open_all();
	for (unsigned int i = 0; i < 3; i++) {
		start(i, i, 1);
		vcpus[i].cpu = &cpus[1];
		sched_wake(&vcpus[i]);
	}
	turns(4);
	for (unsigned int i = 0; i < 3; i++)
		for (unsigned int j = 0; j < i; j++)
			assert_ptr_not_equal(vcpus[i].cpu, vcpus[j].cpu);
}

static uint64_t run_ns(unsigned int vcpu)
{
	struct sched_times times;

	sched_times(&vcpus[vcpu], &times);
	return times.run_ns;
}

/* Four equal hogs on three CPUs have three quarters of one each. */
static void what_does_not_divide_takes_turns(void **state)
{
	uint64_t begin;

	(void)state;
	open_all();
	for (unsigned int i = 0; i < 4; i++) {
		start(i, i, 1);
		sched_wake(&vcpus[i]);
	}
	begin = now;
	turns(400);
	for (unsigned int i = 0; i < 4; i++)
		assert_in_range(run_ns(i) * 100 / (now - begin), 65, 85);
}

static void pinned_ones_stay(void **state)
{
	(void)state;
	open_all();
	for (unsigned int i = 0; i < 3; i++) {
		start(i, i, 1);
		pin(&vms[i], 1);
		sched_wake(&vcpus[i]);
	}
	turns(30);
	for (unsigned int i = 0; i < 3; i++)
		assert_ptr_equal(vcpus[i].cpu, &cpus[1]);
	/* Moved while they wait and while they run. */
	for (unsigned int i = 0; i < 3; i++)
		pin(&vms[i], 2);
	turns(8);
	for (unsigned int i = 0; i < 3; i++)
		assert_ptr_equal(vcpus[i].cpu, &cpus[2]);
	assert_int_equal(sched_placed(&cpus[2]), 3);
}

static void parameters_are_checked(void **state)
{
	struct sched_params params = { .weight = 100, .cpus = CPU_SET_ALL };

	(void)state;
	start(0, 0, 1);
	params.weight = 0;
	assert_int_equal(sched_set(&vms[0], &params), -EINVAL);
	params.weight = SCHED_WEIGHT_MAX + 1;
	assert_int_equal(sched_set(&vms[0], &params), -EINVAL);
	params.weight = 1;
	params.cpus = (struct cpu_set){ 0 };
	assert_int_equal(sched_set(&vms[0], &params), -EINVAL);
	cpu_set_add(&params.cpus, 2); /* runs no guests */
	assert_int_equal(sched_set(&vms[0], &params), -EINVAL);
	sched_get(&vms[0], &params);
	assert_int_equal(params.weight, SCHED_WEIGHT_DEFAULT);
}

static void the_boot_cpu_is_spared_where_it_must_be(void **state)
{
	struct sched_params params;

	(void)state;
	sched_spares_boot_cpu = true;
	/* No other is ready. */
	start(1, 1, 1);
	assert_ptr_equal(vcpus[1].cpu, &cpus[0]);
	sched_open(&cpus[1]);
	start(0, 0, 1);
	sched_get(&vms[0], &params);
	assert_false(cpu_set_has(&params.cpus, 0));
	assert_true(cpu_set_has(&params.cpus, 1));
	assert_ptr_not_equal(vcpus[0].cpu, &cpus[0]);
	/* Who names it, gets it. */
	pin(&vms[0], 0);
	sched_get(&vms[0], &params);
	assert_true(cpu_set_has(&params.cpus, 0));
	params.cpus = CPU_SET_ALL;
	assert_int_equal(sched_set(&vms[0], &params), 0);
	sched_get(&vms[0], &params);
	assert_false(cpu_set_has(&params.cpus, 0));
	sched_spares_boot_cpu = false;
}

static void a_paused_vm_does_not_run(void **state)
{
	struct sched_times before, after;

	(void)state;
	start(0, 0, 3);
	sched_wake(&vcpus[0]);
	sched_wake(&vcpus[1]);
	turn(0);
	sched_pause(&vms[0]);
	sched_wake(&vcpus[2]); /* woken, it does not run either */
	sched_times(&vcpus[1], &before);
	turns(5);
	assert_int_equal(runs, 1);
	sched_times(&vcpus[1], &after);
	assert_int_equal(after.run_ns, before.run_ns);
	assert_true(after.steal_ns > before.steal_ns);
	assert_int_equal(vms[0].group.active, 0);
	sched_resume(&vms[0]);
	turns(3);
	assert_int_equal(runs, 4);
}

static bool is_paused_meanwhile(struct vcpu *vcpu)
{
	sched_pause(vcpu->vm);
	assert_true(vcpu->requests & REQUEST_PREEMPT);
	vcpu->requests = 0;
	return true;
}

static void a_running_one_is_paused(void **state)
{
	(void)state;
	start(0, 0, 1);
	sched_wake(&vcpus[0]);
	during_run = is_paused_meanwhile;
	turn(0);
	turn(0);
	assert_int_equal(runs, 1);
	sched_resume(&vms[0]);
	during_run = blocks;
	turn(0);
	assert_int_equal(runs, 2);
}

static void a_paused_vm_stops(void **state)
{
	(void)state;
	start(0, 0, 2);
	sched_wake(&vcpus[0]);
	sched_pause(&vms[0]);
	vms[0].stop = VM_STOP_OPERATOR;
	for (unsigned int i = 0; i < 2; i++)
		vcpu_request(&vcpus[i], REQUEST_STOP);
	sched_release(&vms[0]);
	during_run = stops;
	turns(2);
	assert_int_equal(runs, 2);
	assert_int_equal(sched_placed(&cpus[0]), 0);
}

static void a_stopping_vm_is_not_kept_by_a_pause(void **state)
{
	(void)state;
	start(0, 0, 2);
	sched_wake(&vcpus[0]);
	vms[0].stop = VM_STOP_POWER_OFF;
	for (unsigned int i = 0; i < 2; i++)
		vcpu_request(&vcpus[i], REQUEST_STOP);
	sched_release(&vms[0]);
	sched_pause(&vms[0]);
	during_run = stops;
	turns(2);
	assert_int_equal(runs, 2);
	assert_int_equal(sched_placed(&cpus[0]), 0);
}

/* It has had more than its part, and the others would have to catch up first. */
static void a_light_vm_stops_soon(void **state)
{
	struct sched_params params = { .weight = 1, .cpus = CPU_SET_ALL };

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		start(i, i, 1);
		assert_int_equal(sched_set(&vms[i], &params), 0);
		params.weight = SCHED_WEIGHT_DEFAULT;
		sched_wake(&vcpus[i]);
	}
	while (run_ns(0) == 0)
		turn(0);
	turn(0);
	vms[0].stop = VM_STOP_OPERATOR;
	vcpu_request(&vcpus[0], REQUEST_STOP);
	sched_release(&vms[0]);
	assert_ptr_not_equal(ran[runs - 1], &vcpus[0]);
	turn(0);
	assert_ptr_equal(ran[runs - 1], &vcpus[0]);
}

static void a_cap_parks_until_there_is_time(void **state)
{
	struct sched_params params = { .weight = 100, .cap_percent = 25, .cpus = CPU_SET_ALL };
	uint64_t begin;

	(void)state;
	start(0, 0, 1);
	assert_int_equal(sched_set(&vms[0], &params), 0);
	sched_wake(&vcpus[0]);
	begin = now;
	turns(300);
	assert_in_range(run_ns(0) * 100 / (now - begin), 24, 26);
	/* Parked or not, it stops at once. */
	turns(1);
	vms[0].stop = VM_STOP_OPERATOR;
	sched_release(&vms[0]);
	during_run = stops;
	turns(1);
	assert_int_equal(vcpus[0].state, VCPU_STOPPED);
}

static void times_add_up(void **state)
{
	struct sched_times times;
	uint64_t begin = now;

	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		start(i, i, 1);
	now += 7;
	sched_wake(&vcpus[0]);
	now += 3;
	sched_wake(&vcpus[1]);
	for (unsigned int i = 0; i < 10; i++)
		turn(0);
	during_run = blocks;
	turn(0);
	now += 12345;
	for (unsigned int i = 0; i < 3; i++) {
		sched_times(&vcpus[i], &times);
		assert_int_equal(times.run_ns + times.steal_ns + times.halted_ns, now - begin);
	}
	sched_times(&vcpus[2], &times);
	assert_int_equal(times.halted_ns, now - begin);
	sched_times(&vcpus[0], &times);
	assert_true(times.run_ns && times.steal_ns && times.halted_ns >= 7);
}

static struct vcpu *yields_to;

static bool spins(struct vcpu *vcpu)
{
	now += NS_PER_MS / 2;
	sched_yield_to(vcpu, yields_to);
	vcpu->requests = 0;
	during_run = NULL;
	return true;
}

static void a_spinner_makes_way(void **state)
{
	(void)state;
	start(0, 0, 3);
	sched_wake(&vcpus[0]);
	sched_wake(&vcpus[1]);
	during_run = spins;
	yields_to = NULL;
	turn(0);
	turn(0);
	assert_int_equal(runs, 2);
	assert_ptr_not_equal(ran[0], ran[1]);
	/* To one that sleeps: nothing changes. */
	during_run = spins;
	yields_to = &vcpus[2];
	runs = 0;
	turn(0);
	turn(0);
	assert_ptr_equal(ran[0], ran[1]);
}

static void a_spinner_fetches_whom_it_waits_for(void **state)
{
	(void)state;
	open_all();
	start(0, 0, 2);
	start(1, 2, 1);
	vcpus[0].cpu = &cpus[1];
	vcpus[1].cpu = vcpus[2].cpu = &cpus[2];
	sched_wake(&vcpus[2]);
	turn(2);
	sched_wake(&vcpus[1]);
	sched_wake(&vcpus[0]);
	during_run = spins;
	yields_to = &vcpus[1];
	turn(1);
	assert_ptr_equal(vcpus[1].cpu, &cpus[1]);
	turn(1);
	assert_ptr_equal(ran[runs - 1], &vcpus[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(idles_without_work, setup, teardown),
		cmocka_unit_test_setup_teardown(a_kick_comes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(takes_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(no_timer_when_nobody_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(blocked_ones_do_not_run, setup, teardown),
		cmocka_unit_test_setup_teardown(no_wake_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_is_alone_is_woken_in_place, setup, teardown),
		cmocka_unit_test_setup_teardown(a_kick_outlasts_a_doze, setup, teardown),
		cmocka_unit_test_setup_teardown(a_wake_from_elsewhere_ends_a_doze, setup, teardown),
		cmocka_unit_test_setup_teardown(another_vcpu_ends_a_doze, setup, teardown),
		cmocka_unit_test_setup_teardown(a_paused_one_is_not_woken_in_place, setup, teardown),
		cmocka_unit_test_setup_teardown(one_pinned_elsewhere_is_not_woken_in_place, setup, teardown),
		cmocka_unit_test_setup_teardown(one_with_a_cap_is_not_woken_in_place, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_dozes_beside_a_parked_one, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_dozes_while_others_wait_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(placement_spreads, setup, teardown),
		cmocka_unit_test_setup_teardown(an_idle_cpu_is_kicked, setup, teardown),
		cmocka_unit_test_setup_teardown(who_wakes_goes_to_an_idle_cpu, setup, teardown),
		cmocka_unit_test_setup_teardown(registers_stay_where_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(an_idle_cpu_steals, setup, teardown),
		cmocka_unit_test_setup_teardown(what_does_not_divide_takes_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(pinned_ones_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(parameters_are_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(the_boot_cpu_is_spared_where_it_must_be, setup, teardown),
		cmocka_unit_test_setup_teardown(a_paused_vm_does_not_run, setup, teardown),
		cmocka_unit_test_setup_teardown(a_running_one_is_paused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_paused_vm_stops, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stopping_vm_is_not_kept_by_a_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(a_light_vm_stops_soon, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cap_parks_until_there_is_time, setup, teardown),
		cmocka_unit_test_setup_teardown(times_add_up, setup, teardown),
		cmocka_unit_test_setup_teardown(a_spinner_makes_way, setup, teardown),
		cmocka_unit_test_setup_teardown(a_spinner_fetches_whom_it_waits_for, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
