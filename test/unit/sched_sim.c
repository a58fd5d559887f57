/* SPDX-License-Identifier: BSD-2-Clause */
/* See sched_sim.h. */
#include "test/unit/sched_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const struct sim *sim, const char *what)
{
	fprintf(stderr, "simulation, step %llu, at %llu ns: %s\n", (unsigned long long)sim->steps,
		(unsigned long long)sim->now_ns, what);
	abort();
}

uint32_t sim_random(struct sim *sim)
{
	sim->random = sim->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(sim->random >> 32);
}

uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high)
{
	return low + ((uint64_t)sim_random(sim) << 16 | sim_random(sim) >> 16) % (high - low + 1);
}

static void note(struct sim *sim, uint64_t value)
{
	sim->checksum = (sim->checksum ^ value) * 1099511628211ULL;
}

static void *zalloc(size_t bytes)
{
	void *object = calloc(1, bytes);

	if (!object)
		abort();
	return object;
}

void sim_begin(struct sim *sim, unsigned int cpus, uint64_t seed)
{
	*sim = (struct sim){ .now_ns = 5 * NS_PER_SEC, .cpu_count = cpus, .random = seed };
	for (unsigned int i = 0; i < cpus; i++) {
		sched_queue_init(&sim->cpus[i].queue, i);
		sim->cpus[i].idle_since_ns = sim->now_ns;
	}
}

void sim_end(struct sim *sim)
{
	for (unsigned int i = 0; i < sim->vm_count; i++) {
		struct sim_vcpu *vcpu = sim->vms[i]->vcpus, *next;

		for (; vcpu; vcpu = next) {
			next = vcpu->next;
			free(vcpu);
		}
		free(sim->vms[i]);
	}
	free(sim->vms);
}

struct sim_vm *sim_add_vm(struct sim *sim, uint32_t weight, uint32_t cap_percent)
{
	struct sim_vm *vm = zalloc(sizeof(*vm));

	sched_group_init(&vm->group, vm->shares, sim->cpu_count);
	sim_set_weight(vm, weight);
	sched_cap_set(&vm->group.cap, cap_percent);
	sim->vms = realloc(sim->vms, (sim->vm_count + 1) * sizeof(*sim->vms));
	sim->vms[sim->vm_count++] = vm;
	return vm;
}

void sim_set_weight(struct sim_vm *vm, uint32_t weight)
{
	vm->weight = weight;
	sched_group_set_weight(&vm->group, weight);
}

struct sim_vcpu *sim_add_vcpu(struct sim *sim, struct sim_vm *vm, unsigned int cpu,
	const struct sim_behaviour *does, uint64_t at_ns)
{
	struct sim_vcpu *vcpu = zalloc(sizeof(*vcpu));

	sched_entity_init(&vcpu->entity, &vm->group);
	vcpu->sim = sim;
	vcpu->vm = vm;
	vcpu->does = *does;
	vcpu->cpu = cpu;
	vcpu->next = vm->vcpus;
	vm->vcpus = vcpu;
	vcpu->wake_at_ns = sim->now_ns + at_ns;
	vcpu->event.key = vcpu->wake_at_ns << 1;
	heap_insert(&sim->events, &vcpu->event);
	return vcpu;
}

/* Timers of CPUs have odd keys, those of vCPUs even ones: so an event tells what it is. */
static void arm(struct sim *sim, struct sim_cpu *cpu, uint64_t at_ns)
{
	if (cpu->armed)
		heap_remove(&sim->events, &cpu->event);
	cpu->armed = at_ns < SIM_FOR_EVER;
	if (!cpu->armed)
		return;
	cpu->event.key = MAX(at_ns, sim->now_ns) << 1 | 1;
	heap_insert(&sim->events, &cpu->event);
}

static struct sim_vcpu *current_of(const struct sim_cpu *cpu)
{
	struct sched_entity *entity = cpu->queue.current;

