/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Translations that one CPU takes away while others use them. Each stage can tell a translation that outlived its
 * end, which is what a lost or late TLB shootdown leaves.
 */
#define _GNU_SOURCE
#include "exercise.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define GENERATIONS 256u /* pages of the file; page g holds g in each word */

static volatile uint64_t *window; /* one page of addresses */
static int file;
static atomic_uint_fast64_t begun, done; /* generations of the window: being mapped, mapped */
static atomic_uint_fast64_t operations, looks;

static void *page_map(void *where, int descriptor, uint64_t generation)
{
	int how = descriptor < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED | MAP_POPULATE;

	return mmap(where, PAGE, PROT_READ | PROT_WRITE, where ? how | MAP_FIXED : how, descriptor,
		descriptor < 0 ? 0 : (off_t)(generation % GENERATIONS) * PAGE);
}

static void window_open(void)
{
	uint64_t words[PAGE / sizeof(uint64_t)];

	file = memfd_create("generations", 0);
	for (uint64_t generation = 0; generation < GENERATIONS; generation++) {
		for (size_t i = 0; i < PAGE / sizeof(words[0]); i++)
			words[i] = generation;
		if (write(file, words, PAGE) != PAGE)
			exit(2);
	}
	window = page_map(NULL, file, 0);
	atomic_store(&begun, 0);
	atomic_store(&done, 0);
	atomic_store(&operations, 0);
	atomic_store(&looks, 0);
}

static void window_close(const char *what)
{
	note(" %lu %s, %lu looks", operations, what, looks);
	if (!operations || !looks)
		failed("nothing was done");
	munmap((void *)window, PAGE);
	close(file);
}

/* Number 0 puts another page into the window; the others see none that was replaced before they looked. */
static void remap_work(unsigned int index)
{
	uint64_t count = 0;

	while (!atomic_load(&over) && index == 0) {
		uint64_t next = atomic_fetch_add(&begun, 1) + 1;

		if (page_map((void *)window, file, next) == MAP_FAILED)
			failed("mmap fails");
		atomic_store(&done, next);
		atomic_fetch_add(&operations, 1);
	}
	while (!atomic_load(&over)) {
		uint64_t oldest = atomic_load(&done);
		uint64_t seen = window[count % (PAGE / 8)];
		uint64_t newest = atomic_load(&begun);

		/* With this many generations in between, the thread lost its CPU: nothing can be told. */
		if (newest - oldest < GENERATIONS && (seen - oldest) % GENERATIONS > newest - oldest)
			failed("page %lu seen, it was %lu to %lu", seen,
				(oldest % GENERATIONS), (newest % GENERATIONS));
		count++;
	}
	atomic_fetch_add(&looks, count);
}

void stage_remap(void)
{
	window_open();
	crew_run(cpu_count() + 1, remap_work);
	window_close("remaps");
}

static atomic_uint_fast64_t faults;

static void on_fault(int number)
{
	/* The write is tried again, until the page is writable. */
	(void)number;
	atomic_fetch_add(&faults, 1);
	sched_yield();
}

/* Number 0 takes the right to write away, and then nobody writes; the others never stop trying. */
static void protect_work(unsigned int index)
{
	atomic_uint_fast64_t *words = (atomic_uint_fast64_t *)window;
	uint64_t count = 0;

	while (!atomic_load(&over) && index == 0) {
		uint64_t before[CPUS_MAX + 1];
		unsigned int writers = cpu_count();

		if (mprotect((void *)window, PAGE, PROT_READ) != 0)
			failed("mprotect fails");
		for (unsigned int i = 0; i < writers; i++)
			before[i] = atomic_load(&words[i]);
		for (unsigned int turn = 0; turn < 200; turn++)
			__builtin_ia32_pause();
		for (unsigned int i = 0; i < writers; i++) {
			if (atomic_load(&words[i]) != before[i])
				failed("writer %u wrote to a page that is read-only", i);
		}
		mprotect((void *)window, PAGE, PROT_READ | PROT_WRITE);
		atomic_fetch_add(&operations, 1);
	}
	while (!atomic_load(&over)) {
		atomic_fetch_add(&words[index - 1], 1);
		count++;
	}
	atomic_fetch_add(&looks, count);
}

void stage_protect(void)
{
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	window_open();
	atomic_store(&faults, 0);
	sigaction(SIGSEGV, &action, NULL);
	crew_run(cpu_count() + 1, protect_work);
	signal(SIGSEGV, SIG_DFL);
	note(" %lu faults,", faults);
	window_close("protections");
}

#define PRIVATE_PAGES 32u

/*
 * Each thread fills pages with what nobody else writes, reads them back, and gives them to the kernel, which
 * hands them to the next: who writes through a translation that has ended spoils another's page.
 */
static void unmap_work(unsigned int index)
{
	uint64_t round = 0;

	while (!atomic_load(&over)) {
		uint64_t stamp = ((uint64_t)index + 1) << 48 | ++round << 12;
		uint64_t *pages = mmap(NULL, PRIVATE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);

		if (pages == MAP_FAILED)
			continue;
		for (size_t i = 0; i < PRIVATE_PAGES; i++) {
			if (pages[i * PAGE / 8] != 0)
				failed("a new page is not empty");
			pages[i * PAGE / 8] = stamp | i;
		}
		sched_yield();
		for (size_t i = 0; i < PRIVATE_PAGES; i++) {
			if (pages[i * PAGE / 8] != (stamp | i))
				failed("page %zu of thread %u holds %lx", i, index, pages[i * PAGE / 8]);
		}
		madvise(pages, PRIVATE_PAGES * PAGE / 2, MADV_DONTNEED);
		for (size_t i = 0; i < PRIVATE_PAGES / 2; i++) {
			if (pages[i * PAGE / 8] != 0)
				failed("a page given back is not empty");
		}
		munmap(pages, PRIVATE_PAGES * PAGE);
		atomic_fetch_add(&operations, 1);
	}
}

void stage_unmap(void)
{
	atomic_store(&operations, 0);
	crew_run(2 * cpu_count(), unmap_work);
	note(" %lu rounds of %u pages", operations, PRIVATE_PAGES);
	if (!operations)
		failed("nothing was done");
}
