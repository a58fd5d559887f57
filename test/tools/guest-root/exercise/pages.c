/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads of memory that take orders, a line each, on standard input: a toucher of pages whose every byte is known, and
 * a probe of how long a guest takes to answer. They end with their input.
 */
#define _GNU_SOURCE
#include "exercise.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS 512u /* of a page */
#define PAGES_PER_MIB 256u
#define ROUND_MS 100

/* The next order, awaited at most so long: its length, 0 for none yet, -1 when there will be no more. */
static int order_read(char *line, size_t bytes, int wait_ms)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	size_t used = 0;

	if (poll(&input, 1, wait_ms) <= 0)
		return 0;
	while (used + 1 < bytes && read(STDIN_FILENO, line + used, 1) == 1 && line[used] != '\n')
		used++;
	line[used] = '\0';
	return used ? (int)used : -1;
}

static double uptime_s(void)
{
	return (double)now_ns(CLOCK_BOOTTIME) / 1e9;
}

/* Its first word counts how often it was touched; the others follow from its number. */
struct page {
	uint64_t touches, words[WORDS - 1];
};

static uint64_t seed;

static void page_make(struct page *page, uint64_t number, bool text)
{
	uint64_t state = (seed << 32 | (number + 1)) * 0x9e3779b97f4a7c15u;

	page->touches = 0;
	/* The text compresses to less than half, and no two pages are equal. */
	for (unsigned int i = 0; i < WORDS - 1; i++)
		page->words[i] = text && i % 4 ? 0x2074736163656c62u + i % 32 : random_next(&state);
}

static void pages_check(struct page *pages, const uint32_t *touches, unsigned int count, bool text)
{
	static struct page wanted;
	unsigned int bad = 0;

	for (unsigned int i = 0; i < count; i++) {
		page_make(&wanted, i, text);
		wanted.touches = touches[i];
		bad += memcmp(&pages[i], &wanted, sizeof(wanted)) != 0;
	}
	printf("exercise: checked %u pages, %u bad\n", count, bad);
}

/* From that second of the real-time clock on, write to one word of every page: others may show the rest of it. */
static void pages_mark(struct page *pages, uint32_t *touches, unsigned int count, uint32_t mark, long at_s)
{
	struct timespec at = { .tv_sec = at_s };
	uint64_t begun;

	clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL);
	begun = now_ns(CLOCK_REALTIME);
	for (unsigned int i = 0; i < count; i++) {
		pages[i].touches = mark;
		touches[i] = mark;
	}
	printf("exercise: marked %u pages with %u from %.3f to %.3f s\n", count, mark, (double)begun / 1e9,
		(double)now_ns(CLOCK_REALTIME) / 1e9);
}

int load_touch(unsigned int mib, unsigned int own_seed, bool text, int every_ms)
{
	unsigned int count = mib * PAGES_PER_MIB, touched = 0;
	struct page *pages = mmap(NULL, count * sizeof(*pages), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t *touches = calloc(count, sizeof(*touches));
	char order[32];
	unsigned int mark;
	long at_s;
	int length;

	if (pages == MAP_FAILED || !touches) {
		perror("exercise: touch");
		return 2;
	}
	seed = own_seed;
	for (unsigned int i = 0; i < count; i++)
		page_make(&pages[i], i, text);
	printf("exercise: holds %u MiB at %.1f s, first %016llx\n", mib, uptime_s(),
		count ? (unsigned long long)pages[0].words[0] : 0);
	while ((length = order_read(order, sizeof(order), every_ms > 0 ? every_ms : ROUND_MS)) >= 0) {
		if (length && strcmp(order, "check") == 0) {
			pages_check(pages, touches, count, text);
		} else if (length && sscanf(order, "mark %u %ld", &mark, &at_s) == 2) {
			pages_mark(pages, touches, count, mark, at_s);
		} else if (length) {
			touched = (unsigned int)atoi(order) * PAGES_PER_MIB;
			touched = touched < count ? touched : count;
			printf("exercise: touches %u MiB from %.1f s\n", touched / PAGES_PER_MIB, uptime_s());
		}
		for (unsigned int i = 0; i < touched; i++) {
			pages[i].touches++;
			touches[i]++;
		}
	}
	return 0;
}

#define ANSWERS_MAX 65536u
#define ANSWER_PAGES 256u

static int compare(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

static void answers_tell(uint32_t *answers, unsigned int count)
{
	if (!count)
		return;
	qsort(answers, count, sizeof(*answers), compare);
	printf("exercise: %u answers, us: median %u, 99 in 100 %u, 999 in 1000 %u, last %u\n", count,
		answers[count / 2], answers[count - 1 - count / 100], answers[count - 1 - count / 1000],
		answers[count - 1]);
}

/* What an answer takes: some pages of its own, and a child. */
static void answer(volatile struct page *pages)
{
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	for (unsigned int i = 0; i < ANSWER_PAGES; i++)
		pages[i].touches++;
	waitpid(child, NULL, 0);
}

int load_probe(unsigned int pause_ms)
{
	static volatile struct page pages[ANSWER_PAGES];
	static uint32_t answers[ANSWERS_MAX];
	unsigned int count = 0;
	char order[32];

	for (;;) {
		uint64_t due = now_ns(CLOCK_MONOTONIC) + pause_ms * NS_PER_S / 1000;
		int length = order_read(order, sizeof(order), (int)pause_ms);

		if (length < 0)
			return 0;
		if (length) {
			answers_tell(answers, count);
			count = 0;
			continue;
		}
		answer(pages);
		if (count < ANSWERS_MAX)
			answers[count++] = (uint32_t)((now_ns(CLOCK_MONOTONIC) - due) / 1000);
	}
}
