/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers and descriptors of Intel's gigabit controllers, as far as they are used ("PCI/PCI-X
 * Family of Gigabit Ethernet Controllers Software Developer's Manual", "Register Descriptions";
 * "82574 GbE Controller Family Datasheet", "Programming Interface").
 */
#ifndef BALLAST_HOST_NET_E1000_REGS_H
#define BALLAST_HOST_NET_E1000_REGS_H

#include "lib/util.h"

#define E1000_CTRL 0x0000
#define CTRL_MASTER_DISABLE BIT(2) /* 82574 */
#define CTRL_LINK_RESET BIT(3)
#define CTRL_AUTO_SPEED BIT(5)
#define CTRL_SET_LINK_UP BIT(6)
#define CTRL_INVERT_LOSS BIT(7)
#define CTRL_FORCE_SPEED BIT(11)
#define CTRL_FORCE_DUPLEX BIT(12)
#define CTRL_RESET BIT(26)
#define CTRL_RX_FLOW BIT(27)
#define CTRL_TX_FLOW BIT(28)
#define CTRL_VLAN BIT(30)
#define CTRL_PHY_RESET BIT(31)
#define E1000_STATUS 0x0008
#define STATUS_LINK_UP BIT(1)
#define STATUS_SPEED_SHIFT 6 /* 2 bits: 10, 100, 1000, 1000 Mbit/s */
#define STATUS_MASTER BIT(19) /* 82574 */
#define E1000_EECD 0x0010
#define EECD_AUTO_READ_DONE BIT(9) /* 82574 */
#define E1000_EERD 0x0014
#define EERD_START BIT(0)
#define E1000_CTRL_EXT 0x0018
#define CTRL_EXT_DRIVER_LOADED BIT(28)
#define E1000_ICR 0x00c0
#define E1000_IMS 0x00d0
#define E1000_IMC 0x00d8
#define E1000_RCTL 0x0100
#define RCTL_ENABLE BIT(1)
#define RCTL_ALL_UNICAST BIT(3)
#define RCTL_ALL_MULTICAST BIT(4)
#define RCTL_BROADCAST BIT(15)
#define RCTL_STRIP_CRC BIT(26)
#define E1000_TCTL 0x0400
#define TCTL_ENABLE BIT(1)
#define TCTL_PAD_SHORT BIT(3)
#define TCTL_COLLISIONS (0x0fU << 4)
#define TCTL_COLLISION_DISTANCE (0x40U << 12) /* full duplex */
#define TCTL_MULTIPLE_READS BIT(28)          /* 82574 */
#define E1000_TIPG 0x0410
#define TIPG_COPPER (10U | 8U << 10 | 6U << 20)
#define E1000_RDBAL 0x2800
#define E1000_RDBAH 0x2804
#define E1000_RDLEN 0x2808
#define E1000_RDH 0x2810
#define E1000_RDT 0x2818
#define E1000_RDTR 0x2820
#define E1000_RADV 0x282c
#define E1000_TDBAL 0x3800
#define E1000_TDBAH 0x3804
#define E1000_TDLEN 0x3808
#define E1000_TDH 0x3810
#define E1000_TDT 0x3818
#define E1000_TIDV 0x3820
#define E1000_TXDCTL 0x3828
#define TXDCTL_COUNT_DESCRIPTORS BIT(22) /* 82574: has to be set */
#define E1000_TADV 0x382c
#define E1000_MTA(n) (0x5200 + 4 * (n))
#define MTA_WORDS 128
#define E1000_RAL(n) (0x5400 + 8 * (n))
#define E1000_RAH(n) (0x5404 + 8 * (n))
#define RAH_VALID BIT(31)
#define RECEIVE_ADDRESSES 15

/* 82574 with MSI-X. Causes of the one receive and the one transmit queue: */
#define CAUSE_RECEIVED BIT(20)
#define CAUSE_SENT BIT(22)
#define E1000_EIAC 0x00dc /* causes that a message clears, and masks */
#define E1000_IVAR 0x00e4
#define IVAR_RECEIVED(vector) (8U | (vector))
#define IVAR_SENT(vector) ((8U | (vector)) << 8)
#define E1000_EITR(vector) (0x00e8 + 4 * (vector)) /* least time between messages, in 256 ns */

#define E1000_REGISTER_BYTES KIB(128)

/* "Legacy" descriptors, which all of them have. */
struct e1000_rx_descriptor {
	uint64_t address;
	uint16_t bytes;
	uint16_t checksum;
	uint8_t status;
	uint8_t errors;
	uint16_t special;
};
_Static_assert(sizeof(struct e1000_rx_descriptor) == 16, "receive descriptor");

#define RX_STATUS_DONE BIT(0)
#define RX_STATUS_END BIT(1)
/* CRC, symbol, sequence, carrier extension, data. Those of checksums are the receiver's matter. */
#define RX_ERRORS 0x97

struct e1000_tx_descriptor {
	uint64_t address;
	uint16_t bytes;
	uint8_t checksum_offset;
	uint8_t command;
	uint8_t status;
	uint8_t checksum_start;
	uint16_t special;
};
_Static_assert(sizeof(struct e1000_tx_descriptor) == 16, "transmit descriptor");

#define TX_COMMAND_END BIT(0)
#define TX_COMMAND_CRC BIT(1)
#define TX_COMMAND_REPORT BIT(3)
#define TX_STATUS_DONE BIT(0)

#endif
