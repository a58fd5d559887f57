/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AHCI controllers: registers and structures (Serial ATA AHCI Specification 1.3.1; ATA/ATAPI
 * Command Set), and what the driver keeps of each. ahci.c is the way of a request, ahci_port.c
 * start and recovery of a port, ahci_init.c what happens once.
 */
#ifndef BALLAST_HOST_BLOCK_AHCI_INTERNAL_H
#define BALLAST_HOST_BLOCK_AHCI_INTERNAL_H

#include "host/block/disk_queue.h"
#include "host/mmio.h"
#include "host/pci.h"

#define AHCI_PORTS 32

/* "Generic Host Control" */
#define AHCI_CAP 0x00
#define AHCI_CAP_SLOTS(cap) (((cap) >> 8 & 0x1f) + 1)
#define AHCI_CAP_NCQ (1U << 30)
#define AHCI_CAP_64_BIT (1U << 31)
#define AHCI_GHC 0x04
#define AHCI_GHC_RESET 1U
#define AHCI_GHC_INTERRUPTS 2U
#define AHCI_GHC_ENABLE (1U << 31)
#define AHCI_IS 0x08
#define AHCI_PI 0x0c
#define AHCI_CAP2 0x24
#define AHCI_CAP2_HANDOFF 1U
#define AHCI_BOHC 0x28
#define AHCI_BOHC_BIOS 1U
#define AHCI_BOHC_OS 2U

/* "Port Registers", from AHCI_PORT(n) on. */
#define AHCI_PORT(n) (0x100 + 0x80 * (n))
#define AHCI_PORT_CLB 0x00
#define AHCI_PORT_FB 0x08
#define AHCI_PORT_IS 0x10
#define AHCI_PORT_IS_CONNECT (1U << 6)
#define AHCI_PORT_IS_ERRORS 0x78000000U /* task file, host bus, interface */
#define AHCI_PORT_IE 0x14
#define AHCI_PORT_IE_WANTED (0xfU | AHCI_PORT_IS_ERRORS) /* and all FISes that end commands */
#define AHCI_PORT_CMD 0x18
#define AHCI_PORT_CMD_START 1U
#define AHCI_PORT_CMD_SPIN_UP 2U
#define AHCI_PORT_CMD_POWER_ON 4U
#define AHCI_PORT_CMD_FIS 0x10U
#define AHCI_PORT_CMD_RECEIVING (1U << 14)
#define AHCI_PORT_CMD_RUNNING (1U << 15)
#define AHCI_PORT_CMD_ACTIVE (1U << 28)
#define AHCI_PORT_CMD_STATE (0xfU << 28)
#define AHCI_PORT_TFD 0x20
#define AHCI_PORT_TFD_BUSY 0x88U /* BSY or DRQ */
#define AHCI_PORT_TFD_ERROR 0x21U /* ERR or DF */
#define AHCI_PORT_SIG 0x24
#define AHCI_SIG_DISK 0x00000101U
#define AHCI_PORT_SSTS 0x28
#define AHCI_SSTS_DETECTION 0xfU
#define AHCI_SSTS_LINKED 3U
#define AHCI_PORT_SCTL 0x2c
#define AHCI_SCTL_NO_SLUMBER 0x300U
#define AHCI_SCTL_RESET 1U
#define AHCI_PORT_SERR 0x30
#define AHCI_PORT_SACT 0x34
#define AHCI_PORT_CI 0x38

#define AHCI_GONE 0xffffffffU /* what a register reads as when nobody answers */

enum ata_command {
	ATA_DATA_SET_MANAGEMENT = 0x06,
	ATA_READ_DMA_EXT = 0x25,
	ATA_WRITE_DMA_EXT = 0x35,
	ATA_READ_FPDMA_QUEUED = 0x60,
	ATA_WRITE_FPDMA_QUEUED = 0x61,
	ATA_FLUSH_CACHE_EXT = 0xea,
	ATA_IDENTIFY = 0xec,
};
#define ATA_TRIM 1
#define ATA_DEVICE_LBA 0x40
/* A block of TRIM's ranges, and the sectors that one range may have. */
#define ATA_TRIM_RANGES 64
#define ATA_TRIM_RANGE_SECTORS 65535U

/* "Command List Structure" */
struct ahci_header {
	uint32_t flags; /* words of the command FIS, bit 6: write, entries << 16 */
	uint32_t transferred;
	uint64_t table;
	uint32_t reserved[4];
};
_Static_assert(sizeof(struct ahci_header) == 32, "command header");
#define AHCI_HEADER_FIS_WORDS 5
#define AHCI_HEADER_WRITE (1U << 6)

