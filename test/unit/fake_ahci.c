/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_ahci.h. */
#include "test/unit/fake_ahci.h"

#undef NDEBUG /* its checks are part of the tests, in every kind of build */
#include <assert.h>
#include <string.h>

#include "host/memory.h"

#define CMD_ST 1U
#define CMD_FRE 0x10U
#define CMD_FR (1U << 14)
#define CMD_CR (1U << 15)
#define IS_TASK_FILE (1U << 30)
#define IS_CONNECT (1U << 6)
#define SERR_EXCHANGED (1U << 26)

struct fake_ahci fake_ahci;

static struct port {
	uint64_t list, fis;
	uint32_t is, ie, cmd, tfd, sig, ssts, sctl, serr, sact, ci;
	uint32_t lost, failing;
	bool broken;             /* it has failed, and does nothing until it is recovered */
	bool needs_reset;        /* and that takes a COMRESET */
	unsigned int delay;      /* turns until the next thing happens by itself */
} ports[FAKE_AHCI_PORTS];
static uint32_t ghc, hba_is, bohc, implemented;

static bool has_device(unsigned int n)
{
	return n == FAKE_AHCI_FIRST || n == FAKE_AHCI_SECOND || n == 3;
}

static void update_interrupt(unsigned int n)
{
	if (!(ports[n].is & ports[n].ie))
		return;
	hba_is |= 1U << n;
	if (ghc & 2)
		disk_lab_interrupt();
}

static void raise(unsigned int n, uint32_t bits)
{
	ports[n].is |= bits;
	update_interrupt(n);
}

/* The link comes up, and the disk is ready some time later. */
static void connect(unsigned int n)
{
	struct port *port = &ports[n];

	port->tfd = 0x80;
	port->broken = false;
	port->needs_reset = false;
	port->sact = 0;
	port->ci = 0;
	port->failing = 0;
	port->lost = 0;
	port->delay = 3;
	if (!has_device(n) || (n == FAKE_AHCI_FIRST && fake_ahci.no_link)) {
		port->ssts = 0;
		return;
	}
	port->ssts = 0x123;
	port->serr |= SERR_EXCHANGED;
	raise(n, IS_CONNECT);
}

static void reset_hba(void)
{
	ghc = 1U << 31;
	hba_is = 0;
	memset(ports, 0, sizeof(ports));
	for (unsigned int n = 0; n < FAKE_AHCI_PORTS; n++)
		connect(n);
}

static uint32_t port_read(unsigned int n, uint32_t offset)
{
	const struct port *port = &ports[n];

	switch (offset) {
	case 0x10:
		return port->is;
	case 0x14:
		return port->ie;
	case 0x18:
		return port->cmd;
	case 0x20:
		return port->tfd;
	case 0x24:
		return port->sig;
	case 0x28:
		return port->ssts;
	case 0x2c:
		return port->sctl;
	case 0x30:
		return port->serr;
	case 0x34:
		return port->sact;
	case 0x38:
		return port->ci;
	default:
		assert(!"a port register that has no use");
	}
}

static uint32_t fake_read(uint32_t offset)
{
	if (fake_ahci.gone)
		return ~0U;
	if (offset >= 0x100) {
		assert(implemented >> (offset - 0x100) / 0x80 & 1);
		return port_read((offset - 0x100) / 0x80, offset % 0x80);
	}
	switch (offset) {
	case 0x00:
		return (fake_ahci.narrow ? 0 : 1U << 31) | (uint32_t)fake_ahci.ncq << 30 | (fake_ahci.slots - 1) << 8 |
			(FAKE_AHCI_PORTS - 1);
	case 0x04:
		return ghc;
	case 0x08:
		return hba_is;
	case 0x0c:
		return implemented;
	case 0x24:
		return 1; /* handoff */
	case 0x28:
		return bohc;
	default:
		assert(!"a register that has no use");
	}
}

