/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads of the page cache: random reads of one file, and a server of many. What is read is checked. */
#define _GNU_SOURCE
#include "exercise.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096u
#define PAGES_PER_MIB 256u

/* What is read at a time. */
#define RECORD_PAGES 16u
#define RECORD (RECORD_PAGES * PAGE)
#define RECORDS_PER_MIB (PAGES_PER_MIB / RECORD_PAGES)

/* What a record that is not in the cache takes besides, as from a disk. */
static const struct timespec miss = { .tv_nsec = 1000000 };

/* Page n of the file begins with the number n. */
static bool record_read(int file, uint64_t number)
{
	static uint64_t words[RECORD / 8];
	struct iovec to = { words, RECORD };
	off_t at = (off_t)(number * RECORD);

	if (preadv2(file, &to, 1, at, RWF_NOWAIT) != RECORD) {
		nanosleep(&miss, NULL);
		if (pread(file, words, RECORD, at) != RECORD)
			return false;
	}
	for (unsigned int i = 0; i < RECORD_PAGES; i++)
		if (words[i * PAGE / 8] != number * RECORD_PAGES + i)
			return false;
	return true;
}

int load_read(const char *path, unsigned int mib, unsigned int every_s)
{
	uint64_t state = 0x2545f4914f6cdd1du, reads = 0, bad = 0;
	uint64_t next = now_ns(CLOCK_BOOTTIME) + every_s * NS_PER_S;
	int file = open(path, O_RDONLY | O_CLOEXEC);

	if (file < 0) {
		perror("exercise: read");
		return 2;
	}
	posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM);
	for (;;) {
		bad += !record_read(file, random_next(&state) % (mib * RECORDS_PER_MIB));
		reads++;
		if (now_ns(CLOCK_BOOTTIME) < next)
			continue;
		printf("exercise: %lu reads, %lu bad, up to %lu s\n", reads, bad, (unsigned long)(next / NS_PER_S));
		next += every_s * NS_PER_S;
		reads = 0;
	}
}

#define FILES_MAX 65536u
#define FILE_BYTES_MAX (256u << 10)

static uint64_t content[FILE_BYTES_MAX / 8];
static uint64_t served_bad;

struct served {
	uint32_t bytes, version;
};

/* Each block of 512 bytes begins with the file's number and version. */
static uint64_t mark(unsigned int number, const struct served *served)
{
	return (uint64_t)number << 32 | served->version;
}

static void file_path(char *path, size_t bytes, const char *folder, unsigned int number)
{
	snprintf(path, bytes, "%s/%02u/%u", folder, number % 16, number);
}

static void file_write(const char *folder, unsigned int number, struct served *served, bool anew)
{
	char path[256];
	int file;

	served->version++;
	for (unsigned int i = 0; i < served->bytes / 8; i += 64)
		content[i] = mark(number, served);
	file_path(path, sizeof(path), folder, number);
	if (anew)
		unlink(path);
	file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (write(file, content, served->bytes) != (ssize_t)served->bytes) {
		perror("exercise: serve");
		exit(2);
	}
	close(file);
}

static void file_read(const char *folder, unsigned int number, const struct served *served)
{
	char path[256];
	int file;

	file_path(path, sizeof(path), folder, number);
	file = open(path, O_RDONLY);
	served_bad += read(file, content, FILE_BYTES_MAX) != (ssize_t)served->bytes;
	for (unsigned int i = 0; i < served->bytes / 8; i += 64)
		served_bad += content[i] != mark(number, served);
	close(file);
}

static void files_make(const char *folder, struct served *all, unsigned int files, unsigned int kib,
	uint64_t *state)
{
	char path[256];

	for (unsigned int i = 0; i < 16; i++) {
		snprintf(path, sizeof(path), "%s/%02u", folder, i);
		mkdir(path, 0755);
	}
	for (unsigned int i = 0; i < files; i++) {
		all[i].bytes = (1 + (uint32_t)(random_next(state) % (2 * kib - 1))) << 10;
		file_write(folder, i, &all[i], true);
	}
	sync();
}

/* Three of four are read, of the others each second is made anew; half of all are of an eighth of the files. */
static void serve_one(const char *folder, struct served *all, unsigned int files, uint64_t *state)
{
	uint64_t draw = random_next(state);
	unsigned int number = (unsigned int)((draw >> 16) % (draw & 1 ? files : (files + 7) / 8));

	if (draw >> 1 & 3)
		file_read(folder, number, &all[number]);
	else
		file_write(folder, number, &all[number], draw >> 3 & 1);
}

int load_serve(const char *folder, unsigned int files, unsigned int kib, unsigned int every_s)
{
	static struct served all[FILES_MAX];
	uint64_t state = 0x9e3779b97f4a7c15u, count = 0, next;

	if (!files || files > FILES_MAX || !kib || kib * 2048 > FILE_BYTES_MAX)
		return 2;
	for (size_t i = 0; i < FILE_BYTES_MAX / 8; i++)
		content[i] = random_next(&state);
	files_make(folder, all, files, kib, &state);
	printf("exercise: serves %u files\n", files);
	next = now_ns(CLOCK_MONOTONIC) + every_s * NS_PER_S;
	for (;;) {
		serve_one(folder, all, files, &state);
		count++;
		if (now_ns(CLOCK_MONOTONIC) < next)
			continue;
		printf("exercise: %lu served, %lu bad\n", count, served_bad);
		next += every_s * NS_PER_S;
		count = 0;
	}
}
