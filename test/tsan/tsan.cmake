# SPDX-License-Identifier: BSD-2-Clause
#
# The scheduler, locks, timers, switches and disks' queues under ThreadSanitizer: the sources as they are, on a
# machine whose CPUs are threads (machine.h). One call:
#
#   ballast_tsan(NAME SECONDS 8 SOURCES test/tsan/tsan_NAME.c host/x.c ...)
#
# makes the program tsan_NAME, the test tsan.NAME, which runs that long, and tsan.NAME.long (label
# long), which runs five minutes. `tsan_NAME SECONDS SEED` runs it by hand. GCC brings its runtime.
include(CheckCSourceCompiles)
set(CMAKE_REQUIRED_FLAGS -fsanitize=thread)
check_c_source_compiles("int main(void) { return 0; }" TSAN_WORKS)
unset(CMAKE_REQUIRED_FLAGS)
if(NOT TSAN_WORKS)
	message(STATUS "ThreadSanitizer not found: its tests are not built")
endif()

set(tsan_wraps)
foreach(bits 8 16 32 64)
	foreach(operation load store exchange fetch_add fetch_sub fetch_and fetch_or
			compare_exchange_strong compare_exchange_weak)
		list(APPEND tsan_wraps -Wl,--wrap=__tsan_atomic${bits}_${operation})
	endforeach()
endforeach()

function(ballast_tsan name)
	cmake_parse_arguments(arg "" "SECONDS" "SOURCES" ${ARGN})
	if(NOT TSAN_WORKS)
		return()
	endif()
	add_library(tsan_${name}_yield OBJECT test/tsan/yield_points.c)
	target_include_directories(tsan_${name}_yield PRIVATE ${CMAKE_SOURCE_DIR})
	target_compile_options(tsan_${name}_yield PRIVATE -O2 -Wall -Wextra -Werror)
	add_executable(tsan_${name} ${arg_SOURCES} test/tsan/machine.c test/unit/fake_host.c
		host/timer.c lib/pairing_heap.c
		$<TARGET_OBJECTS:tsan_${name}_yield>)
	target_include_directories(tsan_${name} PRIVATE ${CMAKE_SOURCE_DIR})
	target_compile_options(tsan_${name} PRIVATE ${BALLAST_WARNINGS} -g -O1 -fsanitize=thread
		-fno-omit-frame-pointer -include ${CMAKE_SOURCE_DIR}/test/tsan/relax.h)
	target_compile_definitions(tsan_${name} PRIVATE BALLAST_UNIT_TEST BALLAST_FAKE_CLOCK)
	target_link_options(tsan_${name} PRIVATE -fsanitize=thread ${tsan_wraps})
	# Its memory map does not suit the widest address randomization that kernels are set to.
	set(run sh -c "setarch -R true 2>/dev/null && exec setarch -R \"$@\" || exec \"$@\"" run
		$<TARGET_FILE:tsan_${name}>)
	add_test(NAME tsan.${name} COMMAND ${run} ${arg_SECONDS})
	add_test(NAME tsan.${name}.long COMMAND ${run} 300 2)
	set_tests_properties(tsan.${name} PROPERTIES LABELS unit TIMEOUT 240 PROCESSORS 2)
	set_tests_properties(tsan.${name}.long PROPERTIES LABELS "unit;long" TIMEOUT 600 PROCESSORS 2)
	set_tests_properties(tsan.${name} tsan.${name}.long PROPERTIES
		ENVIRONMENT "TSAN_OPTIONS=halt_on_error=0:exitcode=66:second_deadlock_stack=1")
endfunction()

ballast_tsan(timer SECONDS 6 SOURCES test/tsan/tsan_timer.c)
ballast_tsan(sched SECONDS 15 SOURCES test/tsan/tsan_sched.c test/tsan/guests.c
	devices/device_timer.c ${VCPU_LAPIC_SOURCES} vcpu/event.c vcpu/pause.c vcpu/run.c
	vcpu/sched.c vcpu/sched_account.c vcpu/sched_balance.c vcpu/sched_cap.c vcpu/sched_queue.c
	vcpu/sched_vm.c vcpu/tlb.c vcpu/tsc.c vcpu/vm.c vcpu/work.c)
ballast_tsan(console SECONDS 5 SOURCES test/tsan/tsan_console.c host/log.c ${CONSOLE_SOURCES}
	mgmt/console_log.c mgmt/ansi.c)
ballast_tsan(net SECONDS 5 SOURCES test/tsan/tsan_net.c host/net/checksum.c host/net/learn.c host/net/offload.c
	host/net/packet.c host/net/port.c host/net/switch.c)
ballast_tsan(disk SECONDS 5 SOURCES test/tsan/tsan_disk.c host/block/disk_queue.c)
ballast_tsan(memory SECONDS 5 SOURCES test/tsan/tsan_memory.c balloon/store.c balloon/swap.c balloon/swap_open.c
	balloon/swap_slots.c lib/chacha20.c lib/hash.c lib/lz.c ${BLOCK_CORE_SOURCES})
