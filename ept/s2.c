/* SPDX-License-Identifier: BSD-2-Clause */
/* The second-level page-table walker; ept/s2.h says what it promises. */
#include "ept/s2.h"

#define S2_LEVELS 4
#define S2_ENTRIES 512
#define S2_ADDRESS 0x000ffffffffff000ULL

static inline unsigned int level_shift(unsigned int level)
{
	return PAGE_SHIFT + 9 * (level - 1);
}

static inline unsigned int order_of_level(unsigned int level)
{
	return 9 * (level - 1);
}

static inline uint64_t *entry_of(hpa_t table, gpa_t gpa, unsigned int level)
{
	return (uint64_t *)host_ptr(table) + (gpa >> level_shift(level)) % S2_ENTRIES;
}

static inline bool entry_present(const struct s2 *s2, uint64_t entry)
{
	return entry & s2->format->present;
}

static inline bool entry_is_leaf(const struct s2 *s2, uint64_t entry, unsigned int level)
{
	return level == 1 || (entry & s2->format->large_bit);
}

/* Other CPUs' page walkers read entries at any time, so each changes in one store. */
static inline void entry_set(uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

static uint64_t access_bits(const struct s2_format *format, uint64_t access)
{
	uint64_t bits = 0;

	if (access & S2_READ)
		bits |= format->read;
	if (access & S2_WRITE)
		bits |= format->write;
	if (access & S2_EXEC)
		bits |= format->exec;
	else
		bits |= format->no_exec;
	return bits;
}

static uint64_t access_of(const struct s2_format *format, uint64_t entry)
{
	uint64_t access = 0;

	if ((entry & format->read) == format->read)
		access |= S2_READ;
	if ((entry & format->write) == format->write)
		access |= S2_WRITE;
	if ((entry & format->exec) == format->exec && !(entry & format->no_exec))
		access |= S2_EXEC;
	return access;
}

static uint64_t make_leaf(
	const struct s2_format *format, hpa_t hpa, unsigned int level, uint64_t access)
{
	uint64_t leaf = hpa | format->leaf_bits | access_bits(format, access);

	return level > 1 ? leaf | format->large_bit : leaf;
}

static int table_create(struct s2 *s2, hpa_t *table)
{
	*table = frame_alloc_zeroed(FRAME_ORDER_4K, FRAME_VM);
	if (*table == HPA_NONE)
		return -ENOMEM;
	s2->table_pages++;
	return 0;
}

int s2_init(struct s2 *s2, const struct s2_format *format)
{
	s2->format = format;
	s2->table_pages = 0;
	return table_create(s2, &s2->root);
}

/* Empty a table and free those below it. */
static void table_clear(struct s2 *s2, hpa_t table, unsigned int level)
{
	uint64_t *entries = host_ptr(table);

	for (unsigned int i = 0; i < S2_ENTRIES; i++) {
		uint64_t entry = entries[i];

		entry_set(&entries[i], 0);
		if (!entry_present(s2, entry) || entry_is_leaf(s2, entry, level))
			continue;
		table_clear(s2, entry & S2_ADDRESS, level - 1);
		frame_free(entry & S2_ADDRESS, FRAME_ORDER_4K);
		s2->table_pages--;
	}
}

void s2_clear(struct s2 *s2)
{
	table_clear(s2, s2->root, S2_LEVELS);
}

void s2_destroy(struct s2 *s2)
{
	s2_clear(s2);
	frame_free(s2->root, FRAME_ORDER_4K);
	s2->root = HPA_NONE;
	s2->table_pages = 0;
}

/* The entry of `level` for gpa, its upper tables created; NULL and *error when that fails. */
static uint64_t *walk_create(struct s2 *s2, gpa_t gpa, unsigned int level, int *error)
{
	hpa_t table = s2->root;

	for (unsigned int at = S2_LEVELS; at > level; at--) {
		uint64_t *entry = entry_of(table, gpa, at);

		if (!entry_present(s2, *entry)) {
			*error = table_create(s2, &table);
			if (*error)
				return NULL;
			entry_set(entry, table | s2->format->table_bits);
		} else if (entry_is_leaf(s2, *entry, at)) {
			*error = -EEXIST;
			return NULL;
		} else {
			table = *entry & S2_ADDRESS;
		}
	}
	return entry_of(table, gpa, level);
}

/* The leaf entry that maps gpa and its level; NULL when there is none. */
static inline uint64_t *walk(const struct s2 *s2, gpa_t gpa, unsigned int *level)
{
	hpa_t table = s2->root;

	for (unsigned int at = S2_LEVELS; at >= 1; at--) {
		uint64_t *entry = entry_of(table, gpa, at);
		uint64_t value = __atomic_load_n(entry, __ATOMIC_RELAXED);

		if (!entry_present(s2, value))
			return NULL;
		if (entry_is_leaf(s2, value, at)) {
			*level = at;
			return entry;
		}
		table = value & S2_ADDRESS;
	}
	return NULL;
}

int s2_map(struct s2 *s2, gpa_t gpa, hpa_t hpa, unsigned int order, uint64_t access)
{
	unsigned int level = order / 9 + 1;
	uint64_t count = BIT(order - order_of_level(level)), step = BIT(level_shift(level));
	int error = 0;
	uint64_t *entry = walk_create(s2, gpa, level, &error);
	uint64_t leaf;

	if (!entry)
		return error;
	for (uint64_t i = 0; i < count; i++) {
		if (entry_present(s2, entry[i]))
			return -EEXIST;
	}
	leaf = make_leaf(s2->format, hpa, level, access);
	for (uint64_t i = 0; i < count; i++)
		entry_set(&entry[i], leaf + i * step);
	return 0;
}

int s2_set_page(struct s2 *s2, gpa_t gpa, hpa_t hpa, uint64_t access)
{
	int error = 0;
	uint64_t *entry = walk_create(s2, gpa, 1, &error);

	if (!entry)
		return error;
	entry_set(entry, make_leaf(s2->format, hpa, 1, access));
	return 0;
}

static void describe_leaf(
	const struct s2 *s2, gpa_t gpa, uint64_t entry, unsigned int level, struct s2_mapping *out)
{
	uint64_t offset_mask = BIT(level_shift(level)) - 1;

	out->hpa = (entry & S2_ADDRESS & ~offset_mask) | (gpa & offset_mask);
	out->order = order_of_level(level);
	out->access = access_of(s2->format, entry);
}

bool s2_lookup(const struct s2 *s2, gpa_t gpa, struct s2_mapping *mapping)
{
	unsigned int level;
	const uint64_t *entry = walk(s2, gpa, &level);

	if (!entry)
		return false;
	describe_leaf(s2, gpa, *entry, level, mapping);
	return true;
}

int s2_unmap(struct s2 *s2, gpa_t gpa, struct s2_mapping *old)
{
	unsigned int level;
	uint64_t *entry = walk(s2, gpa, &level);

	if (!entry)
		return -ENOENT;
	describe_leaf(s2, ROUND_DOWN(gpa, BIT(level_shift(level))), *entry, level, old);
	entry_set(entry, 0);
	return 0;
}

int s2_protect(struct s2 *s2, gpa_t gpa, uint64_t access)
{
	const struct s2_format *format = s2->format;
	uint64_t all = format->read | format->write | format->exec | format->no_exec;
	unsigned int level;
	uint64_t *entry = walk(s2, gpa, &level);

	if (!entry)
		return -ENOENT;
	entry_set(entry, (*entry & ~all) | access_bits(format, access));
	return 0;
}

int s2_split(struct s2 *s2, gpa_t gpa)
{
	unsigned int level;
	uint64_t *entry = walk(s2, gpa, &level);
	struct s2_mapping large;
	hpa_t table;
	int error;

	if (!entry)
		return -ENOENT;
	if (level == 1)
		return -EINVAL;
	describe_leaf(s2, ROUND_DOWN(gpa, BIT(level_shift(level))), *entry, level, &large);
	error = table_create(s2, &table);
	if (error)
		return error;
	for (unsigned int i = 0; i < S2_ENTRIES; i++) {
		hpa_t piece = large.hpa + ((uint64_t)i << level_shift(level - 1));

		((uint64_t *)host_ptr(table))[i] =
			make_leaf(s2->format, piece, level - 1, large.access);
	}
	entry_set(entry, table | s2->format->table_bits);
	return 0;
}

/* Does the table map one piece of memory, aligned to 2 MiB, with nothing denied of `access`? */
static bool is_one_piece(
	const struct s2 *s2, const uint64_t *entries, uint64_t access, hpa_t *start)
{
	struct s2_mapping mapping;

	for (unsigned int i = 0; i < S2_ENTRIES; i++) {
		if (!entry_present(s2, entries[i]))
			return false;
		describe_leaf(s2, 0, entries[i], 1, &mapping);
		if (i == 0)
			*start = mapping.hpa;
		if (mapping.hpa != *start + ((uint64_t)i << PAGE_SHIFT) || mapping.access != access)
			return false;
	}
	return IS_ALIGNED(*start, PAGE_SIZE << FRAME_ORDER_2M);
}

int s2_merge(struct s2 *s2, gpa_t gpa, uint64_t access, hpa_t *table)
{
	hpa_t at = s2->root, start;
	uint64_t *entry = NULL;

	for (unsigned int level = S2_LEVELS; level > 1; level--) {
		entry = entry_of(at, gpa, level);
		if (!entry_present(s2, *entry) || entry_is_leaf(s2, *entry, level))
			return -ENOENT;
		at = *entry & S2_ADDRESS;
	}
	if (!is_one_piece(s2, host_ptr(at), access, &start))
		return -EINVAL;
	entry_set(entry, make_leaf(s2->format, start, 2, access));
	s2->table_pages--;
	*table = at;
	return 0;
}

/* Three bits of a number below the address, where formats have `ignored` or flags of leaves. */
#define NUMBER_LOW_SHIFT 9
#define NUMBER_LOW (7ULL << NUMBER_LOW_SHIFT)

static uint64_t entry_of_number(uint64_t number)
{
	return (~(number >> 3 << PAGE_SHIFT) & S2_ADDRESS) | (number & 7) << NUMBER_LOW_SHIFT;
}

static uint64_t number_of_entry(uint64_t entry)
{
	return (~entry & S2_ADDRESS) >> PAGE_SHIFT << 3 | (entry & NUMBER_LOW) >> NUMBER_LOW_SHIFT;
}

int s2_set_number(struct s2 *s2, gpa_t gpa, uint64_t number)
{
	int error = 0;
	uint64_t *entry = walk_create(s2, gpa, 1, &error);

	if (!entry)
		return error;
	entry_set(entry, number ? entry_of_number(number) : 0);
	return 0;
}

bool s2_is_blank(const struct s2 *s2, gpa_t gpa, unsigned int order)
{
	unsigned int level = order / 9 + 1;
	gpa_t start = ROUND_DOWN(gpa, PAGE_SIZE << order);
	hpa_t table = s2->root;
	const uint64_t *entries;

	for (unsigned int at = S2_LEVELS; at > level; at--) {
		uint64_t value = __atomic_load_n(entry_of(table, start, at), __ATOMIC_RELAXED);

		if (!value)
			return true;
		if (entry_is_leaf(s2, value, at))
			return false;
		table = value & S2_ADDRESS;
	}
	entries = entry_of(table, start, level);
	for (uint64_t i = 0; i < BIT(order - order_of_level(level)); i++) {
		if (__atomic_load_n(&entries[i], __ATOMIC_RELAXED))
			return false;
	}
	return true;
}

uint64_t s2_number(const struct s2 *s2, gpa_t gpa)
{
	hpa_t table = s2->root;

	for (unsigned int at = S2_LEVELS; at > 1; at--) {
		uint64_t value = __atomic_load_n(entry_of(table, gpa, at), __ATOMIC_RELAXED);

		if (!entry_present(s2, value) || entry_is_leaf(s2, value, at))
			return 0;
		table = value & S2_ADDRESS;
	}
	table = __atomic_load_n(entry_of(table, gpa, 1), __ATOMIC_RELAXED);
	return table && !entry_present(s2, table) ? number_of_entry(table) : 0;
}

static void visit_table(const struct s2 *s2, hpa_t table, unsigned int level, gpa_t base,
	const struct s2_visitor *visitor)
{
	const uint64_t *entries = host_ptr(table);

	for (unsigned int i = 0; i < S2_ENTRIES; i++) {
		gpa_t gpa = base + ((uint64_t)i << level_shift(level));
		struct s2_mapping mapping;

		if (!entries[i])
			continue;
		if (!entry_present(s2, entries[i])) {
			if (visitor->number)
				visitor->number(gpa, number_of_entry(entries[i]), visitor->arg);
			continue;
		}
		if (!entry_is_leaf(s2, entries[i], level)) {
			visit_table(s2, entries[i] & S2_ADDRESS, level - 1, gpa, visitor);
			continue;
		}
		describe_leaf(s2, gpa, entries[i], level, &mapping);
		visitor->leaf(gpa, &mapping, visitor->arg);
	}
}

void s2_for_each(const struct s2 *s2, const struct s2_visitor *visitor)
{
	visit_table(s2, s2->root, S2_LEVELS, 0, visitor);
}