/* "Register - Host to Device" FIS */
struct ahci_fis {
	uint8_t type, flags, command, features_low;
	uint8_t lba_low[3], device;
	uint8_t lba_high[3], features_high;
	uint8_t count_low, count_high, icc, control;
	uint8_t auxiliary[4];
};
_Static_assert(sizeof(struct ahci_fis) == 20, "command FIS");
#define AHCI_FIS_HOST_TO_DEVICE 0x27
#define AHCI_FIS_COMMAND 0x80

struct ahci_prd {
	uint64_t start;
	uint32_t reserved;
	uint32_t bytes; /* less one */
};
_Static_assert(sizeof(struct ahci_prd) == 16, "physical region descriptor");

struct ahci_table {
	struct ahci_fis fis;
	uint8_t reserved[128 - sizeof(struct ahci_fis)];
	struct ahci_prd data[BLOCK_MAX_SEGMENTS + 1];
};
_Static_assert(offsetof(struct ahci_table, data) == 128, "command table");
_Static_assert(sizeof(struct ahci_table) <= PAGE_SIZE, "a slot has a page for it");

/* What the hardware reads and writes of a port: one page. */
struct ahci_area {
	struct ahci_header headers[32];
	uint8_t fis[256];
	struct ahci_table identify;
};
_Static_assert(offsetof(struct ahci_area, fis) % 256 == 0, "received FIS");
_Static_assert(offsetof(struct ahci_area, identify) % 128 == 0, "command table");
_Static_assert(sizeof(struct ahci_area) <= PAGE_SIZE, "a port's page");

enum ahci_state {
	AHCI_STOPPING,  /* until it takes no commands and touches no memory any more */
	AHCI_RESETTING, /* COMRESET on the wire */
	AHCI_LINKING,   /* until the link is up */
	AHCI_READYING,  /* until the disk is */
	AHCI_LIVE,
	AHCI_DEAD,
};

struct ahci_hba;

struct ahci_port {
	struct disk_queue queue;
	struct block_device block;
	struct ahci_hba *hba;        /* [I] */
	unsigned int index;          /* [I] */
	char name[32];               /* [I] for the log */
	struct ahci_area *area;      /* [I] */
	unsigned int shift;          /* [I] the disk's sectors are 512 << this bytes */
	bool ncq;                    /* [I] both sides can */
	bool volatile_cache;         /* [I] a flush is needed */
	enum ahci_state state;       /* [queue.lock], as all below */
	uint64_t step_deadline_tsc;  /* of a state but the last two */
	bool known;                  /* a disk was there */
	bool queued;                 /* what is under way are NCQ's commands */
	uint32_t issue;              /* slots for the next kick */
	bool reset;                  /* recovery needs a COMRESET */
	const char *ending;          /* why there is to be no recovery; NULL: there is */
	int recovery_error;          /* of what was under way; 0: each is tried again, alone */
};

struct ahci_hba {
	struct host_pci_device *pci; /* [I] */
	volatile void *registers;    /* [I] */
	uint32_t cap;                /* [I] */
	bool polled;                 /* [I] */
	bool dead;                   /* [a] mastering is off */
	struct ahci_port *ports[AHCI_PORTS]; /* [I] NULL: none, or no disk */
};

static inline uint32_t ahci_port_read(const struct ahci_port *port, uint32_t offset)
{
	return mmio_read32(port->hba->registers, AHCI_PORT(port->index) + offset);
}

static inline void ahci_port_write(const struct ahci_port *port, uint32_t offset, uint32_t value)
{
	mmio_write32(port->hba->registers, AHCI_PORT(port->index) + offset, value);
}

extern const struct disk_queue_operations ahci_queue_operations;
extern const struct block_operations ahci_block_operations;

/* All with queue.lock held. */

/* Fill slot's header and table's FIS; `sectors` and `sector` in the disk's own unit. */
void ahci_set_command(struct ahci_port *port, unsigned int slot, struct ahci_table *table,
	enum ata_command command, uint64_t sector, uint32_t sectors);
/* Finished commands, and errors. */
void ahci_harvest(struct disk_queue *queue);

/* The port is not to be used any more; all its requests fail. */
void ahci_port_give_up(struct ahci_port *port, const char *why);
/* The same, once it has stopped. What is plugged in now may be another disk. */
void ahci_port_end(struct ahci_port *port, const char *why);

/* At boot, after the controller's reset: let the port look for its disk. */
void ahci_port_begin(struct ahci_port *port);
/*
 * Commands cannot go on as they are: stop, reset if need be, start again. `error` as
 * recovery_error.
 */
void ahci_port_recover(struct ahci_port *port, bool reset, int error);
/* The next step; to be called until `state` is AHCI_LIVE or AHCI_DEAD. */
void ahci_port_step(struct disk_queue *queue);
void ahci_port_check(struct disk_queue *queue);
void ahci_port_late(struct disk_queue *queue, unsigned int slot);

#endif
