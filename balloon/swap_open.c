/* SPDX-License-Identifier: BSD-2-Clause */
/* The start of swapping: whether a disk may be written, and what is needed at run time. */
#include "balloon/swap_internal.h"

#include "host/cpu.h"
#include "host/log.h"
#include "host/random.h"
#include "lib/string.h"

/* In the last bytes of the first page, as Linux has them there. */
#define SIGNATURE_BYTES 10U
#define SIGNATURE_AT (PAGE_SIZE - SIGNATURE_BYTES)

#define SLOTS_MOST BIT(SWAP_SLOT_BITS)
#define SLOTS_LEAST 256U

/* A request of the boot CPU's, which waits for it. */
struct wait {
	struct block_request request;
	struct block_segment segment;
	uint32_t ended; /* [a] */
};

static void wait_done(struct block_request *request)
{
	struct wait *wait = container_of(request, struct wait, request);

	__atomic_store_n(&wait->ended, 1, __ATOMIC_RELEASE);
}

/* Read or write the first slot. */
static int transfer(struct block_device *device, enum block_operation operation, void *page)
{
	struct wait wait = {
		.segment = { host_phys(page), PAGE_SIZE },
		.request = {
			.operation = operation,
			.sectors = SLOT_SECTORS,
			.segments = &wait.segment,
			.segment_count = 1,
			.done = wait_done,
		},
	};

	if (!block_submit(device, &wait.request)) {
		while (!__atomic_load_n(&wait.ended, __ATOMIC_ACQUIRE))
			irq_window();
	}
	return wait.request.error;
}

static bool has_partitions(const struct block_device *device)
{
	const struct block_device *other;

	for (size_t i = 0; (other = block_at(i)); i++)
		if (other->parent == device)
			return true;
	return false;
}

/* Why what the device is forbids to swap there; NULL: nothing does. */
static const char *kind_fault(const struct block_device *device, unsigned int allowed)
{
	bool erase = allowed & SWAP_OPEN_ERASE;

	if (strchr(device->name, '\\'))
		return allowed & SWAP_OPEN_TRIAL ? NULL :
			"is a file of the boot volume, which lies in memory itself; name a disk, "
			"or append ', trial' to see how it goes";
	if (!device->parent && has_partitions(device))
		return "has partitions; name one of them";
	if (!device->parent && !erase)
		return "is a whole disk; append ', erase' if nothing on it is needed";
	if (!device->linux_swap && !erase)
		return "is not of the type Linux swap; give it that type (sgdisk -t N:8200), or "
		       "append ', erase' if nothing on it is needed";
	return NULL;
}

static bool is_zero(const uint8_t *page)
{
	for (size_t i = 0; i < PAGE_SIZE; i++)
		if (page[i])
			return false;
	return true;
}

static bool has_signature(const uint8_t *page, const char *signature)
{
	return memcmp(page + SIGNATURE_AT, signature, strlen(signature)) == 0;
}

/* The same of what is there. */
static const char *content_fault(const uint8_t *page)
{
	static const char *const suspended[] = { "S1SUSPEND", "S2SUSPEND", "ULSUSPEND",
		"LINHIB0001" };

	for (size_t i = 0; i < ARRAY_SIZE(suspended); i++)
		if (has_signature(page, suspended[i]))
			return "holds a Linux that was suspended to it; start and end that first";
	if (!has_signature(page, "SWAPSPACE2") && !has_signature(page, "SWAP-SPACE") &&
		!is_zero(page))
		return "does not begin as swap space does; run mkswap on it, or append ', erase' "
		       "if nothing on it is needed";
	return NULL;
}

static int refuse(const char *name, const char *fault)
{
	log_line("swap: %s %s", name, fault);
	return -EINVAL;
}

