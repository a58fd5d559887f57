/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine with one NIC, whose registers a test models (mmio_read32() and so on), plugged into a switch with one
 * guest. Time is the fake clock's; messages are delivered when nobody holds a lock, as in the real machine.
 */
#ifndef BALLAST_TEST_NIC_LAB_H
#define BALLAST_TEST_NIC_LAB_H

#include "host/net/nic.h"

#define LAB_REGISTERS ((volatile void *)0x10000000)
#define LAB_REGISTER_BYTES KIB(128)

struct nic_lab {
	struct host_pci_device pci;
	uint8_t config[256];      /* its configuration space, for capabilities */
	bool has_msix;
	bool loses_messages;      /* they are sent, and never arrive */
	bool master, decodes;     /* it may master the bus, be reached */
	void (*handler)(void *argument);
	void *argument;
	bool message;             /* one was sent */
	unsigned int messages;    /* delivered */
	char log[4096];
	struct net_port guest;    /* its address is lab_guest_mac */
	struct nic *nic;
	struct net_switch *net;
};

extern struct nic_lab lab;
extern const uint8_t lab_guest_mac[6], lab_other_mac[6], lab_nic_mac[6];

/* A new machine; the clock begins anew. Then the test sets up its model and calls lab_probe(). */
void lab_begin(void);
/* Let the driver find it; plugged: into a switch with the guest. lab.nic is NULL when it was not taken. */
void lab_probe(bool (*probe)(struct host_pci_device *pci), bool plugged);
/* Deliver messages, and let so much time pass. */
void lab_run(uint64_t ns);
/* A frame from the guest to somebody outside; its contents follow from `number`. */
void lab_guest_sends(unsigned int number, uint32_t bytes);
/* What such a frame consists of. */
void lab_make_frame(uint8_t *frame, unsigned int number, uint32_t bytes, const uint8_t *to, const uint8_t *from);
/* Check that the next frame that came to the guest is this one; there is none: its number is -1. */
void lab_check_guest_got(int number, uint32_t bytes);

#endif
