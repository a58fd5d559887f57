/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading the volume that Ballast was loaded from. */
#include "boot/boot.h"

#include "host/init.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/config.h"

#define CONFIG_PATH "\\ballast\\ballast.conf"
/* One read of the firmware: short enough for progress, and for clock_sample(). */
#define READ_BYTES MIB(1)
#define FILE_MAX_BYTES GIB(4)

static EFI_FILE_PROTOCOL *volume;

static int error_from(EFI_STATUS status)
{
	switch (status) {
	case EFI_SUCCESS:
		return 0;
	case EFI_NOT_FOUND:
		return -ENOENT;
	case EFI_OUT_OF_RESOURCES:
		return -ENOMEM;
	case EFI_ACCESS_DENIED:
		return -EACCES;
	default:
		return -EIO;
	}
}

static EFI_STATUS open_volume(void)
{
	static EFI_GUID image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
	static EFI_GUID volume_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
	EFI_BOOT_SERVICES *services = firmware->BootServices;
	EFI_LOADED_IMAGE_PROTOCOL *image;
	EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *system;
	EFI_STATUS status;

	status = services->HandleProtocol(firmware_image, &image_guid, (void **)&image);
	if (status != EFI_SUCCESS)
		return status;
	status = services->HandleProtocol(image->DeviceHandle, &volume_guid, (void **)&system);
	if (status != EFI_SUCCESS)
		return status;
	return system->OpenVolume(system, &volume);
}

static EFI_STATUS file_size(EFI_FILE_PROTOCOL *file, uint64_t *bytes)
{
	static EFI_GUID info_guid = EFI_FILE_INFO_ID;
	/* The information ends with the file's name: the long names of FAT have 255 characters. */
	union {
		EFI_FILE_INFO info;
		uint8_t room[sizeof(EFI_FILE_INFO) + 2 * 260];
	} info;
	UINTN size = sizeof(info);
	EFI_STATUS status = file->GetInfo(file, &info_guid, &size, &info);

	if (status != EFI_SUCCESS)
		return status;
	if (info.info.Attribute & EFI_FILE_DIRECTORY)
		return EFI_NOT_FOUND;
	*bytes = info.info.FileSize;
	return *bytes > FILE_MAX_BYTES ? EFI_OUT_OF_RESOURCES : EFI_SUCCESS;
}

static EFI_STATUS read_all(EFI_FILE_PROTOCOL *file, const char *path, uint8_t *to, uint64_t bytes)
{
	unsigned int shown = 0;

	for (uint64_t done = 0; done < bytes;) {
		UINTN part = MIN(bytes - done, READ_BYTES);
		EFI_STATUS status = file->Read(file, &part, to + done);
		unsigned int percent;

		if (status != EFI_SUCCESS)
			return status;
		if (part == 0)
			return EFI_END_OF_FILE;
		done += part;
		clock_sample();
		percent = (unsigned int)(done * 100 / bytes);
		if (bytes > READ_BYTES && percent >= shown + 10) {
			shown = percent;
			firmware_print("\r%s: %u%%", path, percent);
		}
	}
	return EFI_SUCCESS;
}

static EFI_STATUS load(const char *path, const uint8_t **data, uint64_t *bytes)
{
	CHAR16 wide[MACHINE_PATH_BYTES];
	EFI_FILE_PROTOCOL *file;
	EFI_PHYSICAL_ADDRESS memory;
	EFI_STATUS status;
	size_t n;

	for (n = 0; path[n]; n++)
		wide[n] = (CHAR16)(path[n] == '/' ? '\\' : path[n]);
	wide[n] = 0;
	status = volume->Open(volume, &file, wide, EFI_FILE_MODE_READ, 0);
	if (status != EFI_SUCCESS)
		return status;
	status = file_size(file, bytes);
	if (status == EFI_SUCCESS)
		status = firmware->BootServices->AllocatePages(AllocateAnyPages, EfiLoaderData,
			*bytes / PAGE_SIZE + 1, &memory);
	if (status == EFI_SUCCESS) {
		status = read_all(file, path, host_ptr(memory), *bytes);
		if (status == EFI_SUCCESS)
			*data = host_ptr(memory);
		else
			firmware->BootServices->FreePages(memory, *bytes / PAGE_SIZE + 1);
	}
	file->Close(file);
	return status;
}

static void load_wanted(const char *path, void *unused)
{
	struct machine_file *file = &machine.files[machine.file_count];
	EFI_STATUS status;

	(void)unused;
	if (machine_find_file(path) || machine.file_count == MACHINE_MAX_FILES ||
	    strlen(path) >= sizeof(file->path))
		return;
	snprintf(file->path, sizeof(file->path), "%s", path);
	machine.file_count++;
	status = load(path, &file->data, &file->bytes);
	file->error = error_from(status);
	if (status == EFI_SUCCESS)
		firmware_print("\r%s: %lu bytes\n", path, file->bytes);
	else
		firmware_print("\r%s: cannot be read (error 0x%lx)\n", path,
			       (unsigned long)(status & ~EFI_ERROR_MASK));
}

void files_load(void)
{
	EFI_STATUS status = open_volume();

	if (status == EFI_SUCCESS)
		status = load(CONFIG_PATH, (const uint8_t **)&machine.config_text,
			      &machine.config_bytes);
	if (status != EFI_SUCCESS) {
		machine.config_error = status == EFI_NOT_FOUND
			? "the boot volume has no \\ballast\\ballast.conf"
			: "\\ballast\\ballast.conf cannot be read from the boot volume";
		firmware_print("Ballast: %s\n", machine.config_error);
		return;
	}
	config_each_file(machine.config_text, machine.config_bytes, load_wanted, NULL);
}
