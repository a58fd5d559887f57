# SPDX-License-Identifier: BSD-2-Clause
#
# EFI programs that prepare a machine for a test: <build>/test-efi/NAME.efi, linked with GNU-EFI's own script.
find_file(EFI_LDS elf_x86_64_efi.lds PATHS /usr/lib /usr/lib64 /usr/lib64/gnuefi /usr/lib/gnuefi)
find_library(EFI_LIB_EFI efi)
set(test_efi_dir ${CMAKE_BINARY_DIR}/test-efi)
set(test_efi ${test_efi_dir}/lock_vmx.efi)
add_custom_command(OUTPUT ${test_efi}
	COMMAND ${CMAKE_COMMAND} -E make_directory ${test_efi_dir}
	COMMAND ${CMAKE_C_COMPILER} -isystem ${EFI_INCLUDE} -isystem ${EFI_INCLUDE}/x86_64 -O1 -fpic
		-ffreestanding -fno-stack-protector -fshort-wchar -mno-red-zone -maccumulate-outgoing-args
		-Wall -Wextra -Werror -c -o ${test_efi_dir}/lock_vmx.o
		${CMAKE_CURRENT_LIST_DIR}/lock_vmx.c
	COMMAND ${CMAKE_LINKER} -nostdlib -znocombreloc -znoexecstack -T ${EFI_LDS} -shared -Bsymbolic
		-o ${test_efi_dir}/lock_vmx.so ${EFI_CRT0} ${test_efi_dir}/lock_vmx.o ${EFI_LIB_EFI}
		${EFI_LIBRARY}
	COMMAND ${CMAKE_OBJCOPY} -j .text -j .sdata -j .data -j .dynamic -j .dynsym -j .rel -j .rela
		-j .reloc --target=efi-app-x86_64 --subsystem=10
		${test_efi_dir}/lock_vmx.so ${test_efi}
	DEPENDS ${CMAKE_CURRENT_LIST_DIR}/lock_vmx.c
	VERBATIM)
add_custom_target(test_efi ALL DEPENDS ${test_efi})
