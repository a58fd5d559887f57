/* SPDX-License-Identifier: BSD-2-Clause */
/* Application processors: started as the SDM says, one after the other; see guest.h. */
#include "guest.h"

#define AP_PAGE 0x9000ULL
#define AP_STACK_BYTES 8192
#define MS 1000000ULL
#define APIC_BASE 0x1b
#define X2APIC_ICR 0x830

#define ICR_INIT 0x4500U
#define ICR_STARTUP 0x4600U

extern const uint8_t ap_blob[], ap_blob_end[];
extern uint64_t ap_stack;

static uint8_t stacks[GUEST_CPUS][AP_STACK_BYTES] __attribute__((aligned(16)));
static struct {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed)) idt_pointer;
static void (*ap_entry)(unsigned int id);
static unsigned int ap_id;
static volatile uint64_t arrivals;

unsigned int guest_cpu_count(void)
{
	return cpuid(1, 0).ebx >> 16 & 0xff;
}

void guest_send_ipi(unsigned int id, uint32_t icr)
{
	if (rdmsr(APIC_BASE) & 1 << 10) {
		wrmsr(X2APIC_ICR, (uint64_t)id << 32 | icr);
		return;
	}
	lapic_write(LAPIC_ICR_HIGH, id << 24);
	lapic_write(LAPIC_ICR, icr);
}

void ap_main(void);
void ap_main(void)
{
	unsigned int id = ap_id;
	void (*entry)(unsigned int id) = ap_entry;

	__asm__ volatile("lidt %0" : : "m"(idt_pointer));
	lapic_enable();
	/* From here on the boot CPU starts the next one. */
	arrivals++;
	entry(id);
}

bool guest_start_cpu(unsigned int id, void (*entry)(unsigned int id))
{
	uint64_t before = arrivals;

	if (id >= GUEST_CPUS)
		return false;
	__asm__ volatile("sidt %0" : "=m"(idt_pointer));
	memcpy((void *)AP_PAGE, ap_blob, ap_blob_end - ap_blob);
	ap_id = id;
	ap_entry = entry;
	ap_stack = (uint64_t)(stacks[id] + AP_STACK_BYTES);
	guest_send_ipi(id, ICR_INIT);
	guest_delay_ns(MS / 5);
	guest_send_ipi(id, ICR_STARTUP | AP_PAGE >> 12);
	return guest_wait_for(&arrivals, before + 1, 1000 * MS);
}
