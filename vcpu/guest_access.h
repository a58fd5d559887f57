/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's linear address space as the guest's CPU would use it: segmentation, the guest's own
 * page tables (32-bit, PAE, 4-level, 5-level; accessed and dirty bits; SMEP, SMAP, NX, WP), and
 * behind them RAM or a device. Own vCPU, loaded.
 *
 * All return 0, or -EFAULT when an exception has been queued for the guest, or -EAGAIN when what it
 * needs of the guest's memory cannot be had now: nothing has been done then, and the instruction is
 * to be begun again in a while (ACTION_WAIT).
 */
#ifndef BALLAST_VCPU_GUEST_ACCESS_H
#define BALLAST_VCPU_GUEST_ACCESS_H

#include "vcpu/vcpu.h"

#define ACCESS_WRITE BIT(0)
#define ACCESS_FETCH BIT(1)
#define ACCESS_USER BIT(2)    /* as CPL 3; without it as a supervisor, implicit when IMPLICIT */
#define ACCESS_IMPLICIT BIT(3) /* descriptor tables and such: SMAP ignores EFLAGS.AC */

/* 16, 32 or 64: the default size of the code at RIP. */
unsigned int guest_mode_bits(struct vcpu *vcpu);

/*
 * Linear address of segment:offset for `size` bytes, with all checks of the mode (limit, type,
 * canonical form); #GP or #SS is queued when one fails.
 */
int guest_linear(struct vcpu *vcpu, enum segment_name segment, uint64_t offset, unsigned int size,
	uint64_t access, gva_t *linear) __must_check;

/* In 64-bit mode: are all bits above the highest address bit copies of it? REG_CR4 is valid. */
bool guest_is_canonical(const struct vcpu *vcpu, gva_t linear);

/* Walk the guest's page tables for one address. */
int guest_translate(struct vcpu *vcpu, gva_t linear, uint64_t access, gpa_t *gpa) __must_check;

/* Is this a device's address, the LAPIC's page included, or nothing's? */
bool guest_is_device(struct vcpu *vcpu, gpa_t gpa);
/* One access of 1, 2, 4 or 8 bytes to a device; whether it is one, the caller knows. */
uint64_t guest_device_read(struct vcpu *vcpu, gpa_t gpa, unsigned int size);
void guest_device_write(struct vcpu *vcpu, gpa_t gpa, unsigned int size, uint64_t value);

/* Where up to PAGE_SIZE bytes of linear memory lie: two pages at most. */
struct guest_span {
	gpa_t gpa[2];
	unsigned int first; /* bytes in the first page */
	unsigned int size;
};

/*
 * Translate now, access later, as often as need be: read-modify-write, and all or nothing, for both
 * pages of a crossing access are translated and had before a byte is touched; so only the first of
 * these answers -EAGAIN, and devices are not touched by an instruction that is begun again. With
 * several operands all are translated before a device is read. RAM is copied, read-only RAM
 * swallows writes, anything else goes to the LAPIC page or the MMIO bus in naturally sized pieces.
 */
int guest_span_translate(struct vcpu *vcpu, gva_t linear, unsigned int size, uint64_t access,
	struct guest_span *span) __must_check;
int guest_span_read(struct vcpu *vcpu, const struct guest_span *span, void *to) __must_check;
int guest_span_write(struct vcpu *vcpu, const struct guest_span *span, const void *from)
	__must_check;

/*
 * Up to 15 instruction bytes at CS:RIP, fewer when the next page is not there; RAM only
 * (code in a device's range: -ENOTSUP, nothing queued).
 */
int guest_fetch(struct vcpu *vcpu, uint8_t bytes[15], size_t *count) __must_check;

/*
 * Fetch and decode the instruction at CS:RIP. *site, which holds it, is good until the next call;
 * its bytes are in `head` and `tail`. 0; 1 when a byte that was missing has appeared, so that the
 * guest is to be entered again; -EILSEQ when it is no instruction (nothing is queued); else as
 * guest_fetch(). The second form takes bytes that the hardware has fetched.
 */
int guest_decode(struct vcpu *vcpu, const struct insn_site **site) __must_check;
int guest_decode_given(struct vcpu *vcpu, const uint8_t *bytes, size_t count,
	const struct insn_site **site) __must_check;

#endif
