/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's ABI but for its clock: what CPUID offers, steal time, EOIs without an exit, hypercalls; and
 * what must be refused. With one vCPU or two; by the word "shared" these have one CPU between them.
 */
#include "guest.h"

#define GP 13
#define UD 6
#define MS 1000000ULL

#define MSR_STEAL 0x4b564d03
#define MSR_EOI 0x4b564d04

#define HC_POLL 1
#define HC_KICK 5
#define HC_IPI 10
#define HC_YIELD 11
#define EPERM (-1)
#define EINVAL (-22)
#define ENOSYS (-1000)

#define LOW 0x41
#define HIGH 0x91
#define TIMER 0xa1
#define PING 0x61
#define PONG 0x62

static bool intel;

static int64_t call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	int64_t answer;

	if (intel)
		__asm__ volatile("vmcall" : "=a"(answer)
			: "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	else
		__asm__ volatile("vmmcall" : "=a"(answer)
			: "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	return answer;
}

/* ---- the second CPU ---- */

static void (*volatile job)(void);
static volatile uint64_t jobs_done;

static void work(unsigned int id)
{
	(void)id;
	sti();
	for (;;) {
		while (!job)
			__asm__ volatile("pause");
		job();
		job = NULL;
		jobs_done++;
	}
}

static void start_job(void (*what)(void))
{
	job = what;
}

static bool job_ends(uint64_t before)
{
	return guest_wait_for(&jobs_done, before + 1, 2000 * MS);
}

/* ---- what is offered ---- */

static void check_cpuid(void)
{
	struct cpuid signature = cpuid(0x40000100, 0), features;

	CHECK_EQUAL(signature.ebx, 0x4b4d564b);
	CHECK_EQUAL(signature.ecx, 0x564b4d56);
	CHECK_EQUAL(signature.edx, 0x4d);
	CHECK_EQUAL(signature.eax, 0x40000101);
	features = cpuid(0x40000101, 0);
	/* Clocks, no port delays; steal time, EOI, unhalt, TLB flush, IPIs, yield; nothing else. */
	CHECK_EQUAL(features.eax, 1 << 0 | 1 << 1 | 1 << 3 | 1 << 24 | 1 << 5 | 1 << 6 | 1 << 7 |
			1 << 9 | 1 << 11 | 1 << 13);
	CHECK_EQUAL(features.edx, 0);
}

/* ---- steal time ---- */

struct steal {
	uint64_t ns;
	uint32_t version, flags;
	uint8_t preempted, pad[47];
};
static volatile struct steal steal[2] __attribute__((aligned(64)));

static uint64_t steal_ns(unsigned int id)
{
	uint32_t version;
	uint64_t ns;

	do {
		version = steal[id].version;
		ns = steal[id].ns;
	} while (version & 1 || version != steal[id].version);
	return ns;
}

static void check_refused(uint32_t msr, uint64_t good, uint64_t reserved)
{
	const uint64_t nowhere[] = { LAPIC_BASE, 0xfec00000, 0xd0000000, 1ULL << 40, 1ULL << 51,
		0xffffffffffffffc0, 0x7fffffffffffffc0 };

	wrmsr(msr, 0);
	for (uint64_t bit = 2; bit < reserved; bit <<= 1) {
		CHECK_EQUAL(wrmsr_try(msr, good | bit | 1), GP);
		CHECK_EQUAL(wrmsr_try(msr, bit), GP);
	}
	for (unsigned int i = 0; i < sizeof(nowhere) / sizeof(*nowhere); i++)
		CHECK_EQUAL(wrmsr_try(msr, nowhere[i] | 1), GP);
	CHECK_EQUAL(rdmsr(msr), 0);
	wrmsr(msr, good | 1);
	CHECK_EQUAL(wrmsr_try(msr, LAPIC_BASE | 1), GP);
	CHECK_EQUAL(rdmsr(msr), good | 1);
}

static void use_steal(unsigned int id)
{
	wrmsr(MSR_STEAL, (uint64_t)&steal[id] | 1);
	CHECK_EQUAL(steal[id].version & 1, 0);
	CHECK_EQUAL(steal[id].preempted, 0);
}

static uint64_t ns_since(uint64_t tsc)
{
	return (rdtsc() - tsc) * 1000 / (guest_tsc_hz() / 1000000);
}

static volatile uint64_t run_ns[2], elapsed_ns[2];

static void spin(unsigned int id)
{
	uint64_t stolen = steal_ns(id), start = rdtsc();

	while (ns_since(start) < 60 * MS)
		__asm__ volatile("" : : : "memory");
	elapsed_ns[id] = ns_since(start);
	stolen = steal_ns(id) - stolen;
	CHECK(stolen <= elapsed_ns[id]);
	run_ns[id] = elapsed_ns[id] - stolen;
	CHECK_EQUAL(steal[id].preempted, 0);
}

static void spin_1(void)
{
	spin(1);
}

static void use_steal_1(void)
{
	use_steal(1);
}

static void check_steal(void)
{
	memset((void *)steal, 0xff, sizeof(steal));
	check_refused(MSR_STEAL, (uint64_t)&steal[0], 64);
	use_steal(0);
	spin(0);
}

/* Two that would have all of one CPU get half each, and are told of the other half. */
static void check_steal_shared(void)
{
	uint64_t before = jobs_done;

	start_job(spin_1);
	spin(0);
	CHECK(job_ends(before));
	if (!guest_has_word("shared"))
		return;
	CHECK_RANGE(run_ns[0] + run_ns[1], elapsed_ns[0] * 8 / 10, elapsed_ns[0] * 12 / 10);
	CHECK_RANGE(run_ns[0], elapsed_ns[0] * 3 / 10, elapsed_ns[0] * 7 / 10);
}

/* ---- TLB flushes left to a vCPU that does not run ---- */

#define WINDOW 0x40000000ULL
#define FRAME_A 0x2000000ULL
#define FRAME_B 0x2200000ULL

extern volatile uint64_t page_directories[];
static volatile uint64_t first_look, second_look;
static volatile bool look_again;

static void look(void)
{
	first_look = *(volatile uint64_t *)WINDOW;
	while (!look_again)
		__asm__ volatile("" : : : "memory");
	second_look = *(volatile uint64_t *)WINDOW;
}

static bool leave_flush(void)
{
	uint64_t start = rdtsc();
	uint8_t preempted = 1;

	do {
		preempted = 1;
		if (__atomic_compare_exchange_n(&steal[1].preempted, &preempted, 3, false,
			    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return true;
	} while (ns_since(start) < 200 * MS);
	return false;
}

/*
 * That the flag is taken is seen here; a flush left out would only show where a TLB outlives a
 * switch of vCPUs: not on the emulators.
 */
static void check_tlb_flush(void)
{
	uint64_t before = jobs_done;

	*(volatile uint64_t *)FRAME_A = 0xaaaa;
	*(volatile uint64_t *)FRAME_B = 0xbbbb;
	first_look = 0;
	look_again = false;
	page_directories[WINDOW >> 21] = FRAME_A | 0x83;
	start_job(look);
	CHECK(guest_wait_for(&first_look, 0xaaaa, 1000 * MS));
	page_directories[WINDOW >> 21] = FRAME_B | 0x83;
	CHECK(leave_flush());
	look_again = true;
	CHECK(job_ends(before));
	CHECK_EQUAL(first_look, 0xaaaa);
	CHECK_EQUAL(second_look, 0xbbbb);
	CHECK_EQUAL(steal[1].preempted & 2, 0);
	page_directories[WINDOW >> 21] = WINDOW | 0x83;
	write_cr3(read_cr3());
}

/* ---- EOI ---- */

static volatile uint32_t eoi[2][16] __attribute__((aligned(64)));
static volatile uint64_t left_out, written;
static volatile bool nest;

static void end_interrupt(unsigned int id)
{
	bool offered;

	__asm__ volatile("btrl $0, %0; setc %1" : "+m"(eoi[id][0]), "=q"(offered) : : "memory");
	if (!offered)
		lapic_write(LAPIC_EOI, 0);
	__atomic_fetch_add(offered ? &left_out : &written, 1, __ATOMIC_RELAXED);
}

static void send_self(uint8_t vector)
{
	lapic_write(LAPIC_ICR, 0x40000 | vector);
}

static bool any_in_service(void)
{
	for (unsigned int i = 1; i < 8; i++) {
		if (lapic_read(LAPIC_ISR + 0x10 * i))
			return true;
	}
	return false;
}

static void on_plain(struct frame *frame)
{
	(void)frame;
	end_interrupt(0);
}

static void on_low(struct frame *frame)
{
	(void)frame;
	if (nest) {
		uint64_t before = guest_interrupts[HIGH];

		send_self(HIGH);
		sti();
		CHECK(guest_wait_for(&guest_interrupts[HIGH], before + 1, 100 * MS));
		cli();
	}
	end_interrupt(0);
}

/* A lower one comes while this is served: its end has to be seen. */
static void on_high_with_low(struct frame *frame)
{
	uint64_t before = written;

	(void)frame;
	send_self(LOW);
	end_interrupt(0);
	CHECK_EQUAL(written, before + 1);
}

static void check_eoi_alone(void)
{
	uint64_t skipped = left_out, before = guest_interrupts[LOW];

	for (unsigned int i = 1; i <= 100; i++) {
		send_self(LOW);
		CHECK(guest_wait_for(&guest_interrupts[LOW], before + i, 100 * MS));
	}
	CHECK_EQUAL(left_out, skipped + 100);
	CHECK(!any_in_service());
}

static void check_eoi_nested(void)
{
	uint64_t low = guest_interrupts[LOW], high = guest_interrupts[HIGH];

	nest = true;
	for (unsigned int i = 1; i <= 20; i++) {
		send_self(LOW);
		CHECK(guest_wait_for(&guest_interrupts[LOW], low + i, 100 * MS));
		CHECK_EQUAL(guest_interrupts[HIGH], high + i);
	}
	nest = false;
	CHECK(!any_in_service());

	low = guest_interrupts[LOW];
	guest_set_handler(HIGH, on_high_with_low);
	for (unsigned int i = 1; i <= 20; i++) {
		send_self(HIGH);
		CHECK(guest_wait_for(&guest_interrupts[LOW], low + i, 100 * MS));
	}
	guest_set_handler(HIGH, on_plain);
	CHECK(!any_in_service());
}

static void check_eoi_tpr(void)
{
	uint64_t low = guest_interrupts[LOW], high = guest_interrupts[HIGH], before = written;

	write_cr8(LOW >> 4);
	send_self(LOW);
	send_self(HIGH);
	CHECK(guest_wait_for(&guest_interrupts[HIGH], high + 1, 100 * MS));
	CHECK_EQUAL(written, before + 1);
	CHECK_EQUAL(guest_interrupts[LOW], low);
	write_cr8(0);
	CHECK(guest_wait_for(&guest_interrupts[LOW], low + 1, 100 * MS));
	CHECK(!any_in_service());
}

/* Out of HLT by one vector time after time: each has to know that the one before has ended. */
static void check_eoi_halt(void)
{
	uint64_t before = guest_interrupts[TIMER];

	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	lapic_write(LAPIC_LVT_TIMER, TIMER);
	for (unsigned int i = 1; i <= 30; i++) {
		cli();
		lapic_write(LAPIC_TIMER_INITIAL, 2000);
		while (guest_interrupts[TIMER] < before + i) {
			sti_hlt();
			cli();
		}
		sti();
	}
	CHECK_EQUAL(guest_interrupts[TIMER], before + 30);
	lapic_write(LAPIC_LVT_TIMER, 0x10000);
}

static void check_eoi(void)
{
	memset((void *)eoi, 0, sizeof(eoi));
	check_refused(MSR_EOI, (uint64_t)&eoi[0], 4);
	guest_set_handler(LOW, on_low);
	guest_set_handler(HIGH, on_plain);
	guest_set_handler(TIMER, on_plain);
	check_eoi_alone();
	check_eoi_nested();
	check_eoi_tpr();
	check_eoi_halt();
	/* Moved while an interrupt is served, and off: no offers. */
	wrmsr(MSR_EOI, 0);
	left_out = 0;
	send_self(LOW);
	guest_delay_ns(MS);
	CHECK_EQUAL(left_out, 0);
	wrmsr(MSR_EOI, (uint64_t)&eoi[0] | 1);
}

/* ---- hypercalls ---- */

int64_t ring3_call(void (*code)(void), uint64_t number);
int32_t compat_call(bool intel, uint32_t number, uint32_t a, uint32_t b, uint32_t c, uint32_t d);
void ring3_vmcall(void), ring3_vmmcall(void), ring3_resume(void);
extern uint64_t ring3_stack, page_pml4[], page_pdpt[];

static void on_breakpoint(struct frame *frame)
{
	frame->cs = 0x18;
	frame->ss = 0x10;
	frame->rsp = ring3_stack;
	frame->rip = (uint64_t)ring3_resume;
}

static void check_ring3(void)
{
	void (*code)(void) = intel ? ring3_vmcall : ring3_vmmcall;

	page_pml4[0] |= 4;
	for (unsigned int i = 0; i < 4; i++)
		page_pdpt[i] |= 4;
	for (unsigned int i = 0; i < 32; i++)
		page_directories[i] |= 4;
	write_cr3(read_cr3());
	guest_set_handler(3, on_breakpoint);
	cli();
	CHECK_EQUAL(ring3_call(code, HC_POLL), EPERM);
	CHECK_EQUAL(ring3_call(code, HC_KICK), EPERM);
	CHECK_EQUAL(ring3_call(code, HC_IPI), EPERM);
	CHECK_EQUAL(ring3_call(code, HC_YIELD), EPERM);
	CHECK_EQUAL(ring3_call(code, 99), ENOSYS);
	sti();
	guest_set_handler(3, NULL);
}

static void check_calls(void)
{
	uint64_t before = guest_interrupts[LOW];

	CHECK_EQUAL(call(HC_POLL, 0, 0, 0, 0), 0);
	for (unsigned int number = 0; number < 40; number++) {
		if (number != HC_POLL && number != HC_KICK && number != HC_IPI &&
			number != HC_YIELD)
			CHECK_EQUAL(call(number, -1, -1, -1, -1), ENOSYS);
	}
	CHECK_EQUAL(call(-1, 0, 0, 0, 0), ENOSYS);
	CHECK_EQUAL(call(1ULL << 32 | HC_POLL, 0, 0, 0, 0), ENOSYS);
	/* The other vendor's instruction is none here. */
	if (intel)
		CHECK_EQUAL(GUEST_TRY("vmmcall", : : "a"(HC_POLL), "b"(0) : "memory"), UD);
	else
		CHECK_EQUAL(GUEST_TRY("vmcall", : : "a"(HC_POLL), "b"(0) : "memory"), UD);

	CHECK_EQUAL(call(HC_IPI, 1, 0, 0, LOW), 1);
	CHECK(guest_wait_for(&guest_interrupts[LOW], before + 1, 100 * MS));
	CHECK_EQUAL(compat_call(intel, HC_POLL, 0, 0, 0, 0), 0);
	CHECK_EQUAL(compat_call(intel, HC_IPI, 1, 0, 0, LOW), 1);
	CHECK(guest_wait_for(&guest_interrupts[LOW], before + 2, 100 * MS));
	/* Bitmaps far beyond what is there. */
	CHECK_EQUAL(call(HC_IPI, -1, -1, 0, LOW), guest_cpu_count());
	CHECK_EQUAL(call(HC_IPI, -1, -1, guest_cpu_count(), LOW), 0);
	CHECK_EQUAL(call(HC_IPI, -1, -1, -1, LOW), 0);
	CHECK_EQUAL(call(HC_IPI, -1, -1, -64, LOW), 0);
	CHECK_EQUAL(call(HC_IPI, -1, -1, 0x80000000, LOW), 0);
	CHECK(guest_wait_for(&guest_interrupts[LOW], before + 2 + guest_cpu_count(), 100 * MS));
	/* Vectors that are none, and what a bitmap makes no sense with. */
	CHECK_EQUAL(call(HC_IPI, -1, -1, 0, 3), EINVAL);
	CHECK_EQUAL(call(HC_IPI, -1, -1, 0, 0x500), EINVAL); /* INIT */
	CHECK_EQUAL(call(HC_IPI, -1, -1, 0, 0x600 | LOW), EINVAL);
	CHECK_EQUAL(call(HC_IPI, -1, -1, 0, 0x40000 | LOW), EINVAL);
	CHECK_EQUAL(call(HC_IPI, -1, -1, 0, -1), EINVAL);

	CHECK_EQUAL(call(HC_YIELD, 0, 0, 0, 0), 0);
	CHECK_EQUAL(call(HC_YIELD, 77, 0, 0, 0), 0);
	CHECK_EQUAL(call(HC_YIELD, -1, 0, 0, 0), 0);
	CHECK_EQUAL(call(HC_KICK, 0, 77, 0, 0), 0);
	CHECK_EQUAL(call(HC_KICK, -1, -1, 0, 0), 0);
	/* A kick of its own ends the next HLT, whose interrupts are off. */
	cli();
	CHECK_EQUAL(call(HC_KICK, 0, 0, 0, 0), 0);
	__asm__ volatile("hlt" : : : "memory");
	sti();
}

/* ---- two of them ---- */

static volatile uint64_t halts, rounds;

static void use_eoi_1(void)
{
	wrmsr(MSR_EOI, (uint64_t)&eoi[1] | 1);
}

static void on_ping(struct frame *frame)
{
	(void)frame;
	end_interrupt(1);
	guest_send_ipi(0, PONG);
}

static void on_other_low(struct frame *frame)
{
	(void)frame;
	end_interrupt(lapic_read(LAPIC_ID) >> 24);
}

static void check_ping_pong(void)
{
	uint64_t before = guest_interrupts[PONG], skipped = left_out;

	guest_set_handler(PING, on_ping);
	guest_set_handler(PONG, on_plain);
	for (unsigned int i = 1; i <= 100; i++) {
		if (i & 1)
			guest_send_ipi(1, PING);
		else
			CHECK_EQUAL(call(HC_IPI, 2, 0, 0, PING), 1);
		CHECK(guest_wait_for(&guest_interrupts[PONG], before + i, 1000 * MS));
		if (guest_failures())
			break;
	}
	/* On each side all but those that another came upon. */
	CHECK(left_out - skipped > 100);
}

static void halt_deaf(void)
{
	cli();
	for (unsigned int i = 0; i < 5; i++) {
		__asm__ volatile("hlt" : : : "memory");
		halts++;
	}
	sti();
}

static void check_kick(void)
{
	uint64_t before = jobs_done;

	start_job(halt_deaf);
	for (unsigned int i = 1; i <= 5; i++) {
		guest_delay_ns(2 * MS);
		CHECK_EQUAL(halts, i - 1);
		CHECK_EQUAL(call(HC_KICK, 0, 1, 0, 0), 0);
		CHECK(guest_wait_for(&halts, i, 1000 * MS));
	}
	CHECK(job_ends(before));
}

static void check_nmi(void)
{
	uint64_t before = guest_interrupts[2];

	CHECK_EQUAL(call(HC_IPI, 2, 0, 0, 0x400), 1);
	CHECK(guest_wait_for(&guest_interrupts[2], before + 1, 1000 * MS));
}

static void on_nmi(struct frame *frame)
{
	(void)frame;
}

static void yield_back(void)
{
	for (; rounds < 1000; rounds++)
		call(HC_YIELD, 0, 0, 0, 0);
}

static void check_yield(void)
{
	uint64_t before = jobs_done;

	start_job(yield_back);
	while (jobs_done == before && rounds < 1000)
		CHECK_EQUAL(call(HC_YIELD, 1, 0, 0, 0), 0);
	CHECK(job_ends(before));
}

static void nothing_is_left(void)
{
	CHECK_EQUAL(rdmsr(MSR_STEAL), 0);
	CHECK_EQUAL(rdmsr(MSR_EOI), 0);
}

static void run_job(void (*what)(void))
{
	uint64_t before = jobs_done;

	start_job(what);
	CHECK(job_ends(before));
}

static void check_two(void)
{
	CHECK(guest_start_cpu(1, work));
	run_job(use_steal_1);
	run_job(use_eoi_1);
	guest_set_handler(LOW, on_other_low);
	guest_set_handler(2, on_nmi);
	check_calls();
	check_steal_shared();
	if (guest_has_word("shared"))
		check_tlb_flush();
	check_ping_pong();
	check_kick();
	check_nmi();
	check_yield();
	/* INIT takes it all away. */
	CHECK(guest_start_cpu(1, work));
	run_job(nothing_is_left);
}

int guest_main(void)
{
	intel = cpuid(0, 0).ebx == 0x756e6547;
	guest_idt_init();
	pic_init();
	lapic_enable();
	guest_tsc_hz();
	sti();
	check_cpuid();
	check_steal();
	check_eoi();
	if (guest_cpu_count() == 1)
		check_calls();
	else
		check_two();
	check_ring3();
	return guest_failures();
}
