/* SPDX-License-Identifier: BSD-2-Clause */
/* Fetching and decoding the guest's current instruction, with the memory of recent ones. */
#include "host/x86.h"
#include "lib/string.h"
#include "vcpu/guest_access.h"
#include "vcpu/guest_walk.h"
#include "vcpu/insn.h"
#include "vcpu/vm.h"

#define FETCH_REGISTERS (WALK_REGISTERS | REG_RIP | REG_CS)

/* The bytes at RIP. */
struct fetched {
	gva_t linear;
	size_t limit;         /* bytes up to the end of the code segment, at most 15 */
	size_t count;         /* of `bytes` */
	uint8_t bytes[INSN_MAX_BYTES];
};

static uint64_t fetch_access(const struct vcpu *vcpu)
{
	return ACCESS_FETCH | (vcpu->special.cpl == 3 ? ACCESS_USER : 0);
}

static inline unsigned int mode_bits(const struct vcpu *vcpu)
{
	const struct segment *cs = &vcpu->special.segments[SEG_CS];

	if (likely(vcpu->special.efer & EFER_LMA && cs->attributes & SEGMENT_L))
		return 64;
	return cs->attributes & SEGMENT_DB ? 32 : 16;
}

/* Linear RIP, and how many bytes may follow it in the code segment; 0 when RIP is outside. */
static inline size_t code_position(const struct vcpu *vcpu, unsigned int bits, gva_t *linear)
{
	const struct segment *cs = &vcpu->special.segments[SEG_CS];
	uint64_t rip = vcpu->special.rip;

	*linear = rip;
	if (likely(bits == 64))
		return INSN_MAX_BYTES;
	rip = (uint32_t)rip;
	*linear = (uint32_t)(cs->base + rip);
	if (rip > cs->limit)
		return 0;
	return MIN((uint64_t)INSN_MAX_BYTES, (uint64_t)cs->limit - rip + 1);
}

/* `distance` bytes after a linear address, as the mode wraps it. */
static gva_t linear_after(gva_t linear, uint64_t distance, unsigned int bits)
{
	return bits == 64 ? linear + distance : (uint32_t)(linear + distance);
}

static inline uint32_t site_mode(const struct vcpu *vcpu)
{
	return mode_bits(vcpu) | (vcpu->special.cpl == 3 ? SITE_USER : 0) |
		(vcpu->special.cr0 & CR0_PG ? SITE_PAGING : 0);
}

static inline uint64_t memory_generation(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->vm->memory.generation, __ATOMIC_ACQUIRE);
}

/* ---- regions ---- */

/*
 * Another address space, which mostly shares all of the kernel's tables but the root: if the new
 * root has the same first entry, what follows is as it was.
 */
static bool move_root(struct vcpu *vcpu, struct code_region *region, gva_t linear)
{
	struct trail_step *first = &region->trail.steps[0];
	const uint64_t *entry;

	if (!region->trail.count)
		return true;
	entry = guest_memory_ptr(&vcpu->vm->memory, guest_walk_root(vcpu, linear),
		S2_READ, NULL);
	if (!entry || __atomic_load_n(entry, __ATOMIC_RELAXED) != first->value)
		return false;
	first->entry = entry;
	region->cr3 = vcpu->special.cr3;
	return true;
}

/* Are 15 bytes from here in this region, and the guest's way to it what it was? */
static inline bool region_holds(struct vcpu *vcpu, struct code_region *region, gva_t linear,
	uint32_t mode)
{
	const struct special_regs *special = &vcpu->special;

	if (linear - region->start >= region->bytes || region->mode != mode ||
		region->cr4 != special->cr4 || region->efer != special->efer ||
		region->generation != memory_generation(vcpu))
		return false;
	if (unlikely(region->cr3 != special->cr3) && !move_root(vcpu, region, linear))
		return false;
	return walk_trail_holds(&region->trail);
}

static const uint8_t *search_regions(struct vcpu *vcpu, gva_t linear, uint32_t mode)
{
	struct insn_cache *cache = &vcpu->insn_cache;
	unsigned int i;

	for (i = 0; i < CODE_REGIONS; i++) {
		if (region_holds(vcpu, &cache->regions[i], linear, mode)) {
			cache->recent = &cache->regions[i];
			return cache->regions[i].code + (linear - cache->regions[i].start);
		}
	}
	return NULL;
}

/* Where 15 bytes of code are in host memory, if that is known; NULL if not. */
static inline const uint8_t *known_code(struct vcpu *vcpu, gva_t linear, uint32_t mode)
{
	struct code_region *region = vcpu->insn_cache.recent;

	if (likely(region && region_holds(vcpu, region, linear, mode)))
		return region->code + (linear - region->start);
	return search_regions(vcpu, linear, mode);
}

