/* SPDX-License-Identifier: BSD-2-Clause */
/* Fetching the bytes of the guest's current instruction. */
#include "host/x86.h"
#include "lib/string.h"
#include "vcpu/guest_access.h"
#include "vcpu/guest_walk.h"
#include "vcpu/insn.h"
#include "vcpu/vm.h"

#define FETCH_REGISTERS (WALK_REGISTERS | REG_RIP | REG_CS)

static uint64_t fetch_access(const struct vcpu *vcpu)
{
	return ACCESS_FETCH | (vcpu->special.cpl == 3 ? ACCESS_USER : 0);
}

/* Is the page that the cache holds still the one at this address, by the guest's own tables? */
static inline bool cache_holds(const struct vcpu *vcpu, gva_t page)
{
	const struct fetch_cache *cache = &vcpu->fetch_cache;
	const struct special_regs *special = &vcpu->special;
	unsigned int i;

	if (cache->page != page || cache->cr3 != special->cr3 || cache->cr4 != special->cr4 ||
		cache->efer != special->efer || cache->user != (special->cpl == 3) ||
		!(special->cr0 & CR0_PG) || cache->trail.count == 0 ||
		cache->generation !=
			__atomic_load_n(&vcpu->vm->memory.generation, __ATOMIC_RELAXED))
		return false;
	for (i = 0; i < cache->trail.count; i++) {
		if (__atomic_load_n(cache->trail.entries[i], __ATOMIC_RELAXED) !=
			cache->trail.values[i])
			return false;
	}
	return true;
}

static void cache_store(struct vcpu *vcpu, gva_t page, const uint8_t *code)
{
	struct fetch_cache *cache = &vcpu->fetch_cache;
	const struct special_regs *special = &vcpu->special;

	cache->page = page;
	cache->cr3 = special->cr3;
	cache->cr4 = special->cr4;
	cache->efer = special->efer;
	cache->generation = __atomic_load_n(&vcpu->vm->memory.generation, __ATOMIC_RELAXED);
	cache->user = special->cpl == 3;
	cache->code = code;
}

/*
 * The code page at a linear address. 0; -EFAULT with the #PF's error code; -EAGAIN without host
 * memory; -ENOTSUP when it is not RAM.
 */
static int find_code(struct vcpu *vcpu, gva_t linear, const uint8_t **code, uint32_t *error)
{
	gva_t page = linear & ~PAGE_MASK;
	gpa_t gpa;
	int err;

	if (likely(cache_holds(vcpu, page))) {
		*code = vcpu->fetch_cache.code;
		return 0;
	}
	err = guest_walk(vcpu, page, fetch_access(vcpu), &gpa, error, &vcpu->fetch_cache.trail);
	if (err) {
		vcpu->fetch_cache.trail.count = 0;
		return err;
	}
	*code = guest_memory_ptr(&vcpu->vm->memory, gpa, NULL);
	if (!*code) {
		vcpu->fetch_cache.trail.count = 0;
		return guest_memory_is_ram(&vcpu->vm->memory, gpa) ? -EAGAIN : -ENOTSUP;
	}
	cache_store(vcpu, page, *code);
	return 0;
}

/* Linear RIP, and how many bytes may follow it in the code segment; 0 when RIP is outside. */
static size_t code_position(struct vcpu *vcpu, unsigned int mode_bits, gva_t *linear)
{
	const struct segment *cs = &vcpu->special.segments[SEG_CS];
	uint64_t rip = vcpu->special.rip;

	*linear = rip;
	if (likely(mode_bits == 64))
		return INSN_MAX_BYTES;
	rip = (uint32_t)rip;
	*linear = (uint32_t)(cs->base + rip);
	if (rip > cs->limit)
		return 0;
	return MIN((uint64_t)INSN_MAX_BYTES, (uint64_t)cs->limit - rip + 1);
}

static int report(struct vcpu *vcpu, int err, gva_t linear, uint32_t error)
{
	if (err == -EFAULT)
		vcpu_inject_page_fault(vcpu, linear, error);
	else if (err == -EAGAIN)
		vm_stop(vcpu->vm, VM_STOP_FAULT, 0, "the host has no memory left for it");
	return err;
}

/* The rest of `limit` bytes from the next page, if it is there. */
static void fetch_second_page(struct vcpu *vcpu, gva_t linear, uint8_t *to, size_t limit,
	size_t *count)
{
	gva_t next = (linear | PAGE_MASK) + 1;
	const uint8_t *code;
	uint32_t error;

	if (guest_mode_bits(vcpu) != 64)
		next = (uint32_t)next;
	if (find_code(vcpu, next, &code, &error))
		return;
	memcpy(to + *count, code, limit - *count);
	*count = limit;
}

int guest_fetch(struct vcpu *vcpu, uint8_t bytes[15], size_t *count)
{
	const uint8_t *code = NULL;
	uint32_t error = 0;
	size_t limit, offset;
	gva_t linear;
	int err;

	vcpu_need(vcpu, FETCH_REGISTERS);
	limit = code_position(vcpu, guest_mode_bits(vcpu), &linear);
	if (unlikely(limit == 0)) {
		vcpu_inject_gp(vcpu);
		return -EFAULT;
	}
	err = find_code(vcpu, linear, &code, &error);
	if (unlikely(err))
		return report(vcpu, err, linear, error);
	offset = linear & PAGE_MASK;
	if (likely(limit == INSN_MAX_BYTES && offset <= PAGE_SIZE - INSN_MAX_BYTES)) {
		__builtin_memcpy(bytes, code + offset, 8);
		__builtin_memcpy(bytes + 7, code + offset + 7, 8);
		*count = INSN_MAX_BYTES;
		return 0;
	}
	*count = MIN(limit, PAGE_SIZE - offset);
	memcpy(bytes, code + offset, *count);
	if (*count < limit)
		fetch_second_page(vcpu, linear, bytes, limit, count);
	return 0;
}

int guest_fetch_fault(struct vcpu *vcpu, size_t count)
{
	gva_t linear, next;
	size_t limit = code_position(vcpu, guest_mode_bits(vcpu), &linear);
	gpa_t gpa;

	if (count >= limit) {
		vcpu_inject_gp(vcpu);
		return -EFAULT;
	}
	next = linear + count;
	if (guest_mode_bits(vcpu) != 64)
		next = (uint32_t)next;
	return guest_translate(vcpu, next, fetch_access(vcpu), &gpa);
}
