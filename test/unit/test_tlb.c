/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cached translations over fake hardware that caches: CPUs remember what they read from a VM's
 * second-level table until a flush, by the table's root or by the vCPU's tag. One test moves vCPUs
 * about at random, the other runs them on threads while memory is taken away.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vcpu/tlb.h"
#include "vcpu/vm.h"

#define CPUS 4
#define VMS 3
#define VCPUS 3

static struct cpu cpus[CPUS];
static __thread struct cpu *here;

struct cpu *this_cpu(void)
{
	return here;
}

unsigned int cpu_count(void)
{
	return CPUS;
}

void cpu_poke(struct cpu *cpu)
{
	__atomic_store_n(&cpu->kick, 1, __ATOMIC_SEQ_CST);
}

/* ---- tags ---- */

static void test_tags(void **state)
{
	struct tlb_tags tags;
	struct tlb_tag first = { 0 }, tag;

	(void)state;
	tlb_tags_init(&tags, 4);
	assert_false(tlb_tag_holds(&tags, &first));
	assert_false(tlb_tag_take(&tags, &first));
	assert_int_equal(first.number, 1);
	for (uint32_t i = 2; i < 4; i++) {
		assert_false(tlb_tag_take(&tags, &tag));
		assert_int_equal(tag.number, i);
	}
	assert_true(tlb_tag_holds(&tags, &first));
	assert_true(tlb_tag_take(&tags, &tag));
	assert_int_equal(tag.number, 1);
	assert_false(tlb_tag_holds(&tags, &first));
	assert_true(tlb_tag_holds(&tags, &tag));
	/* One tag is enough, if not good. */
	tlb_tags_init(&tags, 2);
	assert_false(tlb_tag_take(&tags, &first));
	assert_true(tlb_tag_take(&tags, &tag));
	assert_int_equal(tag.number, 1);
}

/* ---- vCPUs that move, in one thread ---- */

/*
 * What a CPU has cached under each VM's root, or each tag: 0 is nothing, else the number of the
 * table's contents. VMs are destroyed and created again at the same root.
 */
static uint64_t cached[CPUS][VMS * VCPUS], contents[VMS], next_contents, flushes;
static struct vm vms[VMS];
static struct vcpu vcpus[VMS][VCPUS];

static unsigned int cache_index(const struct vcpu *vcpu)
{
	unsigned int vm = vcpu->vm - vms;

	return hw->tlb_by_tag ? vm * VCPUS + vcpu->id : vm;
}

static void model_flush(struct vcpu *vcpu, enum tlb_scope scope)
{
	assert_int_equal(scope, TLB_SECOND_LEVEL);
	cached[here->id][cache_index(vcpu)] = 0;
	flushes++;
}

static const struct hw_ops by_root = { .flush_tlb = model_flush };
static const struct hw_ops by_tag = { .flush_tlb = model_flush, .tlb_by_tag = true };
const struct hw_ops *hw;

static void create(unsigned int index)
{
	struct vm *vm = &vms[index];

	memset(vm, 0, sizeof(*vm));
	contents[index] = ++next_contents;
	assert_int_equal(tlb_init(vm), 0);
	vm->vcpu_count = VCPUS;
	for (unsigned int i = 0; i < VCPUS; i++) {
		vcpus[index][i] = (struct vcpu){ .vm = vm, .id = i };
		vm->vcpus[i] = &vcpus[index][i];
	}
}

