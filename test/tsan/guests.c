/* SPDX-License-Identifier: BSD-2-Clause */
/* See guests.h. */
#include "test/tsan/guests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/log.h"
#include "host/memory.h"
#include "host/mitigation.h"
#include "host/x86.h"
#include "test/tsan/machine.h"
#include "test/tsan/yield_points.h"
#include "vcpu/emulate.h"
#include "vcpu/exits.h"
#include "vcpu/lapic.h"
#include "vcpu/pv.h"
#include "vcpu/pvclock.h"

#define LAPIC(offset) (LAPIC_DEFAULT_BASE + (offset))
#define LAPIC_EOI 0xb0
#define LAPIC_SVR 0xf0
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_TIMER_INITIAL 0x380

#define STRAYS 2
#define DEVICE_PERIOD_NS (5 * NS_PER_MS)

uint32_t guests_rest;

static struct guest *guest_of(const struct vm *vm)
{
	struct device *device = list_first(&vm->devices, struct device, link);

	return container_of(device, struct guest, device.device);
}

static bool rests(enum guest_kind kind)
{
	uint32_t who = __atomic_load_n(&guests_rest, __ATOMIC_SEQ_CST);

	return who == REST_ALL || (who == REST_ALL_BUT_RINGS && kind != GUEST_RING);
}

/* The vendor's layer. */

/*
 * Once a change of the VM's CPUs is done, and once it is paused, no vCPU enters where or when it may
 * not, but for one that was about to.
 */
static void check_place(const struct vcpu *vcpu)
{
	struct guest *guest = guest_of(vcpu->vm);
	struct guest_vcpu *own = vcpu->hw;
	uint64_t paused = __atomic_load_n(&guest->paused_since_ns, __ATOMIC_SEQ_CST);
	const uint64_t *mask = &vcpu->vm->sched.cpus.words[0];
	uint64_t since = 0;

	if (!(__atomic_load_n(mask, __ATOMIC_SEQ_CST) >> this_cpu()->id & 1))
		since = __atomic_load_n(&guest->mask_since_ns, __ATOMIC_SEQ_CST);
	if (paused && !__atomic_load_n(&vcpu->vm->stop, __ATOMIC_SEQ_CST))
		since = paused;
	if (since != own->stray_since_ns)
		own->strays = 0;
	own->stray_since_ns = since;
	if (since && since != ~0ULL && ++own->strays > STRAYS)
		machine_fail("%s/%u runs on cpu %u, where it may not, or paused", vcpu->vm->name, vcpu->id,
			this_cpu()->id);
}

/* The guest touches its page, by what this CPU has cached or finds in the tables. */
static void use_page(struct guest *guest)
{
	uint64_t *cached = &guest->cached[this_cpu()->id];

	if (!*cached)
		*cached = __atomic_load_n(&guest->mapped, __ATOMIC_SEQ_CST);
	if (*cached <= __atomic_load_n(&guest->reclaimed, __ATOMIC_SEQ_CST))
		machine_fail("%s uses a frame that has been taken away", guest->vm->name);
}

static enum exit_kind next_exit(struct guest_vcpu *own, enum guest_kind kind)
{
	static const uint8_t blocks_of_100[GUEST_KINDS] = {0, 25, 80, 100};
	uint32_t what = machine_random_below(100);

	if (own->in_service)
		return EXIT_MEMORY;
	if (rests(kind))
		return own->rests ? EXIT_HLT : EXIT_WRMSR;
	if (kind == GUEST_RING && (own->forward || !own->begun))
		return EXIT_HYPERCALL;
	if (what < blocks_of_100[kind])
		return EXIT_HLT;
	switch (machine_random_below(16)) {
	case 0:
	case 1:
	case 2:
		return EXIT_HYPERCALL;
	case 3:
		return EXIT_PAUSE;
	case 5:
		return EXIT_WRMSR;
	case 6:
		return EXIT_PORT;
	case 7:
		return machine_random_below(64) ? EXIT_CPUID : EXIT_TRIPLE_FAULT;
	default:
		return EXIT_CPUID;
	}
}

