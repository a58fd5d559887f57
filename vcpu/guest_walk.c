/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walking the guest's page tables. They may change under the walk, and may be built to harm: each
 * entry is read once, and the depth is fixed by the mode.
 */
#include "host/x86.h"
#include "vcpu/cpuid.h"
#include "vcpu/guest_walk.h"
#include "vcpu/vm.h"

#define PTE_PRESENT BIT(0)
#define PTE_WRITE BIT(1)
#define PTE_USER BIT(2)
#define PTE_ACCESSED BIT(5)
#define PTE_DIRTY BIT(6)
#define PTE_LARGE BIT(7)
#define PTE_NO_EXECUTE BIT(63)
#define PTE_ADDRESS 0x000ffffffffff000ULL

#define MAX_LEVELS 5
#define AD_RETRIES 3

struct walk {
	struct vcpu *vcpu;
	gva_t linear;
	uint64_t access;
	uint64_t reserved;               /* bits that are reserved in every entry */
	bool wide;                       /* entries of 8 bytes */
	unsigned int levels;
	void *entries[MAX_LEVELS];       /* by level, 0 is the leaf of a full walk */
	gpa_t addresses[MAX_LEVELS];
	uint64_t values[MAX_LEVELS];
	unsigned int leaf;               /* level of the leaf */
	uint64_t rights;                 /* all entries' bits ANDed, and NX ORed */
	gpa_t block;                     /* guest memory that is contiguous in the host's, */
	uint64_t block_bytes;
	uint8_t *block_host;             /* found for the last entry */
};

gpa_t guest_walk_root(const struct vcpu *vcpu, gva_t linear)
{
	const struct special_regs *special = &vcpu->special;

	if (!(special->efer & EFER_LMA))
		return (special->cr3 & 0xffffffe0ULL) + (linear >> 30 & 3) * 8;
	return (special->cr3 & PTE_ADDRESS) +
		(linear >> (special->cr4 & CR4_LA57 ? 48 : 39) & 0x1ff) * 8;
}

bool guest_ram_writable(const struct vcpu *vcpu, gpa_t gpa)
{
	const struct guest_memory *memory = &vcpu->vm->memory;
	size_t i;

	for (i = 0; i < memory->slot_count; i++) {
		const struct memory_slot *slot = &memory->slots[i];

		if (gpa - slot->start < slot->bytes)
			return !slot->read_only;
	}
	return false;
}

static uint32_t fault_code(const struct walk *walk, uint32_t cause)
{
	const struct special_regs *special = &walk->vcpu->special;
	uint32_t error = cause;

	if (walk->access & ACCESS_WRITE)
		error |= PF_WRITE;
	if (walk->access & ACCESS_USER)
		error |= PF_USER;
	if (walk->access & ACCESS_FETCH &&
		(special->cr4 & CR4_SMEP ||
			(special->efer & EFER_NXE && special->cr4 & CR4_PAE)))
		error |= PF_FETCH;
	return error;
}

/* Bits that must be zero in every entry of the wide formats. */
static uint64_t reserved_always(const struct vcpu *vcpu)
{
	unsigned int width = vcpu->vm->cpuid->physical_bits;
	uint64_t reserved = width < 52 ? BIT(52) - BIT(width) : 0;

	if (!(vcpu->special.efer & EFER_NXE))
		reserved |= PTE_NO_EXECUTE;
	if (!(vcpu->special.efer & EFER_LMA))
		reserved |= BIT(63) - BIT(52);
	return reserved;
}

/* Reserved bits of one entry beyond those of all; `pae` is the 3-level format. */
static uint64_t reserved_at(const struct walk *walk, unsigned int level, uint64_t entry)
{
	bool pae = walk->levels == 3;

	/* Not bit 5, though it is reserved: walkers under nested paging may set it, "accessed". */
	if (pae && level == 2)
		return PTE_NO_EXECUTE | 0x1c6;
	if (level >= 3)
		return PTE_LARGE;
	if (level > 0 && entry & PTE_LARGE)
		return (BIT(12 + 9 * level) - 1) & ~0x1fffULL;
	return 0;
}

/* An entry in host memory. Tables often lie near each other: then the last answer serves again. */
static inline void *entry_ptr(struct walk *walk, gpa_t gpa)
{
	if (gpa - walk->block < walk->block_bytes)
		return walk->block_host + (gpa - walk->block);
	walk->block_host =
		guest_memory_ptr(&walk->vcpu->vm->memory, gpa & ~PAGE_MASK, S2_READ,
			&walk->block_bytes);
	walk->block = gpa & ~PAGE_MASK;
	if (likely(walk->block_host))
		return walk->block_host + (gpa & PAGE_MASK);
	walk->block_bytes = 0;
	return NULL;
}

