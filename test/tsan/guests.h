/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fake guests for tests under ThreadSanitizer: a vendor's layer whose vCPUs exit at random, and the
 * handlers of these exits. What runs between an entry and an exit is a few lines here; all around
 * it is Ballast's own: run loop, events, virtual LAPIC, scheduler, VM's life.
 */
#ifndef BALLAST_TEST_TSAN_GUESTS_H
#define BALLAST_TEST_TSAN_GUESTS_H

#include "devices/device_timer.h"
#include "test/tsan/machine.h"
#include "vcpu/vm.h"

/* Interrupt vectors of the guests. */
#define VECTOR_WORK 0x51
#define VECTOR_LAPIC_TIMER 0x62
#define VECTOR_DEVICE 0x73

/*
 * How much a guest does of what. In a ring each vCPU halts until a message comes, and hands it on to
 * the next; nothing else wakes it, so one wake that gets lost ends it.
 */
enum guest_kind { GUEST_HOG, GUEST_MIXED, GUEST_SLEEPER, GUEST_RING, GUEST_KINDS };

/* What a vCPU's hardware knows of it. */
struct guest_vcpu {
	uint32_t inside;       /* [a] CPUs that run it now */
	uint64_t entries;      /* own CPU; no lock but the scheduler's hands it over */
	uint64_t progress;     /* [a] the same, for others to see */
	uint32_t work;         /* [a] messages that wait to be handled */
	uint64_t handled;      /* own CPU: messages */
	uint64_t forward;      /* own CPU: of a ring, messages to hand on */
	bool begun;            /* own CPU: of a ring, it has sent its message on its way */
	unsigned int in_service; /* own CPU: interrupts to be ended; higher ones interrupt lower ones */
	bool rests;            /* own CPU: draining, and its timer is stopped */
	uint64_t timer_asked, timer_came; /* [a] one-shots of the LAPIC's timer */
	unsigned int last_cpu; /* own CPU */
	uint64_t moves;        /* own CPU */
	uint64_t stray_since_ns; /* own CPU: it ran in spite of the change of then */
	unsigned int strays;   /* own CPU: so often */
};

/* One device: a periodic timer, whose interrupts go to any vCPU. */
struct guest_device {
	struct device device;
	struct device_timer timer;
	uint64_t ticks; /* [vm.lock] */
};

struct guest {
	struct vm *vm;
	enum guest_kind kind;
	struct guest_device device;
	uint64_t mask_since_ns;  /* [a] real time: since then vm->sched.cpus is as it is; ~0: it changes */
	uint64_t paused_since_ns; /* [a] real time: paused since then; 0: not */
	/*
	 * One page of it: which frame it is mapped to, what each CPU has cached of that, and up to
	 * which one frames have been taken away.
	 */
	uint64_t mapped;         /* [a] */
	uint64_t reclaimed;      /* [a] */
	uint64_t cached[MACHINE_CPUS_MAX]; /* own CPU; 0: nothing */
	uint64_t reclaims;       /* [a] */
};

/* Who rests: halts, and only answers. */
enum guests_rest { REST_NOBODY, REST_ALL_BUT_RINGS, REST_ALL };
extern uint32_t guests_rest; /* [a] enum guests_rest */

struct guest *guest_new(unsigned int number, unsigned int vcpus, enum guest_kind kind);
void guest_delete(struct guest *guest);
/* All vCPUs halt or wait for SIPI, and no message is lost. Any CPU. */
bool guest_is_quiet(const struct guest *guest);

static inline struct guest_vcpu *guest_vcpu(const struct vcpu *vcpu)
{
	return vcpu->hw;
}

#endif
