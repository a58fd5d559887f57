/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A memory bomb: a child takes memory, a MiB at a time, until the guest's kernel kills it for that; after a pause there
 * is another one. On the way it compares pages that it has left alone for a while with what they must be.
 */
#define _GNU_SOURCE
#include "exercise.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS 512u /* of a page */
#define PAGES_PER_MIB 256u
#define MIB_MAX 16384u
#define LOOKS 4u /* at pages of before, for each MiB */

/* What a child tells before it is killed. */
struct deeds {
	unsigned int mib;
	uint64_t looks, bad;
};

static uint64_t word_of(unsigned int mib, unsigned int page, unsigned int i, bool text)
{
	uint64_t state = ((uint64_t)mib << 40 | (uint64_t)page << 16 | (i + 1)) * 0x9e3779b97f4a7c15u;

	return text && i % 4 ? 0x2074736163656c62u + i % 32 : state ^ state >> 29;
}

static void page_fill(uint64_t *words, unsigned int mib, unsigned int page, bool text)
{
	for (unsigned int i = 0; i < WORDS; i++)
		words[i] = word_of(mib, page, i, text);
}

static bool page_is_right(const uint64_t *words, unsigned int mib, unsigned int page, bool text)
{
	for (unsigned int i = 0; i < WORDS; i++)
		if (words[i] != word_of(mib, page, i, text))
			return false;
	return true;
}

/* The kernel's first choice when there is no memory. */
static void be_a_victim(void)
{
	int file = open("/proc/self/oom_score_adj", O_WRONLY);

	if (file < 0 || write(file, "1000", 4) != 4)
		_exit(2);
	close(file);
}

static void explode(struct deeds *deeds, bool text)
{
	static uint64_t *pieces[MIB_MAX];
	uint64_t random = 0x2545f4914f6cdd1du;

	be_a_victim();
	for (unsigned int mib = 0; mib < MIB_MAX; mib++) {
		uint64_t *piece = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (piece == MAP_FAILED)
			_exit(3);
		pieces[mib] = piece;
		for (unsigned int page = 0; page < PAGES_PER_MIB; page++)
			page_fill(piece + page * WORDS, mib, page, text);
		deeds->mib = mib + 1;
		for (unsigned int i = 0; i < LOOKS; i++) {
			unsigned int old = (unsigned int)(random_next(&random) % (mib + 1));
			unsigned int page = (unsigned int)(random_next(&random) % PAGES_PER_MIB);

			deeds->bad += !page_is_right(pieces[old] + page * WORDS, old, page, text);
			deeds->looks++;
		}
	}
	_exit(4);
}

/* Input that has come, within so long; false when there will be no more. */
static bool told_to_tell(int wait_ms, bool *tell)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	char byte = 0;

	while (poll(&input, 1, wait_ms) > 0) {
		if (read(STDIN_FILENO, &byte, 1) != 1)
			return false;
		*tell |= byte == '\n';
		wait_ms = 0;
	}
	return true;
}

static unsigned int bombs, killed, otherwise, last_mib, most_mib;
static uint64_t looks, bad;

static void count_bomb(const struct deeds *deeds, int status)
{
	bombs++;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		killed++;
	else
		otherwise++;
	last_mib = deeds->mib;
	most_mib = last_mib > most_mib ? last_mib : most_mib;
	looks += deeds->looks;
	bad += deeds->bad;
}

/* A child is begun where none lives and the pause is over: when it died, or 0. */
static uint64_t watch(struct deeds *deeds, pid_t *child, uint64_t died_ns, uint64_t pause_ns)
{
	int status;

	if (*child > 0 && waitpid(*child, &status, WNOHANG) == *child) {
		count_bomb(deeds, status);
		*child = 0;
		return now_ns(CLOCK_MONOTONIC);
	}
	if (*child > 0 || (died_ns && now_ns(CLOCK_MONOTONIC) - died_ns < pause_ns))
		return died_ns;
	memset(deeds, 0, sizeof(*deeds));
	*child = fork();
	if (*child == 0)
		explode(deeds, bombs % 2 == 0);
	return died_ns;
}

int load_bomb(unsigned int pause_s)
{
	struct deeds *deeds = mmap(NULL, sizeof(*deeds), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t died_ns = 0;
	pid_t child = 0;
	bool tell = false;

	if (deeds == MAP_FAILED)
		return 2;
	while (told_to_tell(200, &tell)) {
		died_ns = watch(deeds, &child, died_ns, pause_s * NS_PER_S);
		if (!tell)
			continue;
		tell = false;
		printf("exercise: %u bombs, %u killed, %u ended otherwise, MiB: last %u, most %u, now %u; "
		       "looked at %lu pages, %lu bad\n", bombs, killed, otherwise, last_mib, most_mib,
			child > 0 ? deeds->mib : 0, looks, bad);
	}
	return 0;
}
