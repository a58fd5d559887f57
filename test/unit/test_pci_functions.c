/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI functions of a guest: ECAM, base addresses that move, MSI-X messages, pins that share lines, plugging in. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "devices/pci_msix.h"
#include "test/unit/fake_pci.h"

#define CARDS 4
#define TABLE 0x800
#define PENDING 0xc00

static struct platform *platform;

/* Two words of memory, a port, and four messages. */
static struct card {
	struct pci_function function;
	struct pci_msix msix;
	uint32_t words[2];
	uint32_t port;
	unsigned int reads;
} cards[CARDS];

static struct card *card_of_bar(struct io_region *region, unsigned int bar)
{
	return (struct card *)((char *)region - offsetof(struct card, function.bars[0].region) -
		bar * sizeof(struct pci_bar));
}

static uint64_t memory_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	struct card *card = card_of_bar(region, 1);

	if (offset >= PENDING)
		return pci_msix_read_pending(&card->msix, offset - PENDING, size);
	if (offset >= TABLE)
		return pci_msix_read_table(&card->msix, offset - TABLE, size);
	return offset < 8 ? card->words[offset / 4] >> (8 * (offset & 3)) : 0;
}

static void memory_write(struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct card *card = card_of_bar(region, 1);

	if (offset >= TABLE)
		pci_msix_write_table(&card->msix, offset - TABLE, size, value);
	else if (offset < 8)
		card->words[offset / 4] = value;
}

static uint64_t port_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	(void)offset, (void)size;
	return card_of_bar(region, 0)->port;
}

static void port_write(struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	(void)offset, (void)size;
	card_of_bar(region, 0)->port = value;
}

static void card_written(struct pci_function *function, unsigned int offset, unsigned int size)
{
	pci_msix_written(&container_of(function, struct card, function)->msix, offset, size);
}

static void card_reading(struct pci_function *function, unsigned int offset, unsigned int size)
{
	(void)offset, (void)size;
	container_of(function, struct card, function)->reads++;
}

static const struct pci_identity identity = { 0x1234, 0x5678, 0x9abc, 0xdef0, 7, 0x020304 };

static void make(struct card *card)
{
	memset(card, 0, sizeof(*card));
	card->function.bars[0].region = (struct io_region){ .length = 16, .max_size = 4, .read = port_read,
		.write = port_write };
	card->function.bars[1].region = (struct io_region){ .length = 0x1000, .max_size = 4, .read = memory_read,
		.write = memory_write };
	card->function.written = card_written;
	card->function.reading = card_reading;
	pci_function_init(&card->function, &identity);
	assert_int_equal(pci_add_bar(platform->pci, &card->function, 0, true), 0);
	assert_int_equal(pci_add_bar(platform->pci, &card->function, 1, false), 0);
	assert_int_equal(pci_msix_init(&card->msix, &card->function, 4, 1, TABLE, PENDING), 0);
}

static int begin(void **state)
{
	static const struct platform_options options = { .low_ram_bytes = MIB(256) };

	(void)state;
	fake_pc_begin(3);
	assert_int_equal(platform_create(&pc.vm, &options, &platform), 0);
	for (unsigned int i = 0; i < CARDS; i++) {
		make(&cards[i]);
		assert_int_equal(pci_add(platform->pci, &cards[i].function), 0);
	}
	for (unsigned int i = 0; i < 3; i++)
		lapic_write32(i, 0xf0, 0x1ff);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_pc_end();
	return 0;
}

static gpa_t ecam(unsigned int slot, unsigned int offset)
{
	return PCI_ECAM_BASE + (slot << 15) + offset;
}

