# SPDX-License-Identifier: BSD-2-Clause
#
# Tests of whole machines. Each is one test on one bench: system.TEST.BENCH. Those with the label `long` are left
# out of the default run of ./check, which has every test on at least one bench.
include(test/system/efi/efi.cmake)

# Emulated time of QEMU runs against the clock of this machine, with a thread for each emulated CPU: a test with
# several of them, or one that judges times, gets two processors, so that it does not fail for want of time. Bochs'
# time is its own and its thread is one.
set(qemu_needs_two boundaries console many-2 many-8 many-64 many-fit net net-short siblings smp-2 smp-4 storm tiny
	uplink watchdog)
function(ballast_system_test name bench)
	cmake_parse_arguments(arg "LONG" "TIMEOUT" "COMMAND" ${ARGN})
	set(full system.${name}.${bench})
	if(NOT arg_COMMAND)
		set(arg_COMMAND ${CMAKE_SOURCE_DIR}/test/system/run.py ${name} --bench ${bench}
			--build ${CMAKE_BINARY_DIR})
	endif()
	if(NOT arg_TIMEOUT)
		set(arg_TIMEOUT 600)
	endif()
	add_test(NAME ${full} COMMAND ${PYTHON} ${arg_COMMAND})
	set(labels system)
	if(arg_LONG)
		list(APPEND labels long)
	endif()
	set(processors 1)
	if(bench STREQUAL qemu-svm AND name IN_LIST qemu_needs_two)
		set(processors 2)
	endif()
	set_tests_properties(${full} PROPERTIES LABELS "${labels}" TIMEOUT ${arg_TIMEOUT}
		PROCESSORS ${processors})
endfunction()

# The test guests: all of them in one machine.
foreach(bench qemu-svm bochs-vmx bochs-svm)
	ballast_system_test(tiny ${bench} TIMEOUT 900 COMMAND ${CMAKE_SOURCE_DIR}/test/system/tiny.py
		--bench ${bench} --build ${CMAKE_BINARY_DIR} --workdir ${CMAKE_BINARY_DIR}/test/tiny.${bench})
endforeach()

# A test on every bench; in the default run on one of them, or on none.
function(ballast_guest_test name default)
	foreach(bench qemu-svm bochs-vmx bochs-svm)
		if(bench STREQUAL default)
			ballast_system_test(${name} ${bench})
		else()
			ballast_system_test(${name} ${bench} LONG)
		endif()
	endforeach()
endfunction()

# Real guests.
foreach(bench qemu-svm bochs-vmx bochs-svm)
	ballast_system_test(debian-cloud ${bench})
	ballast_system_test(gnumach ${bench})
endforeach()
ballast_guest_test(debian-pvh bochs-vmx)
ballast_guest_test(debian-verbose none)
ballast_guest_test(debian-smp bochs-vmx)
ballast_guest_test(debian-full qemu-svm)
ballast_guest_test(debian-pae none)
ballast_guest_test(debian-686 qemu-svm)
ballast_guest_test(memtest64 bochs-vmx)
ballast_guest_test(memtest32 qemu-svm)
ballast_guest_test(one-cpu bochs-vmx)
ballast_system_test(usb-boot qemu-svm)

# Debian on several CPUs, under strain; and many of it at once. Four CPUs of qemu-svm, two of bochs-vmx.
ballast_system_test(smp-4 qemu-svm)
ballast_system_test(smp-2 bochs-vmx LONG)
ballast_system_test(smp-2 qemu-svm LONG)
ballast_system_test(smp-2 bochs-svm LONG)
ballast_system_test(smp-4 bochs-vmx LONG)
ballast_system_test(many-8 qemu-svm)
ballast_system_test(many-2 bochs-vmx LONG)
ballast_system_test(many-2 qemu-svm LONG)
ballast_system_test(many-2 bochs-svm LONG)
ballast_system_test(many-8 bochs-vmx LONG)
ballast_system_test(many-fit qemu-svm LONG)
ballast_system_test(sharing-2 qemu-svm)
ballast_system_test(sharing-2 bochs-vmx LONG TIMEOUT 1200)
ballast_system_test(sharing-10 qemu-svm LONG TIMEOUT 3600)
ballast_system_test(dirtying-2 qemu-svm LONG)
ballast_system_test(dirtying-2 bochs-vmx LONG TIMEOUT 1200)
ballast_system_test(dirtying-10 qemu-svm LONG TIMEOUT 3600)
# Experiments with the memory economy: docs/memory.md has their tables.
foreach(times "" -4 -bare -bare-4)
	ballast_system_test(pressure${times} qemu-svm LONG TIMEOUT 1800)
	ballast_system_test(pressure${times}-hour qemu-svm LONG TIMEOUT 10000)
endforeach()
ballast_system_test(idle-tax qemu-svm LONG TIMEOUT 1800)
ballast_system_test(sampling qemu-svm LONG TIMEOUT 1800)
ballast_system_test(sampling-short qemu-svm)
ballast_system_test(sampling-short bochs-vmx LONG TIMEOUT 900)
ballast_system_test(ballooning qemu-svm LONG TIMEOUT 1800)
ballast_system_test(ballooning-short bochs-vmx LONG TIMEOUT 1200)
ballast_system_test(swapping qemu-svm LONG TIMEOUT 1800)
ballast_system_test(swap-speed qemu-svm LONG TIMEOUT 1800)
ballast_guest_test(swap-trial qemu-svm)
ballast_system_test(swap-fails qemu-svm LONG TIMEOUT 1800)
ballast_system_test(many-64 qemu-svm LONG TIMEOUT 1800)

