/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two 8259A of the PC, the slave on the master's IR2, with the edge/level registers at 0x4d0
 * (Intel 8259A data sheet; Intel 82371 "Edge/Level Control Registers"). The output is LINT0 of the
 * boot vCPU.
 *
 * An edge stays latched until it is acknowledged even when its line falls again. The output falls
 * with the last request, so the vCPU never starts an INTA cycle in vain: only the slave can find
 * that its request is gone, and then delivers its spurious IRQ 7.
 */
#ifndef BALLAST_DEVICES_PIC_H
#define BALLAST_DEVICES_PIC_H

#include "vcpu/vm.h"

/* One chip. */
struct pic_chip {
	uint8_t irr;             /* requests: latched edges, or the levels */
	uint8_t isr;             /* in service */
	uint8_t imr;             /* masked */
	uint8_t lines;           /* the inputs as they are */
	uint8_t elcr;            /* inputs that are level-triggered by the ELCR */
	uint8_t elcr_mask;       /* [I] inputs that the ELCR can change */
	bool all_level;          /* ICW1.LTIM */
	uint8_t vector_base;     /* ICW2 */
	uint8_t cascade;         /* ICW3 */
	uint8_t highest;         /* input with the highest priority */
	uint8_t init_step;       /* ICW expected next: 2, 3, 4; 0 outside of initialisation */
	bool single;             /* ICW1.SNGL: no ICW3 */
	bool needs_icw4;         /* ICW1.IC4 */
	bool auto_eoi;           /* ICW4.AEOI */
	bool special_nested;     /* ICW4.SFNM */
	bool rotate_on_auto_eoi;
	bool special_mask;
	bool read_isr;           /* OCW3: which register port 0 reads */
	bool poll;               /* OCW3.P: the next read is a poll */
};

struct pic {
	struct device device;
	struct irqchip irqchip;
	struct io_region regions[3]; /* master, slave, ELCR */
	struct pic_chip chips[2];    /* [vm.lock] master, slave */
	bool output;                 /* [vm.lock] */
};

/* Adds itself to the VM: ports 0x20, 0xa0, 0x4d0, and as an irqchip. */
int pic_create(struct vm *vm) __must_check;

#endif