static void fill_trail(struct walk_trail *trail, const struct walk_trail *walked)
{
	unsigned int i;

	*trail = *walked;
	for (i = trail->count; i < TRAIL_STEPS; i++) {
		trail->steps[i].value = 0;
		trail->steps[i].entry = &trail->steps[i].value;
	}
}

/*
 * Remember the piece around `linear`: from the start of the guest's page, if the host has it in
 * one piece with this address, else from the start of the 4 KiB; to the end of the shorter one.
 * The generation is the memory's from before the walk that left the trail.
 */
static void remember_region(struct vcpu *vcpu, gva_t linear, gpa_t gpa,
	const struct walk_trail *trail, uint64_t generation)
{
	struct insn_cache *cache = &vcpu->insn_cache;
	struct code_region *region = &cache->regions[cache->next % CODE_REGIONS];
	uint64_t offset = linear & (trail->page_bytes - 1), contiguous;
	const uint8_t *code =
		guest_memory_ptr(&vcpu->vm->memory, gpa - offset, S2_READ, &contiguous);

	region->bytes = 0;
	if (!code || contiguous <= offset) {
		offset = linear & PAGE_MASK;
		code = guest_memory_ptr(&vcpu->vm->memory, gpa - offset, S2_READ, &contiguous);
	}
	contiguous = MIN(contiguous,
		trail->page_bytes - ((linear - offset) & (trail->page_bytes - 1)));
	if (!code || contiguous < INSN_MAX_BYTES)
		return;
	region->start = linear - offset;
	region->mode = site_mode(vcpu);
	region->cr4 = vcpu->special.cr4;
	region->cr3 = vcpu->special.cr3;
	region->efer = vcpu->special.efer;
	region->generation = generation;
	region->code = code;
	fill_trail(&region->trail, trail);
	region->bytes = contiguous - (INSN_MAX_BYTES - 1);
	cache->recent = region;
	cache->next++;
}

/* ---- the slow way ---- */

/*
 * Code at a linear address. 0; -EFAULT with the #PF's error code; -EAGAIN when it cannot be had
 * now; -ENOTSUP when it is not RAM. Good to the end of the 4 KiB.
 */
static int find_code(struct vcpu *vcpu, gva_t linear, const uint8_t **code, uint32_t *error)
{
	uint64_t generation = memory_generation(vcpu);
	struct walk_trail trail;
	gpa_t gpa;
	int err = guest_walk(vcpu, linear, fetch_access(vcpu), &gpa, error, &trail);

	if (err)
		return err;
	*code = guest_memory_ptr(&vcpu->vm->memory, gpa, S2_READ, NULL);
	if (unlikely(!*code))
		return guest_memory_is_ram(&vcpu->vm->memory, gpa) ? -EAGAIN : -ENOTSUP;
	if (trail.page_bytes)
		remember_region(vcpu, linear, gpa, &trail, generation);
	return 0;
}

/* The rest of the bytes from the next page, if it is there. */
static void fetch_second_page(struct vcpu *vcpu, struct fetched *fetched)
{
	const uint8_t *code;
	uint32_t error;
	gva_t next = linear_after(fetched->linear, fetched->count, mode_bits(vcpu));

	if (find_code(vcpu, next, &code, &error))
		return;
	memcpy(fetched->bytes + fetched->count, code, fetched->limit - fetched->count);
	fetched->count = fetched->limit;
}

static int fetch(struct vcpu *vcpu, struct fetched *fetched)
{
	const uint8_t *code;
	uint32_t error;
	int err;

	fetched->limit = code_position(vcpu, mode_bits(vcpu), &fetched->linear);
	if (unlikely(fetched->limit == 0)) {
		vcpu_inject_gp(vcpu);
		return -EFAULT;
	}
	err = find_code(vcpu, fetched->linear, &code, &error);
	if (unlikely(err)) {
		if (err == -EFAULT)
			vcpu_inject_page_fault(vcpu, fetched->linear, error);
		return err;
	}
	fetched->count = MIN(fetched->limit, PAGE_SIZE - (fetched->linear & PAGE_MASK));
	memcpy(fetched->bytes, code, fetched->count);
	if (fetched->count < fetched->limit)
		fetch_second_page(vcpu, fetched);
	return 0;
}

int guest_fetch(struct vcpu *vcpu, uint8_t bytes[15], size_t *count)
{
	struct fetched fetched;
	int err;

	vcpu_need(vcpu, FETCH_REGISTERS);
	err = fetch(vcpu, &fetched);
	if (err)
		return err;
	memcpy(bytes, fetched.bytes, fetched.count);
	*count = fetched.count;
	return 0;
}

/* ---- decoding ---- */

