/* SPDX-License-Identifier: BSD-2-Clause */
/* The test guests' small runtime: console, checks, interrupts, clocks; see guest.h. */
#include "guest.h"

#include <stdarg.h>

#define COM1 0x3f8
#define DEBUG_EXIT_PORT 0xf4
#define CODE64 0x18
#define TSS_SELECTOR 0x48

extern const uint64_t guest_vectors[256];
extern uint64_t guest_gdt[];

static int failures;

void *memcpy(void *to, const void *from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((volatile char *)to)[i] = ((const char *)from)[i];
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((volatile char *)to)[i] = byte;
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		int difference = ((const uint8_t *)a)[i] - ((const uint8_t *)b)[i];

		if (difference)
			return difference;
	}
	return 0;
}

static void put(char c)
{
	for (unsigned int spin = 0; spin < 1000000 && !(in8(COM1 + 5) & 0x20); spin++)
		__asm__ volatile("pause");
	out8(COM1, c);
}

static void put_number(uint64_t value, unsigned int base)
{
	char digits[20];
	unsigned int count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (count)
		put(digits[--count]);
}

/* %s %c %d %u %x, all but %s and %c taking 64 bits with the l modifier. */
void guest_print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	for (const char *at = format; *at; at++) {
		bool wide = false;
		int64_t value;

		if (*at != '%') {
			if (*at == '\n')
				put('\r');
			put(*at);
			continue;
		}
		at++;
		while (*at == 'l') {
			wide = true;
			at++;
		}
		if (*at == 's') {
			for (const char *s = va_arg(args, const char *); *s; s++)
				put(*s);
			continue;
		}
		value = wide ? va_arg(args, long) : va_arg(args, int);
		if (*at == 'c') {
			put(value);
		} else if (*at == 'd' && value < 0) {
			put('-');
			put_number(-value, 10);
		} else {
			put_number(wide ? (uint64_t)value : (uint32_t)value, *at == 'x' ? 16 : 10);
		}
	}
	va_end(args);
}

void guest_exit(int status)
{
	for (;;)
		out32(DEBUG_EXIT_PORT, status);
}

void guest_check(bool condition, const char *what, const char *file, int line)
{
	if (condition)
		return;
	failures++;
	guest_print("FAIL %s:%d: %s\n", file, line, what);
}

void guest_check_equal(uint64_t got, uint64_t want, const char *what, const char *file, int line)
{
	if (got == want)
		return;
	failures++;
	guest_print("FAIL %s:%d: %s is 0x%lx, expected 0x%lx\n", file, line, what, got, want);
}

void guest_check_range(uint64_t got, uint64_t low, uint64_t high, const char *what,
	const char *file, int line)
{
	if (got >= low && got <= high)
		return;
	failures++;
	guest_print("FAIL %s:%d: %s is %lu, expected %lu to %lu\n", file, line, what, got, low,
		high);
}

int guest_failures(void)
{
	return failures;
}

/* Of the Multiboot information, what this file reads. */
struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, command_line;
};
#define MULTIBOOT_INFO_COMMAND_LINE (1 << 2)
extern const uint64_t multiboot_info;

static size_t length_of(const char *s)
{
	size_t length = 0;

	while (s[length])
		length++;
	return length;
}

/* What follows the word on the command line; NULL when it is not there. */
static const char *behind_word(const char *word)
{
	const struct multiboot_info *info = (const void *)multiboot_info;
	size_t length = length_of(word);

	if (!(info->flags & MULTIBOOT_INFO_COMMAND_LINE))
		return NULL;
	for (const char *at = (const char *)(uint64_t)info->command_line; *at; at++) {
		if (length_of(at) >= length && !memcmp(at, word, length))
			return at + length;
	}
	return NULL;
}

bool guest_has_word(const char *word)
{
	return behind_word(word) != NULL;
}

uint64_t guest_number(const char *word, uint64_t otherwise)
{
	const char *at = behind_word(word);
	uint64_t number = 0;

	if (!at)
		return otherwise;
	for (; *at >= '0' && *at <= '9'; at++)
		number = number * 10 + (*at - '0');
	return number;
}

bool guest_cpu_is_lax(void)
{
	return guest_has_word("lax");
}

struct gate {
	uint16_t offset_low, selector, attributes, offset_middle;
	uint32_t offset_high, reserved;
};

static struct gate idt[256] __attribute__((aligned(16)));
static uint8_t tss[104] __attribute__((aligned(16)));
static uint8_t interrupt_stack[8192] __attribute__((aligned(16)));
static void (*handlers[256])(struct frame *frame);
volatile uint64_t guest_interrupts[256];
volatile struct frame guest_fault;
uint64_t guest_fault_resume;

