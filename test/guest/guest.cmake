# SPDX-License-Identifier: BSD-2-Clause
#
# Tiny Multiboot guests, one for each kind of exit: <build>/guest/NAME.elf, the same file on every
# bench. Built as 64-bit code and wrapped in a 32-bit ELF file, which is what Multiboot 1 loads.
set(guest_flags -std=gnu11 -O1 -g0 -m64 -ffreestanding -fno-pic -fno-pie -mno-red-zone -mno-sse
	-mno-mmx -fno-stack-protector -fno-asynchronous-unwind-tables -mcmodel=small
	-Wall -Wextra -Werror -I${CMAKE_SOURCE_DIR}/test/guest/lib)
set(guest_dir ${CMAKE_BINARY_DIR}/guest)
set(guest_lib ${CMAKE_SOURCE_DIR}/test/guest/lib)
set(guest_images "")

function(ballast_guest name source_dir)
	set(objects "")
	foreach(source ${guest_lib}/start.asm ${guest_lib}/vectors.asm ${guest_lib}/guest.c
			${guest_lib}/cpus.c ${guest_lib}/cpus_start.asm ${guest_lib}/virtio.c
			${source_dir}/${name}.c ${source_dir}/${name}_code.asm)
		if(NOT EXISTS ${source})
			continue()
		endif()
		get_filename_component(base ${source} NAME)
		set(object ${guest_dir}/${name}/${base}.o)
		if(source MATCHES "\\.asm$")
			set(compile ${CMAKE_ASM_NASM_COMPILER} -f elf64 -I${guest_lib}/ -o ${object} ${source})
		else()
			file(RELATIVE_PATH shown ${CMAKE_SOURCE_DIR} ${source})
			set(compile ${CMAKE_C_COMPILER} ${guest_flags}
				-fmacro-prefix-map=${CMAKE_SOURCE_DIR}/= -c -o ${object} ${source})
		endif()
		add_custom_command(OUTPUT ${object}
			COMMAND ${CMAKE_COMMAND} -E make_directory ${guest_dir}/${name}
			COMMAND ${compile}
			DEPENDS ${source} ${guest_lib}/guest.h ${guest_lib}/virtio.h ${guest_lib}/modes.inc)
		list(APPEND objects ${object})
	endforeach()
	# Those of test/guest stand alone in their folder: all of them run as tests.
	set(image ${guest_dir}/${name}.elf)
	if(NOT source_dir STREQUAL ${CMAKE_SOURCE_DIR}/test/guest)
		get_filename_component(folder ${source_dir} NAME)
		set(image ${CMAKE_BINARY_DIR}/${folder}/${name}.elf)
		file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/${folder})
	endif()
	add_custom_command(OUTPUT ${image}
		COMMAND ${CMAKE_LINKER} -nostdlib -static -z noexecstack --no-warn-rwx-segments
			-T ${guest_lib}/guest.ld -o ${image}.64 ${objects}
		COMMAND ${CMAKE_OBJCOPY} -O elf32-i386 ${image}.64 ${image}
		DEPENDS ${objects} ${guest_lib}/guest.ld)
	set(guest_images ${guest_images} ${image} PARENT_SCOPE)
endfunction()

file(GLOB guest_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/test/guest/*.c)
foreach(source ${guest_sources})
	get_filename_component(name ${source} NAME_WE)
	ballast_guest(${name} ${CMAKE_SOURCE_DIR}/test/guest)
endforeach()
ballast_guest(ops ${CMAKE_SOURCE_DIR}/test/bench)
ballast_guest(io ${CMAKE_SOURCE_DIR}/test/bench)
ballast_guest(ipi ${CMAKE_SOURCE_DIR}/test/bench)
ballast_guest(economy ${CMAKE_SOURCE_DIR}/test/bench)
# What a VM gets of the machine's time beside others: these never end.
foreach(name hog waker bully)
	ballast_guest(${name} ${CMAKE_SOURCE_DIR}/test/guest/time)
endforeach()
# What guests leave behind in the machine's memory, and what taking it away costs.
ballast_guest(canary ${CMAKE_SOURCE_DIR}/test/guest/memory)
add_custom_target(guests ALL DEPENDS ${guest_images})