static void set_command(unsigned int n, uint32_t value)
{
	struct port *port = &ports[n];

	value &= ~(CMD_CR | CMD_FR | 0xf0000000U);
	if (value & CMD_ST && !(port->cmd & CMD_ST)) {
		/* It is ready, and has a place for what it receives. */
		assert(value & CMD_FRE && !(port->tfd & 0x88) && (port->ssts & 0xf) == 3);
		assert(!port->needs_reset && !(port->cmd & CMD_CR) && port->list && port->fis);
		port->broken = false;
		value |= CMD_CR;
	} else if (port->cmd & CMD_CR) {
		value |= CMD_CR; /* until it has come to a halt: in step_port() */
	}
	if (value & CMD_FRE)
		value |= CMD_FR;
	port->cmd = value;
	port->delay = MAX(port->delay, disk_lab_random(20));
}

static void issue(struct port *port, uint32_t value)
{
	unsigned int under_way;

	assert(port->cmd & CMD_ST && !(port->ci & value));
	/* Queued commands have nothing else beside them; others are alone, and ... */
	assert((value & ~port->sact) == 0 || ((port->ci | port->sact) == 0 && (value & (value - 1)) == 0));
	port->ci |= value;
	under_way = (unsigned int)__builtin_popcount(port->ci | port->sact);
	fake_ahci.most_under_way = MAX(fake_ahci.most_under_way, under_way);
	assert(value < 1ULL << fake_ahci.slots);
}

static void port_write(unsigned int n, uint32_t offset, uint32_t value)
{
	struct port *port = &ports[n];

	switch (offset) {
	case 0x00:
		port->list = (port->list & ~0xffffffffULL) | value;
		break;
	case 0x04:
		port->list = (uint32_t)port->list | (uint64_t)value << 32;
		break;
	case 0x08:
		port->fis = (port->fis & ~0xffffffffULL) | value;
		break;
	case 0x0c:
		port->fis = (uint32_t)port->fis | (uint64_t)value << 32;
		break;
	case 0x10:
		port->is &= ~value;
		port->is |= port->serr & SERR_EXCHANGED ? IS_CONNECT : 0;
		break;
	case 0x14:
		port->ie = value;
		update_interrupt(n);
		break;
	case 0x18:
		set_command(n, value);
		break;
	case 0x2c:
		if ((port->sctl & 0xf) == 1 && (value & 0xf) == 0) {
			assert(!(port->cmd & CMD_ST));
			fake_ahci.comresets++;
			connect(n);
		} else if ((value & 0xf) == 1) {
			port->ssts = 0;
		}
		port->sctl = value;
		break;
	case 0x30:
		port->serr &= ~value;
		if (value & SERR_EXCHANGED)
			port->is &= ~IS_CONNECT;
		break;
	case 0x34:
		assert(port->cmd & CMD_ST && !(port->sact & value));
		port->sact |= value;
		break;
	case 0x38:
		issue(port, value);
		break;
	default:
		assert(!"a port register that is not to be written");
	}
}

static void fake_write(uint32_t offset, uint32_t value)
{
	if (fake_ahci.gone)
		return;
	if (offset >= 0x100) {
		assert(ghc >> 31 && (offset - 0x100) / 0x80 < FAKE_AHCI_PORTS);
		port_write((offset - 0x100) / 0x80, offset % 0x80, value);
		return;
	}
	switch (offset) {
	case 0x04:
		ghc = value | 1U << 31;
		if (value & 2)
			for (unsigned int n = 0; n < FAKE_AHCI_PORTS; n++)
				update_interrupt(n);
		break;
	case 0x08:
		hba_is &= ~value;
		for (unsigned int n = 0; n < FAKE_AHCI_PORTS; n++)
			update_interrupt(n);
		break;
	case 0x0c:
		implemented = value;
		break;
	case 0x28:
		bohc = value;
		break;
	default:
		assert(!"a register that is not to be written");
	}
}

static uint64_t get(const uint8_t *at, size_t bytes)
{
	uint64_t value = 0;

	memcpy(&value, at, bytes);
	return value;
}

