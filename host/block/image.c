/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/block/image.h"

#include "host/log.h"
#include "host/machine.h"
#include "lib/printf.h"
#include "lib/string.h"

struct image {
	struct block_device device;
	hpa_t data; /* [I] */
};

static bool image_submit(struct block_device *device, struct block_request *request)
{
	struct image *image = container_of(device, struct image, device);
	uint8_t *data = host_ptr(image->data + (request->sector << SECTOR_SHIFT));
	uint64_t bytes = (uint64_t)request->sectors << SECTOR_SHIFT;

	/* Those who read it count on its staying as it is. */
	if (request->operation != BLOCK_READ && request->operation != BLOCK_FLUSH &&
		!__atomic_load_n(&device->writers, __ATOMIC_RELAXED)) {
		request->error = -EROFS;
		return true;
	}
	switch (request->operation) {
	case BLOCK_READ:
		block_copy_to(request, 0, data, bytes);
		break;
	case BLOCK_WRITE:
		block_copy_from(request, 0, data, bytes);
		break;
	case BLOCK_WRITE_ZEROES:
		memset(data, 0, bytes);
		break;
	case BLOCK_FLUSH:
	case BLOCK_DISCARD:
		break;
	}
	return true;
}

static const struct block_operations image_operations = {
	.submit = image_submit,
};

struct block_device *image_create(const struct machine_file *file)
{
	struct image *image;

	if (file->error || file->bytes < SECTOR_BYTES) {
		log_line("disk %s: %s", file->path, file->error ?
			"could not be read from the boot volume" :
			"the file has not even one sector of 512 bytes");
		return NULL;
	}
	image = heap_alloc(sizeof(*image), FRAME_HOST);
	if (!image) {
		log_line("disk %s: no memory", file->path);
		return NULL;
	}
	if (file->bytes % SECTOR_BYTES)
		log_line("disk %s: the last %lu bytes are not a whole sector: they are left out",
			file->path, file->bytes % SECTOR_BYTES);
	image->data = host_phys(file->data);
	image->device = (struct block_device){
		.operations = &image_operations,
		.sectors = file->bytes >> SECTOR_SHIFT,
		.logical_bytes = SECTOR_BYTES,
		.physical_bytes = PAGE_SIZE,
		.can_write_zeroes = true,
	};
	snprintf(image->device.name, sizeof(image->device.name), "%s", file->path);
	snprintf(image->device.description, sizeof(image->device.description),
		"file of the boot volume, in memory");
	return &image->device;
}