static void unexpected(const struct frame *frame)
{
	guest_print("FAIL unexpected exception %lu error 0x%lx at 0x%lx:0x%lx cr2 0x%lx "
		    "rflags 0x%lx\n",
		frame->vector, frame->error, frame->cs, frame->rip, read_cr2(), frame->rflags);
	guest_exit(99);
}

void guest_interrupt(struct frame *frame);
void guest_interrupt(struct frame *frame)
{
	__atomic_fetch_add(&guest_interrupts[frame->vector], 1, __ATOMIC_RELAXED);
	if (handlers[frame->vector]) {
		handlers[frame->vector](frame);
	} else if (frame->vector < 32 && guest_fault_resume) {
		guest_fault = *frame;
		frame->rip = guest_fault_resume;
		guest_fault_resume = 0;
	} else if (frame->vector < 32) {
		unexpected(frame);
	}
}

void guest_set_handler(uint8_t vector, void (*handler)(struct frame *frame))
{
	handlers[vector] = handler;
}

static void load_tss(void)
{
	uint64_t base = (uint64_t)tss;
	uint64_t stack = (uint64_t)(interrupt_stack + sizeof(interrupt_stack));

	memcpy(tss + 4, &stack, sizeof(stack)); /* RSP0, for returns from ring 3 */
	guest_gdt[TSS_SELECTOR / 8] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ULL << 40 |
		(base >> 24 & 0xff) << 56;
	guest_gdt[TSS_SELECTOR / 8 + 1] = base >> 32;
	__asm__ volatile("ltr %w0" : : "r"(TSS_SELECTOR));
}

void guest_idt_init(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = { sizeof(idt) - 1, (uint64_t)idt };

	for (unsigned int i = 0; i < 256; i++) {
		uint64_t entry = guest_vectors[i];

		idt[i] = (struct gate){ entry, CODE64, 0x8e00, entry >> 16, entry >> 32, 0 };
	}
	/* Breakpoints may be taken in ring 3. */
	idt[3].attributes |= 3 << 13;
	load_tss();
	__asm__ volatile("lidt %0" : : "m"(pointer));
}

int rdmsr_try(uint32_t msr, uint64_t *value)
{
	uint32_t low = 0, high = 0;
	int vector = GUEST_TRY("rdmsr", : "+a"(low), "+d"(high) : "c"(msr) : "memory");

	*value = (uint64_t)high << 32 | low;
	return vector;
}

int wrmsr_try(uint32_t msr, uint64_t value)
{
	return GUEST_TRY("wrmsr", : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
		: "memory");
}

void lapic_enable(void)
{
	lapic_write(LAPIC_SVR, 0x1ff);
	lapic_write(LAPIC_TPR, 0);
}

void pic_init(void)
{
	out8(0x20, 0x11);
	out8(0xa0, 0x11);
	out8(0x21, 0x20);
	out8(0xa1, 0x28);
	out8(0x21, 4);
	out8(0xa1, 2);
	out8(0x21, 1);
	out8(0xa1, 1);
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
}

#define PM_TIMER_PORT 0x608
#define PM_TIMER_HZ 3579545ULL

/*
 * Both clocks at one moment: of several tries the one that took least, for the host may take the
 * CPU away between the two.
 */
static void read_clocks(uint32_t *pm_timer, uint64_t *tsc)
{
	uint64_t least = UINT64_MAX;

	for (unsigned int i = 0; i < 8; i++) {
		uint64_t start = rdtsc();
		uint32_t count = in32(PM_TIMER_PORT);
		uint64_t took = rdtsc() - start;

		if (took >= least)
			continue;
		least = took;
		*pm_timer = count;
		*tsc = start + took / 2;
	}
}

uint64_t guest_tsc_hz(void)
{
	static uint64_t hz;
	uint32_t start, now, elapsed;
	uint64_t start_tsc, tsc;

	if (hz)
		return hz;
	read_clocks(&start, &start_tsc);
	do {
		read_clocks(&now, &tsc);
		elapsed = (now - start) & 0xffffff;
	} while (elapsed < PM_TIMER_HZ / 200);
	hz = (tsc - start_tsc) * PM_TIMER_HZ / elapsed;
	return hz;
}

void guest_delay_ns(uint64_t ns)
{
	uint64_t end = rdtsc() + ns * (guest_tsc_hz() / 1000000) / 1000;

	while (rdtsc() < end)
		__asm__ volatile("pause");
}

bool guest_wait_for(volatile uint64_t *counter, uint64_t count, uint64_t ns)
{
	uint64_t end = rdtsc() + ns * (guest_tsc_hz() / 1000000) / 1000;

	while (*counter < count) {
		if (rdtsc() > end)
			return false;
		__asm__ volatile("pause");
	}
	return true;
}
