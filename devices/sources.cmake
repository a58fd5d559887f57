# SPDX-License-Identifier: BSD-2-Clause
set(DEVICES_SOURCES
	devices/acpi_pm.c
	devices/debug_exit.c
	devices/device_timer.c
	devices/i8042.c
	devices/ioapic.c
	devices/pci.c
	devices/pci_bar.c
	devices/pci_msix.c
	devices/pic.c
	devices/pit.c
	devices/pit_channel.c
	devices/platform.c
	devices/reset.c
	devices/rtc.c
	devices/rtc_time.c
	devices/uart.c
	devices/virtio/ring.c
	devices/virtio/ring_setup.c
	devices/virtio/virtio.c
	devices/virtio/virtio_pci.c
	devices/virtio/virtio_pci_config.c)
# The virtio devices themselves, which stand on disks, networks and the like.
set(VIRTIO_DEVICE_SOURCES
	devices/virtio/balloon.c
	devices/virtio/blk.c
	devices/virtio/console.c
	devices/virtio/mem.c
	devices/virtio/net.c
	devices/virtio/net_control.c
	devices/virtio/rng.c)
list(APPEND DEVICES_SOURCES ${VIRTIO_DEVICE_SOURCES})
