/* SPDX-License-Identifier: BSD-2-Clause */
/* The second-level walker on both formats, and guest memory on top of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "ept/guest_memory.h"
#include "test/unit/fake_frames.h"

/* Both formats as the manuals have them: Intel SDM vol. 3, "EPT Translation Mechanism"; AMD APM vol. 2. */
static const struct s2_format ept_like = { .name = "EPT", .table_bits = 7, .leaf_bits = 6 << 3,
	.large_bit = BIT(7), .present = 7, .read = BIT(0), .write = BIT(1), .exec = BIT(2),
	.accessed = BIT(8), .dirty = BIT(9) };
static const struct s2_format npt_like = { .name = "NPT", .table_bits = 7, .leaf_bits = 5,
	.large_bit = BIT(7), .present = BIT(0), .write = BIT(1), .no_exec = BIT(63),
	.accessed = BIT(5), .dirty = BIT(6) };

static const struct s2_format *const formats[] = { &ept_like, &npt_like };

#define FOR_EACH_FORMAT(format)                                                                    \
	for (const struct s2_format *const *format##_at = formats, *format = *format##_at;         \
	     format##_at < formats + ARRAY_SIZE(formats);                                          \
	     format##_at++, format = format##_at < formats + ARRAY_SIZE(formats) ? *format##_at    \
									       : NULL)

static void maps_and_finds(void **state)
{
	(void)state;
	FOR_EACH_FORMAT(format) {
		struct s2_mapping mapping;
		struct s2 s2;

		assert_int_equal(s2_init(&s2, format), 0);
		assert_false(s2_lookup(&s2, 0, &mapping));
		assert_int_equal(s2_map(&s2, 0x1000, 0x7000, FRAME_ORDER_4K, S2_ALL), 0);
		assert_int_equal(s2_map(&s2, 0x200000, 0x40000000, FRAME_ORDER_2M, S2_READ), 0);
		assert_int_equal(s2_map(&s2, 0x40000000, 0x80000000, FRAME_ORDER_1G, S2_ALL), 0);
		assert_true(s2_lookup(&s2, 0x1234, &mapping));
		assert_int_equal(mapping.hpa, 0x7234);
		assert_int_equal(mapping.order, FRAME_ORDER_4K);
		assert_int_equal(mapping.access, S2_ALL);
		assert_true(s2_lookup(&s2, 0x212345, &mapping));
		assert_int_equal(mapping.hpa, 0x40012345);
		assert_int_equal(mapping.order, FRAME_ORDER_2M);
		assert_int_equal(mapping.access & S2_WRITE, 0);
		assert_true(s2_lookup(&s2, 0x7fffffff, &mapping));
		assert_int_equal(mapping.hpa, 0xbfffffff);
		assert_false(s2_lookup(&s2, 0x2000, &mapping));
		s2_destroy(&s2);
		assert_int_equal(fake_frames_in_use, 0);
	}
}

static void refuses_overlaps(void **state)
{
	(void)state;
	FOR_EACH_FORMAT(format) {
		struct s2 s2;

		assert_int_equal(s2_init(&s2, format), 0);
		assert_int_equal(s2_map(&s2, 0x200000, 0, FRAME_ORDER_2M, S2_ALL), 0);
		assert_int_equal(s2_map(&s2, 0x201000, 0, FRAME_ORDER_4K, S2_ALL), -EEXIST);
		assert_int_equal(s2_map(&s2, 0x200000, 0, FRAME_ORDER_2M, S2_ALL), -EEXIST);
		assert_int_equal(s2_map(&s2, 0, 0, FRAME_ORDER_1G, S2_ALL), -EEXIST);
		s2_destroy(&s2);
	}
}

static void protects_splits_and_unmaps(void **state)
{
	(void)state;
	FOR_EACH_FORMAT(format) {
		struct s2_mapping mapping;
		struct s2 s2;

		assert_int_equal(s2_init(&s2, format), 0);
		assert_int_equal(s2_map(&s2, 0x200000, 0x600000, FRAME_ORDER_2M, S2_ALL), 0);
		assert_int_equal(s2_split(&s2, 0x200000), 0);
		assert_int_equal(s2_split(&s2, 0x200000), -EINVAL);
		assert_int_equal(s2_protect(&s2, 0x3ff000, S2_READ), 0);
		assert_true(s2_lookup(&s2, 0x3ff010, &mapping));
		assert_int_equal(mapping.hpa, 0x7ff010);
		assert_int_equal(mapping.access, S2_READ);
		assert_true(s2_lookup(&s2, 0x3fe010, &mapping));
		assert_int_equal(mapping.access, S2_ALL);
		assert_int_equal(s2_unmap(&s2, 0x3ff123, &mapping), 0);
		assert_int_equal(mapping.hpa, 0x7ff000);
		assert_int_equal(s2_unmap(&s2, 0x3ff123, &mapping), -ENOENT);
		assert_int_equal(s2_protect(&s2, 0x3ff000, S2_READ), -ENOENT);
		s2_destroy(&s2);
		assert_int_equal(fake_frames_in_use, 0);
	}
}

