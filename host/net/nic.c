/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/net/nic.h"

#include "host/cpu.h"
#include "host/log.h"
#include "lib/printf.h"
#include "lib/string.h"

#define FIRST_TICK_NS (20 * NS_PER_MS)
/* A burst that is longer than the budget leaves the CPU to others for so long, or longer. */
#define PAUSE_NS (20 * NS_PER_US)
/* How often the ring is filled up again at once when the hardware is just as fast. */
#define SEND_ROUNDS 16
#define LOST_TICKS 2

static unsigned int nic_count; /* boot CPU */

static struct nic *nic_of(struct net_port *port)
{
	return container_of(port, struct nic, port);
}

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static bool is_plugged(const struct nic *nic)
{
	return __atomic_load_n(&nic->port.net, __ATOMIC_ACQUIRE) != NULL;
}

static bool is_polled(const struct nic *nic)
{
	return __atomic_load_n(&nic->polled, __ATOMIC_RELAXED);
}

static void lock_both(struct nic *nic)
{
	spin_lock(&nic->rx_lock);
	spin_lock(&nic->tx_lock);
}

static void unlock_both(struct nic *nic)
{
	spin_unlock(&nic->tx_lock);
	spin_unlock(&nic->rx_lock);
}

/* Without a link what the switch has for it is thrown away: nobody wants it when it is old. */
static void set_speed(struct nic *nic, int speed)
{
	__atomic_store_n(&nic->speed, speed, __ATOMIC_RELAXED);
	__atomic_store_n(&nic->port.down, !speed, __ATOMIC_RELAXED);
}

/* --- Sending: under tx_lock --- */

static void reclaim(struct nic *nic)
{
	struct net_packet *packet;

	while (nic->tx_count && (packet = nic->operations->sent(nic))) {
		nic->tx_count--;
		nic->sent_total++;
		net_packet_put(packet);
	}
}

/* From the port's queue into the ring. False: the ring is full. */
static bool fill(struct nic *nic)
{
	unsigned int before = nic->tx_count;
	struct net_packet *packet;

	while (nic->tx_count < nic->ring && (packet = net_take(&nic->port))) {
		/* The switch cuts what is longer for ports that do not take segments. */
		if (packet->bytes > NET_FRAME_BYTES || packet->bytes < ETH_HLEN) {
			net_packet_put(packet);
			continue;
		}
		nic->operations->send(nic, packet);
		nic->tx_count++;
	}
	if (nic->tx_count != before)
		nic->operations->send_kick(nic);
	return nic->tx_count < nic->ring;
}

static void transmit(struct nic *nic)
{
	if (nic->state != NIC_RUNNING || __atomic_load_n(&nic->speed, __ATOMIC_RELAXED) <= 0) {
		net_flush(&nic->port);
		return;
	}
	for (unsigned int i = 0; i < SEND_ROUNDS; i++) {
		reclaim(nic);
		if (fill(nic))
			return;
		/* What does not fit stays in the queue until the hardware is done with more. */
		__atomic_store_n(&nic->asked, 1, __ATOMIC_RELAXED);
		if (is_polled(nic) || !nic->operations->want_sent(nic))
			return;
	}
}

static void deliver(struct net_port *port)
{
	struct nic *nic = nic_of(port);

	spin_lock(&nic->tx_lock);
	transmit(nic);
	spin_unlock(&nic->tx_lock);
	__atomic_store_n(&nic->asked, 1, __ATOMIC_RELAXED);
}

/* --- Receiving: under rx_lock --- */

/* A frame for the switch, if another packet can take its place in the ring. */
static void take_frame(struct nic *nic, struct net_packet *packet)
{
	struct net_packet *fresh = NULL;

	if (!packet->bytes)
		count(&nic->errors);
	else if (is_plugged(nic) && !(fresh = net_packet_alloc(NET_SMALL_BYTES)))
		count(&nic->no_memory);
	nic->operations->refill(nic, fresh ? fresh : packet);
	nic->rx_count++;
	if (fresh)
		net_send(&nic->port, packet);
}

static unsigned int receive(struct nic *nic)
{
	struct net_packet *packet;
	unsigned int done = 0;

	if (nic->state != NIC_RUNNING)
		return 0;
	for (; done < NIC_BUDGET && nic->rx_count; done++) {
		packet = nic->operations->received(nic);
		if (!packet)
			break;
		nic->rx_count--;
		take_frame(nic, packet);
	}
	if (done)
		nic->operations->refill_kick(nic);
	return done;
}