# Clocks of guests that share a CPU, and what is left of a CPU beside guests that misbehave. In emulated time; several
# busy guests on one CPU are slow with QEMU's counted instructions.
ballast_system_test(clocks-minute bochs-vmx)
ballast_system_test(clocks bochs-vmx LONG TIMEOUT 1800)
ballast_system_test(clocks-scaled bochs-vmx LONG)
ballast_system_test(clocks qemu-svm LONG TIMEOUT 3600)
ballast_system_test(linux-bullies bochs-vmx)
ballast_system_test(linux-bullies bochs-svm LONG TIMEOUT 900)
ballast_system_test(linux-bullies qemu-svm LONG TIMEOUT 900)

# The operator's side.
foreach(name shell create no-configuration)
	ballast_system_test(${name} qemu-svm)
	ballast_system_test(${name} bochs-vmx)
	ballast_system_test(${name} bochs-svm LONG)
endforeach()
ballast_guest_test(console qemu-svm)
ballast_guest_test(lives qemu-svm)
ballast_guest_test(storm qemu-svm)

# Virtio: console and randomness, disks of the boot volume, a distribution on its own root disk.
ballast_guest_test(virtio-console qemu-svm)
ballast_guest_test(virtio-disk qemu-svm)
# Guests on one image: what they see of it and take of the memory, discard and commit.
ballast_system_test(base-3 qemu-svm)
ballast_system_test(base-10 qemu-svm LONG TIMEOUT 1800)
ballast_system_test(base-2 bochs-vmx LONG TIMEOUT 1800)
ballast_system_test(base-2 bochs-svm LONG TIMEOUT 1800)
# Two guests on a switch.
ballast_system_test(net qemu-svm)
ballast_system_test(net bochs-vmx LONG TIMEOUT 900)
ballast_system_test(net-short bochs-vmx LONG)
ballast_system_test(net-short bochs-svm LONG)
ballast_system_test(distribution qemu-svm LONG TIMEOUT 1800)

# Memory that guests give up, and get while they run.
ballast_guest_test(balloon qemu-svm)
ballast_guest_test(hotplug qemu-svm)

# What guests leave behind in the machine's memory, which QEMU alone saves.
ballast_system_test(residue-20 qemu-svm)
ballast_system_test(residue-1000 qemu-svm LONG TIMEOUT 3000)
ballast_system_test(residue-swap-10 qemu-svm)
ballast_system_test(residue-swap-100 qemu-svm LONG TIMEOUT 3000)
# A machine that has little more than its guest sees; and one with as many guests as it holds.
ballast_system_test(demand qemu-svm)
ballast_system_test(demand bochs-vmx LONG TIMEOUT 1200)
ballast_system_test(density qemu-svm LONG TIMEOUT 7200)

# Guests and the world outside, through the machine's NICs.
ballast_system_test(uplink qemu-svm)
ballast_system_test(uplink bochs-vmx LONG TIMEOUT 900)
ballast_system_test(uplink bochs-svm LONG TIMEOUT 900)

# Hanging CPUs, and mitigations of what speculation leaks.
ballast_system_test(watchdog qemu-svm)
ballast_system_test(watchdog bochs-vmx)
ballast_system_test(mitigations qemu-svm LONG)
ballast_system_test(mitigations bochs-vmx)
ballast_system_test(mitigations bochs-svm)
ballast_system_test(boundaries qemu-svm)
ballast_system_test(boundaries bochs-vmx)
ballast_system_test(siblings qemu-svm)

# What is missing.
ballast_system_test(no-virtualization qemu-svm)
ballast_system_test(no-virtualization bochs-vmx)
ballast_system_test(no-npt qemu-svm)
ballast_system_test(no-npt bochs-svm)
ballast_system_test(no-ept bochs-vmx)
ballast_system_test(no-unrestricted-guest bochs-vmx)
ballast_system_test(vmx-locked bochs-vmx)

# How VMs share the machine's time, and what a life of one leaves behind.
foreach(bench qemu-svm bochs-vmx bochs-svm)
	ballast_system_test(cost-of-life ${bench} LONG)
	ballast_system_test(lives-1000 ${bench} LONG TIMEOUT 1200)
endforeach()
ballast_guest_test(shares qemu-svm)
ballast_guest_test(wakes bochs-svm)
ballast_guest_test(bullies bochs-vmx)
ballast_guest_test(lives-100 none)
# With several CPUs QEMU's virtual time cannot count instructions, and Bochs' SVM is not reliable.
ballast_system_test(shares-smp bochs-vmx)
ballast_system_test(wakes-smp bochs-vmx)

# The machine's own disks behind guests' ones.
ballast_system_test(disks qemu-svm)
ballast_system_test(disk-errors qemu-svm)
ballast_system_test(swap qemu-svm)
ballast_system_test(disks-4k qemu-svm LONG)
ballast_system_test(disks-long qemu-svm LONG TIMEOUT 1800)
ballast_system_test(disk-errors-many qemu-svm LONG)
ballast_system_test(disk-errors-long qemu-svm LONG TIMEOUT 1800)

# The image that is released.
add_test(NAME image COMMAND ${PYTHON} ${CMAKE_SOURCE_DIR}/test/tools/check-image ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
set_tests_properties(image PROPERTIES LABELS build TIMEOUT 600)

# The tool that judges what is left of a disk after the power failed.
add_test(NAME crash-selftest COMMAND ${PYTHON} ${CMAKE_SOURCE_DIR}/test/system/selftest_crash.py)
set_tests_properties(crash-selftest PROPERTIES LABELS unit TIMEOUT 120)
