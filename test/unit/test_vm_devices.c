/* SPDX-License-Identifier: BSD-2-Clause */
/* From a configuration to disks, networks, console and randomness, and what becomes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/machine.h"
#include "mgmt/vm_build.h"
#include "mgmt/vm_disks.h"
#include "mgmt/vm_nets.h"
#include "test/unit/fake_clock.h"
#include "test/unit/fake_devices.h"
#include "test/unit/fake_parts.h"
#include "test/unit/fake_serial.h"

static struct managed_vm *one, *two;

static int setup(void **state)
{
	(void)state;
	fake_parts_reset();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_parts_end();
	fake_devices_reset(); /* nothing is left open */
	return 0;
}

static void add_disk(size_t vm, const char *source, bool cow, bool read_only)
{
	struct vm_config *to = &config.vms[vm];

	to->disks[to->disk_count++] =
		(struct config_disk){ .source = source, .cow = cow, .read_only = read_only };
}

static void begin(void)
{
	fake_parts_begin();
	one = vms_find("one");
	two = vms_find("two");
}

static void assert_said(const char *lines)
{
	assert_string_equal(fake_serial_take(), lines);
}

static void starts(struct managed_vm *managed)
{
	assert_int_equal(vms_start(managed), 0);
	fake_serial_take();
}

static void stops(struct managed_vm *managed)
{
	vms_stop(managed);
	leave_cpus(managed);
	vms_poll();
	fake_serial_take();
}

static void assert_refused(struct managed_vm *managed, const char *reason)
{
	char line[512];

	assert_int_not_equal(vms_start(managed), 0);
	snprintf(line, sizeof(line), "vm %s: could not start: %s\r\n", managed->config->name,
		reason);
	assert_said(line);
	assert_null(managed->vm);
}

static void disks_are_opened_and_given_back(void **state)
{
	(void)state;
	add_disk(0, "nvme0p1", false, false);
	add_disk(0, "\\images\\base.img", true, false);
	add_disk(0, "sealed0", false, true);
	config.vms[0].disks[1].limit_bytes = MIB(64);
	begin();
	starts(one);
	assert_int_equal(devices.blks, 3);
	assert_ptr_equal(devices.backing[0], &devices.disks[FAKE_NVME0P1]);
	assert_ptr_equal(devices.backing[1], one->disks[1].overlay);
	assert_ptr_equal(devices.backing[2], &devices.disks[FAKE_SEALED]);
	assert_string_equal(devices.serials[0], "ballast-0");
	assert_string_equal(devices.serials[2], "ballast-2");
	assert_int_equal(devices.limit_bytes, MIB(64));
	assert_int_equal(devices.disks[FAKE_NVME0P1].writers, 1);
	assert_int_equal(devices.disks[FAKE_IMAGE].readers, 1);
	assert_int_equal(devices.disks[FAKE_SEALED].readers, 1);
	stops(one);
	vms_destroy(one);
	assert_false(vm_disks_any(one));
	assert_int_equal(devices.disks[FAKE_NVME0P1].writers, 0);
	assert_int_equal(devices.disks[FAKE_IMAGE].readers, 0);
}

static void what_a_guest_wrote_outlives_its_vm_being_built_anew(void **state)
{
	struct block_device *overlay;
	char why[240];

	(void)state;
	add_disk(0, "\\images\\base.img", true, false);
	add_disk(0, "nvme0p2", false, false);
	begin();
	starts(one);
	overlay = one->disks[0].overlay;
	stops(one);
	/* This takes the VM apart. */
	assert_int_equal(vms_set(one, "memory=64M", why, sizeof(why)), 0);
	assert_null(one->vm);
	assert_ptr_equal(one->disks[0].overlay, overlay);
	assert_int_equal(devices.disks[FAKE_NVME0P2].writers, 0);
	/* And so does a start that fails. */
	fake.load_error = -EINVAL;
	assert_refused(one, "it is no kernel");
	fake.load_error = 0;
	starts(one);
	assert_ptr_equal(one->disks[0].overlay, overlay);
	assert_int_equal(devices.disks[FAKE_NVME0P2].writers, 1);
	stops(one);
	/* Another disk in its place is another disk. */
	assert_int_equal(vms_set(one, "disk=/images/base.img,cow disk=nvme0,ro", why, sizeof(why)),
		0);
	assert_ptr_equal(one->disks[0].overlay, overlay);
	assert_int_equal(vms_set(one, "disk=/images/base.img,ro", why, sizeof(why)), 0);
	assert_null(one->disks[0].overlay);
	assert_int_equal(devices.overlays, 0);
}

