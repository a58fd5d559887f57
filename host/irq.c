/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/irq.h"

#include "host/apic.h"
#include "host/cpu.h"
#include "host/fault.h"
#include "host/grace.h"
#include "host/ioapic.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/timer.h"
#include "host/watchdog.h"
#include "host/x86.h"

#define PIC_MASTER 0x20
#define PIC_SLAVE 0xa0

struct irq_handler {
	void (*handler)(void *argument); /* [a] set after the argument */
	void *argument;
};

static struct irq_handler isa_handlers[ACPI_ISA_IRQS];    /* boot CPU only */
static struct irq_handler message_handlers[IRQ_MESSAGES]; /* boot CPU writes */
static unsigned int message_count;                        /* boot CPU */
static uint32_t apic_errors;                              /* [a] for the debugger */

static void call(const struct irq_handler *irq)
{
	void (*handler)(void *) = __atomic_load_n(&irq->handler, __ATOMIC_ACQUIRE);

	/* Firmware may have left an interrupt pending for which nobody has asked. */
	if (handler)
		handler(irq->argument);
}

void irq_dispatch(uint64_t vector)
{
	this_cpu()->l1d_stale = true;
	watchdog_served(this_cpu());
	if (vector != IRQ_VECTOR_TIMER && vector != IRQ_VECTOR_WATCH)
		watchdog_need(this_cpu());
	switch (vector) {
	case IRQ_VECTOR_TIMER:
		/* Ended first: the queue may ask for the next interrupt. */
		apic_end_interrupt();
		timer_interrupt();
		return;
	case IRQ_VECTOR_KICK:
#ifdef BALLAST_FAULTS
		fault_serve();
#endif
		/* Else all it had to do was to end a guest's run or a halt. */
		grace_pass();
		break;
	case IRQ_VECTOR_WATCH:
		watchdog_wake();
		break;
	case IRQ_VECTOR_ERROR:
		__atomic_fetch_add(&apic_errors, 1, __ATOMIC_RELAXED);
		break;
	case IRQ_VECTOR_ISA ... IRQ_VECTOR_ISA + ACPI_ISA_IRQS - 1:
		call(&isa_handlers[vector - IRQ_VECTOR_ISA]);
		break;
	case IRQ_VECTOR_MESSAGE ... IRQ_VECTOR_MESSAGE + IRQ_MESSAGES - 1:
		call(&message_handlers[vector - IRQ_VECTOR_MESSAGE]);
		break;
	case IRQ_VECTOR_SPURIOUS:
	case IRQ_VECTOR_PIC ... IRQ_VECTOR_PIC + 15:
		return; /* nothing is in service, so nothing is to be ended */
	default:
		break;
	}
	apic_end_interrupt();
}

void irq_init(void)
{
	/* Initialised and not only masked: a spurious one then has a vector that is expected. */
	out8(PIC_MASTER, 0x11);
	out8(PIC_SLAVE, 0x11);
	out8(PIC_MASTER + 1, IRQ_VECTOR_PIC);
	out8(PIC_SLAVE + 1, IRQ_VECTOR_PIC + 8);
	out8(PIC_MASTER + 1, 4);
	out8(PIC_SLAVE + 1, 2);
	out8(PIC_MASTER + 1, 1);
	out8(PIC_SLAVE + 1, 1);
	out8(PIC_MASTER + 1, 0xff);
	out8(PIC_SLAVE + 1, 0xff);
}

int irq_register_isa(unsigned int isa_irq, void (*handler)(void *), void *argument)
{
	struct acpi_isa_irq wiring = { .gsi = isa_irq };
	uint8_t vector;

	if (isa_irq >= ACPI_ISA_IRQS || isa_handlers[isa_irq].handler)
		return -ENOSPC;
	if (machine.acpi.present)
		wiring = machine.acpi.isa_irqs[isa_irq];
	vector = (uint8_t)(IRQ_VECTOR_ISA + isa_irq);
	isa_handlers[isa_irq].argument = argument;
	isa_handlers[isa_irq].handler = handler;
	if (ioapic_route(wiring.gsi, wiring.active_low, wiring.level, machine.apic_ids[0],
		    vector) == 0)
		return 0;
	isa_handlers[isa_irq].handler = NULL;
	return -ENODEV;
}

int irq_register_message(void (*handler)(void *), void *argument)
{
	struct irq_handler *irq;

	if (message_count >= IRQ_MESSAGES)
		return -ENOSPC;
	irq = &message_handlers[message_count];
	irq->argument = argument;
	__atomic_store_n(&irq->handler, handler, __ATOMIC_RELEASE);
	return (int)(IRQ_VECTOR_MESSAGE + message_count++);
}
