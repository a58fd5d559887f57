/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scheduler, the run loop, the virtual LAPIC and VMs' lives on several CPUs. Guests run, halt, send
 * interrupts to their sisters, yield, arm timers, restart their sisters, fault. The boot CPU, between its own
 * turns, is a busy operator: it sets weights, caps and CPUs, pauses and resumes, stops, destroys and creates.
 * Checked: no vCPU runs on two CPUs at once, where it may not, or while paused; none uses memory that has
 * been taken away; every vCPU gets on; its times add up; no message gets lost, nor the wake that it is, also when
 * nothing else happens.
 */
#include <stdio.h>
#include <stdlib.h>

#include "test/tsan/guests.h"
#include "test/tsan/machine.h"

#define CPUS 4
#define GUESTS 9
/* Real time; a thread may have to wait for a processor, and those who hold its locks as well. */
#define STUCK_NS (20 * NS_PER_SEC)
#define FIRST_RING 7 /* of the guests */
/* At last the rings alone go on, with nobody who could hide that a wake was lost. */
#define RINGS_NS (4 * NS_PER_SEC)
#define RING_STUCK_NS (3 * NS_PER_SEC)

static struct guest *guests[GUESTS];
static uint32_t finished; /* [a] */
static uint64_t give_up_ns;

static struct watch {
	uint64_t progress[VM_MAX_VCPUS];
	uint64_t since_ns[VM_MAX_VCPUS];
} watches[GUESTS];

static struct {
	uint64_t sets, pauses, stops, restarts, destroyed, moves, entries, handled, looks;
	uint64_t reclaims;
} total;

static void start(struct guest *guest)
{
	struct watch *watch = &watches[0];

	for (unsigned int i = 0; i < GUESTS; i++)
		if (guests[i] == guest)
			watch = &watches[i];
	*watch = (struct watch){0};
	__atomic_store_n(&guest->paused_since_ns, 0, __ATOMIC_SEQ_CST);
	vm_start(guest->vm);
}

static struct guest *create(unsigned int number)
{
	static const unsigned int widths[GUESTS] = {1, 1, 2, 2, 3, 4, 8, 2, 5};

	return guest_new(number, widths[number], number < FIRST_RING ? number % GUEST_RING : GUEST_RING);
}

static void set(struct guest *guest)
{
	struct sched_params params;
	uint64_t mask = machine_random_below(1U << CPUS);

	sched_get(guest->vm, &params);
	if (machine_random_below(2))
		params.weight = 1 + machine_random_below(1000);
	if (machine_random_below(2))
		params.cap_percent = machine_random_below(4) ? 0 : 10 + machine_random_below(200);
	if (machine_random_below(2))
		params.cpus = (struct cpu_set){ { mask } };
	/* From here on until it is done it may be either way. */
	__atomic_store_n(&guest->mask_since_ns, ~0ULL, __ATOMIC_SEQ_CST);
	/* Only an empty mask is refused; some CPUs may not be open yet at first. */
	if (sched_set(guest->vm, &params))
		machine_check(!(mask & (mask - 1)) || !(mask & 1));
	__atomic_store_n(&guest->mask_since_ns, machine_real_ns(), __ATOMIC_SEQ_CST);
	total.sets++;
}

static void pause_or_resume(struct guest *guest)
{
	bool paused = guest->paused_since_ns;

	if (!paused) {
		sched_pause(guest->vm);
		__atomic_store_n(&guest->paused_since_ns, machine_real_ns(), __ATOMIC_SEQ_CST);
		total.pauses++;
		return;
	}
	/* A VM that is to stop does so all the same. */
	if (__atomic_load_n(&guest->vm->stop, __ATOMIC_SEQ_CST) != VM_STOP_NONE)
		return;
	__atomic_store_n(&guest->paused_since_ns, 0, __ATOMIC_SEQ_CST);
	sched_resume(guest->vm);
}

