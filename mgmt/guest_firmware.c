/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/guest_firmware.h"
#include "ept/guest_memory.h"
#include "mgmt/guest_layout.h"

#define BIOS_SEGMENT 0xf000U
#define BIOS_IRET 0xff00U    /* offsets in that segment */
#define BIOS_SERVICE 0xff10U
#define BIOS_RESET 0xfff0U
#define BIOS_VECTORS 256

/* BIOS data area: the words that are still read today. */
#define BDA_START 0x400ULL
#define BDA_BYTES 0x100
#define BDA_COM1 0x00
#define BDA_EBDA_SEGMENT 0x0e
#define BDA_EQUIPMENT 0x10
#define BDA_MEMORY_KIB 0x13

#define COM1_PORT 0x3f8
#define EQUIPMENT_FPU BIT(1)
#define EQUIPMENT_SERIAL_PORTS(n) ((n) << 9)

static const uint8_t stub_iret[] = {
	0xcf, /* iret */
};

/* A BIOS call ends with the carry flag set: no such service. */
static const uint8_t stub_service[] = {
	0x55,                   /* push bp */
	0x89, 0xe5,             /* mov bp, sp */
	0x80, 0x4e, 0x06, 0x01, /* or byte [bp+6], 1 */
	0x5d,                   /* pop bp */
	0xcf,                   /* iret */
};

/* A guest that jumps to the reset vector wants a reset. */
static const uint8_t stub_reset[] = {
	0xba, 0xf9, 0x0c, /* mov dx, 0xcf9 */
	0xb0, 0x06,       /* mov al, 6 */
	0xee,             /* out dx, al */
	0xf4,             /* hlt */
	0xeb, 0xfd,       /* jmp to the hlt */
};

static int write_stub(struct guest_memory *memory, unsigned int offset, const uint8_t *code,
	size_t bytes)
{
	return guest_memory_write(memory, (BIOS_SEGMENT << 4) + offset, code, bytes);
}

static int write_stubs(struct guest_memory *memory)
{
	static const uint8_t model_at = 0xfc;
	int error = write_stub(memory, BIOS_IRET, stub_iret, sizeof(stub_iret));

	if (!error)
		error = write_stub(memory, BIOS_SERVICE, stub_service, sizeof(stub_service));
	if (!error)
		error = write_stub(memory, BIOS_RESET, stub_reset, sizeof(stub_reset));
	if (!error)
		error = write_stub(memory, 0xfffe, &model_at, sizeof(model_at));
	return error;
}

/* Exceptions and hardware interrupts just return; all else is a service that is not there. */
static bool is_interrupt(unsigned int vector)
{
	return vector < 0x10 || (vector >= 0x70 && vector < 0x78);
}

static int write_vectors(struct guest_memory *memory)
{
	uint32_t vectors[BIOS_VECTORS];

	for (unsigned int i = 0; i < BIOS_VECTORS; i++)
		vectors[i] = BIOS_SEGMENT << 16 | (is_interrupt(i) ? BIOS_IRET : BIOS_SERVICE);
	return guest_memory_write(memory, 0, vectors, sizeof(vectors));
}

static void put_word(uint8_t *area, unsigned int offset, uint64_t value)
{
	area[offset] = (uint8_t)value;
	area[offset + 1] = (uint8_t)(value >> 8);
}

static int write_data_areas(struct guest_memory *memory)
{
	const uint8_t ebda_kib = (LAYOUT_VGA - LAYOUT_EBDA) >> 10;
	uint8_t area[BDA_BYTES] = { 0 };
	int error;

	put_word(area, BDA_COM1, COM1_PORT);
	put_word(area, BDA_EBDA_SEGMENT, LAYOUT_EBDA >> 4);
	put_word(area, BDA_EQUIPMENT, EQUIPMENT_FPU | EQUIPMENT_SERIAL_PORTS(1));
	put_word(area, BDA_MEMORY_KIB, LAYOUT_EBDA >> 10);
	error = guest_memory_write(memory, BDA_START, area, sizeof(area));
	if (error)
		return error;
	return guest_memory_write(memory, LAYOUT_EBDA, &ebda_kib, sizeof(ebda_kib));
}

int guest_firmware_write(struct guest_memory *memory, unsigned int vcpu_count, gpa_t *rsdp)
{
	int error = write_vectors(memory);

	if (!error)
		error = write_data_areas(memory);
	if (!error)
		error = write_stubs(memory);
	if (!error)
		error = guest_acpi_write(memory, LAYOUT_ACPI, FIRMWARE_STUBS, vcpu_count);
	*rsdp = LAYOUT_ACPI;
	return error;
}
