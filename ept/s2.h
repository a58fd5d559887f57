/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Second-level paging: one walker for Intel's EPT and AMD's nested page tables. What differs
 * between them stands in a struct s2_format; the walker knows no vendor.
 *
 * The caller serialises all calls on one struct s2 (struct guest_memory does, by its lock).
 */
#ifndef BALLAST_EPT_S2_H
#define BALLAST_EPT_S2_H

#include "host/memory.h"

#define S2_READ BIT(0)
#define S2_WRITE BIT(1)
#define S2_EXEC BIT(2)
#define S2_ALL (S2_READ | S2_WRITE | S2_EXEC)

/* How one vendor writes a page-table entry. Four levels; 1 maps 4 KiB, 2 maps 2 MiB, 3 1 GiB. */
struct s2_format {
	const char *name;
	uint64_t table_bits; /* set in every entry that points to a lower table */
	uint64_t leaf_bits;  /* set in every leaf: memory type write-back, ... */
	uint64_t large_bit;  /* marks a leaf above level 1 */
	uint64_t present;    /* any of these bits: the entry is in use */
	uint64_t read, write, exec;     /* bits that allow an access; 0 where it cannot be denied */
	uint64_t no_exec;    /* bit that forbids execution; 0 in a format that allows instead */
	uint64_t accessed, dirty;       /* 0 where the hardware keeps none */
	bool huge_pages;     /* 1 GiB leaves are usable; filled in by probe() */
};

struct s2 {
	const struct s2_format *format; /* [I] */
	hpa_t root;                     /* [I] level-4 table */
	uint64_t table_pages;           /* tables in use, the root included */
};

struct s2_mapping {
	hpa_t hpa;          /* of the address asked for, its offset included */
	unsigned int order; /* FRAME_ORDER_4K, _2M or _1G of the leaf */
	uint64_t access;    /* S2_READ | ... */
};

/* Nothing is mapped; -ENOMEM. */
int s2_init(struct s2 *s2, const struct s2_format *format) __must_check;
/* Frees the tables, not what they map. */
void s2_destroy(struct s2 *s2);
/* Nothing is mapped any more; the root stays where it is. */
void s2_clear(struct s2 *s2);

/*
 * Map 2^order frames, by one leaf if there is one of that size, else by as many of the next smaller
 * size as it takes; gpa and hpa are aligned to that. -ENOMEM without tables, -EEXIST when any part
 * is mapped already (nothing is changed then).
 */
int s2_map(struct s2 *s2, gpa_t gpa, hpa_t hpa, unsigned int order, uint64_t access) __must_check;
/* As s2_map() of one frame of 4 KiB, but also in place of a leaf of 4 KiB or of a number. */
int s2_set_page(struct s2 *s2, gpa_t gpa, hpa_t hpa, uint64_t access) __must_check;
/* Remove the leaf that maps `gpa`; what it mapped is stored in *old. -ENOENT when there is none. */
int s2_unmap(struct s2 *s2, gpa_t gpa, struct s2_mapping *old) __must_check;
/* What maps `gpa`: false when nothing does. */
bool s2_lookup(const struct s2 *s2, gpa_t gpa, struct s2_mapping *mapping);
/* Change what is allowed on the leaf that maps `gpa`; the caller flushes TLBs. -ENOENT. */
int s2_protect(struct s2 *s2, gpa_t gpa, uint64_t access) __must_check;
/* Replace a large leaf by a table of 512 smaller ones. -ENOMEM, -ENOENT, -EINVAL for 4 KiB. */
int s2_split(struct s2 *s2, gpa_t gpa) __must_check;
/*
 * Put 512 leaves of 4 KiB back into one of 2 MiB: -EINVAL unless they lie in one piece of memory
 * and all allow `access`, -ENOENT without a table. The table is stored in *table: a walk that began
 * before may still read it, so the caller frees it (FRAME_VM) when none can, and flushes TLBs.
 */
int s2_merge(struct s2 *s2, gpa_t gpa, uint64_t access, hpa_t *table) __must_check;

/*
 * Pages that are not mapped, but known: in place of the leaf of 4 KiB stands a number that means
 * something to the caller, not 0 and below 2^43. Speculation takes an entry that is not present
 * for the address of what to load (L1TF), so the number is written such that high, unused
 * addresses come out. s2_map() may follow.
 */
#define S2_NUMBER_BITS 43
/*
 * In place of a leaf of 4 KiB, or of nothing; 0: nothing any more. -ENOMEM without tables, -EEXIST
 * in a large leaf.
 */
int s2_set_number(struct s2 *s2, gpa_t gpa, uint64_t number) __must_check;
/* Of the page at gpa; 0: it is mapped, or nothing is known of it. */
uint64_t s2_number(const struct s2 *s2, gpa_t gpa);
/* In the block of this order around gpa nothing is mapped, has a number or is a table. */
bool s2_is_blank(const struct s2 *s2, gpa_t gpa, unsigned int order);

/*
 * Call visit() for every leaf in ascending order, and number() for every page that has one (NULL:
 * not wanted). The callbacks may not change the tables.
 */
struct s2_visitor {
	void (*leaf)(gpa_t gpa, const struct s2_mapping *mapping, void *arg);
	void (*number)(gpa_t gpa, uint64_t number, void *arg);
	void *arg;
};
void s2_for_each(const struct s2 *s2, const struct s2_visitor *visitor);

#endif
