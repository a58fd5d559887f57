/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_serial.h. */
#include "test/unit/fake_serial.h"

#include <stdlib.h>
#include <string.h>

#include "host/cpu.h"
#include "host/memory.h"

/* Not assert(): tests are compiled as releases are. */
#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

#define SEND_RING 16384
#define SENT_BYTES (1 << 20)
#define RECEIVED_BYTES 8192

static char waiting[SEND_RING];
static size_t waiting_count;
static char sent[SENT_BYTES], taken[SENT_BYTES];
static size_t sent_count;
static char received[RECEIVED_BYTES];
static size_t received_head, received_tail;
static bool held;
static void (*notify)(void);
static unsigned int kicks;
static struct cpu boot_cpu;

void fake_serial_reset(void)
{
	waiting_count = sent_count = received_head = received_tail = 0;
	held = false;
	notify = NULL;
	kicks = 0;
}

static void send(size_t count)
{
	count = MIN(count, waiting_count);
	REQUIRE(sent_count + count < SENT_BYTES);
	memcpy(sent + sent_count, waiting, count);
	sent_count += count;
	sent[sent_count] = '\0';
	waiting_count -= count;
	memmove(waiting, waiting + count, waiting_count);
}

void fake_serial_hold(void)
{
	held = true;
}

void fake_serial_transmit(size_t count)
{
	send(count);
	if (notify)
		notify();
}

void fake_serial_release(void)
{
	held = false;
	do
		fake_serial_transmit(SEND_RING);
	while (waiting_count);
}

void fake_serial_type(const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		received[received_head++ % RECEIVED_BYTES] = bytes[i];
	REQUIRE(received_head - received_tail <= RECEIVED_BYTES);
	if (notify)
		notify();
}

const char *fake_serial_sent(void)
{
	sent[sent_count] = '\0';
	return sent;
}

const char *fake_serial_take(void)
{
	memcpy(taken, fake_serial_sent(), sent_count + 1);
	sent_count = 0;
	return taken;
}

unsigned int fake_serial_kicks(void)
{
	return kicks;
}

size_t serial_write(const char *bytes, size_t count)
{
	size_t room = SEND_RING - waiting_count;

	count = MIN(count, room);
	memcpy(waiting + waiting_count, bytes, count);
	waiting_count += count;
	if (!held)
		send(waiting_count);
	return count;
}

size_t serial_write_pending(void)
{
	return waiting_count;
}

int serial_read(void)
{
	if (received_tail == received_head)
		return -1;
	return (uint8_t)received[received_tail++ % RECEIVED_BYTES];
}

void serial_set_notify(void (*new_notify)(void))
{
	notify = new_notify;
}

struct cpu *cpu_by_id(unsigned int id)
{
	return id == 0 ? &boot_cpu : NULL;
}

void cpu_notify(struct cpu *cpu)
{
	REQUIRE(cpu == &boot_cpu);
	kicks++;
}

void irq_window(void)
{
	fake_serial_transmit(64);
}

void *heap_alloc(size_t bytes, enum frame_use use)
{
	REQUIRE(use == FRAME_HOST || use == FRAME_VM);
	return calloc(1, bytes);
}

void heap_free(void *object)
{
	free(object);
}