static void survives_want_of_frames(void **state)
{
	(void)state;
	FOR_EACH_FORMAT(format) {
		for (int64_t frames = 1; frames < 4; frames++) {
			struct s2 s2;

			assert_int_equal(s2_init(&s2, format), 0);
			fake_frames_until_failure = frames - 1;
			assert_int_equal(s2_map(&s2, 0x1000, 0, FRAME_ORDER_4K, S2_ALL), -ENOMEM);
			fake_frames_until_failure = -1;
			assert_int_equal(s2_map(&s2, 0x1000, 0, FRAME_ORDER_4K, S2_ALL), 0);
			s2_destroy(&s2);
			assert_int_equal(fake_frames_in_use, 0);
		}
	}
}

/* Against a flat array as the model: random maps, unmaps, splits over 64 MiB. */
static void agrees_with_a_model(void **state)
{
	enum { PAGES = 16384 };
	static hpa_t model[PAGES];

	(void)state;
	FOR_EACH_FORMAT(format) {
		struct s2 s2;

		srand(1);
		memset(model, 0xff, sizeof(model));
		assert_int_equal(s2_init(&s2, format), 0);
		for (unsigned int step = 0; step < 20000; step++) {
			unsigned int order = rand() % 8 ? rand() % 3 * 2U : FRAME_ORDER_2M;
			unsigned int page = ROUND_DOWN((unsigned int)rand() % PAGES, 1U << order);
			hpa_t hpa = (hpa_t)(rand() % 1000000) << (PAGE_SHIFT + order);
			struct s2_mapping old;
			bool is_free = true, is_blank;

			for (unsigned int i = 0; i < 1U << order; i++)
				is_free = is_free && model[page + i] == HPA_NONE;
			if (rand() % 3 == 0 && !s2_unmap(&s2, (gpa_t)page << PAGE_SHIFT, &old)) {
				unsigned int first = ROUND_DOWN(page, 1U << old.order);

				for (unsigned int i = 0; i < 1U << old.order; i++)
					model[first + i] = HPA_NONE;
				continue;
			}
			if (rand() % 5 == 0) {
				(void)!s2_split(&s2, (gpa_t)page << PAGE_SHIFT);
				continue;
			}
			is_blank = s2_is_blank(&s2, (gpa_t)page << PAGE_SHIFT, order);
			assert_true(is_free || !is_blank);
			/* A table of 4 KiB pages stands in a 2 MiB leaf's way even when it is empty. */
			assert_true(is_blank || !is_free || order == FRAME_ORDER_2M);
			if (!s2_map(&s2, (gpa_t)page << PAGE_SHIFT, hpa, order, S2_ALL)) {
				assert_true(is_blank);
				for (unsigned int i = 0; i < 1U << order; i++)
					model[page + i] = hpa + i * PAGE_SIZE;
			} else {
				assert_false(is_blank);
			}
		}
		for (unsigned int page = 0; page < PAGES; page++) {
			struct s2_mapping mapping;
			bool found = s2_lookup(&s2, (gpa_t)page << PAGE_SHIFT, &mapping);

			assert_int_equal(found ? mapping.hpa : HPA_NONE, model[page]);
		}
		s2_destroy(&s2);
		assert_int_equal(fake_frames_in_use, 0);
	}
}