/* One entry, read once; what is not RAM reads as all ones. */
static inline int read_entry(struct walk *walk, unsigned int level, gpa_t gpa)
{
	void *entry = entry_ptr(walk, gpa);

	walk->entries[level] = entry;
	walk->addresses[level] = gpa;
	if (unlikely(!entry)) {
		if (guest_memory_is_ram(&walk->vcpu->vm->memory, gpa))
			return -EAGAIN;
		walk->values[level] = ~0ULL;
		return 0;
	}
	if (walk->wide)
		walk->values[level] = __atomic_load_n((uint64_t *)entry, __ATOMIC_RELAXED);
	else
		walk->values[level] = __atomic_load_n((uint32_t *)entry, __ATOMIC_RELAXED);
	return 0;
}

/* PAE and the 64-bit formats. 0, -EAGAIN, or -EFAULT with the cause in *error. */
static int walk_wide(struct walk *walk, gpa_t *gpa, uint32_t *error)
{
	gpa_t table = walk->vcpu->special.cr3 & (walk->levels == 3 ? 0xffffffe0ULL : PTE_ADDRESS);
	unsigned int level = walk->levels - 1;
	uint64_t entry;
	int err;

	for (;; level--) {
		unsigned int shift = 12 + 9 * level;

		err = read_entry(walk, level, table + (walk->linear >> shift & 0x1ff) * 8);
		if (err)
			return err;
		entry = walk->values[level];
		*error = 0;
		if (!(entry & PTE_PRESENT))
			return -EFAULT;
		*error = PF_PRESENT | PF_RESERVED;
		if (entry & (walk->reserved | reserved_at(walk, level, entry)))
			return -EFAULT;
		if (level == 2 && walk->levels == 3) {
			table = entry & PTE_ADDRESS; /* a PAE directory pointer has no rights */
			continue;
		}
		walk->rights = (walk->rights & entry & ~PTE_NO_EXECUTE) |
			((walk->rights | entry) & PTE_NO_EXECUTE);
		if (level == 0 || entry & PTE_LARGE) {
			uint64_t offset = BIT(shift) - 1;

			walk->leaf = level;
			*gpa = (entry & PTE_ADDRESS & ~offset) | (walk->linear & offset);
			return 0;
		}
		table = entry & PTE_ADDRESS;
	}
}

/* 32-bit paging without PAE; 4 MiB pages reach 40 address bits (PSE-36). */
static int walk_narrow(struct walk *walk, gpa_t *gpa, uint32_t *error)
{
	const struct special_regs *special = &walk->vcpu->special;
	uint64_t entry;
	int err;

	err = read_entry(walk, 1,
		(special->cr3 & 0xfffff000) + (walk->linear >> 22 & 0x3ff) * 4);
	if (err)
		return err;
	entry = walk->values[1];
	*error = 0;
	if (!(entry & PTE_PRESENT))
		return -EFAULT;
	walk->rights &= entry;
	walk->leaf = 1;
	if (entry & PTE_LARGE && special->cr4 & CR4_PSE) {
		*error = PF_PRESENT | PF_RESERVED;
		*gpa = (entry & 0xffc00000) | (entry & 0x1fe000) << 19 | (walk->linear & 0x3fffff);
		return entry & BIT(21) || *gpa >> walk->vcpu->vm->cpuid->physical_bits ? -EFAULT
										       : 0;
	}
	err = read_entry(walk, 0, (entry & 0xfffff000) + (walk->linear >> 12 & 0x3ff) * 4);
	if (err)
		return err;
	entry = walk->values[0];
	if (!(entry & PTE_PRESENT))
		return -EFAULT;
	walk->rights &= entry;
	walk->leaf = 0;
	*gpa = (entry & 0xfffff000) | (walk->linear & PAGE_MASK);
	return 0;
}

/* Do the rights that the walk gathered allow the access? */
static bool access_allowed(const struct walk *walk)
{
	const struct special_regs *special = &walk->vcpu->special;
	uint64_t access = walk->access;

	if (access & ACCESS_USER) {
		if (!(walk->rights & PTE_USER))
			return false;
	} else if (walk->rights & PTE_USER) {
		if (access & ACCESS_FETCH) {
			if (special->cr4 & CR4_SMEP)
				return false;
		} else if (special->cr4 & CR4_SMAP &&
			(access & ACCESS_IMPLICIT || !(special->rflags & RFLAGS_AC))) {
			return false;
		}
	}
	if (access & ACCESS_WRITE && !(walk->rights & PTE_WRITE) &&
		(access & ACCESS_USER || special->cr0 & CR0_WP))
		return false;
	return !(access & ACCESS_FETCH && walk->rights & PTE_NO_EXECUTE);
}

