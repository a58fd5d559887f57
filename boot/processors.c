/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/boot.h"

#include "host/apic.h"

/* PI specification, volume 2, "MP Services Protocol": what is used of it. */
#define MP_SERVICES_GUID                                                                           \
	{ 0x3fdda605, 0xa76e, 0x4f46, {0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08} }
/* Enabled, and healthy. */
#define PROCESSOR_USABLE (BIT(1) | BIT(2))

struct mp_processor {
	uint64_t processor_id; /* the APIC id */
	uint32_t status;
	uint32_t package, core, thread;
	uint32_t room[32]; /* later versions tell more */
};

struct mp_services {
	EFI_STATUS(EFIAPI *get_count)(struct mp_services *this, UINTN *all, UINTN *enabled);
	EFI_STATUS(EFIAPI *get_info)(struct mp_services *this, UINTN index,
		struct mp_processor *processor);
};

static void add(uint32_t apic_id)
{
	if (apic_id != machine.apic_ids[0] && machine.cpu_count < CPU_MAX)
		machine.apic_ids[machine.cpu_count++] = apic_id;
}

static void find_by_firmware(void)
{
	static EFI_GUID guid = MP_SERVICES_GUID;
	struct mp_services *services;
	UINTN all, enabled;

	if (firmware->BootServices->LocateProtocol(&guid, NULL, (void **)&services) ||
	    services->get_count(services, &all, &enabled))
		return;
	for (UINTN i = 0; i < all; i++) {
		struct mp_processor processor = {0};

		if (services->get_info(services, i, &processor) != EFI_SUCCESS)
			continue;
		if ((processor.status & PROCESSOR_USABLE) == PROCESSOR_USABLE)
			add((uint32_t)processor.processor_id);
	}
}

void processors_find(void)
{
	machine.apic_ids[0] = apic_read_id();
	machine.cpu_count = 1;
	if (machine.acpi.cpu_count == 0) {
		find_by_firmware();
		return;
	}
	for (size_t i = 0; i < machine.acpi.cpu_count; i++)
		add(machine.acpi.cpu_apic_ids[i]);
}
