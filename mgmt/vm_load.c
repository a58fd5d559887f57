/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/vm_load.h"

#include "lib/string.h"
#include "vcpu/sched.h"

void vm_load_forget(struct managed_vm *managed)
{
	memset(&managed->sample, 0, sizeof(managed->sample));
}

void vm_load_add_exits(const struct vm *vm, uint64_t counts[EXIT_KINDS])
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		const struct vcpu *vcpu = vm->vcpus[i];

		for (unsigned int kind = 0; kind < EXIT_KINDS; kind++)
			counts[kind] += __atomic_load_n(&vcpu->exits[kind], __ATOMIC_RELAXED);
	}
}

enum exit_kind vm_load_commonest(const uint64_t counts[EXIT_KINDS])
{
	unsigned int most = 0;

	for (unsigned int kind = 1; kind < EXIT_KINDS; kind++)
		if (counts[kind] > counts[most])
			most = kind;
	return (enum exit_kind)most;
}

static void sum_vcpus(const struct vm *vm, struct vm_sample *sum)
{
	struct sched_times times;

	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		sched_times(vm->vcpus[i], &times);
		sum->run_ns += times.run_ns;
		sum->steal_ns += times.steal_ns;
	}
	vm_load_add_exits(vm, sum->exits);
}

/* Other CPUs count on while one reads: what seems to run backwards has not moved. */
static uint64_t since(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static unsigned int percent(uint64_t part_ns, uint64_t elapsed_ns)
{
	return (unsigned int)mul_div(part_ns, 100, elapsed_ns);
}

/* `counts` are those of the time elapsed; they are used up. */
static void rank_exits(uint64_t counts[EXIT_KINDS], uint64_t elapsed_ns, struct vm_load *load)
{
	for (unsigned int rank = 0; rank < VM_LOAD_KINDS; rank++) {
		enum exit_kind most = vm_load_commonest(counts);

		load->kinds[rank] = most;
		/* A rate that is not zero is to be seen. */
		load->exits_per_second[rank] = mul_div(counts[most], NS_PER_SEC, elapsed_ns) +
			(counts[most] && counts[most] < elapsed_ns / NS_PER_SEC);
		counts[most] = 0;
	}
}

void vm_load_take(struct managed_vm *managed, uint64_t now_ns, struct vm_load *load)
{
	struct vm_sample *before = &managed->sample, now = {0};
	uint64_t elapsed_ns;

	memset(load, 0, sizeof(*load));
	if (!managed_is_running(managed))
		return;
	if (before->started_ns != managed->vm->started_ns) {
		vm_load_forget(managed);
		before->at_ns = managed->vm->started_ns;
	}
	now.at_ns = now_ns;
	now.started_ns = managed->vm->started_ns;
	sum_vcpus(managed->vm, &now);
	/* No shares of less: they would say little, and may be out of proportion. */
	elapsed_ns = MAX(since(now_ns, before->at_ns), NS_PER_MS);
	load->run_percent = percent(since(now.run_ns, before->run_ns), elapsed_ns);
	load->steal_percent = percent(since(now.steal_ns, before->steal_ns), elapsed_ns);
	for (unsigned int kind = 0; kind < EXIT_KINDS; kind++)
		before->exits[kind] = since(now.exits[kind], before->exits[kind]);
	rank_exits(before->exits, elapsed_ns, load);
	*before = now;
}