/* An entry was found by a pointer for reading: several guests may show its page. */
static bool entry_for_writing(struct walk *walk, unsigned int level)
{
	void *entry = guest_memory_ptr(
		&walk->vcpu->vm->memory, walk->addresses[level], S2_WRITE, NULL);

	if (unlikely(entry != walk->entries[level]))
		walk->block_bytes = 0;
	walk->entries[level] = entry;
	return entry;
}

/*
 * Set bits in one entry, unless it has changed meanwhile: then the walk is to be repeated. Tables
 * in read-only memory stay as they are.
 */
static bool change_entry(struct walk *walk, unsigned int level, uint64_t bits)
{
	uint64_t value = walk->values[level];
	uint32_t narrow = value;

	if (!walk->entries[level] ||
		!guest_ram_writable(walk->vcpu, walk->addresses[level]) ||
		!entry_for_writing(walk, level))
		return true;
	walk->values[level] = value | bits;
	if (walk->wide)
		return __atomic_compare_exchange_n((uint64_t *)walk->entries[level], &value,
			value | bits, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	return __atomic_compare_exchange_n((uint32_t *)walk->entries[level], &narrow,
		(uint32_t)(narrow | bits), false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static inline bool set_bits(struct walk *walk, unsigned int level, uint64_t bits)
{
	return likely((walk->values[level] & bits) == bits) || change_entry(walk, level, bits);
}

static bool set_accessed_and_dirty(struct walk *walk)
{
	/* The three-level format keeps no such bits in its directory pointers. */
	unsigned int level, top = walk->levels == 3 ? 2 : walk->levels;
	uint64_t leaf_bits = PTE_ACCESSED | (walk->access & ACCESS_WRITE ? PTE_DIRTY : 0);

	/* The rights have all entries' accessed bits ANDed, too. */
	if (likely(walk->rights & PTE_ACCESSED &&
		    (walk->values[walk->leaf] & leaf_bits) == leaf_bits))
		return true;
	for (level = top - 1; level > walk->leaf; level--) {
		if (!set_bits(walk, level, PTE_ACCESSED))
			return false;
	}
	return set_bits(walk, walk->leaf, leaf_bits);
}

/* The narrow format leaves none: its entries are of another size. */
static void leave_trail(const struct walk *walk, struct walk_trail *trail)
{
	unsigned int level;

	trail->count = 0;
	trail->page_bytes = walk->wide ? BIT(12 + 9 * walk->leaf) : 0;
	for (level = walk->levels; walk->wide && level-- > walk->leaf;) {
		trail->steps[trail->count].entry = walk->entries[level];
		trail->steps[trail->count++].value = walk->values[level];
	}
}

static unsigned int paging_levels(const struct special_regs *special)
{
	if (special->efer & EFER_LMA)
		return special->cr4 & CR4_LA57 ? 5 : 4;
	return special->cr4 & CR4_PAE ? 3 : 2;
}

int guest_walk(struct vcpu *vcpu, gva_t linear, uint64_t access, gpa_t *gpa, uint32_t *error,
	struct walk_trail *trail)
{
	struct walk walk;
	unsigned int tries;
	int err;

	if (!(vcpu->special.cr0 & CR0_PG)) {
		*gpa = (uint32_t)linear;
		if (trail) {
			trail->count = 0;
			trail->page_bytes = LARGE_PAGE_SIZE;
		}
		return 0;
	}
	*error = 0;
	walk.vcpu = vcpu;
	walk.block = walk.block_bytes = 0;
	walk.linear = linear;
	walk.access = access;
	walk.levels = paging_levels(&vcpu->special);
	walk.wide = walk.levels > 2;
	walk.reserved = walk.wide ? reserved_always(vcpu) : 0;
	/* A guest that rewrites its tables all the time gets what a stale TLB would give it. */
	for (tries = 0; tries <= AD_RETRIES; tries++) {
		walk.rights = ~PTE_NO_EXECUTE;
		err = walk.wide ? walk_wide(&walk, gpa, error) : walk_narrow(&walk, gpa, error);
		if (!err && !access_allowed(&walk)) {
			*error = PF_PRESENT;
			err = -EFAULT;
		}
		if (err) {
			*error = fault_code(&walk, *error);
			return err;
		}
		if (set_accessed_and_dirty(&walk))
			break;
	}
	if (trail)
		leave_trail(&walk, trail);
	return 0;
}