/* Buffers for receiving are only there once somebody may want what comes. */
static void refill_all(struct nic *nic)
{
	unsigned int before = nic->rx_count;
	struct net_packet *packet;

	while (nic->rx_count < nic->ring && (packet = net_packet_alloc(NET_SMALL_BYTES))) {
		nic->operations->refill(nic, packet);
		nic->rx_count++;
	}
	if (nic->rx_count != before)
		nic->operations->refill_kick(nic);
}

/* --- Both --- */

/* How many frames came; *more: it is to be called again soon. */
static unsigned int serve(struct nic *nic, bool *more)
{
	unsigned int done;

	spin_lock(&nic->rx_lock);
	done = receive(nic);
	*more = done == NIC_BUDGET;
	if (!*more && !is_polled(nic) && nic->state == NIC_RUNNING)
		*more = nic->operations->want_received(nic);
	spin_unlock(&nic->rx_lock);
	spin_lock(&nic->tx_lock);
	transmit(nic);
	spin_unlock(&nic->tx_lock);
	return done;
}

static void call_at(struct nic *nic, uint64_t ns)
{
	/* Rounded up: when the timer expires, that time has come by clock_now_ns(), too. */
	timer_set(&nic->timer, clock_tsc_from_ns(ns) + 1);
}

void nic_message(void *argument)
{
	struct nic *nic = argument;
	uint64_t began = clock_now_ns(), now;
	bool more;

	__atomic_fetch_add(&nic->messages, 1, __ATOMIC_RELAXED);
	serve(nic, &more);
	if (!more)
		return;
	/* No more than half of the CPU's time, however much comes. */
	now = clock_now_ns();
	call_at(nic, now + MAX(now - began, (uint64_t)PAUSE_NS));
}

/* --- The tick: the timer's callback --- */

static void bury(struct nic *nic, const char *why)
{
	log_line("%s: %s: out of order", nic->port.name, why);
	lock_both(nic);
	nic->operations->stop(nic);
	nic->state = NIC_DEAD;
	unlock_both(nic);
	set_speed(nic, 0);
}

static void rest(struct nic *nic)
{
	lock_both(nic);
	nic->operations->stop(nic);
	nic->state = NIC_RESTING;
	unlock_both(nic);
	set_speed(nic, 0);
	nic->start_ticks = 0;
	nic->hang_ticks = 0;
}

static void reset(struct nic *nic, const char *why)
{
	log_line("%s: %s: reset", nic->port.name, why);
	__atomic_fetch_add(&nic->resets, 1, __ATOMIC_RELAXED);
	rest(nic);
}

/* The hardware has forgotten what it had: frames to be sent are lost, empty packets are not. */
static struct net_packet *empty_rings(struct nic *nic)
{
	struct net_packet *kept = NULL;

	for (unsigned int i = 0; i < NIC_RING; i++) {
		if (nic->tx[i])
			net_packet_put(nic->tx[i]);
		nic->tx[i] = NULL;
		if (nic->rx[i]) {
			nic->rx[i]->next = kept;
			kept = nic->rx[i];
		}
		nic->rx[i] = NULL;
	}
	nic->tx_count = nic->rx_count = 0;
	return kept;
}

static void refill_with(struct nic *nic, struct net_packet *kept)
{
	struct net_packet *packet;

	while ((packet = kept)) {
		kept = packet->next;
		packet->next = NULL;
		nic->operations->refill(nic, packet);
		nic->rx_count++;
	}
	if (nic->rx_count)
		nic->operations->refill_kick(nic);
}

static void start(struct nic *nic)
{
	int error;

	lock_both(nic);
	error = nic->operations->start(nic);
	if (!error) {
		refill_with(nic, empty_rings(nic));
		nic->state = NIC_RUNNING;
	}
	unlock_both(nic);
	if (error && (error != -EAGAIN || ++nic->start_ticks > NIC_START_TICKS))
		bury(nic, "does not start");
}

static void look_at_link(struct nic *nic)
{
	int speed, before = __atomic_load_n(&nic->speed, __ATOMIC_RELAXED);
	bool stuck;

	spin_lock(&nic->tx_lock);
	speed = nic->operations->link(nic);
	stuck = speed == 0 && nic->tx_count;
	set_speed(nic, MAX(speed, 0));
	spin_unlock(&nic->tx_lock);
	if (speed == -EAGAIN)
		reset(nic, "it has lost its way");
	else if (speed < 0)
		bury(nic, "does not answer");
	else if (!before != !speed)
		log_note("%s: link %s", nic->port.name, speed ? "up" : "down");
	/* What was on its way would stay in the ring, and be sent when it is old. */
	if (stuck)
		rest(nic);
}

