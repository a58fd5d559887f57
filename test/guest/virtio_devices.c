/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtio devices used as they should be, without interrupts: what each of them answers. */
#include "virtio.h"

#define SECOND 1000000000ULL
#define ECAM 0xe0000000ULL
#define FREE_RAM 0x2000000ULL /* 32 MiB, and nothing of ours beyond it */
#define BALLOON_STATS (1ULL << 1)
#define BALLOON_REPORTING (1ULL << 5)

static volatile struct ring ring;
static uint8_t buffer[8192] __attribute__((aligned(4096)));

static void test_status(struct virtio *v)
{
	CHECK(virtio_reset(v));
	CHECK_EQUAL(common8(v, COMMON_STATUS), 0);
	CHECK(virtio_features(v) & VIRTIO_F_VERSION_1);
	CHECK(virtio_features(v) & VIRTIO_F_INDIRECT);
	CHECK(common16(v, COMMON_QUEUES) >= 1);
	/* Without VERSION_1, or with what was not offered, there is no FEATURES_OK. */
	set_common8(v, COMMON_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	set_common32(v, COMMON_DRIVER_FEATURE_SELECT, 0);
	set_common32(v, COMMON_DRIVER_FEATURE, 0);
	set_common32(v, COMMON_DRIVER_FEATURE_SELECT, 1);
	set_common32(v, COMMON_DRIVER_FEATURE, 0);
	set_common8(v, COMMON_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
	CHECK_EQUAL(virtio_status(v) & VIRTIO_FEATURES_OK, 0);
	CHECK(virtio_negotiate(v, 0));
	/* A queue that is not there has the size 0. */
	set_common16(v, COMMON_QUEUE_SELECT, 999);
	CHECK_EQUAL(common16(v, COMMON_QUEUE_SIZE), 0);
	CHECK(virtio_reset(v));
}

/* The same registers by mechanism #1 and by ECAM. */
static void test_ecam(struct virtio *v)
{
	volatile uint32_t *config = (volatile uint32_t *)(ECAM + ((uint64_t)v->function << 4));

	for (unsigned int offset = 0; offset < 0x40; offset += 4)
		CHECK_EQUAL(config[offset / 4], pci_read(v->function, offset));
}

static void test_rng(void)
{
	struct virtio v;
	uint64_t ones = 0;

	CHECK(virtio_open(&v, VIRTIO_RNG, 0));
	test_status(&v);
	test_ecam(&v);
	CHECK(virtio_negotiate(&v, 0));
	virtio_set_queue(&v, 0, &ring);
	virtio_start(&v);
	memset(buffer, 0, sizeof(buffer));
	virtio_describe(&v, 0, buffer, 256, DESC_WRITE);
	virtio_submit(&v, 0);
	CHECK_RANGE(virtio_wait(&v, SECOND), 1, 256);
	for (unsigned int bit = 0; bit < 256 * 8; bit++)
		ones += buffer[bit / 8] >> bit % 8 & 1;
	CHECK_RANGE(ones, 256 * 3, 256 * 5); /* of 2,048 bits about half */
	CHECK_EQUAL(buffer[256], 0);
	CHECK(virtio_reset(&v));
}

struct blk_header {
	uint32_t type, reserved;
	uint64_t sector;
};

static uint8_t blk_request(struct virtio *v, uint32_t type, uint64_t sector, void *data,
	uint32_t bytes)
{
	static struct blk_header header;
	static volatile uint8_t status;

	header = (struct blk_header){ .type = type, .sector = sector };
	status = 0xee;
	virtio_describe(v, 0, &header, sizeof(header), DESC_NEXT);
	virtio_describe(v, 1, data, bytes, (type == 1 ? 0 : DESC_WRITE) | DESC_NEXT);
	virtio_describe(v, 2, (void *)&status, 1, DESC_WRITE);
	virtio_submit(v, 0);
	if (virtio_wait(v, 5 * SECOND) < 0)
		return 0xff;
	return status;
}

static void test_blk(void)
{
	struct virtio v;
	uint64_t sectors;

	CHECK(virtio_open(&v, VIRTIO_BLK, 0));
	test_status(&v);
	CHECK(virtio_negotiate(&v, 0));
	virtio_set_queue(&v, 0, &ring);
	virtio_start(&v);
	sectors = *(volatile uint64_t *)v.config;
	CHECK_EQUAL(sectors, 2048);
	/* Each sector of the image begins with its number. */
	CHECK_EQUAL(blk_request(&v, 0, 5, buffer, 512), 0);
	CHECK_EQUAL(*(uint64_t *)buffer, 5);
	CHECK_EQUAL(blk_request(&v, 0, sectors - 1, buffer, 512), 0);
	CHECK_EQUAL(*(uint64_t *)buffer, sectors - 1);
	memset(buffer, 0x5a, 4096);
	CHECK_EQUAL(blk_request(&v, 1, 8, buffer, 4096), 0);
	memset(buffer, 0, 4096);
	CHECK_EQUAL(blk_request(&v, 0, 8, buffer, 4096), 0);
	CHECK_EQUAL(*(uint64_t *)(buffer + 4088), 0x5a5a5a5a5a5a5a5a);
	CHECK_EQUAL(blk_request(&v, 0, 7, buffer, 512), 0);
	CHECK_EQUAL(*(uint64_t *)buffer, 7);
	/* Beyond the end, by much and by little; an unknown request; its name. */
	CHECK_EQUAL(blk_request(&v, 0, sectors, buffer, 512), 1);
	CHECK_EQUAL(blk_request(&v, 0, sectors - 1, buffer, 1024), 1);
	CHECK_EQUAL(blk_request(&v, 0, ~0ULL, buffer, 512), 1);
	CHECK_EQUAL(blk_request(&v, 77, 0, buffer, 512), 2);
	CHECK_EQUAL(blk_request(&v, 8, 0, buffer, 20), 0);
	CHECK(virtio_reset(&v));
}

/* One frame is sent: that it is given back is all that one guest alone can see. */
static void test_net(void)
{
	struct virtio v;

	CHECK(virtio_open(&v, VIRTIO_NET, 0));
	test_status(&v);
	CHECK(virtio_negotiate(&v, 1ULL << 5)); /* VIRTIO_NET_F_MAC */
	CHECK_EQUAL(v.config[0] & 1, 0); /* no multicast address */
	virtio_set_queue(&v, 1, &ring);
	virtio_start(&v);
	memset(buffer, 0, sizeof(buffer));
	memset(buffer + 12, 0xff, 6);
	for (unsigned int i = 0; i < 6; i++)
		buffer[18 + i] = v.config[i];
	virtio_describe(&v, 0, buffer, 12 + 60, 0);
	virtio_submit(&v, 0);
	CHECK_EQUAL(virtio_wait(&v, SECOND), 0);
	CHECK(virtio_reset(&v));
}

static void test_console(void)
{
	static char text[] = "from the virtio console\n";
	struct virtio v;

	CHECK(virtio_open(&v, VIRTIO_CONSOLE, 0));
	test_status(&v);
	CHECK(virtio_negotiate(&v, 0));
	virtio_set_queue(&v, 1, &ring);
	virtio_start(&v);
	virtio_describe(&v, 0, text, sizeof(text) - 1, 0);
	virtio_submit(&v, 0);
	CHECK_EQUAL(virtio_wait(&v, SECOND), 0);
	CHECK(virtio_reset(&v));
}

/* Some pages go into the balloon, which is as large as is wanted of it, and come out; some are free. */
static void test_balloon(void)
{
	static uint32_t pages[16];
	static struct {
		uint16_t tag;
		uint64_t value;
	} __attribute__((packed)) total = { 5, 64 << 20 };
	struct virtio v;

	for (unsigned int i = 0; i < 16; i++)
		pages[i] = FREE_RAM / 4096 + i;
	CHECK(virtio_open(&v, VIRTIO_BALLOON, 0));
	test_status(&v);
	CHECK(virtio_features(&v) & BALLOON_STATS);
	CHECK(virtio_features(&v) & BALLOON_REPORTING);
	for (unsigned int queue = 0; queue < 2; queue++) {
		CHECK(virtio_negotiate(&v, 0));
		CHECK_EQUAL(*(volatile uint32_t *)v.config, 0);
		virtio_set_queue(&v, queue, &ring);
		virtio_start(&v);
		virtio_describe(&v, 0, pages, sizeof(pages), 0);
		virtio_submit(&v, 0);
		CHECK_EQUAL(virtio_wait(&v, SECOND), 0);
		*(volatile uint64_t *)FREE_RAM = 77;
		CHECK_EQUAL(*(volatile uint64_t *)FREE_RAM, 77);
	}
	/* Without gaps in the numbers of queues. */
	CHECK(virtio_negotiate(&v, BALLOON_REPORTING));
	virtio_set_queue(&v, 2, &ring);
	virtio_start(&v);
	virtio_describe(&v, 0, (void *)FREE_RAM, 4 << 20, DESC_WRITE);
	virtio_submit(&v, 0);
	CHECK_EQUAL(virtio_wait(&v, SECOND), 0);
	/* A buffer of statistics stays there until others are wanted. */
	CHECK(virtio_negotiate(&v, BALLOON_STATS));
	virtio_set_queue(&v, 2, &ring);
	virtio_start(&v);
	virtio_describe(&v, 0, &total, sizeof(total), 0);
	virtio_submit(&v, 0);
	CHECK(virtio_wait(&v, SECOND / 100) < 0);
	CHECK_EQUAL(virtio_status(&v) & VIRTIO_NEEDS_RESET, 0);
	CHECK(virtio_reset(&v));
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	test_rng();
	test_console();
	test_blk();
	test_net();
	test_balloon();
	return guest_failures();
}