/* Loaded, asked to do what it was asked to, and in the guest for a moment. */
static void run_on(struct vcpu *vcpu, unsigned int cpu)
{
	unsigned int vm = vcpu->vm - vms;
	uint64_t *line;

	here = &cpus[cpu];
	if (vcpu->cpu != here) {
		/* Another CPU, another tag: nothing is cached under it. */
		if (hw->tlb_by_tag)
			cached[cpu][cache_index(vcpu)] = 0;
		vcpu->cpu = here;
	}
	tlb_catch_up(vcpu);
	while (vcpu_begin_guest(vcpu)) {
		vcpu_end_guest(vcpu);
		assert_int_equal(vcpu->requests, REQUEST_TLB_SECOND_LEVEL);
		vcpu->requests = 0;
		tlb_catch_up(vcpu);
	}
	line = &cached[cpu][cache_index(vcpu)];
	if (!*line)
		*line = contents[vm];
	if (*line != contents[vm])
		fail_msg("VM %u, vCPU %u on CPU %u uses %llu for %llu", vm, vcpu->id, cpu,
			(unsigned long long)*line, (unsigned long long)contents[vm]);
	vcpu_end_guest(vcpu);
}

static unsigned int random_below(unsigned int limit)
{
	static uint64_t seed = 88172645463325252ULL;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % limit;
}

static void move_about(const struct hw_ops *ops)
{
	hw = ops;
	memset(cached, 0, sizeof(cached));
	for (unsigned int i = 0; i < VMS; i++)
		create(i);
	for (unsigned int step = 0; step < 200000; step++) {
		unsigned int vm = random_below(VMS);

		switch (random_below(40)) {
		case 0:
			contents[vm] = ++next_contents;
			vm_shootdown(&vms[vm]);
			break;
		case 1:
			contents[vm] = ++next_contents;
			tlb_changed(&vms[vm]);
			break;
		case 2: /* a new VM whose root lies where the old one's did */
			tlb_destroy(&vms[vm]);
			create(vm);
			break;
		default:
			run_on(&vcpus[vm][random_below(VCPUS)], random_below(CPUS));
		}
	}
	for (unsigned int i = 0; i < VMS; i++)
		tlb_destroy(&vms[i]);
}

static void test_moving_by_root(void **state)
{
	(void)state;
	move_about(&by_root);
}

static void test_moving_by_tag(void **state)
{
	(void)state;
	move_about(&by_tag);
}

/* No more flushes than needed: where nothing has changed, coming back costs none. */
static void test_no_flush_in_vain(void **state)
{
	(void)state;
	hw = &by_root;
	memset(cached, 0, sizeof(cached));
	create(0);
	flushes = 0;
	run_on(&vcpus[0][0], 0);
	assert_int_equal(flushes, 1);
	run_on(&vcpus[0][1], 0);
	run_on(&vcpus[0][0], 1);
	assert_int_equal(flushes, 2);
	run_on(&vcpus[0][0], 0);
	run_on(&vcpus[0][1], 1);
	assert_int_equal(flushes, 2);
	vm_shootdown(&vms[0]);
	run_on(&vcpus[0][0], 0);
	run_on(&vcpus[0][1], 0);
	assert_int_equal(flushes, 3);
	tlb_destroy(&vms[0]);
}

/* ---- vCPUs on threads, and memory that is taken away ---- */

#define ROUNDS 500

struct page {
	bool alive; /* not atomic: only the protocol orders it */
};

static struct page *mapping;                /* [a] the second-level table: one entry */
static __thread const struct page *own_tlb; /* what this CPU has cached of it */
static pthread_mutex_t handler_lock = PTHREAD_MUTEX_INITIALIZER; /* exit handlers take it; so does who shoots */
static const struct page *used[CPUS];       /* [a] what each CPU uses just now */
static bool end;
static uint64_t stale, entered;

static void thread_flush(struct vcpu *vcpu, enum tlb_scope scope)
{
	(void)vcpu, (void)scope;
	own_tlb = NULL;
}

static const struct hw_ops on_threads = { .flush_tlb = thread_flush };