static void identities_and_masks(void **state)
{
	(void)state;
	assert_int_equal(config_in(1, PCI_VENDOR_ID, 4), 0x56781234);
	assert_int_equal(config_in(1, PCI_CLASS_REVISION, 4), 0x02030407);
	assert_int_equal(config_in(1, PCI_SUBSYSTEM_VENDOR_ID, 4), 0xdef09abc);
	assert_int_equal(config_in(1, PCI_INTERRUPT_LINE, 2), 0x100 | IRQ_PCI_B);
	assert_int_equal(config_in(2, PCI_INTERRUPT_LINE, 2), 0x100 | IRQ_PCI_A);
	assert_int_equal(config_in(0, PCI_INTERRUPT_LINE, 2), 0);
	config_out(1, PCI_INTERRUPT_LINE, 4, 0xffffff05);
	assert_int_equal(config_in(1, PCI_INTERRUPT_LINE, 4), 0x00000105);
	config_out(1, PCI_COMMAND, 4, ~0U);
	assert_int_equal(config_in(1, PCI_COMMAND, 4), 0x00100407);
	for (unsigned int at = 0; at < 0x100; at += 4) {
		uint32_t before = config_in(3, at, 4);

		config_out(3, at, 4, 0);
		config_out(3, at, 4, ~0U);
		if (at == PCI_VENDOR_ID || at == PCI_CLASS_REVISION || at == PCI_SUBSYSTEM_VENDOR_ID ||
			at == PCI_CAPABILITY_LIST || at == PCI_BASE_ADDRESS_2)
			assert_int_equal(config_in(3, at, 4), before);
	}
	PC_LOCKED(pci_function_reset(&cards[2].function));
	assert_memory_equal(cards[2].function.config, cards[2].function.initial, PCI_CONFIG_BYTES);
}

static void ecam_shows_the_same(void **state)
{
	unsigned int reads = cards[0].reads;

	(void)state;
	for (unsigned int at = 0; at < 0x100; at++)
		assert_int_equal(pc_mmio_in(ecam(1, at), 1), config_in(1, at, 1));
	assert_int_equal(cards[0].reads, reads + 0x200);
	assert_int_equal(pc_mmio_in(ecam(1, PCI_DEVICE_ID), 2), 0x5678);
	assert_int_equal(pc_read32(ecam(0, 0)), 0x12378086);
	pc_mmio_out(ecam(1, PCI_INTERRUPT_LINE), 1, 0x77);
	assert_int_equal(config_in(1, PCI_INTERRUPT_LINE, 1), 0x77);
	/* Nothing beyond 256 bytes, nothing where no function is. */
	assert_int_equal(pc_read32(ecam(1, 0x100)), 0);
	assert_int_equal(pc_read32(ecam(1, 0xffc)), 0);
	pc_write32(ecam(1, 0x104), 5);
	assert_int_equal(pc_read32(ecam(31, 0)), ~0U);
	assert_int_equal(pc_read32(ecam(1, 0x1000)), ~0U);
	pc_write32(ecam(31, 0), 0);
	/* An access that is not within a double word. */
	assert_int_equal(pc_mmio_in(ecam(1, 1), 4), ~0U);
	assert_int_equal(pc_mmio_in(ecam(1, 0xff), 2), 0xffff);
	pc_mmio_out(ecam(1, PCI_INTERRUPT_LINE - 1), 2, 0x1111);
	assert_int_equal(config_in(1, PCI_INTERRUPT_LINE, 1), 0x77);
	/* Two double words at once. */
	assert_true(pc_mmio_in(ecam(1, 0), 8) == (0x56781234 | (uint64_t)pc_read32(ecam(1, 4)) << 32));
	assert_int_equal(pc_read32(PCI_ECAM_BASE + PCI_ECAM_BYTES), ~0U);
}

static uint32_t size_of(unsigned int slot, unsigned int bar)
{
	unsigned int at = PCI_BASE_ADDRESS_0 + 4 * bar;
	uint32_t before = config_in(slot, at, 4), size;

	config_out(slot, at, 4, ~0U);
	size = config_in(slot, at, 4);
	config_out(slot, at, 4, before);
	assert_int_equal(config_in(slot, at, 4), before);
	return size;
}