/* Run, steal and halted time make up the time since the start, whenever one looks. */
static void check_times(const struct guest *guest)
{
	const struct vm *vm = guest->vm;
	const struct vcpu *vcpu = vm->vcpus[machine_random_below(vm->vcpu_count)];
	struct sched_occupant occupant;
	struct sched_times times;
	uint64_t before, after, sum;

	before = clock_now_ns() - vm->started_ns;
	sched_times(vcpu, &times);
	after = clock_now_ns() - vm->started_ns;
	sum = times.run_ns + times.steal_ns + times.halted_ns;
	/* One that has just stopped counts no more. The start's own moment is taken twice. */
	if (!__atomic_load_n(&vm->stop, __ATOMIC_SEQ_CST) && (sum + NS_PER_SEC < before || sum > after))
		machine_fail("%s/%u: times add up to %llu ns, not between %llu and %llu", vm->name, vcpu->id,
			(unsigned long long)sum, (unsigned long long)before, (unsigned long long)after);
	if (sched_occupant(cpu_by_id(machine_random_below(CPUS)), &occupant))
		machine_check(occupant.vm_name[0] == 'v');
	total.looks++;
}

static void explain(const struct guest *guest, const char *what)
{
	for (unsigned int i = 0; i < guest->vm->vcpu_count; i++) {
		const struct vcpu *vcpu = guest->vm->vcpus[i];

		fprintf(stderr, "%s/%u: state %d, cpu %u, loaded on %d, where %d, shelved %d, requests %x, %u work\n",
			guest->vm->name, i, vcpu->state, vcpu->cpu->id,
			vcpu->loaded_on ? (int)vcpu->loaded_on->id : -1, vcpu->sched.where, vcpu->shelved,
			vcpu->requests, guest_vcpu(vcpu)->work);
	}
	machine_fail("%s, kind %d, mask %llx, cap %u, stop %d: %s", guest->vm->name, guest->kind,
		(unsigned long long)guest->vm->sched.cpus.words[0], guest->vm->sched.cap_percent,
		guest->vm->stop, what);
}

/* Who can run, and may, does. */
static void check_progress(unsigned int number)
{
	struct guest *guest = guests[number];
	struct watch *watch = &watches[number];
	uint64_t now = machine_real_ns();

	for (unsigned int i = 0; i < guest->vm->vcpu_count; i++) {
		struct vcpu *vcpu = guest->vm->vcpus[i];
		uint64_t progress = __atomic_load_n(&guest_vcpu(vcpu)->progress, __ATOMIC_RELAXED);
		enum vcpu_state state = __atomic_load_n(&vcpu->state, __ATOMIC_SEQ_CST);
		bool wants = state == VCPU_RUNNABLE ||
			(state == VCPU_HALTED && __atomic_load_n(&guest_vcpu(vcpu)->work, __ATOMIC_SEQ_CST));

		if (!wants || guest->paused_since_ns || progress != watch->progress[i] || !watch->since_ns[i]) {
			watch->progress[i] = progress;
			watch->since_ns[i] = now;
		}
		if (now - watch->since_ns[i] > STUCK_NS)
			explain(guest, "one stands still");
	}
}

static void count(const struct guest *guest)
{
	for (unsigned int i = 0; i < guest->vm->vcpu_count; i++) {
		const struct guest_vcpu *vcpu = guest_vcpu(guest->vm->vcpus[i]);

		total.moves += vcpu->moves;
		total.entries += vcpu->entries;
		total.handled += vcpu->handled;
	}
	total.reclaims += guest->reclaims;
}

/* As mgmt/vm_life.c: put to rest, then started again, or gone and another in its place. */
static void has_stopped(unsigned int number)
{
	struct guest *guest = guests[number];

	guest->vm->state = VM_STOPPED;
	vm_reset(guest->vm);
	if (machine_random_below(4) == 0) {
		count(guest);
		guest_delete(guest);
		guest = guests[number] = create(number);
		total.destroyed++;
	}
	start(guest);
	total.restarts++;
}

static void operate(void)
{
	unsigned int number = machine_random_below(GUESTS);
	struct guest *guest = guests[number];

	for (unsigned int i = 0; i < GUESTS; i++) {
		if (vm_has_stopped(guests[i]->vm))
			has_stopped(i);
		check_progress(i);
	}
	guest = guests[number];
	if (guest->paused_since_ns && machine_random_below(2)) {
		pause_or_resume(guest);
		return;
	}
	switch (machine_random_below(48)) {
	case 0:
		vm_stop(guest->vm, VM_STOP_OPERATOR, 0, NULL);
		total.stops++;
		break;
	case 1:
	case 2:
		pause_or_resume(guest);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
		set(guest);
		break;
	default:
		check_times(guest);
	}
}

