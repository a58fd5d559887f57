/* SPDX-License-Identifier: BSD-2-Clause */
/* Application processors: INIT and SIPI, each CPU's own id, IPIs there and back, INIT again. */
#include "guest.h"

#define PING 0x61
#define PONG 0x62
#define MS 1000000ULL

static volatile uint64_t ran[GUEST_CPUS], pings[GUEST_CPUS];
static volatile uint32_t ids[GUEST_CPUS];

static unsigned int this_cpu(void)
{
	return lapic_read(LAPIC_ID) >> 24;
}

static void on_ping(struct frame *frame)
{
	(void)frame;
	__atomic_fetch_add(&pings[this_cpu()], 1, __ATOMIC_RELAXED);
	lapic_write(LAPIC_EOI, 0);
	guest_send_ipi(0, PONG);
}

static void on_pong(struct frame *frame)
{
	(void)frame;
	lapic_write(LAPIC_EOI, 0);
}

static void serve(unsigned int id)
{
	ids[id] = cpuid(1, 0).ebx >> 24;
	ran[id]++;
	sti();
	for (;;)
		sti_hlt();
}

static void check_cpu(unsigned int id)
{
	uint64_t pongs;

	CHECK(guest_start_cpu(id, serve));
	CHECK(guest_wait_for(&ran[id], 1, 1000 * MS));
	CHECK_EQUAL(ids[id], id);
	for (unsigned int i = 1; i <= 20; i++) {
		pongs = guest_interrupts[PONG];
		guest_send_ipi(id, PING);
		CHECK(guest_wait_for(&guest_interrupts[PONG], pongs + 1, 1000 * MS));
	}
	CHECK_EQUAL(pings[id], 20);
	/* Once more from the start, out of its HLT. */
	CHECK(guest_start_cpu(id, serve));
	CHECK(guest_wait_for(&ran[id], 2, 1000 * MS));
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	lapic_enable();
	guest_set_handler(PING, on_ping);
	guest_set_handler(PONG, on_pong);
	CHECK(guest_has_word("vcpus=1") == (guest_cpu_count() == 1));
	CHECK(guest_has_word("vcpus=4") == (guest_cpu_count() == 4));
	guest_tsc_hz();
	sti();
	for (unsigned int id = 1; id < guest_cpu_count(); id++)
		check_cpu(id);
	return guest_failures();
}