	return entity ? container_of(entity, struct sim_vcpu, entity) : NULL;
}

static void arm_turn(struct sim *sim, struct sim_cpu *cpu)
{
	struct sim_vcpu *vcpu = current_of(cpu);
	uint64_t late = sim->jitter_ns ? sim_between(sim, 0, sim->jitter_ns) : 0;
	uint64_t until = cpu->queue.until_ns, ends = SIM_FOR_EVER;

	if (until < SIM_FOR_EVER)
		until += late;
	if (vcpu->left_ns < SIM_FOR_EVER)
		ends = cpu->since_ns + vcpu->left_ns;
	arm(sim, cpu, MIN(until, ends));
}

static uint32_t any(const struct sched_entity *entity, void *argument)
{
	(void)entity, (void)argument;
	return 1;
}

/* An idle CPU takes one from the queue that has most waiting. */
static bool steal(struct sim *sim, struct sim_cpu *cpu)
{
	struct sched_queue *most = NULL;
	struct sched_entity *entity;
	struct sim_vcpu *vcpu;

	for (unsigned int i = 0; i < sim->cpu_count; i++) {
		struct sched_queue *queue = &sim->cpus[i].queue;

		if (queue->waiting && (!most || queue->waiting > most->waiting))
			most = queue;
	}
	if (!most)
		return false;
	sched_queue_update(most, sim->now_ns);
	entity = sched_queue_find(most, any, NULL, 64);
	if (!entity)
		return false;
	sched_queue_remove(most, entity, SCHED_MOVES);
	vcpu = container_of(entity, struct sim_vcpu, entity);
	vcpu->cpu = (unsigned int)(cpu - sim->cpus);
	vcpu->moves++;
	sched_queue_add(&cpu->queue, entity, sim->now_ns);
	return true;
}

static void note_start(struct sim *sim, struct sim_vcpu *vcpu)
{
	uint64_t waited = sim->now_ns - vcpu->ready_ns;

	vcpu->turns++;
	vcpu->wait_max_ns = MAX(vcpu->wait_max_ns, waited);
	if (vcpu->woke_ns) {
		unsigned int slot = 0;
		uint64_t latency = sim->now_ns - vcpu->woke_ns;

		while (slot < SIM_HISTOGRAM - 1 && latency >> slot >= NS_PER_US)
			slot++;
		vcpu->histogram[slot]++;
		vcpu->latency_max_ns = MAX(vcpu->latency_max_ns, latency);
		vcpu->wakes++;
		vcpu->woke_ns = 0;
	}
	note(sim, (uintptr_t)vcpu->cpu << 48 ^ sim->now_ns);
}

/* The CPU has no vCPU: choose one. */
static void choose(struct sim *sim, struct sim_cpu *cpu)
{
	struct sched_entity *entity;

	do
		entity = sched_queue_pick(&cpu->queue, sim->now_ns);
	while (!entity && sim->steals && steal(sim, cpu));
	if (!entity) {
		arm(sim, cpu, sched_queue_unpark_at(&cpu->queue));
		return;
	}
	cpu->idle_ns += sim->now_ns - cpu->idle_since_ns;
	cpu->since_ns = sim->now_ns;
	note_start(sim, current_of(cpu));
	arm_turn(sim, cpu);
}

static void stop_current(struct sim *sim, struct sim_cpu *cpu, enum sched_leave why)
{
	struct sim_vcpu *vcpu = current_of(cpu);
	uint64_t ran = sim->now_ns - cpu->since_ns;

	vcpu->run_ns += ran;
	if (vcpu->left_ns < SIM_FOR_EVER)
		vcpu->left_ns -= MIN(ran, vcpu->left_ns);
	vcpu->ready_ns = sim->now_ns;
	cpu->idle_since_ns = sim->now_ns;
	sched_queue_put(&cpu->queue, why, sim->now_ns);
}

