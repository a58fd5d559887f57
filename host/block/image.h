/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file of the boot volume as a disk: in memory, done at once. What is written to it is lost when
 * the machine is switched off; it is written only while somebody has it open for writing, alone.
 */
#ifndef BALLAST_HOST_BLOCK_IMAGE_H
#define BALLAST_HOST_BLOCK_IMAGE_H

#include "host/block/block.h"

struct machine_file;

/* For block_find(). NULL, and a line in the log: it could not be read, is empty, or no memory. */
struct block_device *image_create(const struct machine_file *file);

#endif
