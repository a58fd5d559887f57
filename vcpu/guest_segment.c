/* SPDX-License-Identifier: BSD-2-Clause */
/* Segmentation: from segment and offset to a linear address, in every mode. */
#include "host/x86.h"
#include "vcpu/guest_access.h"

#define TYPE_CODE BIT(3)
#define TYPE_EXPAND_DOWN BIT(2) /* of data */
#define TYPE_WRITABLE BIT(1)    /* of data; readable, of code */

unsigned int guest_mode_bits(struct vcpu *vcpu)
{
	const struct segment *cs = &vcpu->special.segments[SEG_CS];

	vcpu_need(vcpu, REG_CS | REG_EFER);
	if (vcpu->special.efer & EFER_LMA && cs->attributes & SEGMENT_L)
		return 64;
	return cs->attributes & SEGMENT_DB ? 32 : 16;
}

bool guest_is_canonical(const struct vcpu *vcpu, gva_t linear)
{
	unsigned int shift = vcpu->special.cr4 & CR4_LA57 ? 64 - 57 : 64 - 48;

	return (gva_t)((int64_t)(linear << shift) >> shift) == linear;
}

static int refuse(struct vcpu *vcpu, enum segment_name segment)
{
	vcpu_inject_exception_error(vcpu, segment == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
	return -EFAULT;
}

static int linear_64(struct vcpu *vcpu, enum segment_name segment, uint64_t offset,
	unsigned int size, gva_t *linear)
{
	vcpu_need(vcpu, REG_CR4);
	*linear = offset;
	if (segment == SEG_FS || segment == SEG_GS) {
		vcpu_need(vcpu, REG_SEGMENTS);
		*linear += vcpu->special.segments[segment].base;
	}
	if (!guest_is_canonical(vcpu, *linear) || !guest_is_canonical(vcpu, *linear + size - 1))
		return refuse(vcpu, segment);
	return 0;
}

/* Is [offset, offset + size) inside the segment? All are below 2^32 + 2^6. */
static bool within_limit(const struct segment *segment, uint64_t offset, unsigned int size)
{
	uint64_t last = offset + size - 1;

	if ((segment->attributes & (SEGMENT_S | TYPE_CODE | TYPE_EXPAND_DOWN)) ==
		(SEGMENT_S | TYPE_EXPAND_DOWN))
		return offset > segment->limit &&
			last <= (segment->attributes & SEGMENT_DB ? 0xffffffff : 0xffff);
	return last <= segment->limit;
}

/* Does the segment's type allow the access? Real mode and virtual-8086 mode do not ask. */
static bool type_allows(const struct vcpu *vcpu, const struct segment *segment, uint64_t access)
{
	uint16_t attributes = segment->attributes;

	if (!(vcpu->special.cr0 & CR0_PE) || vcpu->special.rflags & RFLAGS_VM)
		return true;
	if (!(attributes & SEGMENT_P))
		return false;
	if (access & ACCESS_FETCH)
		return true;
	if (access & ACCESS_WRITE)
		return (attributes & (TYPE_CODE | TYPE_WRITABLE)) == TYPE_WRITABLE;
	return !(attributes & TYPE_CODE) || attributes & TYPE_WRITABLE;
}

int guest_linear(struct vcpu *vcpu, enum segment_name name, uint64_t offset, unsigned int size,
	uint64_t access, gva_t *linear)
{
	const struct segment *segment = &vcpu->special.segments[name];

	if (likely(guest_mode_bits(vcpu) == 64))
		return linear_64(vcpu, name, offset, size, linear);
	vcpu_need(vcpu, REG_CR0 | REG_RFLAGS |
		(name == SEG_CS ? REG_CS : name == SEG_SS ? REG_SS : REG_SEGMENTS));
	offset = (uint32_t)offset;
	if (!type_allows(vcpu, segment, access) || !within_limit(segment, offset, size))
		return refuse(vcpu, name);
	*linear = (uint32_t)(segment->base + offset);
	return 0;
}
