# SPDX-License-Identifier: BSD-2-Clause
set(DEVICES_SOURCES
	devices/device_timer.c
	devices/ioapic.c
	devices/pic.c
	devices/pit.c
	devices/pit_channel.c
	devices/platform.c
	devices/uart.c)
