/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NVMe controllers: registers and rings (NVM Express Base Specification 1.4), and what the driver
 * keeps of each. nvme.c is the way of a request, nvme_control.c reset and recovery, nvme_init.c
 * what happens once.
 */
#ifndef BALLAST_HOST_BLOCK_NVME_INTERNAL_H
#define BALLAST_HOST_BLOCK_NVME_INTERNAL_H

#include "host/block/disk_queue.h"
#include "host/mmio.h"
#include "host/pci.h"

/* "Controller Registers" */
#define NVME_CAP 0x00
#define NVME_CAP_ENTRIES(cap) (((cap) & 0xffff) + 1)
#define NVME_CAP_TIMEOUT_NS(cap) (((cap) >> 24 & 0xff) * 500 * NS_PER_MS)
#define NVME_CAP_STRIDE(cap) (4U << ((cap) >> 32 & 0xf))
#define NVME_CAP_NVM_COMMANDS BIT(37)
#define NVME_CAP_PAGE_MIN(cap) ((cap) >> 48 & 0xf) /* 4 KiB << this */
#define NVME_VERSION 0x08
#define NVME_CC 0x14
#define NVME_CC_ENABLE 1U
#define NVME_CC_ENTRY_SIZES (6U << 16 | 4U << 20) /* log2 of a command's and a completion's */
#define NVME_CSTS 0x1c
#define NVME_CSTS_READY 1U
#define NVME_CSTS_FATAL 2U
#define NVME_AQA 0x24
#define NVME_ASQ 0x28
#define NVME_ACQ 0x30
#define NVME_DOORBELLS 0x1000

#define NVME_GONE 0xffffffffU /* what a register reads as when nobody answers */

enum nvme_admin_opcode {
	NVME_CREATE_SQ = 0x01,
	NVME_CREATE_CQ = 0x05,
	NVME_IDENTIFY = 0x06,
	NVME_ABORT = 0x08,
	NVME_SET_FEATURES = 0x09,
};
#define NVME_FEATURE_QUEUES 0x07

enum nvme_opcode {
	NVME_FLUSH = 0x00,
	NVME_WRITE = 0x01,
	NVME_READ = 0x02,
	NVME_WRITE_ZEROES = 0x08,
	NVME_DATASET_MANAGEMENT = 0x09,
};
#define NVME_DEALLOCATE 4U

#define NVME_STATUS(entry) ((entry) >> 1 & 0x7ff) /* type and code */
#define NVME_STATUS_ABORTED 0x007
#define NVME_STATUS_FULL 0x081

struct nvme_command {
	uint8_t opcode;
	uint8_t flags;
	uint16_t id;
	uint32_t nsid;
	uint64_t reserved;
	uint64_t metadata;
	uint64_t prp1, prp2;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
_Static_assert(sizeof(struct nvme_command) == 64, "submission queue entry");

struct nvme_completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head, sq_id;
	uint16_t id;
	uint16_t status; /* bit 0: the phase */
};
_Static_assert(sizeof(struct nvme_completion) == 16, "completion queue entry");

/* "Dataset Management command" */
struct nvme_range {
	uint32_t attributes;
	uint32_t blocks;
	uint64_t first;
};
_Static_assert(sizeof(struct nvme_range) == 16, "range");

/* Entries of a ring: what fits a page of commands. */
#define NVME_ENTRIES 64
#define NVME_ADMIN_QUEUE 0
#define NVME_IO_QUEUE 1
/* Longer write-zeroes are cut; the hardware's limit is 65536 blocks. */
#define NVME_ZERO_SECTORS 65536U

/* A submission queue and its completion queue. [queue.lock] */
struct nvme_ring {
	struct nvme_command *commands;       /* [I] */
	struct nvme_completion *completions; /* [I] */
	uint32_t commands_doorbell, completions_doorbell; /* [I] offsets of registers */
	uint16_t entries; /* [I] */
	uint16_t tail;    /* of commands */
	uint16_t head;    /* of completions */
	uint16_t phase;   /* of those that are new */
};

enum nvme_state {
	NVME_DISABLING, /* until it does not touch memory any more */
	NVME_ENABLING,
	NVME_SETTING,   /* these three: until the admin command is done */
	NVME_MAKING_CQ,
	NVME_MAKING_SQ,
	NVME_LIVE,
	NVME_DEAD,
};

struct nvme_controller {
	struct disk_queue queue;
	struct host_pci_device *pci; /* [I] */
	volatile void *registers;    /* [I] */
	char name[32];               /* [I] for the log */
	uint64_t cap;                /* [I] */
	bool volatile_cache;         /* [I] a flush is needed */
	bool zeroes, discard;        /* [I] it knows these commands */
	struct nvme_ring admin, io;
	enum nvme_state state;       /* [queue.lock], as all below */
	uint64_t step_deadline_tsc;  /* of a state but the last two */
	int reset_error;             /* of requests that a reset ends */
	/* The one admin command. */
	bool admin_pending;
	uint16_t admin_id, admin_status;
	uint32_t admin_result;
};

struct nvme_namespace {
	struct block_device block;
	struct nvme_controller *controller; /* [I] */
	uint32_t nsid;                      /* [I] */
	unsigned int shift;                 /* [I] blocks are 512 << this bytes */
};

extern const struct disk_queue_operations nvme_queue_operations;
extern const struct block_operations nvme_block_operations;

/* All with queue.lock held. */
void nvme_ring_put(struct nvme_ring *ring, const struct nvme_command *command);
void nvme_ring_bell(struct nvme_controller *controller, struct nvme_ring *ring);
/* What the controller has finished, of both rings. */
void nvme_harvest(struct disk_queue *queue);
/* False: the one before is not done. */
bool nvme_admin_send(struct nvme_controller *controller, struct nvme_command *command);

/* Start a reset; requests under way will fail with `error`. */
void nvme_reset(struct nvme_controller *controller, int error);
/* The next step of a reset; to be called until `state` is NVME_LIVE or NVME_DEAD. */
void nvme_step(struct disk_queue *queue);
void nvme_check(struct disk_queue *queue);
void nvme_late(struct disk_queue *queue, unsigned int slot);
/* It is not to be used any more. */
void nvme_give_up(struct nvme_controller *controller, const char *why);

#endif