static void enter(struct vcpu *vcpu)
{
	struct guest_vcpu *own = vcpu->hw;
	enum guest_kind kind = guest_of(vcpu->vm)->kind;
	uint32_t steps = machine_random_below(kind == GUEST_HOG ? 200 : 40);

	if (__atomic_fetch_add(&own->inside, 1, __ATOMIC_SEQ_CST) != 0)
		machine_fail("%s/%u runs on two CPUs", vcpu->vm->name, vcpu->id);
	machine_check(this_cpu()->loaded == vcpu);
	machine_check(!vcpu->wait_sipi);
	check_place(vcpu);
	own->entries++;
	own->moves += own->last_cpu != this_cpu()->id;
	own->last_cpu = this_cpu()->id;
	__atomic_store_n(&own->progress, own->entries, __ATOMIC_RELAXED);
	vcpu->dirty = 0;
	vcpu->valid = 0;
	vcpu->exit = (struct vcpu_exit){ .kind = EXIT_HOST_INTERRUPT, .instruction_length = 2 };
	/* Some wait in a loop for the message: then only an interrupt of the host brings it. */
	if (kind == GUEST_RING && !own->in_service && !own->forward && own->begun &&
		machine_random_below(8) == 0 && !rests(kind))
		steps = ~0U;
	while (!machine_interrupt_pending()) {
		if (steps == ~0U) {
			machine_relax();
			steps = rests(kind) ? 0 : ~0U;
		} else if (!steps--) {
			vcpu->exit.kind = next_exit(own, kind);
			break;
		}
		use_page(guest_of(vcpu->vm));
	}
	__atomic_fetch_sub(&own->inside, 1, __ATOMIC_SEQ_CST);
}

static void pull(struct vcpu *vcpu, uint32_t groups)
{
	vcpu->valid |= groups;
}

/* The guest's handler is short: it runs at once. */
static void inject(struct vcpu *vcpu, const struct vcpu_event *event)
{
	struct guest_vcpu *own = vcpu->hw;

	if (event->type != EVENT_INTERRUPT)
		return;
	own->in_service++;
	if (event->vector == VECTOR_LAPIC_TIMER)
		__atomic_fetch_add(&own->timer_came, 1, __ATOMIC_SEQ_CST);
	own->forward = __atomic_exchange_n(&own->work, 0, __ATOMIC_SEQ_CST) + own->forward;
	own->handled++;
}

static void want_window(struct vcpu *vcpu, uint32_t windows, uint8_t priority)
{
	(void)vcpu, (void)windows, (void)priority;
}

static void flush_tlb(struct vcpu *vcpu, enum tlb_scope scope)
{
	if (scope == TLB_SECOND_LEVEL)
		guest_of(vcpu->vm)->cached[this_cpu()->id] = 0;
}

static const struct hw_ops fake_hw = { .name = "fake", .enter = enter, .pull = pull,
	.inject = inject, .want_window = want_window, .flush_tlb = flush_tlb };
const struct hw_ops *hw = &fake_hw;

/* Exits. */

static struct vcpu *any_sister(struct vcpu *vcpu)
{
	return vcpu->vm->vcpus[machine_random_below(vcpu->vm->vcpu_count)];
}

static void send_work(struct vm *vm, const struct apic_message *message)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		if (message->destination == 0xff || message->destination == i)
			__atomic_fetch_add(&guest_vcpu(vm->vcpus[i])->work, 1, __ATOMIC_SEQ_CST);
	}
	lapic_deliver(vm, message);
}