static void memory_slots_are_checked(void **state)
{
	struct guest_memory memory;

	(void)state;
	assert_int_equal(guest_memory_init(&memory, &ept_like), 0);
	assert_int_equal(guest_memory_add(&memory, 0x100000, 0x100000, false), 0);
	assert_int_equal(guest_memory_add(&memory, 0x0, 0xa0000, false), 0);
	assert_int_equal(guest_memory_add(&memory, 0x9f000, 0x1000, false), -EINVAL);
	assert_int_equal(guest_memory_add(&memory, 0x1ff000, 0x2000, false), -EINVAL);
	assert_int_equal(guest_memory_add(&memory, 0xff000, 0x2000, false), -EINVAL);
	assert_int_equal(guest_memory_add(&memory, 0x300001, 0x1000, false), -EINVAL);
	assert_int_equal(guest_memory_add(&memory, 0x300000, 0, false), -EINVAL);
	assert_int_equal(guest_memory_add(&memory, ~0xfffULL, 0x2000, false), -EINVAL);
	assert_int_equal(memory.slots[0].start, 0);
	assert_int_equal(memory.limit_pages, 0x1a0);
	assert_true(guest_memory_is_ram(&memory, 0x9ffff));
	assert_false(guest_memory_is_ram(&memory, 0xa0000));
	for (unsigned int i = 0; i < GUEST_MEMORY_SLOTS - 2; i++)
		assert_int_equal(guest_memory_add(&memory, 0x400000 + i * 0x1000, 0x1000, false), 0);
	assert_int_equal(guest_memory_add(&memory, 0x800000, 0x1000, false), -ENOSPC);
	guest_memory_destroy(&memory);
	assert_int_equal(fake_frames_in_use, 0);
}

static void memory_comes_on_first_touch(void **state)
{
	struct guest_memory memory;
	uint64_t bytes, value = 1;
	uint64_t *ptr;

	(void)state;
	assert_int_equal(guest_memory_init(&memory, &npt_like), 0);
	assert_int_equal(guest_memory_add(&memory, 0, 0xa0000, false), 0);
	assert_int_equal(guest_memory_add(&memory, 0x100000, 0x700000, false), 0);
	assert_int_equal(memory.resident_pages, 0);
	assert_int_equal(guest_memory_fault(&memory, 0xa0000, S2_READ), MEMORY_MMIO);
	assert_int_equal(guest_memory_fault(&memory, 0x1000, S2_WRITE), MEMORY_MAPPED);
	assert_int_equal(memory.resident_pages, 16); /* the first 2 MiB are not all RAM */
	assert_int_equal(guest_memory_fault(&memory, 0xf000, S2_WRITE), MEMORY_MAPPED);
	assert_int_equal(memory.resident_pages, 16);
	assert_int_equal(guest_memory_fault(&memory, 0x200000, S2_WRITE), MEMORY_MAPPED);
	assert_int_equal(memory.resident_pages, 16 + 512);
	assert_int_equal(guest_memory_fault(&memory, 0x3fffff, S2_READ), MEMORY_MAPPED);
	assert_int_equal(memory.resident_pages, 16 + 512);
	ptr = guest_memory_ptr(&memory, 0x201000, S2_WRITE, &bytes);
	assert_non_null(ptr);
	assert_int_equal(bytes, 0x1ff000);
	assert_int_equal(*ptr, 0);
	*ptr = 0x1234;
	assert_int_equal(guest_memory_read(&memory, 0x201000, &value, 8), 0);
	assert_int_equal(value, 0x1234);
	assert_null(guest_memory_ptr(&memory, 0xb8000, S2_WRITE, NULL));
	assert_null(guest_memory_ptr(&memory, BIT(48) + 0x201000, S2_WRITE, NULL)); /* must not alias */
	/* Reset: the same addresses read as zeroes. */
	guest_memory_clear(&memory);
	assert_int_equal(memory.resident_pages, 0);
	assert_int_equal(guest_memory_read(&memory, 0x201000, &value, 8), 0);
	assert_int_equal(value, 0);
	guest_memory_destroy(&memory);
	assert_int_equal(fake_frames_in_use, 0);
}

static void memory_copies_across_pages(void **state)
{
	struct guest_memory memory;
	uint8_t out[9000], in[9000];

	(void)state;
	for (unsigned int i = 0; i < sizeof(out); i++)
		out[i] = i * 13;
	assert_int_equal(guest_memory_init(&memory, &ept_like), 0);
	assert_int_equal(guest_memory_add(&memory, 0, 0x10000, false), 0);
	assert_int_equal(guest_memory_write(&memory, 0xff0, out, sizeof(out)), 0);
	assert_int_equal(guest_memory_read(&memory, 0xff0, in, sizeof(in)), 0);
	assert_memory_equal(out, in, sizeof(in));
	assert_int_equal(guest_memory_write(&memory, 0xf000, out, 0x1001), -EFAULT);
	assert_int_equal(guest_memory_read(&memory, ~0ULL - 7, in, 16), -EFAULT);
	guest_memory_destroy(&memory);
}