static void wake_up(struct sim *sim, struct sim_vcpu *vcpu)
{
	struct sim_cpu *cpu = &sim->cpus[vcpu->cpu];

	vcpu->woke_ns = vcpu->ready_ns = sim->now_ns;
	vcpu->left_ns = vcpu->does.run_ns(vcpu);
	if (sched_queue_add(&cpu->queue, &vcpu->entity, sim->now_ns))
		arm_turn(sim, cpu);
	if (!cpu->queue.current)
		choose(sim, cpu);
	for (unsigned int i = 0; sim->steals && cpu->queue.waiting && i < sim->cpu_count; i++) {
		if (!sim->cpus[i].queue.current)
			choose(sim, &sim->cpus[i]);
	}
}

void sim_wake(struct sim_vcpu *vcpu)
{
	struct sim *sim = vcpu->sim;

	if (vcpu->wake_at_ns <= sim->now_ns)
		return;
	heap_remove(&sim->events, &vcpu->event);
	vcpu->wake_at_ns = sim->now_ns;
	vcpu->event.key = sim->now_ns << 1;
	heap_insert(&sim->events, &vcpu->event);
}

/* Its run is over: it sleeps, or lets others go first. */
static void run_ended(struct sim *sim, struct sim_cpu *cpu, struct sim_vcpu *vcpu)
{
	uint64_t sleep = vcpu->does.sleep_ns(vcpu);

	if (!sleep) {
		stop_current(sim, cpu, SCHED_WAITS);
		vcpu->left_ns = vcpu->does.run_ns(vcpu);
		return;
	}
	stop_current(sim, cpu, SCHED_SLEEPS);
	vcpu->wake_at_ns = MIN(sim->now_ns + sleep, SIM_FOR_EVER >> 1);
	vcpu->event.key = vcpu->wake_at_ns << 1;
	heap_insert(&sim->events, &vcpu->event);
	if (vcpu->does.asleep)
		vcpu->does.asleep(vcpu);
}

static void timer_fires(struct sim *sim, struct sim_cpu *cpu)
{
	struct sim_vcpu *vcpu = current_of(cpu);

	cpu->armed = false;
	if (vcpu) {
		uint64_t ran = sim->now_ns - cpu->since_ns;

		if (vcpu->left_ns <= ran)
			run_ended(sim, cpu, vcpu);
		else
			stop_current(sim, cpu, SCHED_WAITS);
	}
	choose(sim, cpu);
}

static void check(struct sim *sim)
{
	struct sched_group **groups = zalloc(sim->vm_count * sizeof(*groups) + 1);

	for (unsigned int i = 0; i < sim->vm_count; i++)
		groups[i] = &sim->vms[i]->group;
	for (unsigned int i = 0; i < sim->cpu_count; i++) {
		struct sim_cpu *cpu = &sim->cpus[i];
		const char *wrong = sched_check_queue(&cpu->queue, groups, sim->vm_count);

		if (wrong)
			fail(sim, wrong);
		if ((int64_t)(cpu->queue.virtual_ns - cpu->last_virtual_ns) < 0)
			fail(sim, "a queue's virtual time went back");
		cpu->last_virtual_ns = cpu->queue.virtual_ns;
		if (!cpu->queue.current && cpu->queue.waiting)
			fail(sim, "a CPU is idle while one waits");
	}
	free(groups);
}

void sim_run(struct sim *sim, uint64_t ns)
{
	uint64_t end = sim->now_ns + ns;

	while (sim->events && sim->events->key >> 1 <= end) {
		struct heap_node *event = sim->events;

		heap_remove(&sim->events, event);
		sim->now_ns = MAX(sim->now_ns, event->key >> 1);
		if (event->key & 1)
			timer_fires(sim, container_of(event, struct sim_cpu, event));
		else
			wake_up(sim, container_of(event, struct sim_vcpu, event));
		if (sim->check_every && ++sim->steps % sim->check_every == 0)
			check(sim);
	}
	sim->now_ns = end;
}

