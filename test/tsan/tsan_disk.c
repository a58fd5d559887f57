/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue that drivers of disks share. Every CPU submits requests while it holds a lock that
 * done() takes as well, as a guest's device does with vm.lock; hardware of memory alone answers in
 * any order, by interrupts, or only when the queue's timer looks, with errors, and with recoveries
 * in which all is done again or fails. Checked: each request ends once, none is forgotten, at most
 * `depth` are with the hardware, an exclusive one is alone, and nobody waits for ever.
 */
#include <stdio.h>
#include <stdlib.h>

#include "host/block/disk_queue.h"
#include "host/log.h"
#include "test/tsan/machine.h"

#define CPUS 4
#define DEPTH 6
#define REQUESTS 12 /* of each guest */
#define PIECE 8

struct guest {
	struct spinlock lock; /* as vm.lock: above the queue's */
	struct job {
		struct block_request request;
		struct block_segment segment;
		bool under_way; /* [lock] */
		uint32_t pieces; /* [queue lock] */
	} jobs[REQUESTS];
	uint64_t ended, failed; /* [lock] */
};

static struct guest guests[CPUS];
static struct disk_queue queue;
static struct block_device disk = { .name = "disk", .logical_bytes = 512 };
static uint32_t hardware;       /* [queue lock] slots that it has */
static uint32_t unkicked;       /* [queue lock] */
static unsigned int steps;      /* [queue lock] of the recovery that are left */
static bool retries;            /* [queue lock] what the recovery is for */
static uint64_t recoveries; /* [queue lock] */
static uint32_t stopped;        /* [a] CPUs that begin nothing new */

void log_line(const char *format, ...)
{
	(void)format;
}

void block_copy_to(const struct block_request *request, uint64_t at, const void *buffer, uint64_t bytes)
{
	(void)request;
	(void)at;
	(void)buffer;
	(void)bytes;
}

void block_copy_from(const struct block_request *request, uint64_t at, void *buffer, uint64_t bytes)
{
	(void)request;
	(void)at;
	(void)buffer;
	(void)bytes;
}

void block_finish(struct block_device *device, struct block_request *request, int error)
{
	machine_check(device == &disk);
	request->error = error;
	request->done(request);
}

/* The hardware. */

static void hw_issue(struct disk_queue *of, unsigned int slot)
{
	machine_check(of == &queue && !queue.held && !(hardware & BIT(slot)) && slot < DEPTH);
	unkicked |= (uint32_t)BIT(slot);
}

static void hw_kick(struct disk_queue *of)
{
	machine_check(of == &queue && unkicked);
	hardware |= unkicked;
	unkicked = 0;
	machine_check(!queue.alone || (hardware & (hardware - 1)) == 0);
}

static void begin_recovery(bool retry)
{
	disk_queue_hold(&queue);
	unkicked = 0;
	steps = 1 + machine_random_below(3);
	retries = retry;
	recoveries++;
}

static void hw_harvest(struct disk_queue *of)
{
	uint32_t fate = machine_random_below(64);

	machine_check(of == &queue && !queue.held);
	if (fate < 2 && hardware) {
		begin_recovery(fate);
		return;
	}
	for (unsigned int slot = 0; slot < DEPTH; slot++) {
		if (!(hardware & BIT(slot)) || machine_random_below(3) == 0)
			continue;
		hardware &= ~(uint32_t)BIT(slot);
		((struct job *)queue.slots[slot].request)->pieces++;
		disk_queue_piece_done(&queue, slot, machine_random_below(20) ? 0 : -EIO);
	}
}

static void hw_recover(struct disk_queue *of)
{
	machine_check(of == &queue && queue.held);
	if (--steps)
		return;
	hardware = 0;
	if (retries)
		disk_queue_retry_issued(&queue);
	else
		disk_queue_fail_issued(&queue, -ETIMEDOUT);
	queue.held = false;
}

static void hw_check(struct disk_queue *of)
{
	machine_check(of == &queue);
}

static void hw_late(struct disk_queue *of, unsigned int slot)
{
	(void)of;
	machine_fail("slot %u was forgotten", slot);
}