static bool all_quiet(void)
{
	for (unsigned int i = 0; i < GUESTS; i++) {
		if (vm_has_stopped(guests[i]->vm))
			has_stopped(i);
		check_progress(i);
		if (guest_is_quiet(guests[i]))
			continue;
		if (machine_real_ns() > give_up_ns)
			explain(guests[i], "does not come to rest");
		return false;
	}
	return true;
}

/* As with the operator's key presses, or mgmt's own timer: the boot CPU comes back from its vCPU. */
static void something_to_do(struct timer *timer)
{
	cpu_notify(this_cpu());
	timer_set(timer, clock_tsc() + NS_PER_MS);
}

static uint64_t handled_by(const struct guest *guest)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < guest->vm->vcpu_count; i++)
		sum += __atomic_load_n(&guest_vcpu(guest->vm->vcpus[i])->progress, __ATOMIC_RELAXED);
	return sum;
}

static void watch_rings(struct cpu *cpu)
{
	uint64_t end = machine_real_ns() + RINGS_NS, handled[GUESTS] = {0}, since[GUESTS] = {0};
	struct sched_params params = { .weight = 100, .cpus = CPU_SET_ALL };

	__atomic_store_n(&guests_rest, REST_ALL_BUT_RINGS, __ATOMIC_SEQ_CST);
	for (unsigned int i = FIRST_RING; i < GUESTS; i++)
		machine_check(sched_set(guests[i]->vm, &params) == 0);
	while (machine_real_ns() < end) {
		sched_run(cpu);
		for (unsigned int i = 0; i < GUESTS; i++) {
			if (vm_has_stopped(guests[i]->vm))
				has_stopped(i);
			if (i >= FIRST_RING && handled_by(guests[i]) != handled[i]) {
				handled[i] = handled_by(guests[i]);
				since[i] = machine_real_ns();
			}
			if (i >= FIRST_RING && machine_real_ns() - since[i] > RING_STUCK_NS)
				explain(guests[i], "nothing goes round");
		}
	}
}

static void operator_runs(struct cpu *cpu)
{
	static struct timer timer;

	timer_init(&timer, something_to_do);
	timer_set(&timer, clock_tsc());
	sched_open(cpu);
	for (unsigned int i = 0; i < GUESTS; i++) {
		guests[i] = create(i);
		start(guests[i]);
	}
	while (!machine_time_is_up()) {
		sched_run(cpu);
		if (cpu_take_work())
			operate();
	}
	for (unsigned int i = 0; i < GUESTS; i++) {
		if (guests[i]->paused_since_ns)
			pause_or_resume(guests[i]);
	}
	watch_rings(cpu);
	__atomic_store_n(&guests_rest, REST_ALL, __ATOMIC_SEQ_CST);
	give_up_ns = machine_real_ns() + STUCK_NS;
	while (!all_quiet())
		sched_run(cpu);
	__atomic_store_n(&finished, 1, __ATOMIC_SEQ_CST);
	for (unsigned int id = 1; id < CPUS; id++)
		cpu_kick(cpu_by_id(id));
}

static void run(struct cpu *cpu)
{
	if (cpu->id == 0) {
		operator_runs(cpu);
	} else {
		sched_open(cpu);
		while (!__atomic_load_n(&finished, __ATOMIC_SEQ_CST))
			sched_run(cpu);
	}
}

int main(int argc, char **argv)
{
	machine_arguments(argc, argv);
	machine_init(CPUS);
	if (sched_init())
		return 1;
	machine_run(run);
	for (unsigned int i = 0; i < GUESTS; i++)
		count(guests[i]);
	printf("%u CPUs, %u VMs: %llu entries, %llu moves between CPUs, %llu messages handled, "
		"%llu frames reclaimed\n", CPUS, GUESTS, (unsigned long long)total.entries,
		(unsigned long long)total.moves, (unsigned long long)total.handled,
		(unsigned long long)total.reclaims);
	printf("operator: %llu sets, %llu pauses, %llu stops, %llu restarts, %llu new VMs, %llu looks at times\n",
		(unsigned long long)total.sets,
		(unsigned long long)total.pauses, (unsigned long long)total.stops,
		(unsigned long long)total.restarts, (unsigned long long)total.destroyed,
		(unsigned long long)total.looks);
	machine_check(total.moves > 100 && total.handled > 100 && total.restarts > 0);
	return 0;
}