/* An interrupt ends it, but not before it has touched memory once more. */
static void guest_runs(struct cpu *cpu)
{
	unsigned int i = 0;

	do {
		if (++i % 32 == 0)
			sched_yield();
		if (!own_tlb)
			own_tlb = __atomic_load_n(&mapping, __ATOMIC_ACQUIRE);
		if (!own_tlb->alive)
			__atomic_fetch_add(&stale, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&used[cpu->id], own_tlb, __ATOMIC_RELAXED);
		if (i == 300 && cpu->id)
			break; /* an exit of its own; CPU 0 has none */
	} while (!__atomic_load_n(&cpu->kick, __ATOMIC_RELAXED));
}

static void handle_exit(struct cpu *cpu, unsigned int exits)
{
	__atomic_store_n(&cpu->kick, 0, __ATOMIC_SEQ_CST);
	if (exits % 3 == 0) {
		pthread_mutex_lock(&handler_lock);
		pthread_mutex_unlock(&handler_lock);
	}
	if (exits % 7 == 0) /* its time is over: others run */
		sched_yield();
}

static void *vcpu_thread(void *argument)
{
	struct vcpu *vcpu = argument;

	here = vcpu->cpu;
	tlb_catch_up(vcpu);
	for (unsigned int exits = 0; !__atomic_load_n(&end, __ATOMIC_ACQUIRE); exits++) {
		if (vcpu_begin_guest(vcpu)) {
			vcpu_end_guest(vcpu);
			if (__atomic_exchange_n(&vcpu->requests, 0, __ATOMIC_ACQ_REL))
				tlb_catch_up(vcpu);
			continue;
		}
		guest_runs(here);
		__atomic_store_n(&vcpu->entry, 0, __ATOMIC_RELEASE);
		__atomic_fetch_add(&entered, 1, __ATOMIC_RELAXED);
		handle_exit(here, exits);
	}
	return NULL;
}

/* Both run in the guest, or did a moment ago, with this page. */
static void wait_for_use(const struct page *page)
{
	for (unsigned int i = 0; i < 2; i++) {
		while (__atomic_load_n(&used[i], __ATOMIC_RELAXED) != page)
			sched_yield();
	}
}

/*
 * A page is never used once the shootdown has returned, though vCPUs enter and leave as they like;
 * and it returns while vCPUs wait for a lock that its caller holds, and for one that never runs.
 */
static void test_shootdown_on_threads(void **state)
{
	static struct page pages[ROUNDS + 1];
	pthread_t threads[2];

	(void)state;
	hw = &on_threads;
	create(0);
	mapping = &pages[0];
	pages[0].alive = true;
	for (unsigned int i = 0; i < 2; i++) {
		vcpus[0][i].cpu = &cpus[i];
		assert_int_equal(pthread_create(&threads[i], NULL, vcpu_thread, &vcpus[0][i]), 0);
	}
	here = &cpus[3];
	for (unsigned int round = 0; round < ROUNDS; round++) {
		wait_for_use(&pages[round]);
		pages[round + 1].alive = true;
		pthread_mutex_lock(&handler_lock);
		__atomic_store_n(&mapping, &pages[round + 1], __ATOMIC_RELEASE);
		vm_shootdown(&vms[0]);
		pages[round].alive = false;
		pthread_mutex_unlock(&handler_lock);
	}
	__atomic_store_n(&end, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < 2; i++) {
		cpu_poke(&cpus[i]);
		pthread_join(threads[i], NULL);
	}
	printf("%llu stays in the guest, %u shootdowns\n", (unsigned long long)entered, ROUNDS);
	assert_int_equal(stale, 0);
	assert_true(entered > 0);
	/* The third vCPU never ran; it has been told. */
	assert_int_equal(vcpus[0][2].requests, REQUEST_TLB_SECOND_LEVEL);
	tlb_destroy(&vms[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_moving_by_root),
		cmocka_unit_test(test_moving_by_tag),
		cmocka_unit_test(test_no_flush_in_vain),
		cmocka_unit_test(test_shootdown_on_threads),
	};

	for (unsigned int i = 0; i < CPUS; i++)
		cpus[i].id = i;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