static void base_addresses_move(void **state)
{
	uint32_t port = bar_in(1, 0), memory = bar_in(1, 1);

	(void)state;
	assert_int_equal(size_of(1, 0), 0xfff1);
	assert_int_equal(size_of(1, 1), 0xfffff000);
	assert_int_equal(size_of(1, 2), 0);
	pc_write32(memory, 0x11);
	pc_out(port, 4, 0x22);
	assert_int_equal(cards[0].words[0], 0x11);
	assert_int_equal(cards[0].port, 0x22);
	config_out(1, PCI_BASE_ADDRESS_1, 4, 0xc8000abc);
	assert_int_equal(bar_in(1, 1), 0xc8000000);
	assert_int_equal(pc_read32(memory), ~0U);
	assert_int_equal(pc_read32(0xc8000000), 0x11);
	config_out(1, PCI_BASE_ADDRESS_0, 2, 0x1233);
	assert_int_equal(config_in(1, PCI_BASE_ADDRESS_0, 4), 0x1231);
	assert_int_equal(pc_in(port, 4), ~0U);
	assert_int_equal(pc_in(0x1230, 4), 0x22);
	/* Byte by byte: somewhere else in between. */
	config_out(1, PCI_BASE_ADDRESS_1 + 3, 1, 0xc9);
	assert_int_equal(pc_read32(0xc9000000), 0x11);
	/* While it is sized it is nowhere. */
	config_out(1, PCI_BASE_ADDRESS_1, 4, ~0U);
	assert_int_equal(pc_read32(0xc9000000), ~0U);
	assert_int_equal(pc_read32(0xfffff000), ~0U);
	config_out(1, PCI_BASE_ADDRESS_1, 4, 0);
	config_out(1, PCI_BASE_ADDRESS_1, 4, memory);
	assert_int_equal(pc_read32(memory), 0x11);
	/* The command register switches each kind. */
	config_out(1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(pc_in(0x1230, 4), ~0U);
	assert_int_equal(pc_read32(memory), 0x11);
	config_out(1, PCI_COMMAND, 2, PCI_COMMAND_IO);
	assert_int_equal(pc_in(0x1230, 4), 0x22);
	assert_int_equal(pc_read32(memory), ~0U);
	config_out(1, PCI_BASE_ADDRESS_1, 4, 0xca000000); /* moved while it is off */
	config_out(1, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	assert_int_equal(pc_read32(0xca000000), 0x11);
	PC_LOCKED(pci_function_reset(&cards[0].function));
	assert_int_equal(pc_read32(memory), 0x11);
	assert_int_equal(pc_in(port, 4), 0x22);
}

static void base_addresses_take_nobodys_place(void **state)
{
	static const uint32_t taken[] = { 0, 0x1000, 0xf000, PCI_ECAM_BASE, PCI_ECAM_BASE + PCI_ECAM_BYTES - 0x1000,
		IOAPIC_BASE, LAPIC_DEFAULT_BASE };
	uint32_t other = bar_in(2, 1), memory = bar_in(1, 1);

	(void)state;
	pc.ram[0x1000] = 0x99;
	cards[0].words[0] = 0x55555555;
	cards[1].words[0] = 0x66666666;
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
		config_out(1, PCI_BASE_ADDRESS_1, 4, taken[i]);
		assert_int_equal(bar_in(1, 1), taken[i]);
		assert_int_not_equal(pc_read32(taken[i]), 0x55555555);
		assert_false(cards[0].function.bars[1].decoded);
	}
	/* RAM ends before the next page. */
	config_out(1, PCI_BASE_ADDRESS_1, 4, FAKE_PC_RAM_BYTES);
	assert_int_equal(pc_read32(FAKE_PC_RAM_BYTES), 0x55555555);
	config_out(1, PCI_BASE_ADDRESS_1, 4, FAKE_PC_RAM_BYTES - 0x1000);
	assert_false(cards[0].function.bars[1].decoded);
	/* Another's: whoever was there first has it, and when that one goes, it is free. */
	config_out(1, PCI_BASE_ADDRESS_1, 4, other);
	assert_int_equal(pc_read32(other), 0x66666666);
	config_out(2, PCI_BASE_ADDRESS_1, 4, 0xd8000000);
	assert_int_equal(pc_read32(0xd8000000), 0x66666666);
	assert_int_equal(pc_read32(other), 0x55555555);
	config_out(2, PCI_BASE_ADDRESS_1, 4, other);
	assert_int_equal(pc_read32(other), 0x55555555);
	config_out(1, PCI_COMMAND, 2, 0);
	assert_int_equal(pc_read32(other), 0x66666666);
	config_out(1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	config_out(1, PCI_BASE_ADDRESS_1, 4, memory);
	assert_int_equal(pc_read32(memory), 0x55555555);
	/* Ports of the platform, and what crosses them. */
	static const uint16_t ports[] = { 0, PORT_PIC_MASTER, PORT_COM1 & ~15, PORT_PCI_ADDRESS & ~15, PORT_PM1_EVENT };
	cards[0].port = 0x77777777;
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		config_out(1, PCI_BASE_ADDRESS_0, 4, ports[i]);
		assert_false(cards[0].function.bars[0].decoded);
	}
	config_out(1, PCI_BASE_ADDRESS_0, 4, 0xffff);
	assert_false(cards[0].function.bars[0].decoded);
	config_out(1, PCI_BASE_ADDRESS_0, 4, 0xffe0);
	assert_int_equal(pc_in(0xffe0, 4), 0x77777777);
	assert_int_equal(config_in(0, 0, 4), 0x12378086);
}

static void set_message(unsigned int slot, unsigned int vector, uint64_t address, uint32_t data, uint32_t control)
{
	gpa_t entry = bar_in(slot, 1) + TABLE + 16 * vector;

	pc_write32(entry, address);
	pc_write32(entry + 4, address >> 32);
	pc_write32(entry + 8, data);
	pc_write32(entry + 12, control);
}

static void set_flags(unsigned int slot, uint16_t flags)
{
	config_out(slot, find_capability(slot, PCI_CAP_ID_MSIX, 0, 0) + PCI_MSIX_FLAGS, 2, flags);
}

static void send(unsigned int slot, unsigned int vector)
{
	PC_LOCKED(pci_msix_send(&cards[slot - 1].msix, vector));
}

static int take(unsigned int vcpu)
{
	int vector = pc_take_interrupt(vcpu);

	if (vector >= 0)
		lapic_write32(vcpu, 0xb0, 0);
	return vector;
}

static void messages_go_where_they_say(void **state)
{
	gpa_t table = bar_in(1, 1) + TABLE;

	(void)state;
	assert_int_equal(config_in(1, find_capability(1, PCI_CAP_ID_MSIX, 0, 0) + PCI_MSIX_FLAGS, 2), 3);
	set_message(1, 0, 0xfee00000, 0x40, 0);
	send(1, 0); /* not enabled */
	assert_int_equal(pc_read32(table + PENDING - TABLE), 0);
	set_flags(1, PCI_MSIX_FLAGS_ENABLE | 0x7ff);
	assert_int_equal(config_in(1, find_capability(1, PCI_CAP_ID_MSIX, 0, 0) + PCI_MSIX_FLAGS, 2), 0x8003);
	assert_int_equal(take(0), -1);
	send(1, 0);
	assert_int_equal(take(0), 0x40);
	set_message(1, 1, 0xfee02000, 0x41, 0);
	send(1, 1);
	assert_int_equal(take(0), -1);
	assert_int_equal(take(2), 0x41);
	/* Logical, flat: CPUs 0 and 1. */
	for (unsigned int i = 0; i < 3; i++)
		lapic_write32(i, 0xd0, 1U << (24 + i));
	set_message(1, 2, 0xfee03004, 0x42, 0);
	send(1, 2);
	assert_int_equal(take(0), 0x42);
	assert_int_equal(take(1), 0x42);
	assert_int_equal(take(2), -1);
	/* Lowest priority: one of them. */
	set_message(1, 2, 0xfee0700c, 0x143, 0);
	send(1, 2);
	assert_int_equal((take(0) == 0x43) + (take(1) == 0x43) + (take(2) == 0x43), 1);
	/* NMI; and what goes nowhere: no CPU, not a LAPIC, above 4 GiB, no such vector. */
	set_message(1, 3, 0xfee01000, 0x400, 0);
	send(1, 3);
	assert_int_equal(pc.nmis[1], 1);
	static const uint64_t nowhere[] = { 0xfee09000, 0xfed00000, 0xfef00000, 0x1fee00000, 0x1000, 0 };
	for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++) {
		set_message(1, 0, nowhere[i], 0x44, 0);
		send(1, 0);
	}
	send(1, 4);
	send(1, ~0U);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(take(i), -1);
	/* Level-triggered, should a guest ask for it. */
	set_message(1, 0, 0xfee00000, 0xc045, 0);
	send(1, 0);
	assert_int_equal(take(0), 0x45);
}

