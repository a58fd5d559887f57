/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * diskpattern write DEVICE ROUNDS SEED   write sectors that describe themselves, flush, say so, over and over
 * diskpattern verify DEVICE              read all of them back
 * diskpattern probe DEVICE COUNT TASKS   COUNT times a write, a flush and a read, each until it succeeds, by each task
 *
 * A sector says where it belongs, the number of the write that wrote it, and the last number that was known to be
 * flushed when it was made up: whoever finds it on a disk knows what else must be there. test/system/crash.py
 * reads the same format.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECTOR 512
#define PAGE 4096
#define AREA_BYTES (8ULL << 20) /* of the disk's beginning */
#define HOT_BYTES (256ULL << 10) /* a part that is written again and again */
#define MOST_BYTES (64U << 10)   /* of one write */
#define MAGIC 0x3154415042414c4cULL

struct sector {
	uint64_t magic, number;
	uint32_t sequence, flushed;
	uint32_t words[121];
	uint32_t crc; /* of all before */
};
_Static_assert(sizeof(struct sector) == SECTOR, "a sector");

static uint64_t state;
static uint8_t buffer[MOST_BYTES] __attribute__((aligned(PAGE)));

static uint32_t next(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16) % below;
}

static uint32_t crc32(const void *data, size_t bytes)
{
	static uint32_t table[256];
	const uint8_t *at = data;
	uint32_t crc = ~0U;

	for (uint32_t i = 0; !table[255] && i < 256; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320U : 0);
	}
	while (bytes--)
		crc = crc >> 8 ^ table[(crc ^ *at++) & 0xff];
	return ~crc;
}

static void fill(uint64_t number, uint32_t count, uint32_t sequence, uint32_t flushed)
{
	struct sector *sectors = (struct sector *)buffer;

	for (uint32_t i = 0; i < count; i++) {
		sectors[i] = (struct sector){ .magic = MAGIC, .number = number + i, .sequence = sequence,
			.flushed = flushed };
		for (size_t word = 0; word < sizeof(sectors[i].words) / 4; word++)
			sectors[i].words[word] =
				sequence * 2654435761U + (uint32_t)(number + i) * 40503U + (uint32_t)word;
		sectors[i].crc = crc32(&sectors[i], sizeof(sectors[i]) - 4);
	}
}