static void memory_can_be_read_only(void **state)
{
	struct guest_memory memory;
	struct s2_mapping mapping;

	(void)state;
	assert_int_equal(guest_memory_init(&memory, &ept_like), 0);
	assert_int_equal(guest_memory_add(&memory, 0xf0000, 0x10000, true), 0);
	assert_int_equal(guest_memory_fault(&memory, 0xf0000, S2_WRITE), MEMORY_DENIED);
	assert_int_equal(guest_memory_fault(&memory, 0xf0000, S2_EXEC), MEMORY_MAPPED);
	assert_true(s2_lookup(&memory.s2, 0xf0000, &mapping));
	assert_int_equal(mapping.access, S2_READ | S2_EXEC);
	guest_memory_destroy(&memory);
}

static unsigned int needed;

static void need(struct guest_memory *memory)
{
	(void)memory;
	needed++;
}

static void memory_waits_for_frames(void **state)
{
	const struct memory_keeper keeper = { .needed = need };
	struct guest_memory memory;

	(void)state;
	assert_int_equal(guest_memory_init(&memory, &ept_like), 0);
	assert_int_equal(guest_memory_add(&memory, 0, 0x400000, false), 0);
	memory.keeper = &keeper;
	fake_frames_until_failure = 0;
	assert_int_equal(guest_memory_fault(&memory, 0, S2_READ), MEMORY_WAIT);
	assert_int_equal(needed, 1);
	assert_int_equal(memory.resident_pages, 0);
	fake_frames_until_failure = -1;
	memory.ceiling_pages = memory.resident_pages;
	assert_int_equal(guest_memory_fault(&memory, 0, S2_READ), MEMORY_WAIT);
	/* Ballast's own accesses do not. */
	assert_non_null(guest_memory_ptr(&memory, 0x200000, S2_WRITE, NULL));
	memory.ceiling_pages = UINT64_MAX;
	memory.by_page = true;
	assert_int_equal(guest_memory_fault(&memory, 0, S2_READ), MEMORY_MAPPED);
	assert_int_equal(memory.resident_pages, 513);
	guest_memory_destroy(&memory);
	assert_int_equal(fake_frames_in_use, 0);
}

static bool has_page(struct guest_memory *memory, unsigned int page, uint64_t free)
{
	bool has;

	fake_frames_free = free;
	has = guest_memory_fault(memory, page * PAGE_SIZE, S2_WRITE) == MEMORY_MAPPED;
	fake_frames_free = ~0ULL;
	return has;
}

/* Guaranteed pages come first, then those of guests above their ceilings, as many as they may have, then others. */
static void memory_has_floors(void **state)
{
	struct guest_memory memory;

	(void)state;
	assert_int_equal(guest_memory_init(&memory, &npt_like), 0);
	assert_int_equal(guest_memory_add(&memory, 0, 0x400000, false), 0);
	memory.by_page = true;
	memory.guaranteed_pages = 2;
	guest_memory_set_floor(100, 30, 10);
	assert_false(has_page(&memory, 0, 10));
	assert_true(has_page(&memory, 0, 11));
	assert_true(has_page(&memory, 1, 11));
	assert_false(has_page(&memory, 2, 130));
	assert_true(has_page(&memory, 2, 131));
	memory.ceiling_pages = 3;
	assert_false(has_page(&memory, 3, 1000));
	memory.ceiling_faults = memory.faults + 2;
	assert_false(has_page(&memory, 3, 100));
	assert_true(has_page(&memory, 3, 101));
	assert_true(has_page(&memory, 4, 101));
	assert_false(has_page(&memory, 5, 1000));
	/* It is pages got that count: one that has lost one may not have it again. */
	memory.resident_pages--;
	assert_false(has_page(&memory, 5, 1000));
	memory.resident_pages++;
	guest_memory_set_floor(0, 0, 0);
	guest_memory_destroy(&memory);
	assert_int_equal(fake_frames_in_use, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(maps_and_finds),
		cmocka_unit_test(refuses_overlaps),
		cmocka_unit_test(protects_splits_and_unmaps),
		cmocka_unit_test(survives_want_of_frames),
		cmocka_unit_test(agrees_with_a_model),
		cmocka_unit_test(memory_slots_are_checked),
		cmocka_unit_test(memory_comes_on_first_touch),
		cmocka_unit_test(memory_copies_across_pages),
		cmocka_unit_test(memory_can_be_read_only),
		cmocka_unit_test(memory_waits_for_frames),
		cmocka_unit_test(memory_has_floors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
