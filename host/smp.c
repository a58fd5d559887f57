/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starting the other CPUs (Intel SDM vol. 3, "Multiple-Processor (MP) Initialization"), one after
 * the other: INIT, then SIPI, by the pace that processors of this century need; a slow one gets
 * the old, long waits. A CPU that does not come is left out, and said so.
 */
#include "host/apic.h"
#include "host/clock.h"
#include "host/cpu.h"
#include "host/init.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/memory.h"
#include "host/x86.h"
#include "lib/string.h"

/* The trampoline's pages: code; data that is written for each CPU; a root of page tables. */
#define TRAMPOLINE_DATA PAGE_SIZE
#define TRAMPOLINE_ROOT (2 * PAGE_SIZE)

/* host/trampoline.asm knows these offsets. */
struct trampoline_data {
	uint16_t gdt_limit;
	uint32_t gdt_base;
	uint16_t reserved;
	uint64_t gdt[3];
	uint32_t target_offset;
	uint16_t target_selector;
	uint16_t reserved2;
	uint32_t cr3;
	uint32_t efer;
	uint64_t stack;
	uint64_t entry;
	struct cpu *cpu;
} __packed;
_Static_assert(offsetof(struct trampoline_data, gdt) == 8, "trampoline GDT");
_Static_assert(offsetof(struct trampoline_data, target_offset) == 32, "trampoline target");
_Static_assert(offsetof(struct trampoline_data, cr3) == 40, "trampoline CR3");
_Static_assert(offsetof(struct trampoline_data, efer) == 44, "trampoline EFER");
_Static_assert(offsetof(struct trampoline_data, stack) == 48, "trampoline stack");
_Static_assert(offsetof(struct trampoline_data, cpu) == 64, "trampoline CPU");

extern const uint8_t trampoline_start[], trampoline_end[];
extern const uint32_t trampoline_long_offset;

static struct cpu *cpus[CPU_MAX]; /* [I] after smp_init() */
static unsigned int online_count = 1;
static void (*secondary_main)(void);
static uint64_t boot_tsc_adjust;
static bool has_tsc_adjust;
static uint64_t secondary_tsc; /* what the CPU that started last read */

unsigned int cpu_count(void)
{
	return __atomic_load_n(&online_count, __ATOMIC_ACQUIRE);
}

struct cpu *cpu_by_id(unsigned int id)
{
	if (id == 0 && !cpus[0])
		return this_cpu();
	return id < cpu_count() ? cpus[id] : NULL;
}

static bool wait_online(const struct cpu *cpu, uint64_t us)
{
	uint64_t end = clock_tsc() + clock_tsc_from_ns(us * NS_PER_US);

	while (!__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE)) {
		/* The time may be up because this CPU stood still: one last look. */
		if (clock_tsc() >= end)
			return __atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE);
		__builtin_ia32_pause();
	}
	return true;
}

/* The first C of another CPU, on its own stack. */
static void __noreturn secondary_entry(struct cpu *cpu)
{
	write_cr3(mmu_root());
	descriptor_load(cpu);
	cpu_init_registers();
	/* Firmware may have set this CPU's counter apart from the boot CPU's. */
	if (has_tsc_adjust)
		wrmsr(MSR_TSC_ADJUST, boot_tsc_adjust);
	apic_init_cpu();
	secondary_tsc = clock_tsc();
	__atomic_store_n(&cpu->online, true, __ATOMIC_RELEASE);
	secondary_main();
	for (;;)
		cpu_idle();
}

static void prepare_trampoline(void)
{
	uint8_t *page = host_ptr(machine.trampoline);
	hpa_t root = machine.trampoline + TRAMPOLINE_ROOT;
	struct trampoline_data *data = (struct trampoline_data *)(page + TRAMPOLINE_DATA);

	memcpy(page, trampoline_start, (size_t)(trampoline_end - trampoline_start));
	/* A copy of the root, because CR3 has 32 bits until long mode. */
	memcpy(host_ptr(root), host_ptr(mmu_root()), PAGE_SIZE);
	*data = (struct trampoline_data){
		.gdt_limit = sizeof(data->gdt) - 1,
		.gdt_base = (uint32_t)host_phys(data->gdt),
		.gdt = {0, 0x00af9b000000ffffULL, 0x00cf93000000ffffULL},
		.target_offset = (uint32_t)machine.trampoline + trampoline_long_offset,
		.target_selector = HOST_CS,
		.cr3 = (uint32_t)root,
		.efer = (uint32_t)(EFER_LME | (rdmsr(MSR_EFER) & EFER_NXE)),
		.entry = (uint64_t)(uintptr_t)secondary_entry,
	};
}