/* Move between the disk and the command's memory. */
static void move(const uint8_t *header, uint8_t *disk, uint64_t bytes, bool to_memory)
{
	const uint8_t *table = host_ptr(get(header + 8, 8));
	unsigned int count = (unsigned int)get(header + 2, 2);

	assert(disk_lab_mastering() && ((header[0] >> 6 & 1) == !to_memory));
	for (unsigned int i = 0; i < count; i++) {
		hpa_t at = get(table + 128 + 16 * i, 8);
		uint32_t part = (uint32_t)get(table + 128 + 16 * i + 12, 4) + 1;

		assert(IS_ALIGNED(at, 2) && IS_ALIGNED(part, 2) && part <= MIB(4) && part <= bytes);
		if (to_memory)
			memcpy(host_ptr(at), disk, part);
		else
			memcpy(disk, host_ptr(at), part);
		disk += part;
		bytes -= part;
	}
	assert(bytes == 0);
}

static void identify(unsigned int n, const uint8_t *header)
{
	uint16_t words[256] = { 0 };
	bool large = n == FAKE_AHCI_SECOND;
	uint64_t sectors = FAKE_AHCI_SECTORS >> (large ? 3 : 0);
	const char *model = "Model of a SATA disk                    ";

	for (unsigned int i = 0; i < 40; i += 2)
		words[27 + i / 2] = (uint16_t)(model[i] << 8 | model[i + 1]);
	words[75] = 31;
	words[76] = (uint16_t)(fake_ahci.ncq << 8);
	words[83] = 0x4000 | 1 << 10 | 1 << 13;
	words[85] = (uint16_t)(fake_ahci.cache << 5);
	memcpy(&words[100], &sectors, 8);
	words[106] = large ? 0x5000 : 0x6003;
	words[117] = large ? 2048 : 0;
	words[169] = fake_ahci.trim;
	move(header, (uint8_t *)words, sizeof(words), true);
}

static void trim(const uint8_t *header, uint8_t *contents, unsigned int shift)
{
	uint64_t ranges[64];

	assert(fake_ahci.trim);
	move(header, (uint8_t *)ranges, sizeof(ranges), false);
	for (unsigned int i = 0; i < 64; i++) {
		uint64_t first = ranges[i] & byte_mask(6), count = ranges[i] >> 48;

		assert(range_within(first << shift, count << shift, sizeof(fake_ahci.contents[0])));
		memset(contents + (first << shift), 0, count << shift);
	}
}

/* False: the command fails. */
static bool carry_out(unsigned int n, unsigned int slot)
{
	struct port *port = &ports[n];
	const uint8_t *header = (uint8_t *)host_ptr(port->list) + 32 * slot;
	const uint8_t *fis = host_ptr(get(header + 8, 8));
	unsigned int shift = n == FAKE_AHCI_SECOND ? 12 : 9;
	uint8_t *contents = fake_ahci.contents[n == FAKE_AHCI_SECOND];
	uint64_t lba = get(fis + 4, 3) | get(fis + 8, 3) << 24, count = get(fis + 12, 2);
	bool queued = fis[2] == 0x60 || fis[2] == 0x61;

	assert((header[0] & 0x1f) == 5 && IS_ALIGNED(get(header + 8, 8), 128));
	assert(fis[0] == 0x27 && fis[1] == 0x80 && fis[7] == 0x40);
	assert(queued == (port->sact >> slot & 1));
	if (fis[2] == 0xec) {
		identify(n, header);
		return true;
	}
	if (queued) {
		assert(fake_ahci.ncq && fis[12] >> 3 == slot);
		count = fis[3] | (uint64_t)fis[11] << 8;
	}
	if (fis[2] == 0xea) {
		fake_ahci.flushes++;
		return !(port->failing >> slot & 1);
	}
	if (fis[2] != 0x25 && fis[2] != 0x60)
		fake_ahci.writes++;
	if (fis[2] == 0x06) {
		assert(fis[3] == 1 && count == 1);
		trim(header, contents, shift);
		return !(port->failing >> slot & 1);
	}
	assert(count && range_within(lba << shift, count << shift, sizeof(fake_ahci.contents[0])));
	if (n == FAKE_AHCI_FIRST && fake_ahci.bad_sector - lba < count)
		return false;
	if (port->failing >> slot & 1)
		return false;
	assert(fis[2] == 0x25 || fis[2] == 0x35 || queued);
	move(header, contents + (lba << shift), count << shift, fis[2] == 0x25 || fis[2] == 0x60);
	return true;
}