static int open_device(const char *path, int flags)
{
	int device = open(path, O_RDWR | flags);

	if (device < 0) {
		printf("diskpattern: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	return device;
}

static void check(int ok, const char *what, uint32_t sequence)
{
	if (ok)
		return;
	printf("diskpattern: %s %u: %s\n", what, sequence, strerror(errno));
	exit(1);
}

/* Write by write, some through the page cache, some past it, in units of `unit` bytes. */
static void write_one(const int devices[3], uint32_t unit, uint32_t sequence, uint32_t flushed)
{
	uint64_t area = next(2) ? HOT_BYTES : AREA_BYTES;
	uint32_t most = next(4) ? 8 * unit : MOST_BYTES, bytes = unit * (1 + next(most / unit));
	uint64_t at = (uint64_t)unit * next((uint32_t)((area - bytes) / unit + 1));
	uint32_t how = next(8);

	fill(at / SECTOR, bytes / SECTOR, sequence, flushed);
	check(pwrite(devices[how > 2 ? 0 : how], buffer, bytes, (off_t)at) == (ssize_t)bytes, "write", sequence);
}

static int do_write(const char *path, uint32_t rounds, uint64_t seed)
{
	int devices[3] = { open_device(path, 0), open_device(path, O_DIRECT), open_device(path, O_DIRECT | O_DSYNC) };
	uint32_t sequence = 0, flushed = 0;
	int unit = SECTOR;

	state = seed * 0x9e3779b97f4a7c15ULL + 1;
	check(ioctl(devices[0], BLKSSZGET, &unit) == 0, "BLKSSZGET", 0);
	for (uint32_t round = 0; round < rounds; round++) {
		for (uint32_t left = 1 + next(24); left; left--)
			write_one(devices, (uint32_t)unit, ++sequence, flushed);
		check(fsync(devices[0]) == 0, "fsync", sequence);
		flushed = sequence;
		printf("FLUSHED %u\n", flushed);
		fflush(stdout);
	}
	printf("WRITTEN %u\n", sequence);
	return 0;
}

static int do_verify(const char *path)
{
	int device = open_device(path, O_DIRECT);
	uint32_t highest = 0, count = 0;

	for (uint64_t at = 0; at < AREA_BYTES; at += MOST_BYTES) {
		const struct sector *sectors = (const struct sector *)buffer;

		check(pread(device, buffer, MOST_BYTES, (off_t)at) == MOST_BYTES, "read", (uint32_t)(at / SECTOR));
		for (uint32_t i = 0; i < MOST_BYTES / SECTOR; i++) {
			if (sectors[i].magic != MAGIC)
				continue;
			if (sectors[i].number != at / SECTOR + i ||
				sectors[i].crc != crc32(&sectors[i], sizeof(sectors[i]) - 4)) {
				printf("DAMAGED sector %llu\n", (unsigned long long)(at / SECTOR + i));
				return 1;
			}
			count++;
			highest = sectors[i].sequence > highest ? sectors[i].sequence : highest;
		}
	}
	printf("VERIFIED %u sectors up to write %u\n", count, highest);
	return 0;
}

/* How often it failed before it succeeded, each time with EIO. */
static uint32_t until_success(int device, char what, uint64_t at)
{
	static const char *const names[] = { ['w'] = "write", ['f'] = "flush", ['r'] = "read" };
	uint32_t failures = 0;
	int ok;

	for (;;) {
		errno = 0;
		if (what == 'w')
			ok = pwrite(device, buffer, PAGE, (off_t)at) == PAGE;
		else if (what == 'f')
			ok = fsync(device) == 0;
		else
			ok = pread(device, buffer, PAGE, (off_t)at) == PAGE;
		if (ok)
			return failures;
		if (errno != EIO || ++failures > 100) {
			printf("BAD %s at %llu: %s\n", names[(int)what], (unsigned long long)at, strerror(errno));
			exit(1);
		}
	}
}

struct failures {
	uint32_t writes, flushes, reads;
};

/* One task: its pages begin at `first`. */
static int probe(const char *path, uint32_t first, uint32_t count, struct failures *failures)
{
	static uint8_t expected[PAGE];
	int device = open_device(path, O_DIRECT);

	for (uint32_t i = first; i < first + count; i++) {
		uint64_t at = (uint64_t)PAGE * i;

		fill(at / SECTOR, PAGE / SECTOR, i + 1, 0);
		memcpy(expected, buffer, PAGE);
		failures->writes += until_success(device, 'w', at);
		failures->flushes += until_success(device, 'f', at);
		memset(buffer, 0, PAGE);
		failures->reads += until_success(device, 'r', at);
		if (memcmp(buffer, expected, PAGE) != 0) {
			printf("BAD contents at %llu\n", (unsigned long long)at);
			return 1;
		}
	}
	return 0;
}

static int do_probe(const char *path, uint32_t count, uint32_t tasks)
{
	struct failures *failures = mmap(NULL, tasks * sizeof(*failures), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0), sum = { 0 };
	int status, bad = 0;

	check(failures != MAP_FAILED, "mmap", tasks);
	for (uint32_t i = 0; i < tasks; i++) {
		if (fork() == 0)
			exit(probe(path, i * count, count, &failures[i]));
	}
	for (uint32_t i = 0; i < tasks; i++) {
		check(wait(&status) > 0, "wait", i);
		bad |= status;
	}
	for (uint32_t i = 0; i < tasks; i++) {
		sum.writes += failures[i].writes;
		sum.flushes += failures[i].flushes;
		sum.reads += failures[i].reads;
	}
	if (!bad)
		printf("PROBED %u: %u writes, %u flushes, %u reads failed before they succeeded\n", count * tasks,
			sum.writes, sum.flushes, sum.reads);
	return bad != 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "write") == 0)
		return do_write(argv[2], (uint32_t)atoi(argv[3]), (uint64_t)atoi(argv[4]));
	if (argc == 3 && strcmp(argv[1], "verify") == 0)
		return do_verify(argv[2]);
	if (argc == 5 && strcmp(argv[1], "probe") == 0)
		return do_probe(argv[2], (uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4]));
	printf("diskpattern: see the source\n");
	return 2;
}