static struct cpu *make_cpu(uint32_t id, uint32_t apic_id)
{
	hpa_t block = frame_alloc(CPU_AREA_ORDER, FRAME_HOST);
	struct cpu_area *area = host_ptr(block);

	if (block == HPA_NONE)
		return NULL;
	page_zero(area->page, PAGE_SIZE);
	descriptor_prepare(area, id, apic_id);
	descriptor_unmap_guards(area);
	timer_init_cpu(&area->cpu);
	return &area->cpu;
}

static bool start_cpu(struct cpu *cpu)
{
	struct trampoline_data *data = host_ptr(machine.trampoline + TRAMPOLINE_DATA);

	data->stack = cpu->stack_top;
	data->cpu = cpu;
	apic_send_init(cpu->apic_id);
	clock_wait(10 * NS_PER_US);
	apic_send_startup(cpu->apic_id, machine.trampoline);
	if (wait_online(cpu, 1000))
		return true;
	apic_send_startup(cpu->apic_id, machine.trampoline);
	if (wait_online(cpu, 50000))
		return true;
	apic_send_init(cpu->apic_id);
	clock_wait(10 * NS_PER_MS);
	/*
	 * Had it just come when INIT stopped it, it comes a second time: before that, the next CPU
	 * must not be given its place in the trampoline.
	 */
	__atomic_store_n(&cpu->online, false, __ATOMIC_RELEASE);
	apic_send_startup(cpu->apic_id, machine.trampoline);
	if (wait_online(cpu, 200))
		return true;
	apic_send_startup(cpu->apic_id, machine.trampoline);
	if (wait_online(cpu, 500000))
		return true;
	/* Should it come after all, it must not find a CPU's memory that is used again. */
	apic_send_init(cpu->apic_id);
	return false;
}

/* All CPUs' counters must agree: the reading lies between the start of the CPU and now. */
static void check_tsc(const struct cpu *cpu, uint64_t before)
{
	uint64_t now = clock_tsc();

	if (secondary_tsc < before || secondary_tsc > now)
		log_line("cpu %u: its TSC is %ld ticks off, time on it will be wrong", cpu->id,
			 (long)(secondary_tsc - now));
}

static void start_all(void)
{
	for (size_t i = 1; i < machine.cpu_count; i++) {
		uint64_t before = clock_tsc();
		struct cpu *cpu;

		if (!apic_is_x2apic() && machine.apic_ids[i] > 0xfe) {
			log_line("cpu with APIC id %u needs an x2APIC: left out",
				 machine.apic_ids[i]);
			continue;
		}
		cpu = make_cpu(online_count, machine.apic_ids[i]);
		if (!cpu) {
			log_line("no memory to start more CPUs than %u", online_count);
			return;
		}
		if (!start_cpu(cpu)) {
			log_line("cpu with APIC id %u does not start: left out", cpu->apic_id);
			continue;
		}
		check_tsc(cpu, before);
		cpus[online_count] = cpu;
		__atomic_store_n(&online_count, online_count + 1, __ATOMIC_RELEASE);
	}
}

void smp_init(void (*main)(void))
{
	cpus[0] = this_cpu();
	secondary_main = main;
	if (machine.acpi.cpus_beyond)
		log_line("%zu CPUs more than Ballast can use are left out",
			 machine.acpi.cpus_beyond);
	if (machine.cpu_count <= 1)
		return;
	if (!machine.trampoline) {
		log_line("no memory below 1 MiB: %zu more CPUs stay off", machine.cpu_count - 1);
		return;
	}
	has_tsc_adjust = cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & BIT(1));
	if (has_tsc_adjust)
		boot_tsc_adjust = rdmsr(MSR_TSC_ADJUST);
	prepare_trampoline();
	if (mmu_set_executable(machine.trampoline, true)) {
		log_line("no memory to start other CPUs");
		return;
	}
	start_all();
	if (mmu_set_executable(machine.trampoline, false))
		log_note("trampoline page stays executable");
}
