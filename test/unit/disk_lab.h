/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the drivers of disks stand on, for their tests on the build machine: one PCI device whose
 * registers are a model's, interrupts, the log; and on top of them requests at random, checked
 * against a copy of what the disk should hold.
 */
#ifndef BALLAST_TEST_DISK_LAB_H
#define BALLAST_TEST_DISK_LAB_H

#include "host/block/block.h"
#include "host/pci.h"

/* The model of the device behind the PCI function. */
struct disk_lab_model {
	uint32_t class_code;
	unsigned int bar;
	uint64_t bar_bytes;
	bool messages; /* it can interrupt by messages */
	uint32_t (*read)(uint32_t offset);
	void (*write)(uint32_t offset, uint32_t value);
	/* Let the device do some of its work. */
	void (*run)(void);
};

/* A new machine with this device alone, and no devices registered. Time starts anew. */
void disk_lab_machine(const struct disk_lab_model *model);
/* By models: the device's message, which is delivered when the CPU opens its window. */
void disk_lab_interrupt(void);
/* The device may touch memory: mastering is on. */
bool disk_lab_mastering(void);

/* Let the device work, serve its interrupts, and let so much time pass. */
void disk_lab_pass(uint64_t ns);

unsigned int disk_lab_count(void);
struct block_device *disk_lab_at(unsigned int index);

/* Do a request on one buffer and wait for it, `limit_ns` at most: its error; 1: it did not end. */
int disk_lab_do(struct block_device *device, enum block_operation operation, uint64_t sector,
	uint32_t sectors, void *buffer, uint64_t limit_ns);

/* Requests under way that disk_lab_soak() and disk_lab_burst() make. */
#define DISK_LAB_REQUESTS 64

/*
 * `count` random requests, up to DISK_LAB_REQUESTS at once and none beside another on the same
 * sectors, with memory in all kinds of pieces. What is read must be what was written. `contents`
 * is what the device holds, `changed` at the end, too.
 */
void disk_lab_soak(struct block_device *device, uint8_t *contents, unsigned int count);

/*
 * Submit `count` reads of a page each, and let time pass until all have ended, `limit_ns` at most.
 * How many ended with each error is counted in errors[-error]; those that did not end, in
 * errors[0] of none: the sum is then less than `count`.
 */
void disk_lab_burst(struct block_device *device, unsigned int count, uint64_t limit_ns,
	unsigned int errors[256]);

uint32_t disk_lab_random(uint32_t below);
void disk_lab_seed(uint32_t seed);
/* A line of the log that was written has this in it. */
bool disk_lab_logged(const char *words);

#endif
