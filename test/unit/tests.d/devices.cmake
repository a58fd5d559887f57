# SPDX-License-Identifier: BSD-2-Clause
# LAPIC and devices, together in a VM without CPUs and with a clock that the tests move.
set(FAKE_PC_SOURCES test/unit/fake_pc.c test/unit/fake_clock.c ${VCPU_LAPIC_SOURCES}
	${DEVICES_SOURCES})
# What stands on disks and networks is tested with these.
list(REMOVE_ITEM FAKE_PC_SOURCES ${VIRTIO_DEVICE_SOURCES} "")
ballast_unit_test(bus SOURCES test/unit/test_bus.c vcpu/bus.c)
foreach(name lapic irqchips pit uart rtc platform)
	ballast_unit_test(${name} SOURCES test/unit/test_${name}.c ${FAKE_PC_SOURCES}
		DEFINITIONS BALLAST_FAKE_CLOCK)
endforeach()