static void messages_wait_while_masked(void **state)
{
	gpa_t table = bar_in(1, 1) + TABLE, pending = bar_in(1, 1) + PENDING;

	(void)state;
	set_flags(1, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(pc_read32(table + 12), 1); /* masked from the start */
	set_message(1, 0, 0xfee00000, 0x40, 1);
	set_message(1, 2, 0xfee00000, 0x42, 0);
	send(1, 0);
	send(1, 0);
	assert_int_equal(pc_read32(pending), 1);
	assert_int_equal(pc_mmio_in(pending, 1), 1);
	assert_int_equal(pc_read32(pending + 4), 0);
	assert_int_equal(pc_read32(pending + 8), 0);
	assert_int_equal(take(0), -1);
	/* By the message as it is when it is sent. */
	pc_write32(table + 8, 0x50);
	pc_write32(table + 12, 0);
	assert_int_equal(take(0), 0x50);
	assert_int_equal(take(0), -1);
	assert_int_equal(pc_read32(pending), 0);
	/* The function's mask over all; then those that are not masked themselves. */
	set_flags(1, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	pc_write32(table + 12, 1);
	send(1, 0);
	send(1, 2);
	pc_write32(table + 12, 0);
	assert_int_equal(pc_read32(pending), 5);
	pc_write32(table + 12, 1);
	set_flags(1, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(take(0), 0x42);
	assert_int_equal(pc_read32(pending), 1);
	/* Off is off. */
	set_flags(1, 0);
	pc_write32(table + 12, 0);
	assert_int_equal(take(0), -1);
	set_flags(1, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(take(0), 0x50);
	/* Only whole double words. */
	pc_mmio_out(table + 8, 2, 0x1111);
	pc_mmio_out(table + 9, 1, 0x11);
	assert_int_equal(pc_read32(table + 8), 0x50);
	assert_int_equal(pc_mmio_in(table + 8, 1), 0x50);
	assert_int_equal(pc_mmio_in(table + 2, 2), 0xfee0);
	pc_mmio_out(table + 16, 8, 0x12345678fee02003);
	assert_int_equal(pc_read32(table + 16), 0xfee02000);
	assert_int_equal(pc_read32(table + 20), 0x12345678);
	pc_write32(table + 64, 0xffffffff); /* the fifth */
	assert_int_equal(pc_read32(table + 64), 0);
	pc_write32(table + 12, ~0U);
	assert_int_equal(pc_read32(table + 12), 1);
	PC_LOCKED(pci_msix_reset(&cards[0].msix));
	assert_int_equal(pc_read32(table + 16), 0);
}

static void pins_share_lines(void **state)
{
	(void)state;
	pc_write32(IOAPIC_BASE, 0x10 + 2 * IRQ_PCI_B);
	pc_write32(IOAPIC_BASE + 0x10, 0x8055); /* level */
	pc_write32(IOAPIC_BASE, 0x10 + 2 * IRQ_PCI_A);
	pc_write32(IOAPIC_BASE + 0x10, 0x8054);
	/* Slots 1 and 3. */
	PC_LOCKED(pci_set_intx(&cards[0].function, true));
	PC_LOCKED(pci_set_intx(&cards[2].function, true));
	assert_int_equal(take(0), 0x55);
	PC_LOCKED(pci_set_intx(&cards[0].function, false));
	assert_int_equal(take(0), 0x55);
	assert_int_equal(config_in(1, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, 0);
	assert_int_equal(config_in(3, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
	config_out(3, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(take(0), 0x55); /* that of the last end; now the line is low */
	assert_int_equal(take(0), -1);
	assert_int_equal(config_in(3, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
	PC_LOCKED(pci_set_intx(&cards[1].function, true));
	assert_int_equal(take(0), 0x54);
	PC_LOCKED(pci_set_intx(&cards[1].function, false));
	take(0);
	config_out(3, PCI_COMMAND, 2, 0);
	assert_int_equal(take(0), 0x55);
	PC_LOCKED(pci_function_reset(&cards[2].function));
	take(0);
	assert_int_equal(take(0), -1);
	/* The PIC has them as levels from power-up on. */
	assert_int_equal(inb(PORT_ELCR + 1) & 0x0c, 0x0c);
	outb(0x21, 0xfb);
	outb(0xa1, 0xf3);
	PC_LOCKED(pci_set_intx(&cards[0].function, true));
	take(0);
	lapic_write32(0, 0x350, 0x700); /* LINT0: ExtINT */
	pc_write32(IOAPIC_BASE, 0x10 + 2 * IRQ_PCI_B);
	pc_write32(IOAPIC_BASE + 0x10, 0x10000);
	assert_int_equal(take(0), 0x55); /* from before it was masked */
	assert_int_equal(take(0), 0x73);
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	assert_int_equal(take(0), 0x73); /* as long as it is asserted */
	PC_LOCKED(pci_set_intx(&cards[0].function, false));
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	assert_int_equal(take(0), -1);
}

static void capabilities_have_room(void **state)
{
	static struct card card;
	unsigned int at, last = 0, count = 0;

	(void)state;
	make(&card);
	assert_int_equal(pci_add_capability(&card.function, PCI_CAP_ID_VNDR, 1), 0);
	while ((at = pci_add_capability(&card.function, PCI_CAP_ID_VNDR, 17)) != 0) {
		assert_true(at > last && at % 4 == 0 && at + 17 <= 0x100);
		last = at;
		count++;
	}
	assert_int_equal(count, (0x100 - 0x40 - 12) / 20);
	assert_int_equal(pci_add(platform->pci, &card.function), 0);
	assert_int_equal(find_capability(5, PCI_CAP_ID_VNDR, 0, count - 1), last);
	assert_int_equal(find_capability(5, PCI_CAP_ID_VNDR, 0, count), 0);
	assert_int_equal(pci_msix_init(&card.msix, &card.function, 1, 1, 0, 0), -ENOSPC);
	assert_int_equal(pci_msix_init(&card.msix, &card.function, 0, 1, 0, 0), -EINVAL);
	assert_int_equal(pci_msix_init(&card.msix, &card.function, PCI_MSIX_VECTORS + 1, 1, 0, 0), -EINVAL);
}

static void bad_base_addresses_are_refused(void **state)
{
	static struct card card;
	static const struct {
		uint64_t bytes;
		bool ports;
		int error;
	} bad[] = { { 0, false, -EINVAL }, { 8, false, -EINVAL }, { 2, true, -EINVAL }, { 24, true, -EINVAL },
		{ 0x3000, false, -EINVAL }, { GIB(1), false, -ENOSPC }, { 0x10000, true, -ENOSPC } };

	(void)state;
	pci_function_init(&card.function, &identity);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		card.function.bars[0].region.length = bad[i].bytes;
		assert_int_equal(pci_add_bar(platform->pci, &card.function, 0, bad[i].ports), bad[i].error);
	}
	card.function.bars[0].region.length = MIB(1);
	for (unsigned int i = 0; i < 255; i++)
		assert_int_equal(pci_add_bar(platform->pci, &card.function, 0, false), 0);
	assert_int_equal(pci_add_bar(platform->pci, &card.function, 0, false), -ENOSPC);
}

static void a_running_guest_is_told_of_what_comes(void **state)
{
	static struct card card;

	(void)state;
	pc_write32(IOAPIC_BASE, 0x10 + 2 * IRQ_SCI);
	pc_write32(IOAPIC_BASE + 0x10, 0x8051);
	assert_int_equal(inb(PORT_GPE), 0); /* not for those from the start */
	outb(PORT_GPE + 1, BIT(ACPI_GPE_PCI));
	pc.vm.state = VM_RUNNING;
	make(&card);
	PC_LOCKED(assert_int_equal(pci_add(platform->pci, &card.function), 0));
	assert_int_equal(pc_take_interrupt(0), 0x51);
	assert_int_equal(inb(PORT_GPE), BIT(ACPI_GPE_PCI));
	assert_int_equal(inb(PORT_GPE + 1), BIT(ACPI_GPE_PCI));
	assert_int_equal(config_in(5, 0, 4), 0x56781234);
	outb(PORT_GPE, 0xff);
	assert_int_equal(inb(PORT_GPE), 0);
	lapic_write32(0, 0xb0, 0);
	assert_int_equal(take(0), -1);
	/* Not enabled: noted, until it is. */
	outb(PORT_GPE + 1, 0);
	static struct card another;
	make(&another);
	PC_LOCKED(assert_int_equal(pci_add(platform->pci, &another.function), 0));
	assert_int_equal(take(0), -1);
	outb(PORT_GPE + 1, 0xff);
	assert_int_equal(take(0), 0x51);
	fake_pc_reset_devices();
	assert_int_equal(pc_in(PORT_GPE, 2), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(identities_and_masks),
		TEST(ecam_shows_the_same),
		TEST(base_addresses_move),
		TEST(base_addresses_take_nobodys_place),
		TEST(messages_go_where_they_say),
		TEST(messages_wait_while_masked),
		TEST(pins_share_lines),
		TEST(capabilities_have_room),
		TEST(bad_base_addresses_are_refused),
		TEST(a_running_guest_is_told_of_what_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