static void look_for_hang(struct nic *nic)
{
	bool waits;

	spin_lock(&nic->tx_lock);
	reclaim(nic);
	waits = nic->tx_count && nic->sent_total == nic->sent_seen;
	nic->sent_seen = nic->sent_total;
	spin_unlock(&nic->tx_lock);
	nic->hang_ticks = waits ? nic->hang_ticks + 1 : 0;
	if (nic->hang_ticks < NIC_HANG_TICKS)
		return;
	reset(nic, "what it is to send is not sent");
}

/* `done`: frames had come that no message has told of. */
static void look_for_messages(struct nic *nic, unsigned int done)
{
	if (is_polled(nic) || __atomic_load_n(&nic->messages, __ATOMIC_RELAXED))
		return;
	nic->lost_ticks = done ? nic->lost_ticks + 1 : 0;
	if (nic->lost_ticks < LOST_TICKS)
		return;
	log_line("%s: its interrupts do not arrive: it is polled", nic->port.name);
	__atomic_store_n(&nic->polled, true, __ATOMIC_RELAXED);
}

static void tick(struct nic *nic)
{
	if (nic->state == NIC_RESTING)
		start(nic);
	if (nic->state == NIC_RUNNING)
		look_at_link(nic);
	if (nic->state == NIC_RUNNING)
		look_for_hang(nic);
	if (nic->state == NIC_RUNNING && is_plugged(nic)) {
		spin_lock(&nic->rx_lock);
		refill_all(nic);
		spin_unlock(&nic->rx_lock);
	}
}

/* When to come back, after `done` frames came. */
static uint64_t next_ns(struct nic *nic, unsigned int done, bool more, uint64_t began)
{
	uint64_t now = clock_now_ns();

	if (__atomic_exchange_n(&nic->asked, 0, __ATOMIC_RELAXED) || done)
		nic->active_ns = now + NIC_LINGER_NS;
	if (more)
		return now + MAX(now - began, (uint64_t)PAUSE_NS);
	if (!is_polled(nic) || !is_plugged(nic) || nic->state != NIC_RUNNING)
		return nic->tick_ns;
	return MIN(nic->tick_ns, now + (now < nic->active_ns ? NIC_FAST_NS : NIC_SLOW_NS));
}

static void expired(struct timer *timer)
{
	struct nic *nic = container_of(timer, struct nic, timer);
	uint64_t began = clock_now_ns();
	bool is_tick = began >= nic->tick_ns, more;
	unsigned int done;

	if (is_tick) {
		nic->tick_ns = began + NIC_TICK_NS;
		tick(nic);
	}
	if (nic->state == NIC_DEAD) {
		net_flush(&nic->port);
		return;
	}
	done = serve(nic, &more);
	if (is_tick)
		look_for_messages(nic, done);
	call_at(nic, next_ns(nic, done, more, began));
}

void nic_register(struct nic *nic)
{
	const uint8_t *mac = nic->port.mac;
	const struct host_pci_device *pci = nic->pci;

	snprintf(nic->port.name, sizeof(nic->port.name), "nic%u", nic_count++);
	nic->port.deliver = deliver;
	set_speed(nic, 0);
	net_nic_register(&nic->port, 2 * NIC_RING);
	timer_init(&nic->timer, expired);
	nic->tick_ns = clock_now_ns() + FIRST_TICK_NS;
	call_at(nic, nic->tick_ns);
	log_note("%s: %s at %04x:%02x:%02x.%u, %02x:%02x:%02x:%02x:%02x:%02x, %s", nic->port.name,
		nic->model, pci->segment, pci->bus, pci->devfn >> 3, pci->devfn & 7, mac[0],
		mac[1], mac[2], mac[3], mac[4], mac[5], nic->polled ? "polled" : "MSI-X");
}

unsigned int nic_message_cpu(void)
{
	/* The boot CPU has the operator, the disks and what is polled. */
	return (nic_count + 1) % cpu_count();
}

void nic_describe(const struct net_port *port, char *text, size_t bytes)
{
	const struct nic *nic = container_of(port, const struct nic, port);
	int speed = __atomic_load_n(&nic->speed, __ATOMIC_RELAXED);

	if (nic->state == NIC_DEAD)
		snprintf(text, bytes, "%s, out of order", nic->model);
	else if (speed <= NIC_SPEED_UNKNOWN)
		snprintf(text, bytes, "%s, %s", nic->model, speed ? "link up" : "no link");
	else
		snprintf(text, bytes, "%s, %d Mbit/s", nic->model, speed);
}