static void end_command(unsigned int n, unsigned int slot)
{
	struct port *port = &ports[n];
	bool queued = port->sact >> slot & 1;

	if (!carry_out(n, slot)) {
		port->failing = 0;
		port->tfd = 0x4041;
		port->broken = true;
		port->needs_reset = queued;
		if (!queued && fake_ahci.clears_failed)
			port->ci = 0;
		raise(n, IS_TASK_FILE);
		return;
	}
	port->tfd = 0x50;
	port->ci &= ~(1U << slot);
	port->sact &= ~(1U << slot);
	raise(n, queued ? 8 : 1);
}

/* Things that happen by themselves. */
static void step_port(unsigned int n)
{
	struct port *port = &ports[n];

	if (port->delay) {
		port->delay--;
		return;
	}
	if (!(port->cmd & CMD_ST) && port->cmd & CMD_CR && !(n == FAKE_AHCI_FIRST && fake_ahci.never_stops)) {
		port->cmd &= ~CMD_CR;
		port->ci = 0;
		port->sact = 0;
		port->failing = 0;
	}
	if (!(port->cmd & CMD_FRE))
		port->cmd &= ~CMD_FR;
	if ((port->ssts & 0xf) == 3 && port->tfd == 0x80 && port->cmd & CMD_FRE &&
		!(n == FAKE_AHCI_FIRST && fake_ahci.never_ready)) {
		port->tfd = 0x50;
		port->sig = n == 3 ? 0xeb140101 : 0x101;
	}
}

static void count_command(struct port *port, unsigned int slot)
{
	fake_ahci.commands++;
	if (fake_ahci.fail_at && --fake_ahci.fail_at == 0)
		port->failing |= 1U << slot;
	if (fake_ahci.lose_at && --fake_ahci.lose_at == 0)
		port->lost |= 1U << slot;
}

static void work(unsigned int n)
{
	struct port *port = &ports[n];

	for (unsigned int slot = 0; slot < 32; slot++) {
		bool queued = port->sact >> slot & 1;
		const uint8_t *header = (uint8_t *)host_ptr(port->list) + 32 * slot;

		if (port->broken || !(port->cmd & CMD_ST) || (port->ssts & 0xf) != 3)
			return;
		if (port->ci >> slot & 1) {
			bool is_identify = ((uint8_t *)host_ptr(get(header + 8, 8)))[2] == 0xec;

			if (is_identify && fake_ahci.silent)
				return;
			/* Counted once: while it is not queued it stays where it is. */
			if (!is_identify && n == FAKE_AHCI_FIRST && !(port->lost >> slot & 1))
				count_command(port, slot);
			if (queued)
				port->ci &= ~(1U << slot); /* it was sent */
			else if (!(port->lost >> slot & 1))
				end_command(n, slot);
		} else if (queued && !(port->lost >> slot & 1) && disk_lab_random(3) == 0) {
			end_command(n, slot);
		}
	}
}

static void fake_run(void)
{
	if (fake_ahci.gone)
		return;
	if (ghc & 1) {
		reset_hba();
		implemented = fake_ahci.forgets_ports ? 0 : implemented;
	}
	if (bohc & 2 && !fake_ahci.firmware_keeps)
		bohc &= ~1U;
	for (unsigned int n = 0; n < FAKE_AHCI_PORTS; n++) {
		step_port(n);
		if (disk_lab_mastering())
			work(n);
	}
}

void fake_ahci_unplug(bool another)
{
	struct port *port = &ports[FAKE_AHCI_FIRST];

	port->ssts = 0;
	port->broken = true;
	if (another)
		connect(FAKE_AHCI_FIRST);
}

void fake_ahci_reset(void)
{
	memset(&fake_ahci, 0, sizeof(fake_ahci));
	fake_ahci.model = (struct disk_lab_model){ .class_code = 0x010601, .bar = 5, .bar_bytes = 0x1000,
		.messages = true, .read = fake_read, .write = fake_write, .run = fake_run };
	fake_ahci.ncq = true;
	fake_ahci.cache = true;
	fake_ahci.trim = true;
	fake_ahci.slots = 32;
	fake_ahci.bad_sector = ~0ULL;
	reset_hba();
	implemented = (1U << FAKE_AHCI_PORTS) - 1;
	bohc = 1;
	disk_lab_machine(&fake_ahci.model);
}
