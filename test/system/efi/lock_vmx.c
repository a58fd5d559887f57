/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Does what the firmware of many servers does by default: locks VMX off, on the boot CPU. Then it
 * starts \ballast\ballast.efi from the volume that it was loaded from itself.
 */
#include <efi.h>
#include <efilib.h>

#define MSR_FEATURE_CONTROL 0x3a
#define FEATURE_CONTROL_LOCKED 1

static UINT32 feature_control(void)
{
	UINT32 low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(MSR_FEATURE_CONTROL));
	return low;
}

static EFI_STATUS start_ballast(EFI_HANDLE image)
{
	static CHAR16 path[] = L"\\ballast\\ballast.efi";
	EFI_LOADED_IMAGE *self;
	EFI_HANDLE next;
	EFI_STATUS status;

	status = uefi_call_wrapper(BS->HandleProtocol, 3, image, &LoadedImageProtocol,
		(void **)&self);
	if (EFI_ERROR(status))
		return status;
	status = uefi_call_wrapper(BS->LoadImage, 6, FALSE, image,
		FileDevicePath(self->DeviceHandle, path), NULL, 0, &next);
	if (EFI_ERROR(status))
		return status;
	return uefi_call_wrapper(BS->StartImage, 3, next, NULL, NULL);
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
	InitializeLib(image, table);
	if (!(feature_control() & FEATURE_CONTROL_LOCKED))
		__asm__ volatile("wrmsr"
				 :
				 : "a"(FEATURE_CONTROL_LOCKED), "d"(0), "c"(MSR_FEATURE_CONTROL));
	Print(L"feature control is %x\n", feature_control());
	return start_ballast(image);
}
