# SPDX-License-Identifier: BSD-2-Clause
#
# ballast.efi, from the lists of all folders: compiled freestanding, linked with GNU-EFI's start-up
# code as a position-independent ELF program, and turned into a PE32+ image. It is linked twice: the
# first result gives the names and addresses for backtraces, which lie behind all code.
find_file(EFI_CRT0 crt0-efi-x86_64.o PATHS /usr/lib /usr/lib64 /usr/lib64/gnuefi /usr/lib/gnuefi)
find_library(EFI_LIBRARY gnuefi)
find_path(EFI_INCLUDE efi.h PATH_SUFFIXES efi)
find_program(PYTHON python3 REQUIRED)
if(NOT EFI_CRT0 OR NOT EFI_LIBRARY OR NOT EFI_INCLUDE)
	message(STATUS "GNU-EFI not found: ballast.efi is not built")
	return()
endif()

set(efi_sources ${LIB_SOURCES} ${HOST_SOURCES} ${EPT_SOURCES} ${VCPU_SOURCES} ${VMX_SOURCES}
	${SVM_SOURCES} ${DEVICES_SOURCES} ${BALLOON_SOURCES} ${MGMT_SOURCES} ${BOOT_SOURCES})

# What runs once, at the operator's pace or as an exception is made small; what runs for each exit
# is made fast.
set(efi_cold ${MGMT_SOURCES} ${BOOT_SOURCES}
	balloon/estimate.c
	balloon/policy.c
	balloon/policy_state.c
	balloon/swap_open.c
	devices/debug_exit.c
	devices/i8042.c
	devices/pci_bar.c
	devices/platform.c
	devices/reset.c
	devices/rtc.c
	devices/rtc_time.c
	devices/virtio/virtio_pci_config.c
	host/acpi.c
	host/backtrace.c
	host/block/ahci_init.c
	host/block/ahci_port.c
	host/block/init.c
	host/block/nvme_control.c
	host/block/nvme_init.c
	host/block/overlay_commit.c
	host/block/partition.c
	host/block/partition_device.c
	host/clock.c
	host/cpu.c
	host/descriptor.c
	host/heap.c
	host/ioapic.c
	host/log.c
	host/machine.c
	host/mitigation_plan.c
	host/mmu.c
	host/net/nics.c
	host/net/virtio_nic_pci.c
	host/panic.c
	host/pci.c
	host/pci_bar.c
	host/pci_config.c
	host/pci_message.c
	host/pci_ports.c
	host/power.c
	host/smp.c
	host/symbols.c
	host/topology.c
	host/trap.c
	host/watchdog.c
	lib/printf.c
	svm/controls.c
	svm/dump.c
	svm/probe.c
	vcpu/control.c
	vcpu/cpuid.c
	vcpu/dump.c
	vcpu/emulate_alu.c
	vcpu/emulate_bits.c
	vcpu/emulate_move.c
	vcpu/emulate_multiply.c
	vcpu/emulate_shift.c
	vcpu/emulate_simd.c
	vcpu/emulate_stack.c
	vcpu/emulate_string.c
	vcpu/guest_segment.c
	vcpu/guest_walk.c
	vcpu/hw.c
	vcpu/insn.c
	vcpu/insn_check.c
	vcpu/pvclock.c
	vcpu/sched_vm.c
	vcpu/tsc.c
	vcpu/vm.c
	vmx/controls.c
	vmx/cpu.c
	vmx/dump.c
	vmx/probe.c
	vmx/vmcs.c)
set(efi_hot ${efi_sources})
list(REMOVE_ITEM efi_hot ${efi_cold})
# What is built once more with BALLAST_FAULTS, for the tests' ballast-faults.efi, in which CPUs can
# be made to hang.
set(efi_faulty host/irq.c mgmt/shell_commands.c)
set(efi_cold_built ${efi_sources})
list(REMOVE_ITEM efi_cold_built ${efi_hot} ${efi_faulty})
list(REMOVE_ITEM efi_hot ${efi_faulty})

