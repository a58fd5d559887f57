/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt messages between LAPICs and from IOAPICs: who is addressed, and what arrives (Intel SDM
 * vol. 3, "Issuing Interprocessor Interrupts"). Senders touch only the [a] fields of others.
 */
#include "vcpu/lapic_state.h"

#include "vcpu/pv_eoi.h"

#define BROADCAST 0xffffffffU
#define BROADCAST_XAPIC 0xffU

#define ICR_SHORTHAND 0xc0000U
#define ICR_DELIVERY 0x700U
#define ICR_SELF 0x40000U /* fixed */

enum shorthand { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };

static uint32_t x2apic_logical_id(const struct lapic *lapic)
{
	uint32_t id = lapic->vcpu->id;

	return (id >> 4) << 16 | 1U << (id & 15);
}

static bool matches_x2apic_logical(const struct lapic *lapic, uint32_t destination)
{
	uint32_t id = x2apic_logical_id(lapic);

	return destination >> 16 == id >> 16 && (destination & id & 0xffff);
}

/* Flat: eight bits, one an APIC; cluster: four bits of number, four of members. */
static bool matches_xapic_logical(const struct lapic *lapic, uint32_t destination)
{
	uint8_t id = __atomic_load_n(&lapic->ldr, __ATOMIC_RELAXED) >> 24;
	bool flat = __atomic_load_n(&lapic->dfr, __ATOMIC_RELAXED) >> 28 == 0xf;

	if (destination > 0xff)
		return false;
	if (flat)
		return destination & id;
	return (destination >> 4 == 0xf || destination >> 4 == id >> 4) &&
		(destination & id & 0xf);
}

static bool matches(const struct lapic *lapic, const struct apic_message *message)
{
	uint32_t destination = message->destination;

	if (destination == BROADCAST)
		return true;
	if (!message->logical)
		return destination == BROADCAST_XAPIC || destination == lapic->vcpu->id;
	return lapic_is_x2apic(lapic) ? matches_x2apic_logical(lapic, destination) :
		matches_xapic_logical(lapic, destination);
}

static void receive_vector(struct lapic *lapic, const struct apic_message *message)
{
	if (!lapic_software_enabled(lapic))
		return;
	if (message->vector < LAPIC_FIRST_VECTOR) {
		lapic_error(lapic, ESR_RECEIVE_ILLEGAL);
		return;
	}
	if (message->tick)
		lapic_expect_tick(lapic, message->vector);
	lapic_set_irr(lapic, message->vector, message->level);
}

static void receive(struct lapic *lapic, const struct apic_message *message)
{
	struct vcpu *vcpu = lapic->vcpu;

	if (!lapic_flag_set(lapic, APIC_BASE_ENABLE))
		return;
	switch (message->delivery) {
	case DELIVERY_FIXED:
	case DELIVERY_LOWEST:
		receive_vector(lapic, message);
		break;
	case DELIVERY_NMI:
		vcpu_inject_nmi(vcpu);
		break;
	case DELIVERY_INIT:
		/* De-assertion only mattered to the bus of the first APICs. */
		if (message->assert || !message->level)
			vcpu_request(vcpu, REQUEST_INIT);
		break;
	case DELIVERY_STARTUP:
		__atomic_store_n(&vcpu->sipi_vector, message->vector, __ATOMIC_RELEASE);
		vcpu_request(vcpu, REQUEST_SIPI);
		break;
	case DELIVERY_SMI:    /* there is no SMM */
	case DELIVERY_EXTINT: /* the PIC is wired to LINT0 alone */
		break;
	}
}

/* Of the addressed LAPICs the one that serves the lowest class; equals take turns. */
static struct lapic *arbitrate(struct vm *vm, const struct apic_message *message)
{
	uint32_t *next = &vm->vcpus[0]->lapic->lowest_next;
	uint32_t start = __atomic_load_n(next, __ATOMIC_RELAXED);
	struct lapic *best = NULL;
	int best_class = 0;

	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		struct lapic *lapic = vm->vcpus[(start + i) % vm->vcpu_count]->lapic;
		int class = __atomic_load_n(&lapic->in_service, __ATOMIC_RELAXED) >> 4;

		/* As a rule it has ended meanwhile. */
		if (pv_eoi_offered(lapic))
			class = -1;
		if (!matches(lapic, message) || !lapic_flag_set(lapic, APIC_BASE_ENABLE) ||
			!lapic_software_enabled(lapic))
			continue;
		if (!best || class < best_class) {
			best = lapic;
			best_class = class;
		}
	}
	if (best)
		__atomic_store_n(next, best->vcpu->id + 1, __ATOMIC_RELAXED);
	return best;
}

void lapic_deliver(struct vm *vm, const struct apic_message *message)
{
	if (message->delivery == DELIVERY_LOWEST) {
		struct lapic *lapic = arbitrate(vm, message);

		if (lapic)
			receive(lapic, message);
		return;
	}
	if (!message->logical && message->destination < vm->vcpu_count) {
		receive(vm->vcpus[message->destination]->lapic, message);
		return;
	}
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		if (matches(vm->vcpus[i]->lapic, message))
			receive(vm->vcpus[i]->lapic, message);
	}
}

void lapic_send_self(struct lapic *lapic, uint8_t vector)
{
	if (vector < LAPIC_FIRST_VECTOR)
		lapic_error(lapic, ESR_SEND_ILLEGAL);
	else if (lapic_software_enabled(lapic))
		lapic_set_irr(lapic, vector, false);
}

static void send_to_all(struct lapic *lapic, const struct apic_message *message, bool self)
{
	struct vm *vm = lapic->vcpu->vm;

	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		if (self || vm->vcpus[i] != lapic->vcpu)
			receive(vm->vcpus[i]->lapic, message);
	}
}

/* What the table "Valid Combinations for the ... Local xAPIC ICR" allows with a shorthand. */
static bool shorthand_valid(enum shorthand shorthand, enum lapic_delivery delivery)
{
	if (shorthand == TO_OTHERS)
		return delivery != DELIVERY_LOWEST; /* model-specific: not in this one */
	return shorthand == TO_DESTINATION || delivery == DELIVERY_FIXED;
}

static void send_message(struct lapic *lapic, uint64_t icr)
{
	enum shorthand shorthand = (icr >> 18) & 3;
	struct apic_message message = {
		.destination = icr >> 32,
		.logical = icr & BIT(11),
		.assert = icr & BIT(14),
		.delivery = (icr >> 8) & 7,
		.vector = icr,
	};

	/* Only INIT knows levels; all other messages are edges. */
	if (message.delivery == DELIVERY_INIT)
		message.level = icr & BIT(15);
	if (!shorthand_valid(shorthand, message.delivery))
		return;
	if (message.delivery <= DELIVERY_LOWEST && message.vector < LAPIC_FIRST_VECTOR) {
		lapic_error(lapic, ESR_SEND_ILLEGAL);
		return;
	}
	if (shorthand == TO_DESTINATION)
		lapic_deliver(lapic->vcpu->vm, &message);
	else
		send_to_all(lapic, &message, shorthand == TO_ALL);
}

void lapic_send(struct lapic *lapic, uint64_t icr)
{
	/* A vector to itself, by shorthand: short, because some systems do it all the time. */
	if ((icr & (ICR_SHORTHAND | ICR_DELIVERY)) == ICR_SELF) {
		lapic_send_self(lapic, icr);
		return;
	}
	send_message(lapic, icr);
}
