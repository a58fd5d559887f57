/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing an overlay down to its base: first all that it holds, then a flush, and only then is it
 * forgotten. Each step is one request, or the freeing of a few MiB.
 */
#include "host/block/overlay_internal.h"

#include "lib/string.h"

#define DROP_PARTS 4         /* of 2 MiB, in one step */
#define SCAN_SECTORS (GIB(1) >> SECTOR_SHIFT) /* that are the base's, in one step */

/* Add own sectors to the request, if they fit. */
static bool add_run(struct overlay *overlay, const struct overlay_run *run)
{
	struct overlay_commit *commit = &overlay->commit;
	struct block_request *request = &commit->request;
	bool data = run->kind == OVERLAY_DATA;
	uint32_t piece = data ? (uint32_t)run->sectors << SECTOR_SHIFT : SECTOR_BYTES;
	unsigned int pieces = data ? 1 : (unsigned int)run->sectors;

	/* A run goes as a whole: it ends where the base's own sectors do. */
	if (request->segment_count + pieces > BLOCK_MAX_SEGMENTS)
		return false;
	for (unsigned int i = 0; i < pieces; i++)
		commit->segments[request->segment_count++] = (struct block_segment){
			.start = data ? run->data : host_phys(overlay->zeroes),
			.bytes = piece,
		};
	return true;
}

/* One request of own sectors from commit->sector, which is the first of `run`. */
static void gather(struct overlay *overlay, struct overlay_run run)
{
	struct overlay_commit *commit = &overlay->commit;
	struct block_request *request = &commit->request;
	bool zeroes = run.kind == OVERLAY_ZERO && overlay->base->can_write_zeroes;
	uint64_t max = (zeroes ? BLOCK_MAX_RANGE_BYTES : BLOCK_MAX_BYTES) >> SECTOR_SHIFT;

	request->operation = zeroes ? BLOCK_WRITE_ZEROES : BLOCK_WRITE;
	request->sector = commit->sector;
	request->sectors = 0;
	request->segment_count = 0;
	while (run.kind != OVERLAY_BASE && request->sectors + run.sectors <= max) {
		if (zeroes ? run.kind != OVERLAY_ZERO : !add_run(overlay, &run))
			break;
		request->sectors += (uint32_t)run.sectors;
		commit->sector += run.sectors;
		if (commit->sector == overlay->device.sectors)
			break;
		run = overlay_map_run(&overlay->map, commit->sector,
			overlay->device.sectors - commit->sector);
	}
}

/* The next request, if there is one yet: false, and commit->sector is further, or at the end. */
static bool next_write(struct overlay *overlay)
{
	struct overlay_commit *commit = &overlay->commit;
	struct overlay_run run = overlay_map_run(&overlay->map, commit->sector,
		MIN(overlay->device.sectors - commit->sector, SCAN_SECTORS));

	if (run.kind == OVERLAY_BASE) {
		commit->sector += run.sectors;
		return false;
	}
	gather(overlay, run);
	return true;
}

static void submit(struct overlay *overlay)
{
	overlay->commit.submitted = true;
	/* Not yet: then its end defers the next step. */
	if (block_submit(overlay->base, &overlay->commit.request))
		block_defer(&overlay->commit.work);
}

static void submit_flush(struct overlay *overlay)
{
	overlay->commit.request.operation = BLOCK_FLUSH;
	overlay->commit.request.sectors = 0;
	overlay->commit.request.segment_count = 0;
	submit(overlay);
}

static void write_step(struct overlay *overlay)
{
	struct overlay_commit *commit = &overlay->commit;

	if (commit->sector == overlay->device.sectors) {
		commit->phase = OVERLAY_COMMIT_FLUSH;
		submit_flush(overlay);
	} else if (next_write(overlay)) {
		submit(overlay);
	} else {
		block_defer(&commit->work);
	}
}

static void step(struct block_work *work)
{
	struct overlay_commit *commit = container_of(work, struct overlay_commit, work);
	struct overlay *overlay = container_of(commit, struct overlay, commit);
	bool over = false;
	int error = commit->submitted ? commit->request.error : 0;

	commit->submitted = false;
	if (commit->phase == OVERLAY_COMMIT_FLUSH)
		commit->phase = OVERLAY_COMMIT_DROP;
	spin_lock(&overlay->lock);
	if (!error && commit->phase == OVERLAY_COMMIT_DROP)
		over = overlay_map_drop(&overlay->map, DROP_PARTS);
	spin_unlock(&overlay->lock);
	if (error || over)
		commit->done(commit->argument, error);
	else if (commit->phase == OVERLAY_COMMIT_WRITE)
		write_step(overlay);
	else
		block_defer(work);
}

static void request_done(struct block_request *request)
{
	block_defer(&container_of(request, struct overlay_commit, request)->work);
}

void overlay_commit(struct block_device *device, void (*done)(void *argument, int error),
	void *argument)
{
	struct overlay_commit *commit = &overlay_of(device)->commit;

	*commit = (struct overlay_commit){
		.work.run = step,
		.phase = OVERLAY_COMMIT_WRITE,
		.request.done = request_done,
		.request.segments = commit->segments,
		.done = done,
		.argument = argument,
	};
	block_defer(&commit->work);
}
