/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a test guest stands on: 64-bit code on an identity mapping of 4 GiB, a console on COM1,
 * interrupts and exceptions that a test can catch, and checks. A guest ends by returning from
 * guest_main(): its exit status is the number of checks that failed.
 */
#ifndef BALLAST_TEST_GUEST_H
#define BALLAST_TEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Everything that an interrupt or exception pushed. */
struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

/* The test itself; returns guest_failures() as a rule. */
int guest_main(void);
void guest_exit(int status) __attribute__((noreturn));

void guest_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A check: silent when it holds, a line with both values when it does not. */
#define CHECK(condition) guest_check((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQUAL(got, want)                                                                     \
	guest_check_equal((uint64_t)(got), (uint64_t)(want), #got, __FILE__, __LINE__)
#define CHECK_RANGE(got, low, high)                                                                \
	guest_check_range((uint64_t)(got), (low), (high), #got, __FILE__, __LINE__)
void guest_check(bool condition, const char *what, const char *file, int line);
void guest_check_equal(uint64_t got, uint64_t want, const char *what, const char *file, int line);
void guest_check_range(uint64_t got, uint64_t low, uint64_t high, const char *what,
	const char *file, int line);
int guest_failures(void);

/*
 * Does the CPU below leave out checks that every real one makes? QEMU's TCG does where the guest
 * runs an instruction itself (a non-canonical LSTAR, reserved bits of CR0): there is nothing for a
 * hypervisor to do, so those checks are for the other benches. By `lax` on the command line.
 */
bool guest_cpu_is_lax(void);
/* Does the word stand on the command line? */
bool guest_has_word(const char *word);
/* The decimal number that follows `word`, such as "count="; `otherwise` when the word is not there. */
uint64_t guest_number(const char *word, uint64_t otherwise);

/* IDT with all 256 vectors; unexpected exceptions end the guest with a dump. */
void guest_idt_init(void);
/* Called for every delivery of `vector`; NULL takes it back. */
void guest_set_handler(uint8_t vector, void (*handler)(struct frame *frame));
/* Deliveries of each vector since the start. */
extern volatile uint64_t guest_interrupts[256];

/*
 * Run code that may raise an exception: GUEST_TRY("instructions", : outputs : inputs : "memory")
 * is the vector that was raised, or GUEST_NO_FAULT; guest_fault is its frame. The instructions may
 * not move the stack pointer.
 */
extern volatile struct frame guest_fault;
extern uint64_t guest_fault_resume; /* 0: no exception is expected */
#define GUEST_NO_FAULT (-1)
#define GUEST_TRY(code, ...)                                                                       \
	({                                                                                         \
		guest_fault.vector = (uint64_t)GUEST_NO_FAULT;                                     \
		__asm__ volatile("movq $9f, guest_fault_resume\n\t" code                           \
				 "\n9:\n\tmovq $0, guest_fault_resume" __VA_ARGS__);               \
		(int)guest_fault.vector;                                                           \
	})

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
		: "memory");
}

/* The vector that the access raised, or GUEST_NO_FAULT. */
int rdmsr_try(uint32_t msr, uint64_t *value);
int wrmsr_try(uint32_t msr, uint64_t value);

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
		: "a"(leaf), "c"(subleaf));
	return r;
}

#define DEFINE_PORT(bits, letter)                                                                  \
	static inline uint##bits##_t in##bits(uint16_t port)                                       \
	{                                                                                          \
		uint##bits##_t value;                                                              \
		__asm__ volatile("in" #letter " %1, %0" : "=a"(value) : "Nd"(port));               \
		return value;                                                                      \
	}                                                                                          \
	static inline void out##bits(uint16_t port, uint##bits##_t value)                          \
	{                                                                                          \
		__asm__ volatile("out" #letter " %0, %1" : : "a"(value), "Nd"(port));              \
	}
DEFINE_PORT(8, b)
DEFINE_PORT(16, w)
DEFINE_PORT(32, l)

#define DEFINE_CONTROL(name)                                                                       \
	static inline uint64_t read_##name(void)                                                   \
	{                                                                                          \
		uint64_t value;                                                                    \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(value) : : "memory");                \
		return value;                                                                      \
	}                                                                                          \
	static inline void write_##name(uint64_t value)                                            \
	{                                                                                          \
		__asm__ volatile("mov %0, %%" #name : : "r"(value) : "memory");                    \
	}
DEFINE_CONTROL(cr0)
DEFINE_CONTROL(cr2)
DEFINE_CONTROL(cr3)
DEFINE_CONTROL(cr4)
DEFINE_CONTROL(cr8)
DEFINE_CONTROL(dr0)
DEFINE_CONTROL(dr6)
DEFINE_CONTROL(dr7)

static inline void cli(void)
{
	__asm__ volatile("cli" : : : "memory");
}

static inline void sti(void)
{
	__asm__ volatile("sti" : : : "memory");
}

/* STI's shadow covers HLT: no interrupt can come between. */
static inline void sti_hlt(void)
{
	__asm__ volatile("sti; hlt" : : : "memory");
}

static inline volatile uint32_t *mmio32(uint64_t address)
{
	return (volatile uint32_t *)address;
}

/* Local APIC in xAPIC mode. */
#define LAPIC_BASE 0xfee00000ULL
#define LAPIC_ID 0x20
#define LAPIC_TPR 0x80
#define LAPIC_EOI 0xb0
#define LAPIC_SVR 0xf0
#define LAPIC_ISR 0x100
#define LAPIC_IRR 0x200
#define LAPIC_ESR 0x280
#define LAPIC_ICR 0x300
#define LAPIC_ICR_HIGH 0x310
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_LVT_LINT0 0x350
#define LAPIC_TIMER_INITIAL 0x380
#define LAPIC_TIMER_CURRENT 0x390
#define LAPIC_TIMER_DIVIDE 0x3e0

static inline uint32_t lapic_read(uint32_t reg)
{
	return *mmio32(LAPIC_BASE + reg);
}

static inline void lapic_write(uint32_t reg, uint32_t value)
{
	*mmio32(LAPIC_BASE + reg) = value;
}

/* Software-enable the LAPIC with spurious vector 0xff. */
void lapic_enable(void);
/* Mask both PICs after moving them to vectors 0x20 and 0x28. */
void pic_init(void);

/* TSC ticks a second, from CPUID or the PM timer. */
uint64_t guest_tsc_hz(void);
/* Wait, interrupts as they are, until `ns` nanoseconds have passed. */
void guest_delay_ns(uint64_t ns);
/* Wait until *counter has reached `count`; false after `ns` nanoseconds. */
bool guest_wait_for(volatile uint64_t *counter, uint64_t count, uint64_t ns);

/*
 * More than one CPU. All share the boot CPU's tables, IDT and handlers, guest_interrupts and the
 * console; GUEST_TRY, ring 3 and guest_tsc_hz()'s first call are the boot CPU's alone.
 */
#define GUEST_CPUS 64
unsigned int guest_cpu_count(void);
/*
 * Start CPU `id` (its APIC id) by INIT and SIPI, after guest_idt_init(): it calls entry(id) with
 * interrupts off and its LAPIC enabled, and halts for ever when that returns. One that was started
 * before starts anew. False when it has not arrived within a second.
 */
bool guest_start_cpu(unsigned int id, void (*entry)(unsigned int id));
/* By the calling CPU's ICR, in either mode of its LAPIC; a vector alone is a fixed one. */
void guest_send_ipi(unsigned int id, uint32_t icr);

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

#endif
