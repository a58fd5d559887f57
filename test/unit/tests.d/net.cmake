# SPDX-License-Identifier: BSD-2-Clause
set(NET_SOURCES host/net/checksum.c host/net/learn.c host/net/offload.c host/net/packet.c host/net/port.c
	host/net/switch.c)
set(FAKE_NET_SOURCES test/unit/fake_net.c test/unit/fake_frames.c)
ballast_unit_test(net_offload SOURCES test/unit/test_net_offload.c ${FAKE_NET_SOURCES}
	host/net/checksum.c host/net/offload.c host/net/packet.c)
ballast_unit_test(net_switch SOURCES test/unit/test_net_switch.c ${FAKE_NET_SOURCES}
	test/unit/fake_clock.c ${NET_SOURCES} DEFINITIONS BALLAST_FAKE_CLOCK)