/* The first page says whether it may be overwritten; or is overwritten itself. */
static int claim_content(struct block_device *device, bool erase)
{
	uint8_t *page = heap_alloc(PAGE_SIZE, FRAME_HOST);
	const char *fault = NULL;
	int error;

	if (!page)
		return -ENOMEM;
	error = transfer(device, erase ? BLOCK_WRITE : BLOCK_READ, page);
	if (!error && !erase)
		fault = content_fault(page);
	if (error)
		log_line("swap: %s cannot be %s: error %d", device->name,
			erase ? "written" : "read", -error);
	heap_free(page);
	return error ? -EIO : fault ? refuse(device->name, fault) : 0;
}

static void release(void)
{
	for (unsigned int i = 0; i < SWAP_BATCHES; i++) {
		heap_free(swap.ciphers[i]);
		swap.ciphers[i] = NULL;
	}
	swap_slots_destroy(&swap.slots);
}

static int allocate(uint64_t slots)
{
	int error = swap_slots_init(&swap.slots, slots);

	for (unsigned int i = 0; !error && i < SWAP_BATCHES; i++) {
		swap.ciphers[i] = heap_alloc(SWAP_BATCH_PAGES * PAGE_SIZE, FRAME_HOST);
		if (!swap.ciphers[i])
			error = -ENOMEM;
	}
	if (error)
		release();
	return error;
}

static int make_key(void)
{
	uint8_t secret[CHACHA20_KEY_BYTES + sizeof(swap.check_seed)];

	if (random_bytes(secret, sizeof(secret))) {
		log_line("swap: the CPU gives no random numbers, so nothing can be encrypted");
		return -EIO;
	}
	chacha20_set_key(&swap.key, secret);
	memcpy(&swap.check_seed, secret + CHACHA20_KEY_BYTES, sizeof(swap.check_seed));
	memset(secret, 0, sizeof(secret));
	return 0;
}

/* The device is touched only when all else is there. */
static int prepare(struct block_device *device, bool erase, uint64_t slots)
{
	int error = make_key();

	if (error)
		return error;
	error = allocate(slots);
	if (error) {
		log_line("swap: no memory for the records of %s", device->name);
		return error;
	}
	error = claim_content(device, erase);
	if (error)
		release();
	return error;
}

static int use(struct block_device *device, bool erase, uint64_t slots)
{
	int error;

	if (slots < SLOTS_LEAST)
		return refuse(device->name, "is too small");
	error = block_open(device, BLOCK_OPEN_WRITE);
	if (error) {
		log_line("swap: %s %s", device->name, error == -EROFS ? "cannot be written" :
			"is in use");
		return error;
	}
	error = prepare(device, erase, slots);
	if (error) {
		block_close(device, BLOCK_OPEN_WRITE);
		return error;
	}
	swap.stats.record_bytes = swap.slots.words / SWAP_SEGMENT_WORDS * KIB(512) +
		SWAP_BATCHES * SWAP_BATCH_PAGES * PAGE_SIZE;
	swap.device = device;
	log_line("swap: %s, %lu MiB, with %lu KiB of memory for its records", device->name,
		(uint64_t)(slots * PAGE_SIZE >> 20), swap.stats.record_bytes >> 10);
	return 0;
}

int swap_open(const char *name, unsigned int allowed, uint64_t most_bytes)
{
	struct block_device *device = block_find(name);
	const char *fault;

	if (swap.device)
		return -EBUSY;
	if (!device) {
		log_line("swap: there is no disk %s", name);
		return -ENODEV;
	}
	fault = kind_fault(device, allowed);
	if (fault)
		return refuse(device->name, fault);
	return use(device, allowed & SWAP_OPEN_ERASE,
		MIN(MIN(device->sectors / SLOT_SECTORS, most_bytes / PAGE_SIZE), SLOTS_MOST));
}

#ifdef BALLAST_UNIT_TEST
void swap_test_close(void)
{
	if (swap.device) {
		block_close(swap.device, BLOCK_OPEN_WRITE);
		release();
	}
	memset(&swap, 0, sizeof(swap));
}
#endif