# ballast_efi_objects(NAME OPTIMISATION SOURCES...)
function(ballast_efi_objects name optimisation)
	add_library(${name} OBJECT ${ARGN})
	target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
	target_include_directories(${name} SYSTEM PRIVATE ${EFI_INCLUDE} ${EFI_INCLUDE}/x86_64)
	target_compile_definitions(${name} PRIVATE BALLAST_VERSION="${PROJECT_VERSION}"
		GNU_EFI_USE_MS_ABI)
	target_compile_options(${name} PRIVATE
		$<$<COMPILE_LANGUAGE:C>:${BALLAST_WARNINGS}
			${optimisation} -falign-functions=4 -falign-loops=1 -falign-jumps=1
			-falign-labels=1 -ffunction-sections -fdata-sections -g
			-ffreestanding -fpie -fno-plt -mgeneral-regs-only -mno-red-zone
			-fno-stack-protector -fno-strict-aliasing -fwrapv
			-fno-delete-null-pointer-checks -fno-asynchronous-unwind-tables
			-fno-unwind-tables -fcf-protection=none -fno-common
			-fno-tree-loop-distribute-patterns
			-ffile-prefix-map=${CMAKE_SOURCE_DIR}=.
			-ffile-prefix-map=${CMAKE_BINARY_DIR}=build
			-include ${CMAKE_SOURCE_DIR}/boot/hidden.h>
		$<$<COMPILE_LANGUAGE:ASM_NASM>:-I${CMAKE_SOURCE_DIR}/ -Werror>)
endfunction()
ballast_efi_objects(ballast_objects -O2 ${efi_hot})
ballast_efi_objects(ballast_cold_objects -Os ${efi_cold_built})
ballast_efi_objects(ballast_faultless_objects -O2 ${efi_faulty})
ballast_efi_objects(ballast_faulty_objects -O2 ${efi_faulty} host/fault.c mgmt/cmd_fault.c)
target_compile_definitions(ballast_faulty_objects PRIVATE BALLAST_FAULTS)

set(efi_flags -nostdlib -znocombreloc -znoexecstack -zpack-relative-relocs -zmax-page-size=4096 -shared -Bsymbolic
	--no-undefined --build-id=none --gc-sections --hash-style=sysv
	-T ${CMAKE_SOURCE_DIR}/boot/efi.lds)
set(efi_symbols ${PYTHON} ${CMAKE_SOURCE_DIR}/boot/symbols.py ${CMAKE_NM})
set(efi_assemble ${CMAKE_C_COMPILER} -c -o)

# ballast_efi(NAME OBJECTS...): NAME.elf and NAME.efi, in the build folder.
function(ballast_efi name)
	set(dir ${CMAKE_BINARY_DIR}/efi/${name})
	set(out ${CMAKE_BINARY_DIR}/${name})
	set(inputs ${EFI_CRT0})
	set(depends)
	foreach(objects ${ARGN})
		list(APPEND inputs $<TARGET_OBJECTS:${objects}>)
		list(APPEND depends ${objects} $<TARGET_OBJECTS:${objects}>)
	endforeach()
	file(MAKE_DIRECTORY ${dir})
	add_custom_command(OUTPUT ${out}.efi ${out}.elf
		COMMAND ${efi_symbols} - ${dir}/symbols0.s
		COMMAND ${efi_assemble} ${dir}/symbols0.o ${dir}/symbols0.s
		COMMAND ${CMAKE_LINKER} ${efi_flags} -o ${dir}/pass1.elf ${inputs} ${dir}/symbols0.o ${EFI_LIBRARY}
		COMMAND ${efi_symbols} ${dir}/pass1.elf ${dir}/symbols.s
		COMMAND ${efi_assemble} ${dir}/symbols.o ${dir}/symbols.s
		COMMAND ${CMAKE_LINKER} ${efi_flags} -o ${out}.elf ${inputs} ${dir}/symbols.o ${EFI_LIBRARY}
		COMMAND ${CMAKE_OBJCOPY} --strip-all -j .text -j .rodata -j .dynamic -j .relr -j .rela -j .data
			-j .bss -j .reloc --target efi-app-x86_64 --subsystem=10 ${out}.elf ${out}.efi
		DEPENDS ${depends} ${CMAKE_SOURCE_DIR}/boot/efi.lds ${CMAKE_SOURCE_DIR}/boot/symbols.py
		COMMENT "Linking ${name}.efi"
		COMMAND_EXPAND_LISTS VERBATIM)
endfunction()
ballast_efi(ballast ballast_objects ballast_cold_objects ballast_faultless_objects)
ballast_efi(ballast-faults ballast_objects ballast_cold_objects ballast_faulty_objects)
add_custom_target(ballast_efi ALL DEPENDS ${CMAKE_BINARY_DIR}/ballast.efi)
add_custom_target(ballast_faults_efi ALL DEPENDS ${CMAKE_BINARY_DIR}/ballast-faults.efi)
