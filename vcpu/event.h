/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events on their way into the guest, and requests to a vCPU. Order of delivery before an entry
 * (Intel SDM vol. 3, "Priority Among Concurrent Events"): an interrupted delivery, a pending
 * exception, an NMI, an external interrupt.
 */
#ifndef BALLAST_VCPU_EVENT_H
#define BALLAST_VCPU_EVENT_H

#include "lib/util.h"

struct vcpu;

/* Encoded as both vendors have it in their injection fields. */
enum event_type {
	EVENT_INTERRUPT = 0,
	EVENT_NMI = 2,
	EVENT_EXCEPTION = 3,
	EVENT_SOFTWARE_INTERRUPT = 4,
	EVENT_PRIVILEGED_EXCEPTION = 5, /* INT1; VMX only */
	EVENT_SOFTWARE_EXCEPTION = 6,   /* INT3, INTO; VMX only, SVM has them as EVENT_EXCEPTION */
};

struct vcpu_event {
	bool valid;
	bool has_error;
	uint8_t vector;
	uint8_t instruction_length; /* software interrupts and exceptions: to be skipped */
	uint32_t error;
	enum event_type type;
};

/* Bits of vcpu->requests, set from any CPU, served before the next entry. */
#define REQUEST_EVENTS BIT(0)    /* look again for something to inject */
#define REQUEST_STOP BIT(1)      /* return from the run loop for good */
#define REQUEST_PREEMPT BIT(2)   /* return from the run loop, stay runnable */
#define REQUEST_TLB_GUEST BIT(3) /* flush translations by the guest's own page tables */
#define REQUEST_NMI BIT(4)
#define REQUEST_INIT BIT(5)
#define REQUEST_SIPI BIT(6)
#define REQUEST_UNHALT BIT(7)    /* end the HLT that it is in, or its next one */
#define REQUEST_CLOCK BIT(8)     /* write the guest's pvclock record anew */
#define REQUEST_TLB_SECOND_LEVEL BIT(9) /* look whether second-level translations changed */
#define REQUEST_WORK BIT(10)     /* do what the VM's devices have put off: vcpu/work.h */

/* Set request bits and, if the vCPU is in the guest or blocked on another CPU, make it look. */
void vcpu_request(struct vcpu *vcpu, uint32_t bits);

/*
 * Queue an exception for the guest; own vCPU, from an exit handler that then returns
 * ACTION_RESUME. Two meeting become #DF and a triple fault by the SDM's table.
 */
void vcpu_inject_exception(struct vcpu *vcpu, uint8_t vector);
void vcpu_inject_exception_error(struct vcpu *vcpu, uint8_t vector, uint32_t error);
void vcpu_inject_page_fault(struct vcpu *vcpu, uint64_t address, uint32_t error);
void vcpu_inject_gp(struct vcpu *vcpu);
void vcpu_inject_ud(struct vcpu *vcpu);
/* Any CPU. */
void vcpu_inject_nmi(struct vcpu *vcpu);

/* Choose one event and give it to the hardware, or ask for a window. Run loop only. */
void vcpu_prepare_events(struct vcpu *vcpu);
/* Would an event wake this vCPU out of HLT? Own CPU. */
bool vcpu_has_wakeup(struct vcpu *vcpu);

#endif