/* Decode into the site. 0, -ENODATA, or -EILSEQ. */
static int fill_site(struct insn_site *site, gva_t linear, uint32_t mode, const uint8_t *bytes,
	size_t count)
{
	int err = insn_decode(&site->insn, bytes, count, mode & (16 | 32 | 64));

	site->mode = 0;
	if (unlikely(err))
		return err == -ENODATA ? err : -EILSEQ;
	site->linear = linear;
	site->mode = mode;
	__builtin_memcpy(&site->head, bytes, 8);
	__builtin_memcpy(&site->tail, bytes + 7, 8);
	return 0;
}

/* The byte after those that were fetched is missing: queue its fault. */
static int missing_byte(struct vcpu *vcpu, const struct fetched *fetched)
{
	gpa_t gpa;
	int err;

	if (fetched->count >= fetched->limit) {
		vcpu_inject_gp(vcpu);
		return -EFAULT;
	}
	err = guest_translate(vcpu, linear_after(fetched->linear, fetched->count, mode_bits(vcpu)),
		fetch_access(vcpu), &gpa);
	return err ? err : 1;
}

static int decode_slowly(struct vcpu *vcpu, struct insn_site *site)
{
	struct fetched fetched = {.count = 0};
	int err = fetch(vcpu, &fetched);

	if (!err)
		err = fill_site(site, fetched.linear, site_mode(vcpu), fetched.bytes,
			fetched.count);
	return err == -ENODATA ? missing_byte(vcpu, &fetched) : err;
}

/* 15 bytes are there: decode them, unless that has been done. */
static inline int decode_known(struct insn_site *site, gva_t linear, uint32_t mode,
	const uint8_t *code)
{
	struct insn_bytes {
		uint8_t bytes[INSN_MAX_BYTES];
	} copy;
	uint64_t head, tail;

	/* Copied once; the guest may be changing them. */
	__builtin_memcpy(&head, code, 8);
	__builtin_memcpy(&tail, code + 7, 8);
	if (likely(site->linear == linear && site->head == head && site->tail == tail &&
		    site->mode == mode))
		return 0;
	__builtin_memcpy(copy.bytes + 7, &tail, 8);
	__builtin_memcpy(copy.bytes, &head, 8);
	return fill_site(site, linear, mode, copy.bytes, INSN_MAX_BYTES);
}

/* Where the instruction at this address is, or will be, remembered. */
static struct insn_site *site_at(struct insn_cache *cache, gva_t linear)
{
	struct insn_site *site = insn_cache_site(cache, linear);

	if (!site->region)
		site->region = &cache->regions[0];
	return site;
}

static __attribute__((noinline)) int decode_anew(
	struct vcpu *vcpu, const struct insn_site **found)
{
	const uint8_t *code;
	struct insn_site *site;
	gva_t linear;
	uint32_t mode;
	size_t limit;
	int err;

	limit = code_position(vcpu, mode_bits(vcpu), &linear);
	mode = site_mode(vcpu);
	site = site_at(&vcpu->insn_cache, linear);
	*found = site;
	code = known_code(vcpu, linear, mode);
	if (likely(code && limit == INSN_MAX_BYTES))
		err = decode_known(site, linear, mode, code);
	else
		err = decode_slowly(vcpu, site);
	if (vcpu->insn_cache.recent)
		site->region = vcpu->insn_cache.recent;
	return err;
}

int guest_decode(struct vcpu *vcpu, const struct insn_site **found)
{
	const struct special_regs *special = &vcpu->special;

	vcpu_need(vcpu, FETCH_REGISTERS);
	*found = insn_cache_find(&vcpu->insn_cache,
		&(struct code_context){.rip = special->rip, .cr3 = special->cr3,
			.cr4 = special->cr4, .efer = special->efer, .cpl = special->cpl,
			.cs_attributes = special->segments[SEG_CS].attributes,
			.generation = memory_generation(vcpu)});
	return likely(*found) ? 0 : decode_anew(vcpu, found);
}

int guest_decode_given(struct vcpu *vcpu, const uint8_t *bytes, size_t count,
	const struct insn_site **found)
{
	uint8_t padded[INSN_MAX_BYTES] = {0};
	struct insn_site *site;
	gva_t linear;
	int err;

	vcpu_need(vcpu, FETCH_REGISTERS);
	code_position(vcpu, mode_bits(vcpu), &linear);
	site = site_at(&vcpu->insn_cache, linear);
	*found = site;
	count = MIN(count, INSN_MAX_BYTES);
	if (count == INSN_MAX_BYTES)
		return decode_known(site, linear, site_mode(vcpu), bytes);
	memcpy(padded, bytes, count);
	err = fill_site(site, linear, site_mode(vcpu), padded, count);
	return err ? decode_slowly(vcpu, site) : 0; /* too few, or so it seems: ask memory */
}
