/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM exit as the vendor's decoder hands it to common code: a dense kind, and what the hardware
 * said about it. The decoder reads no more hardware than the kind needs.
 */
#ifndef BALLAST_VCPU_EXIT_H
#define BALLAST_VCPU_EXIT_H

#include "lib/util.h"

enum exit_kind {
	EXIT_HOST_INTERRUPT,   /* an interrupt or NMI of the host: nothing for the guest */
	EXIT_INTERRUPT_WINDOW, /* the guest can now take what was asked for by hw_ops.want_window */
	EXIT_NMI_WINDOW,
	EXIT_TPR,              /* CR8 fell below the priority of a waiting interrupt */
	EXIT_CPUID,
	EXIT_HLT,
	EXIT_PORT,             /* IN, OUT: u.port */
	EXIT_PORT_STRING,      /* INS, OUTS: u.port */
	EXIT_RDMSR,
	EXIT_WRMSR,
	EXIT_CR,               /* u.cr */
	EXIT_MEMORY,           /* second-level fault: u.memory */
	EXIT_EXCEPTION,        /* u.exception */
	EXIT_HYPERCALL,        /* VMCALL, VMMCALL */
	EXIT_XSETBV,
	EXIT_WBINVD,           /* and INVD */
	EXIT_PAUSE,
	EXIT_MONITOR,
	EXIT_MWAIT,
	EXIT_RDPMC,
	EXIT_VIRTUALIZATION,   /* VMX and SVM instructions, SKINIT, GETSEC, ENCLS: #UD */
	EXIT_TASK_SWITCH,
	EXIT_TRIPLE_FAULT,     /* shutdown */
	EXIT_INIT,             /* INIT or SIPI of the host's */
	EXIT_ENTRY_FAILED,     /* the hardware refused the state: u.raw is all that is known */
	EXIT_UNKNOWN,          /* a code the decoder does not know */
	EXIT_KINDS
};

/*
 * Exceptions that both vendors intercept; no others. #DB and #AC because a guest can arrange for
 * their delivery to raise them again for ever, without one instruction boundary at which the host's
 * interrupts could come in; #MC because it is the host's.
 */
#define EXCEPTIONS_INTERCEPTED (BIT(1) | BIT(17) | BIT(18))

/* For dumps, `vm show` and traces: "cpuid", "port", ... */
const char *exit_kind_name(enum exit_kind kind);

struct exit_port {
	uint16_t port;
	uint8_t size;          /* 1, 2, 4 */
	bool in;
	/* EXIT_PORT_STRING only; where the hardware does not say, the instruction is decoded. */
	bool repeat;
	uint8_t address_size;  /* 2, 4, 8; 0 when the hardware did not say */
	uint8_t segment;       /* enum segment_name, of OUTS */
	bool segment_valid;
};

struct exit_cr {
	uint8_t number;        /* 0, 3, 4, 8 */
	enum exit_cr_access { CR_WRITE, CR_READ, CR_CLTS, CR_LMSW } access;
	uint8_t gpr;           /* enum gpr, of CR_WRITE and CR_READ */
	uint16_t lmsw;         /* source operand */
};

struct exit_memory {
	gpa_t gpa;
	uint64_t access;       /* S2_READ, S2_WRITE or S2_EXEC */
	bool walk;             /* the access was the guest's own page walk */
	bool lapic;            /* lapic_claims() it; found out when the exit is handled */
	uint8_t byte_count;    /* instruction bytes, where decode assists gave them; else 0 */
	uint8_t bytes[15];
};

struct exit_exception {
	uint8_t vector;
	bool has_error;
	uint32_t error;
	/* #DB: DR6 bits still to be set (VMX); 0 where the hardware has set them (SVM). */
	uint64_t qualification;
};

struct vcpu_exit {
	enum exit_kind kind;
	uint8_t instruction_length; /* 0: the hardware does not say; the run loop decodes */
	uint64_t code;              /* raw exit reason or EXITCODE */
	uint64_t info[2];           /* raw qualification, or EXITINFO1 and 2 */
	union {
		struct exit_port port;
		struct exit_cr cr;
		struct exit_memory memory;
		struct exit_exception exception;
	} u;
};

/* What a handler wants of the run loop, which alone moves RIP. */
enum exit_action {
	ACTION_RESUME,  /* enter again where the guest is */
	ACTION_ADVANCE, /* the instruction is done: move past it, end the interrupt shadow */
	ACTION_BLOCK,   /* advance, then wait for an event */
	ACTION_WAIT,    /* enter again where the guest is, in a while */
	ACTION_STOP,    /* the VM has been asked to stop (vm_stop) */
};

#endif