static bool hw_exclusive(struct disk_queue *of, const struct block_request *request)
{
	(void)of;
	return request->operation == BLOCK_FLUSH;
}

static const struct disk_queue_operations hw = {
	.issue = hw_issue,
	.kick = hw_kick,
	.harvest = hw_harvest,
	.check = hw_check,
	.late = hw_late,
	.recover = hw_recover,
	.exclusive = hw_exclusive,
};

/* As a driver's interrupt handler. */
static void interrupt(void)
{
	disk_queue_lock(&queue);
	if (!queue.held)
		hw_harvest(&queue);
	disk_queue_unlock(&queue);
}

/* The guests. */

static void job_ended(struct guest *guest, struct job *job)
{
	machine_check(job->under_way);
	job->under_way = false;
	guest->ended++;
	guest->failed += job->request.error != 0;
	machine_check(job->request.error || job->request.operation == BLOCK_FLUSH ||
		job->pieces * PIECE >= job->request.sectors);
}

static struct guest *guest_of(const struct block_request *request)
{
	return &guests[((const char *)request - (const char *)guests) / sizeof(struct guest)];
}

static void done(struct block_request *request)
{
	struct guest *guest = guest_of(request);

	spin_lock(&guest->lock);
	job_ended(guest, (struct job *)request);
	spin_unlock(&guest->lock);
}

/* In bursts: most of the time few requests are under way, or none, and the timer stops and starts. */
static void submit_some(struct guest *guest)
{
	unsigned int share = machine_random_below(50) ? 100 : 3;

	spin_lock(&guest->lock);
	for (unsigned int i = 0; i < REQUESTS; i++) {
		struct job *job = &guest->jobs[i];

		if (job->under_way || machine_random_below(share))
			continue;
		job->under_way = true;
		job->pieces = 0;
		job->segment.bytes = SECTOR_BYTES * (1 + machine_random_below(3 * PIECE));
		job->request = (struct block_request){ .operation = BLOCK_READ, .done = done,
			.segments = &job->segment, .segment_count = 1,
			.sectors = job->segment.bytes / SECTOR_BYTES };
		if (machine_random_below(8) == 0) {
			job->request.operation = BLOCK_FLUSH;
			job->request.sectors = 0;
		}
		if (disk_queue_submit(&queue, &disk, &job->request))
			job_ended(guest, job);
	}
	spin_unlock(&guest->lock);
}

static bool any_under_way(void)
{
	bool under_way;

	disk_queue_lock(&queue);
	under_way = queue.ticking;
	spin_unlock(&queue.lock);
	for (unsigned int i = 0; i < CPUS; i++) {
		spin_lock(&guests[i].lock);
		for (unsigned int j = 0; j < REQUESTS; j++)
			under_way |= guests[i].jobs[j].under_way;
		spin_unlock(&guests[i].lock);
	}
	return under_way;
}

static void run(struct cpu *cpu)
{
	while (!machine_time_is_up()) {
		submit_some(&guests[cpu->id]);
		irq_window();
		/* Of the rest the timer has to think. */
		if (cpu->id == 0 && machine_random_below(2))
			interrupt();
	}
	__atomic_fetch_add(&stopped, 1, __ATOMIC_SEQ_CST);
	/* No interrupts any more: the timer, on whichever CPU it is, ends them all. */
	while (__atomic_load_n(&stopped, __ATOMIC_SEQ_CST) < CPUS || any_under_way())
		irq_window();
}

int main(int argc, char **argv)
{
	uint64_t ended = 0, failed = 0;

	machine_arguments(argc, argv);
	machine_init(CPUS);
	if (disk_queue_init(&queue, &hw, DEPTH))
		machine_fail("no memory");
	queue.max_sectors = PIECE;
	queue.polled = true;
	machine_run(run);
	for (unsigned int i = 0; i < CPUS; i++) {
		ended += guests[i].ended;
		failed += guests[i].failed;
	}
	printf("%llu requests ended, %llu of them failed; %llu recoveries\n", (unsigned long long)ended,
		(unsigned long long)failed, (unsigned long long)recoveries);
	machine_check(ended > 100 && failed && recoveries);
	machine_check(!queue.busy && !queue.ticking);
	return 0;
}