/* The host takes the frame of the guest's page, and gives another. */
static void reclaim(struct guest *guest)
{
	uint64_t old = __atomic_fetch_add(&guest->mapped, 1, __ATOMIC_SEQ_CST), before;

	vm_shootdown(guest->vm);
	before = __atomic_load_n(&guest->reclaimed, __ATOMIC_SEQ_CST);
	while (before < old && !__atomic_compare_exchange_n(&guest->reclaimed, &before, old, false,
			__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	__atomic_fetch_add(&guest->reclaims, 1, __ATOMIC_RELAXED);
}

static void restart(struct vcpu *vcpu)
{
	struct apic_message message = { .destination = vcpu->id, .delivery = DELIVERY_INIT,
		.assert = true };

	lapic_deliver(vcpu->vm, &message);
	message.delivery = DELIVERY_STARTUP;
	message.vector = 8;
	lapic_deliver(vcpu->vm, &message);
}

/*
 * The first vCPU starts the others; each sends a message on its way. What meets one that has not
 * started yet is gone, but not all can be.
 */
static enum exit_action go_round(struct vcpu *vcpu)
{
	struct guest_vcpu *own = guest_vcpu(vcpu);
	struct apic_message message = { .vector = VECTOR_WORK };

	if (!own->begun) {
		for (unsigned int i = 1; vcpu->id == 0 && i < vcpu->vm->vcpu_count; i++)
			restart(vcpu->vm->vcpus[i]);
		own->forward++;
	}
	own->begun = true;
	message.destination = (vcpu->id + 1) % vcpu->vm->vcpu_count;
	for (; own->forward; own->forward--)
		send_work(vcpu->vm, &message);
	return ACTION_ADVANCE;
}

/* Messages to sisters: work, NMIs, sometimes a new start of one. */
static enum exit_action on_hypercall(struct vcpu *vcpu)
{
	struct vcpu *sister = any_sister(vcpu);
	struct apic_message message = { .destination = sister->id, .vector = VECTOR_WORK };

	if (guest_of(vcpu->vm)->kind == GUEST_RING)
		return go_round(vcpu);
	guest_vcpu(vcpu)->forward = 0;
	switch (machine_random_below(24)) {
	case 0:
		message.delivery = DELIVERY_NMI;
		lapic_deliver(vcpu->vm, &message);
		break;
	case 1:
		if (sister->id)
			restart(sister);
		break;
	case 2:
		vcpu_request(sister, REQUEST_UNHALT);
		break;
	case 4:
	case 5:
		reclaim(guest_of(vcpu->vm));
		break;
	case 3:
		message.destination = 0xff;
		/* fall through */
	default:
		send_work(vcpu->vm, &message);
	}
	return ACTION_ADVANCE;
}

static enum exit_action on_pause(struct vcpu *vcpu)
{
	sched_yield_to(vcpu, machine_random_below(2) ? any_sister(vcpu) : NULL);
	return ACTION_ADVANCE;
}

static enum exit_action on_wrmsr(struct vcpu *vcpu)
{
	uint32_t count = 1 + machine_random_below(50000); /* of 40 ns */
	uint32_t mode = machine_random_below(4) ? 0 : 0x20000;

	guest_vcpu(vcpu)->rests = rests(guest_of(vcpu->vm)->kind);
	if (guest_vcpu(vcpu)->rests)
		count = 0;
	else if (mode)
		count += 200000;
	lapic_mmio_write(vcpu, LAPIC(LAPIC_LVT_TIMER), 4, mode | VECTOR_LAPIC_TIMER);
	lapic_mmio_write(vcpu, LAPIC(LAPIC_TIMER_INITIAL), 4, count);
	__atomic_fetch_add(&guest_vcpu(vcpu)->timer_asked, 1, __ATOMIC_SEQ_CST);
	return ACTION_ADVANCE;
}

static enum exit_action on_port(struct vcpu *vcpu)
{
	struct guest *guest = guest_of(vcpu->vm);

	spin_lock(&vcpu->vm->lock);
	if (machine_random_below(4))
		device_timer_set(&guest->device.timer, clock_tsc() + machine_random_below(NS_PER_MS));
	else
		device_timer_stop(&guest->device.timer);
	spin_unlock(&vcpu->vm->lock);
	return ACTION_ADVANCE;
}

/* The end of an interrupt. */
static enum exit_action on_memory(struct vcpu *vcpu)
{
	guest_vcpu(vcpu)->in_service--;
	lapic_mmio_write(vcpu, LAPIC(LAPIC_EOI), 4, 0);
	return ACTION_ADVANCE;
}

static enum exit_action on_hlt(struct vcpu *vcpu)
{
	(void)vcpu;
	return ACTION_BLOCK;
}

static enum exit_action on_cpuid(struct vcpu *vcpu)
{
	(void)vcpu;
	return ACTION_ADVANCE;
}

static enum exit_action on_triple_fault(struct vcpu *vcpu)
{
	vm_stop(vcpu->vm, VM_STOP_RESET, 0, "triple fault");
	return ACTION_STOP;
}

enum exit_action (*const exit_handlers[EXIT_KINDS])(struct vcpu *vcpu) = {
	[EXIT_CPUID] = on_cpuid,
	[EXIT_HLT] = on_hlt,
	[EXIT_PORT] = on_port,
	[EXIT_WRMSR] = on_wrmsr,
	[EXIT_MEMORY] = on_memory,
	[EXIT_HYPERCALL] = on_hypercall,
	[EXIT_PAUSE] = on_pause,
	[EXIT_TRIPLE_FAULT] = on_triple_fault,
};

/* A vCPU's life: vcpu/vcpu.c without what only a CPU can do. */

void vcpu_load(struct vcpu *vcpu)
{
	struct cpu *cpu = this_cpu();

	if (cpu->loaded == vcpu)
		return;
	if (cpu->loaded) {
		struct vcpu *old = cpu->loaded;

		cpu->loaded = NULL;
		__atomic_store_n(&old->loaded_on, NULL, __ATOMIC_RELEASE);
	}
	if (!vcpu)
		return;
	machine_check(!__atomic_load_n(&vcpu->loaded_on, __ATOMIC_RELAXED));
	cpu->loaded = vcpu;
	__atomic_store_n(&vcpu->loaded_on, cpu, __ATOMIC_RELAXED);
	tlb_catch_up(vcpu);
	lapic_timer_follow(vcpu);
}

void vcpu_reset(struct vcpu *vcpu, bool init)
{
	struct guest_vcpu *own = vcpu->hw;

	vcpu->injected = false;
	vcpu->reinject.valid = false;
	vcpu->exception.valid = false;
	vcpu->nmi_pending = 0;
	vcpu->in_hlt = false;
	lapic_reset(vcpu, init);
	if (!init)
		vcpu->requests = 0;
	vcpu->wait_sipi = vcpu->id != 0;
	vcpu->special.rflags = RFLAGS_FIXED1 | RFLAGS_IF;
	vcpu_set_dirty(vcpu, REG_ALL);
	/* As if its code had done so: what comes from now on arrives. */
	lapic_mmio_write(vcpu, LAPIC(LAPIC_SVR), 4, 0x1ff);
	own->in_service = 0;
	own->forward = 0;
	own->begun = false;
	__atomic_store_n(&own->work, 0, __ATOMIC_SEQ_CST);
}

int vcpu_create(struct vm *vm, unsigned int id, struct vcpu **out)
{
	struct vcpu *vcpu = heap_alloc(sizeof(*vcpu), FRAME_VM);

	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->hw = calloc(1, sizeof(struct guest_vcpu));
	if (lapic_create(vcpu))
		return -ENOMEM;
	vcpu_reset(vcpu, false);
	*out = vcpu;
	return 0;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	lapic_destroy(vcpu);
	free(vcpu->hw);
	heap_free(vcpu);
}

/* The device. */

static void device_tick(struct device_timer *timer)
{
	struct guest_device *device = container_of(timer, struct guest_device, timer);
	struct vm *vm = device->device.vm;
	struct apic_message message = { .destination = 0xff, .delivery = DELIVERY_LOWEST,
		.vector = VECTOR_DEVICE };

	device->ticks++;
	if (rests(guest_of(vm)->kind))
		return;
	lapic_deliver(vm, &message);
	device_timer_set(timer, clock_tsc() + DEVICE_PERIOD_NS);
}

static void device_reset(struct device *device)
{
	struct guest_device *own = container_of(device, struct guest_device, device);

	device_timer_destroy(&own->timer);
	own->ticks = 0;
}

struct guest *guest_new(unsigned int number, unsigned int vcpus, enum guest_kind kind)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	char name[VM_NAME_BYTES];

	sprintf(name, "vm%u", number);
	if (!guest || vm_create(name, vcpus, &guest->vm))
		machine_fail("no memory for a VM");
	guest->kind = kind;
	guest->mapped = 1;
	guest->device.device.reset = device_reset;
	guest->device.device.destroy = device_reset;
	vm_add_device(guest->vm, &guest->device.device);
	device_timer_init(&guest->device.timer, guest->vm, device_tick);
	return guest;
}

void guest_delete(struct guest *guest)
{
	vm_destroy(guest->vm);
	free(guest);
}

bool guest_is_quiet(const struct guest *guest)
{
	for (unsigned int i = 0; i < guest->vm->vcpu_count; i++) {
		struct vcpu *vcpu = guest->vm->vcpus[i];
		enum vcpu_state state = __atomic_load_n(&vcpu->state, __ATOMIC_SEQ_CST);

		if (state == VCPU_HALTED && __atomic_load_n(&guest_vcpu(vcpu)->work, __ATOMIC_SEQ_CST))
			return false;
		if (state != VCPU_HALTED && state != VCPU_WAIT_SIPI && state != VCPU_STOPPED)
			return false;
	}
	return true;
}

/* What else the sources under test call. */

int guest_memory_init(struct guest_memory *memory, const struct s2_format *format)
{
	(void)memory, (void)format;
	return 0;
}

void guest_memory_destroy(struct guest_memory *memory)
{
	(void)memory;
}

void guest_memory_clear(struct guest_memory *memory)
{
	(void)memory;
}

void *guest_memory_ptr(struct guest_memory *memory, gpa_t gpa, uint64_t access, uint64_t *bytes)
{
	(void)memory, (void)gpa, (void)access, (void)bytes;
	return NULL;
}

bool guest_memory_is_ram(const struct guest_memory *memory, gpa_t gpa)
{
	(void)memory, (void)gpa;
	return false;
}

int guest_memory_pin(struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	(void)memory, (void)gpa, (void)bytes;
	return -ENOMEM;
}

void guest_memory_unpin(struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	(void)memory, (void)gpa, (void)bytes;
}

uint32_t mitigation_generation;

void mitigation_follow(struct cpu *cpu)
{
	(void)cpu;
}

void cpuid_table_build(struct cpuid_table *table, unsigned int vcpu_count)
{
	(void)table, (void)vcpu_count;
}

void cpuid_set_tsc_hz(struct cpuid_table *table, uint64_t hz)
{
	(void)table, (void)hz;
}

void pv_scheduled(struct vcpu *vcpu)
{
	(void)vcpu;
}

void pv_descheduled(struct vcpu *vcpu, bool preempted)
{
	(void)vcpu, (void)preempted;
}

void pvclock_update(struct vcpu *vcpu)
{
	(void)vcpu;
}

unsigned int emulate_instruction_length(struct vcpu *vcpu)
{
	(void)vcpu;
	return 1;
}

unsigned int guest_mode_bits(struct vcpu *vcpu)
{
	(void)vcpu;
	return 64;
}

const char *exit_kind_name(enum exit_kind kind)
{
	(void)kind;
	return "";
}

void log_line(const char *format, ...)
{
	(void)format;
}
