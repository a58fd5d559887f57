/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fills its memory, up to "mib=", with records that name it by the number behind "life=", and has them everywhere else
 * that what a guest has may come to: its disk, its console, its balloon, its registers. For ever. Whoever finds such a
 * record in the machine's memory knows whose it was (test/system/test_residue.py). With "noise=1" most of its pages
 * cannot be compressed.
 */
#include "virtio.h"

#define MIB (1UL << 20)
#define PAGE 4096UL
#define RECORDS (PAGE / sizeof(struct record))
#define FIRST (4 * MIB)
#define NO_PAGE 0xffffffffUL
#define DISK_PAGES 16
#define BALLOON_PAGES 256
#define SECOND 1000000000ULL
/* A disk or console that is slow is not waited for. */
#define PATIENCE_NS (SECOND / 10)

struct record {
	uint64_t magic, life, page, sum;
};

static volatile uint64_t magic_halves[2] = { 0x3d1f5c60a7e9b284, 0x91c4e7d2580b6f3a };
static uint64_t magic, life, noisy;
static struct virtio disk, console, balloon;
static volatile struct ring disk_ring, console_ring, balloon_ring;
static bool has_disk, has_console, has_balloon;
static uint32_t numbers[BALLOON_PAGES];
static struct {
	uint32_t type, reserved;
	uint64_t sector;
} header;
static volatile uint8_t status;

static void write_record(struct record *record, uint64_t page)
{
	*record = (struct record){ magic, life, page, magic ^ life ^ page };
}

/* A page of records; of noise with few of them, which no compressor makes smaller; alike; or of zeroes but for one. */
static void fill_page(uint64_t page)
{
	struct record *records = (struct record *)(page * PAGE);
	uint64_t noise = page * 0x9e3779b97f4a7c15 + life;
	uint64_t *words = (uint64_t *)records;
	uint64_t kind = page % 8;

	switch (noisy && kind != 1 && kind != 3 ? 0 : kind) {
	case 0:
		for (unsigned int i = 0; i < PAGE / sizeof(*words); i++) {
			noise = noise * 6364136223846793005 + 1442695040888963407;
			words[i] = noise ^ noise >> 29;
		}
		for (unsigned int i = 0; i < RECORDS; i += 16)
			write_record(&records[i], page);
		break;
	case 1:
	case 2:
		for (unsigned int i = 0; i < RECORDS; i++)
			write_record(&records[i], NO_PAGE);
		break;
	case 3:
		write_record(&records[7], page);
		break;
	case 4:
		break;
	default:
		for (unsigned int i = 0; i < RECORDS; i++)
			write_record(&records[i], page);
		break;
	}
}

static bool open_device(struct virtio *v, unsigned int kind, unsigned int queue, volatile struct ring *ring)
{
	if (!virtio_open(v, kind, 0) || !virtio_negotiate(v, 0))
		return false;
	virtio_set_queue(v, queue, ring);
	virtio_start(v);
	return true;
}

static void write_disk(uint64_t page, uint64_t at)
{
	header.type = 1;
	header.sector = at % DISK_PAGES * (PAGE / 512);
	virtio_describe(&disk, 0, &header, sizeof(header), DESC_NEXT);
	virtio_describe(&disk, 1, (void *)(page * PAGE), PAGE, DESC_NEXT);
	virtio_describe(&disk, 2, &status, 1, DESC_WRITE);
	virtio_submit(&disk, 0);
	has_disk = virtio_wait(&disk, PATIENCE_NS) >= 0;
}

static void write_console(uint64_t page)
{
	virtio_describe(&console, 0, (void *)(page * PAGE), 2 * sizeof(struct record), 0);
	virtio_submit(&console, 0);
	has_console = virtio_wait(&console, PATIENCE_NS) >= 0;
}

/* Pages as they are go into the balloon; they come back as zeroes when they are filled again. */
static void inflate(uint64_t page)
{
	for (unsigned int i = 0; i < BALLOON_PAGES; i++)
		numbers[i] = page + i;
	virtio_describe(&balloon, 0, numbers, sizeof(numbers), 0);
	virtio_submit(&balloon, 0);
	has_balloon = virtio_wait(&balloon, SECOND) >= 0;
}

/* Exits with the record in registers. */
static void show_registers(uint64_t page)
{
	register uint64_t r8 __asm__("r8") = magic;
	register uint64_t r9 __asm__("r9") = life;
	register uint64_t r10 __asm__("r10") = page;
	register uint64_t r11 __asm__("r11") = magic ^ life ^ page;

	for (unsigned int i = 0; i < 16; i++)
		__asm__ volatile("outb %%al, $0x80" : : "a"(0), "r"(r8), "r"(r9), "r"(r10), "r"(r11) : "memory");
}

int guest_main(void)
{
	uint64_t end = guest_number("mib=", 16) * MIB / PAGE, random;

	magic = magic_halves[0] ^ magic_halves[1];
	life = guest_number("life=", 0);
	noisy = guest_number("noise=", 0);
	random = life * 0x9e3779b97f4a7c15 + 1;
	has_disk = open_device(&disk, VIRTIO_BLK, 0, &disk_ring);
	has_console = open_device(&console, VIRTIO_CONSOLE, 1, &console_ring);
	/* From the others, memory has to be taken in other ways. */
	has_balloon = life % 3 == 0 && open_device(&balloon, VIRTIO_BALLOON, 0, &balloon_ring);
	for (uint64_t page = FIRST / PAGE; page < end; page++)
		fill_page(page);
	guest_print("canary %lu filled\n", life);
	for (uint64_t round = 0;; round++) {
		uint64_t page;

		random = random * 6364136223846793005 + 1442695040888963407;
		page = FIRST / PAGE + (random >> 33) % (end - FIRST / PAGE - BALLOON_PAGES);
		show_registers(page);
		fill_page(page | 5);
		if (has_disk)
			write_disk(page | 5, round);
		if (has_console)
			write_console(page | 5);
		if (has_balloon && round % 8 == 0)
			inflate(page);
		/* A break of sharing now and then, and pages back from wherever they were. */
		for (unsigned int i = 0; i < 16; i++)
			fill_page(page + i);
	}
}
