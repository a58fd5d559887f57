/* SPDX-License-Identifier: BSD-2-Clause */
/* What VMs are guaranteed of the machine's memory, and what they may use, also while they run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/unit/fake_devices.h"
#include "test/unit/fake_parts.h"
#include "vcpu/balloon_port.h"

static struct managed_vm *one, *two;
static char why[240];

static struct vm_balloon balloon;
static unsigned int retargets;

static int setup(void **state)
{
	(void)state;
	fake_parts_reset();
	fake_parts_begin();
	one = vms_find("one");
	two = vms_find("two");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_parts_end();
	fake_devices_reset();
	return 0;
}

static void test_only_what_is_guaranteed_must_be_there(void **state)
{
	(void)state;
	fake.free_frames = MIB(400) / PAGE_SIZE;
	assert_int_equal(vms_set(one, "min=50%", why, sizeof(why)), 0);
	assert_int_equal(vms_start(one), 0);
	assert_int_equal(vms_promised_bytes(), MIB(128) - 100 * PAGE_SIZE);
	one->vm->memory.resident_pages = MIB(200) / PAGE_SIZE;
	assert_int_equal(vms_promised_bytes(), 0);
	fake.free_frames -= MIB(199) / PAGE_SIZE;
	fake.guest_frames = MIB(199) / PAGE_SIZE;
	assert_int_equal(vms_start(two), 0);
	/* There is no room for all of both. */
	assert_int_equal(vms_set(one, "min=100%", why, sizeof(why)), -ENOMEM);
	assert_string_equal(why, "it needs 256 MiB that are guaranteed to it and 192 KiB for its tables; 256 MiB are "
		"guaranteed to running VMs, which take 588 KiB besides, and 143 MiB are free");
	assert_int_equal(config_min_memory(one->config), MIB(128));
	assert_int_equal(vms_set(one, "min=130M", why, sizeof(why)), 0);
	assert_int_equal(vms_set(two, "min=270M", why, sizeof(why)), -EINVAL);
	assert_int_equal(vms_set(two, "shares=high", why, sizeof(why)), 0);
	assert_int_equal(config_shares(two->config), 5120);
}

static void count_retarget(struct vm_balloon *of)
{
	assert_ptr_equal(of, &balloon);
	retargets++;
}

static void test_memory_changes_while_it_runs_up_to_maxmem(void **state)
{
	(void)state;
	assert_int_equal(vms_set(one, "maxmem=512M min=64M", why, sizeof(why)), 0);
	assert_int_equal(vms_start(one), 0);
	balloon = (struct vm_balloon){ .retarget = count_retarget };
	one->vm->balloon = &balloon;
	retargets = 0;
	assert_int_equal(vms_set(one, "memory=512M", why, sizeof(why)), 0);
	assert_int_equal(balloon.target_pages, 0);
	assert_int_equal(vms_set(one, "memory=100M", why, sizeof(why)), 0);
	assert_int_equal(balloon.target_pages, MIB(412) / PAGE_SIZE);
	assert_int_equal(retargets, 1);
	assert_int_equal(vms_set(one, "memory=513M", why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "maxmem 512M is less than memory, 513M; expected at least as much");
	assert_int_equal(vms_set(one, "memory=32M", why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "min 64M is more than memory, 32M; expected at most as much");
	assert_int_equal(vms_set(one, "maxmem=1G", why, sizeof(why)), -EBUSY);
	assert_int_equal(vms_set(one, "group=web", why, sizeof(why)), -EBUSY);
	assert_non_null(one->vm);
}

/* What is above its boot memory is plugged in, and the balloon is for what is below. */
static void test_memory_is_plugged_in(void **state)
{
	(void)state;
	assert_int_equal(vms_set(one, "maxmem=512M hotplug=yes", why, sizeof(why)), 0);
	assert_int_equal(vms_start(one), 0);
	assert_int_equal(one->vm->memory.limit_pages, MIB(256) / PAGE_SIZE);
	assert_int_equal(fake.hotplug_bytes, MIB(256));
	assert_int_equal(fake.hotplug.requested_bytes, 0);
	balloon = (struct vm_balloon){ .retarget = count_retarget };
	one->vm->balloon = &balloon;
	assert_int_equal(vms_set(one, "memory=400M", why, sizeof(why)), 0);
	assert_int_equal(fake.hotplug.requested_bytes, MIB(144));
	assert_int_equal(balloon.target_pages, 0);
	one->vm->memory.limit_pages = MIB(400) / PAGE_SIZE;
	assert_int_equal(vms_set(one, "memory=200M", why, sizeof(why)), 0);
	assert_int_equal(fake.hotplug.requested_bytes, 0);
	assert_int_equal(balloon.target_pages, MIB(56) / PAGE_SIZE);
	assert_int_equal(vms_set(one, "memory=513M", why, sizeof(why)), -EINVAL);
	assert_int_equal(vms_set(one, "hotplug=no", why, sizeof(why)), -EBUSY);
}

/* Without a maxmem, what it had at its start is the most. */
static void test_memory_that_was_given_up_can_be_had_again(void **state)
{
	(void)state;
	assert_int_equal(vms_start(two), 0);
	assert_int_equal(vms_set(two, "memory=100M", why, sizeof(why)), 0);
	assert_int_equal(config_max_memory(two->config), MIB(256));
	assert_int_equal(vms_set(two, "memory=256M", why, sizeof(why)), 0);
	assert_int_equal(vms_set(two, "memory=257M", why, sizeof(why)), -EINVAL);
	assert_non_null(two->vm);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_only_what_is_guaranteed_must_be_there),
		TEST(test_memory_changes_while_it_runs_up_to_maxmem),
		TEST(test_memory_is_plugged_in),
		TEST(test_memory_that_was_given_up_can_be_had_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