void sim_forget_latencies(struct sim *sim)
{
	for (unsigned int i = 0; i < sim->vm_count; i++) {
		for (struct sim_vcpu *vcpu = sim->vms[i]->vcpus; vcpu; vcpu = vcpu->next) {
			vcpu->latency_max_ns = vcpu->wakes = vcpu->wait_max_ns = 0;
			memset(vcpu->histogram, 0, sizeof(vcpu->histogram));
		}
	}
}

uint64_t sim_vcpu_run_ns(const struct sim *sim, const struct sim_vcpu *vcpu)
{
	const struct sim_cpu *cpu = &sim->cpus[vcpu->cpu];

	return vcpu->run_ns + (current_of(cpu) == vcpu ? sim->now_ns - cpu->since_ns : 0);
}

uint64_t sim_idle_ns(const struct sim *sim)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < sim->cpu_count; i++) {
		const struct sim_cpu *cpu = &sim->cpus[i];

		sum += cpu->idle_ns;
		if (!cpu->queue.current)
			sum += sim->now_ns - cpu->idle_since_ns;
	}
	return sum;
}

uint64_t sim_vm_run_ns(const struct sim *sim, const struct sim_vm *vm)
{
	uint64_t sum = 0;

	for (const struct sim_vcpu *vcpu = vm->vcpus; vcpu; vcpu = vcpu->next)
		sum += sim_vcpu_run_ns(sim, vcpu);
	return sum;
}

uint64_t sim_latency(const struct sim_vcpu *vcpu, unsigned int permille)
{
	uint64_t sum = 0;
	unsigned int slot;

	for (slot = 0; slot < SIM_HISTOGRAM - 1; slot++) {
		sum += vcpu->histogram[slot];
		if (sum * 1000 >= vcpu->wakes * permille)
			break;
	}
	return NS_PER_US << slot;
}

void sim_print_latency(const char *name, const struct sim_vcpu *vcpu)
{
	printf("  %-28s %7llu wakes, us: half <= %llu, 90%% <= %llu, 99%% <= %llu, all <= %llu\n", name,
		(unsigned long long)vcpu->wakes,
		(unsigned long long)(sim_latency(vcpu, 500) / NS_PER_US),
		(unsigned long long)(sim_latency(vcpu, 900) / NS_PER_US),
		(unsigned long long)(sim_latency(vcpu, 990) / NS_PER_US),
		(unsigned long long)(vcpu->latency_max_ns / NS_PER_US));
}

static uint64_t for_ever(struct sim_vcpu *vcpu)
{
	(void)vcpu;
	return SIM_FOR_EVER;
}

static uint64_t roughly_a(struct sim_vcpu *vcpu)
{
	return sim_between(vcpu->sim, vcpu->does.a, vcpu->does.a * 3 / 2);
}

static uint64_t roughly_b(struct sim_vcpu *vcpu)
{
	return sim_between(vcpu->sim, vcpu->does.b, vcpu->does.b * 3 / 2);
}

static uint64_t exactly_a(struct sim_vcpu *vcpu)
{
	return vcpu->does.a;
}

static uint64_t exactly_b(struct sim_vcpu *vcpu)
{
	return vcpu->does.b;
}

const struct sim_behaviour sim_hog = { .run_ns = for_ever, .sleep_ns = for_ever };

struct sim_behaviour sim_sleeper(uint64_t run_ns, uint64_t sleep_ns)
{
	return (struct sim_behaviour){
		.run_ns = roughly_a, .sleep_ns = roughly_b, .a = run_ns, .b = sleep_ns };
}

struct sim_behaviour sim_cycle(uint64_t run_ns, uint64_t sleep_ns)
{
	return (struct sim_behaviour){
		.run_ns = exactly_a, .sleep_ns = exactly_b, .a = run_ns, .b = sleep_ns };
}