static void disks_that_cannot_be_had_are_named(void **state)
{
	static const struct {
		const char *source;
		bool cow;
		int blk_error, overlay_error;
		const char *reason;
	} cases[] = {
		{ "nvme0p9", false, 0, 0, "disk 'nvme0p9': there is no such disk; 'disk list' shows"
					  " those there are" },
		{ "\\images\\other.img", true, 0, 0,
			"disk '/images/other.img': it is not in memory; name it in ballast.conf,"
			" for a VM or by 'load'" },
		{ "\\unreadable", true, 0, 0, "disk '/unreadable': it could not be read from the"
					      " boot volume" },
		{ "sealed0", false, 0, 0,
			"disk 'sealed0': it cannot be written; take it with cow or ro" },
		{ "nvme0", false, -ENOSPC, 0,
			"disk 'nvme0': the VM has no room for one more device" },
		{ "nvme0", true, 0, -ENOMEM, "disk 'nvme0': no memory for its records" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		setup(NULL);
		add_disk(0, "nvme0p1", false, true);
		if (strncmp(cases[i].source, "nvme0", 6) == 0)
			config.vms[0].disk_count = 0;
		add_disk(0, cases[i].source, cases[i].cow, false);
		devices.blk_error = cases[i].blk_error;
		devices.overlay_error = cases[i].overlay_error;
		begin();
		assert_refused(one, cases[i].reason);
		/* A disk that did not come into use is nobody's. */
		if (devices.overlays)
			vms_destroy(one);
		assert_false(vm_disks_any(one));
		teardown(NULL);
	}
	setup(NULL);
	begin();
}

static void nobody_shares_a_disk_with_a_writer(void **state)
{
	(void)state;
	add_disk(0, "nvme0p1", false, false);
	add_disk(1, "nvme0", false, true);
	begin();
	starts(one);
	assert_refused(two, "disk 'nvme0': it is in use by vm one for writing; 'vm destroy one'"
		" gives it back");
	stops(one);
	vms_destroy(one);
	fake_serial_take();
	starts(two);
	assert_refused(one, "disk 'nvme0p1': vm two relies on it; take it with cow or ro, or 'vm"
		" destroy two' first");
}

static void nobody_gets_the_swap_disk(void **state)
{
	(void)state;
	add_disk(0, "nvme0", false, true);
	begin();
	devices.disks[FAKE_NVME0P2].writers++;
	assert_refused(one, "disk 'nvme0': it, or a part of it, is the swap disk of ballast.conf");
	devices.disks[FAKE_NVME0P2].writers--;
	starts(one);
}

static void a_vm_does_not_share_with_itself(void **state)
{
	(void)state;
	add_disk(0, "nvme0p1", false, false);
	add_disk(0, "nvme0", false, true);
	begin();
	assert_refused(one, "disk 'nvme0': this VM has it, or a part of it, already");
}

static void a_commit_needs_the_base_alone(void **state)
{
	char why[240];

	(void)state;
	add_disk(0, "\\images\\base.img", true, false);
	add_disk(1, "\\images\\base.img", true, false);
	begin();
	starts(one);
	starts(two);
	devices.stats.pages = 256;
	assert_int_not_equal(vm_disk_commit(one, 0, why, sizeof(why)), 0);
	assert_string_equal(why, "it runs; 'vm stop one' first");
	stops(one);
	assert_int_not_equal(vm_disk_commit(one, 0, why, sizeof(why)), 0);
	assert_string_equal(why, "vm two relies on its base; 'vm destroy two' first");
	assert_int_equal(devices.disks[FAKE_IMAGE].readers, 2);
	stops(two);
	vms_destroy(two);
	fake_serial_take();
	assert_int_equal(vm_disk_commit(one, 0, why, sizeof(why)), 0);
	assert_true(vm_disks_busy(one));
	/* Meanwhile it must stay as it is. */
	assert_int_not_equal(vm_disk_discard(one, 0, why, sizeof(why)), 0);
	assert_string_equal(why, "a disk is being written to its base; wait for that");
	assert_int_not_equal(vms_set(one, "memory=64M", why, sizeof(why)), 0);
	assert_int_not_equal(vms_start(one), 0);
	assert_said("vm one: could not start: a disk is being written to its base; wait for"
		" that\r\n");
	devices.committed(devices.argument, 0);
	assert_said("vm one: disk 0: 1 MiB written to /images/base.img\r\n");
	assert_false(vm_disks_busy(one));
	assert_int_equal(devices.disks[FAKE_IMAGE].readers, 1);
	assert_int_equal(devices.disks[FAKE_IMAGE].writers, 0);
	starts(one);
}

static void a_commit_may_fail(void **state)
{
	char why[240];

	(void)state;
	add_disk(0, "nvme0", true, false);
	begin();
	starts(one);
	stops(one);
	assert_int_equal(vm_disk_commit(one, 0, why, sizeof(why)), 0);
	devices.committed(devices.argument, -EIO);
	assert_said("vm one: disk 0 could not be written to nvme0 (error 5): it keeps what it has"
		"\r\n");
	assert_non_null(one->disks[0].overlay);
	assert_int_equal(vm_disk_discard(one, 0, why, sizeof(why)), 0);
	assert_int_equal(devices.discarded, 1);
}

static void some_disks_have_nothing_of_their_own(void **state)
{
	char why[240];

	(void)state;
	add_disk(0, "nvme0", false, false);
	add_disk(0, "\\images\\base.img", true, false);
	begin();
	assert_int_not_equal(vm_disk_commit(one, 0, why, sizeof(why)), 0);
	assert_string_equal(why, "disk 0 is without cow: what is written to it is there already");
	assert_int_not_equal(vm_disk_discard(one, 1, why, sizeof(why)), 0);
	assert_string_equal(why, "disk 1 has nothing of its own");
	assert_int_not_equal(vm_disk_discard(one, 2, why, sizeof(why)), 0);
	assert_string_equal(why, "it has no disk 2; 'vm disk list one' shows its disks");
}

static void overlays_are_counted(void **state)
{
	(void)state;
	add_disk(0, "nvme0p1", true, false);
	add_disk(0, "nvme0p2", true, false);
	begin();
	assert_int_equal(vm_disks_overlay_bytes(one), 0);
	starts(one);
	devices.stats = (struct overlay_stats){ .pages = 10, .overhead_bytes = 100 };
	assert_int_equal(vm_disks_overlay_bytes(one), 2 * (10 * PAGE_SIZE + 100));
}

static void devices_can_be_added(void **state)
{
	char why[240];

	(void)state;
	add_disk(0, "\\images\\base.img", true, false);
	begin();
	starts(one);
	/* At once, while it runs. */
	assert_int_equal(vms_add(one, CONFIG_KEY_DISK, "nvme0p2", why, sizeof(why)), 0);
	assert_int_equal(devices.blks, 2);
	assert_string_equal(devices.serials[1], "ballast-1");
	assert_int_equal(devices.disks[FAKE_NVME0P2].writers, 1);
	assert_int_equal(vms_add(one, CONFIG_KEY_NET, "lan1", why, sizeof(why)), 0);
	assert_int_equal(devices.nets, 1);
	assert_int_not_equal(vms_add(one, CONFIG_KEY_DISK, "nvme0", why, sizeof(why)), 0);
	assert_string_equal(why, "disk 'nvme0': this VM has it, or a part of it, already");
	devices.blk_error = -ENOSPC;
	assert_int_not_equal(vms_add(one, CONFIG_KEY_DISK, "nvme0p1", why, sizeof(why)), 0);
	assert_string_equal(why, "disk 'nvme0p1': the VM has no room for one more device");
	devices.blk_error = 0;
	assert_int_not_equal(vms_add(one, CONFIG_KEY_DISK, "nvme0p1", why, sizeof(why)), 0);
	assert_string_equal(why, "this did not work before; stop the VM first");
	assert_int_equal(one->config->disk_count, 2);
	assert_int_equal(one->config->net_count, 1);
	vms_stop(one);
	assert_int_not_equal(vms_add(one, CONFIG_KEY_DISK, "sealed0", why, sizeof(why)), 0);
	assert_string_equal(why, "'one' is stopping; wait for that");
	stops(one);
	devices.nets = 0; /* what destroying the VM does */
	assert_int_equal(vms_add(one, CONFIG_KEY_DISK, "nvme0p1", why, sizeof(why)), 0);
	assert_int_equal(vms_add(one, CONFIG_KEY_NET, "lan0, rate=1M", why, sizeof(why)), 0);
	assert_int_equal(one->config->disk_count, 3);
	assert_int_equal(devices.overlays, 1);
	starts(one);
	assert_int_equal(devices.disks[FAKE_NVME0P1].writers, 1);
	assert_int_equal(devices.nets, 2);
	assert_int_equal(devices.port[1].rate_bytes, MIB(1));
	assert_string_equal(devices.port[1].name, "one/1");
	stops(one);
	assert_int_not_equal(vms_add(one, CONFIG_KEY_DISK, "/nothing", why, sizeof(why)), 0);
	assert_string_equal(why, "disk /nothing is not in memory; there are: /k, /tiny/i,"
		" /images/base.img");
	assert_int_not_equal(vms_add(one, CONFIG_KEY_NET, "", why, sizeof(why)), 0);
	assert_int_not_equal(vms_add(vms_find("bad"), CONFIG_KEY_NET, "lan0", why, sizeof(why)), 0);
}

static void nics_keep_their_address(void **state)
{
	static const uint8_t given[] = { 2, 9, 9, 9, 9, 9 };
	uint8_t first[CONFIG_MAC_BYTES];
	char why[240];

	(void)state;
	config.vms[0].nets[0] = (struct config_net){ .name = "lan0" };
	config.vms[0].nets[1] = (struct config_net){ .name = "lan0", .has_mac = true };
	memcpy(config.vms[0].nets[1].mac, given, sizeof(given));
	config.vms[0].net_count = 2;
	begin();
	starts(one);
	assert_int_equal(devices.nets, 2);
	memcpy(first, devices.port[0].mac, sizeof(first));
	assert_memory_equal(devices.port[1].mac, given, sizeof(given));
	stops(one);
	devices.nets = 0; /* what destroying the VM does */
	assert_int_equal(vms_set(one, "memory=64M", why, sizeof(why)), 0);
	starts(one);
	assert_memory_equal(devices.port[0].mac, first, sizeof(first));
	/* A copy of the VM is not told the same. */
	assert_int_equal(vms_create("copy", "like=one", why, sizeof(why)), 0);
	fake_serial_take();
	starts(vms_find("copy"));
	assert_int_equal(devices.nets, 4);
	assert_memory_not_equal(devices.port[3].mac, given, sizeof(given));
}

static void an_address_is_one_nics(void **state)
{
	static const uint8_t given[] = { 2, 9, 9, 9, 9, 9 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		config.vms[i].nets[0] = (struct config_net){ .name = "lan0", .has_mac = true };
		memcpy(config.vms[i].nets[0].mac, given, sizeof(given));
		config.vms[i].net_count = 1;
	}
	begin();
	starts(one);
	assert_refused(two, "net 'lan0': 02:09:09:09:09:09 is the address of one/0 there; give it"
		" another mac");
	devices.nets = 0;
	devices.net_error = -ENOMEM;
	assert_refused(two, "net 'lan0': no memory for its records");
	devices.networks[0][0] = 'x';
	for (size_t i = 1; i < ARRAY_SIZE(devices.networks); i++)
		devices.networks[i][0] = 'x';
	assert_refused(two, "net 'lan0': there is no room for one more network");
}

static void the_console_has_two_ports(void **state)
{
	(void)state;
	config.vms[0].console = config.vms[0].rng = true;
	begin();
	starts(one);
	starts(two);
	assert_int_equal(devices.consoles, 1);
	assert_int_equal(devices.rngs, 1);
	assert_int_equal(devices.port_count, 2);
	assert_string_equal(devices.ports[1].name, "org.ballast.log");
	assert_int_equal(devices.ports[0].output(&devices.ports[0], (const uint8_t *)"hello\r\n", 7),
		7);
	assert_said("");
	console_attach(&one->hvc.port);
	assert_said("--- console of vm one hvc0: Ctrl-] d leaves, Ctrl-] twice sends one ---\r\n"
		"hello\r\n");
	fake_serial_type("ab", 2);
	console_poll();
	assert_string_equal(devices.input, "ab");
	stops(one);
	vms_destroy(one);
	assert_null(one->hvc.device);
	assert_null(one->hvc.port.scrollback);
}

static size_t writes_log(const char *text)
{
	return devices.ports[1].output(&devices.ports[1], (const uint8_t *)text, strlen(text));
}

static void guests_write_to_the_log(void **state)
{
	char text[200];

	(void)state;
	config.vms[0].console = true;
	begin();
	starts(one);
	log_text[0] = '\0';
	writes_log("first\r\nsec");
	writes_log("ond\n\n");
	assert_string_equal(log_text, "vm one: log: first\nvm one: log: second\n");
	/* A line has an end, and there are not too many at once. */
	log_text[0] = '\0';
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(writes_log(text), sizeof(text) - 1);
	assert_int_equal(strlen(log_text), strlen("vm one: log: ") + 119 + 1);
	for (int i = 0; i < 20; i++)
		writes_log("again\n");
	log_text[0] = '\0';
	writes_log("lost\n");
	assert_string_equal(log_text, "");
	fake_clock_advance(2 * NS_PER_SEC);
	writes_log("found\n");
	assert_string_equal(log_text, "vm one: log: (14 lines were left out)\n"
		"vm one: log: found\n");
}

static void the_machine_may_have_no_randomness(void **state)
{
	(void)state;
	config.vms[0].rng = true;
	begin();
	devices.rng_error = -ENODEV;
	assert_refused(one, "rng: this machine's CPU has neither RDSEED nor RDRAND that work");
	devices.rng_error = -ENOSPC;
	assert_refused(one, "it has no room for all its devices");
}

static void a_balloon_may_be_left_out(void **state)
{
	(void)state;
	config.vms[0].balloon = true;
	begin();
	starts(one);
	starts(two);
	assert_int_equal(devices.balloons, 1);
	stops(one);
	vms_destroy(one);
	assert_said("vm one: destroyed\r\n");
	devices.balloon_error = -ENOSPC;
	assert_refused(one, "it has no room for all its devices");
}

static void the_first_nic_leads_outside(void **state)
{
	(void)state;
	begin();
	nets_plug_nics(&config);
	assert_null(net_at(0));
	devices.has_nic = true;
	nets_plug_nics(&config);
	assert_string_equal(net_name(devices.nic.net), "lan0");
}

static void the_configuration_says_where_nics_lead(void **state)
{
	(void)state;
	begin();
	devices.has_nic = true;
	config.network_count = 1;
	strcpy(config.networks[0].name, "dmz");
	strcpy(config.networks[0].nic, "nic0");
	nets_plug_nics(&config);
	assert_string_equal(net_name(devices.nic.net), "dmz");
	devices.nic.net = NULL;
	/* "none" */
	strcpy(config.networks[0].name, "lan0");
	config.networks[0].nic[0] = '\0';
	nets_plug_nics(&config);
	assert_null(devices.nic.net);
	strcpy(config.networks[0].nic, "nic1");
	config.networks[0].line = 7;
	log_text[0] = '\0';
	nets_plug_nics(&config);
	assert_string_equal(log_text, "ballast.conf:7: net 'lan0': this machine has no nic1; 'net"
		" list' shows its NICs\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(disks_are_opened_and_given_back),
		TEST(what_a_guest_wrote_outlives_its_vm_being_built_anew),
		TEST(disks_that_cannot_be_had_are_named),
		TEST(nobody_shares_a_disk_with_a_writer),
		TEST(nobody_gets_the_swap_disk),
		TEST(a_vm_does_not_share_with_itself),
		TEST(a_commit_needs_the_base_alone),
		TEST(a_commit_may_fail),
		TEST(some_disks_have_nothing_of_their_own),
		TEST(overlays_are_counted),
		TEST(devices_can_be_added),
		TEST(nics_keep_their_address),
		TEST(an_address_is_one_nics),
		TEST(the_console_has_two_ports),
		TEST(guests_write_to_the_log),
		TEST(the_machine_may_have_no_randomness),
		TEST(a_balloon_may_be_left_out),
		TEST(the_first_nic_leads_outside),
		TEST(the_configuration_says_where_nics_lead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
