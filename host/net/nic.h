/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the machine's NICs have in common: when packets move, who is told, and what happens to
 * hardware that hangs. A driver only knows its rings and registers.
 *
 * Received frames are handed to the switch in the pages in which they came, and sent ones are read
 * from theirs: nothing is copied. A message (MSI-X) has a CPU of its own serve the NIC. One without
 * messages is polled by a timer of the boot CPU: every 100 us while there is traffic and for 20 ms
 * after it, else every 2 ms; while it is not plugged in, four times a second. So often a tick looks
 * after each NIC, as well: the link, what was sent and never done, messages that do not come.
 *
 * Hardware is reset without waiting: it rests from one tick to the next.
 *
 * Locks: vm.lock, then rx_lock, then tx_lock, then the network's. deliver() takes tx_lock alone.
 * The port is not unplugged once it was plugged in: received frames come on any CPU.
 */
#ifndef BALLAST_HOST_NET_NIC_H
#define BALLAST_HOST_NET_NIC_H

#include "host/clock.h"
#include "host/net/net.h"
#include "host/pci.h"

/* Descriptors of a ring, at most; one is always free. */
#define NIC_RING 256
#define NIC_BUFFER_BYTES 2048 /* of a packet's data[], for what is received */

#define NIC_TICK_NS (250 * NS_PER_MS)
#define NIC_FAST_NS (100 * NS_PER_US)
#define NIC_SLOW_NS (2 * NS_PER_MS)
#define NIC_LINGER_NS (20 * NS_PER_MS)
#define NIC_HANG_TICKS 8   /* what was sent is done by then */
#define NIC_START_TICKS 20 /* and hardware ready after a reset */
#define NIC_BUDGET 64      /* frames received at a time */

enum nic_state {
	NIC_RESTING = 0, /* it was reset, and is started at a tick */
	NIC_RUNNING,
	NIC_DEAD, /* out of order: nothing is sent or received any more */
};

/* What link() answers when a link is there whose speed is not known. */
#define NIC_SPEED_UNKNOWN 1

struct nic;

struct nic_operations {
	/* Reset: the hardware touches no memory and sends no message any more. Both locks. */
	void (*stop)(struct nic *nic);
	/*
	 * With empty rings, a tick or more after stop(); sets `ring`. -EAGAIN: not ready yet. Both
	 * locks.
	 */
	int (*start)(struct nic *nic);
	/* Mbit/s; 0: no link; -EAGAIN: it needs a reset; -EIO: it has gone. tx_lock. */
	int (*link)(struct nic *nic);

	/* Put it into the ring, in which there is room. tx_lock, as what follows. */
	void (*send)(struct nic *nic, struct net_packet *packet);
	/* The hardware is to look at what send() put there. */
	void (*send_kick)(struct nic *nic);
	/* A packet that the hardware is done with; NULL: none. */
	struct net_packet *(*sent)(struct nic *nic);
	/* One message when more is done. True: it is already; no message needs to come. */
	bool (*want_sent)(struct nic *nic);

	/* Put an empty one into the ring, in which there is room. rx_lock, as what follows. */
	void (*refill)(struct nic *nic, struct net_packet *packet);
	void (*refill_kick)(struct nic *nic);
	/* The next that has been filled, or NULL; its `bytes` is 0 if what came is no frame. */
	struct net_packet *(*received)(struct nic *nic);
	/* As want_sent(). */
	bool (*want_received)(struct nic *nic);
};

struct nic {
	struct net_port port;                    /* the first: deliver() gets it */
	const struct nic_operations *operations; /* [I] */
	const char *model;                       /* [I] */
	struct host_pci_device *pci;             /* [I] */
	bool polled;                             /* [a] no messages */
	struct spinlock rx_lock, tx_lock;
	enum nic_state state;                    /* [both locks] */
	unsigned int ring;                       /* [both locks] how many packets fit each way */
	/* By the driver's own numbers: what the hardware has. */
	struct net_packet *rx[NIC_RING], *tx[NIC_RING]; /* [rx_lock], [tx_lock] */
	unsigned int rx_count, tx_count;                /* [rx_lock], [tx_lock] */
	int speed;                               /* [a] what link() said last */
	uint64_t sent_total;                     /* [tx_lock] packets that were done */
	uint32_t messages;                       /* [a] that have come */
	uint32_t asked;                          /* [a] something was given to be sent */
	uint64_t errors;                         /* [a] frames that came broken */
	uint64_t no_memory;                      /* [a] and those for which no packet was left */
	uint32_t resets;                         /* [a] because it hung */

	/* The timer's callback alone. */
	struct timer timer;
	uint64_t tick_ns, active_ns; /* when the next tick is due, and until when polling is fast */
	uint64_t sent_seen;
	unsigned int hang_ticks, start_ticks, lost_ticks;
};

/*
 * Enter a NIC whose driver has set port.mac, operations, model, pci and polled, and has stopped the
 * hardware: it is started at its first tick. Boot CPU.
 */
void nic_register(struct nic *nic);
/* A driver's message has come: for host_pci_attach_interrupt(), with the struct nic. */
void nic_message(void *nic);
/* The CPU for the messages of the next NIC to be registered. */
unsigned int nic_message_cpu(void);

/* "82574L, 1000 Mbit/s" and the like, for the console. Boot CPU. */
void nic_describe(const struct net_port *port, char *text, size_t bytes);

/* Each takes a device that it has a driver for, and says whether it does (host/net/nics.c). */
bool e1000_probe(struct host_pci_device *pci);
bool virtio_nic_probe(struct host_pci_device *pci);

#endif
