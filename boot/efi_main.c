/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the firmware starts Ballast. */
#include "boot/boot.h"

#include "boot/vendors.h"
#include "host/clock.h"
#include "host/init.h"
#include "host/serial.h"
#include "lib/string.h"

#define WHY_BYTES 240
#define REFUSAL_SHOWN_US 3000000

struct memory_range boot_pool;

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table);

static void read_image(void)
{
	machine.image_start = ROUND_DOWN(host_phys(image_text), PAGE_SIZE);
	machine.image_bytes = ROUND_UP(host_phys(image_end), PAGE_SIZE) - machine.image_start;
}

/*
 * The reason stands on both consoles: the operator may sit at either. One after the other, because
 * the firmware's console may be the same serial port. A sentence may be too long for the log.
 */
static EFI_STATUS refuse(const char *why)
{
	static const char intro[] = "Ballast " BALLAST_VERSION " cannot run on this machine: ";

	firmware_print("%s", intro);
	firmware_print("%s\n", why);
	serial_init();
	serial_write("\r\n", 2);
	serial_write(intro, sizeof(intro) - 1);
	serial_write(why, strlen(why));
	serial_write("\r\n", 2);
	serial_flush();
	/* Firmware goes on to its next boot option, and may clear the screen. */
	firmware->BootServices->Stall(REFUSAL_SHOWN_US);
	return EFI_UNSUPPORTED;
}

/* The host lives in its own memory from here: the firmware's stack is free memory soon. */
static void __noreturn leave_firmware(void)
{
	struct memory_range unused = memmap_largest_unused();
	struct cpu_area *area = host_ptr(ROUND_UP(unused.start, sizeof(struct cpu_area)));
	hpa_t end = unused.start + unused.bytes;

	boot_pool.start = host_phys(area);
	boot_pool.bytes = end - boot_pool.start;
	__asm__ volatile("movq %0, %%rsp\n\t"
			 "xorl %%ebp, %%ebp\n\t"
			 "call *%1\n\t"
			 "ud2"
			 :
			 : "r"(area->stack_main + sizeof(area->stack_main)), "r"(ballast_main)
			 : "memory");
	__builtin_unreachable();
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
	static const struct hw_ops *const vendors[] = { &vmx_ops, &svm_ops };
	char why[WHY_BYTES] = "";
	EFI_STATUS status;

	image_relocate();
	machine.tsc_at_entry = clock_tsc();
	firmware = table;
	firmware_image = image;
	/* Five minutes after its start the firmware would reset the machine. */
	table->BootServices->SetWatchdogTimer(0, 0, 0, NULL);
	read_image();
	firmware_read_machine();
	if (hw_probe(vendors, ARRAY_SIZE(vendors), why, sizeof(why)))
		return refuse(why);
	firmware_print("Ballast %s\n", BALLAST_VERSION);
	processors_find();
	files_load();
	status = memmap_exit_boot_services();
	if (status != EFI_SUCCESS)
		return refuse("the firmware does not hand over its memory (ExitBootServices)");
	__asm__ volatile("cli" : : : "memory");
	leave_firmware();
}
