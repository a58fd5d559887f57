/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing the whole platform: the input is what a guest, its operator and time do to the devices
 * and the LAPICs. Nothing may crash or keep the VM's lock, what is delivered is a vector that can
 * be, and timers come no faster than the devices promise.
 */
#include "devices/platform.h"
#include "devices/uart.h"
#include "host/x86.h"
#include "test/fuzz/input.h"
#include "test/unit/fake_pc.h"

#define VCPUS 3
#define STEP_MAX_NS (20 * NS_PER_MS)
/*
 * Each LAPIC may expire every 50 us; the PIT every 100 us, and once more because it was stopped;
 * the RTC once for each read of its register C.
 */
#define EXPIRIES_PER_MS (VCPUS * 20 + 2 * 10 + 2)
#define EXPIRIES_ANYWAY 16

/* Where something is; any other port by its number. */
static uint16_t take_port(void)
{
	static const uint16_t ports[] = { PORT_PIC_MASTER, PORT_PIC_MASTER + 1, PORT_PIC_SLAVE,
		PORT_PIC_SLAVE + 1, PORT_PIT, PORT_PIT + 1, PORT_PIT + 2, PORT_PIT + 3,
		PORT_KEYBOARD_DATA, PORT_SYSTEM_CONTROL_B, PORT_KEYBOARD_COMMAND, PORT_RTC,
		PORT_RTC + 1, PORT_SYSTEM_CONTROL_A, PORT_SMI_COMMAND, PORT_ELCR, PORT_ELCR + 1,
		PORT_COM1, PORT_COM1 + 1, PORT_COM1 + 2, PORT_COM1 + 3, PORT_COM1 + 4,
		PORT_COM1 + 5, PORT_COM1 + 6, PORT_PM1_EVENT, PORT_PM1_EVENT + 2, PORT_PM1_CONTROL,
		PORT_PM_TIMER, PORT_PCI_ADDRESS, PORT_RESET_CONTROL, PORT_PCI_DATA,
		PORT_PCI_DATA + 3, PORT_DEBUG_EXIT };
	uint8_t choice = take(1);

	return choice < ARRAY_SIZE(ports) ? ports[choice] : take(2);
}

static unsigned int take_size(unsigned int largest_log2)
{
	return 1U << take(1) % (largest_log2 + 1);
}

static size_t room;

static size_t take_output(struct uart *uart, const uint8_t *bytes, size_t count)
{
	size_t taken = MIN(count, room);

	(void)uart, (void)bytes;
	room -= taken;
	return taken;
}

static void ports(void)
{
	uint16_t port = take_port();
	unsigned int bytes = take_size(2);

	if (take(1) & 1)
		pc_out(port, bytes, take(bytes));
	else
		require((pc_in(port, bytes) & ~byte_mask(bytes)) == 0);
}

static void ioapic(void)
{
	uint64_t address = IOAPIC_BASE + (take(1) & 0xf3);
	unsigned int bytes = take_size(3);

	spin_lock(&pc.vm.lock);
	if (take(1) & 1)
		io_bus_write(&pc.vm.mmio, address, bytes, take(bytes));
	else
		io_bus_read(&pc.vm.mmio, address, bytes);
	spin_unlock(&pc.vm.lock);
}

static void lapic_page(struct vcpu *vcpu)
{
	uint64_t address = LAPIC_DEFAULT_BASE + (take(2) & 0x3ff);
	unsigned int bytes = take_size(3);

	if (!lapic_claims(vcpu, address))
		return;
	if (take(1) & 1)
		lapic_mmio_write(vcpu, address, bytes, take(bytes));
	else
		lapic_mmio_read(vcpu, address, bytes);
}

static void lapic_msrs(struct vcpu *vcpu)
{
	uint8_t choice = take(1);
	uint32_t msr = choice < 0x40 ? MSR_X2APIC_FIRST + choice :
		choice & 1 ? MSR_APIC_BASE : MSR_TSC_DEADLINE;
	uint64_t value = 0;
	int error;

	if (take(1) & 1) {
		value = take(8);
		/* A deadline that is near is the interesting one. */
		if (msr == MSR_TSC_DEADLINE && (value & 1))
			value = vcpu_tsc(vcpu) + (value & 0xffffff);
		error = lapic_wrmsr(vcpu, msr, value);
	} else {
		error = lapic_rdmsr(vcpu, msr, &value);
	}
	require(error == 0 || error == -EIO);
}

static void pass_time(void)
{
	uint64_t ns = take(3) * 4 % STEP_MAX_NS;
	unsigned int before = fake_clock_expiries();

	fake_clock_advance(ns);
	require(fake_clock_expiries() - before <=
		ns * EXPIRIES_PER_MS / NS_PER_MS + EXPIRIES_ANYWAY);
}

static void take_interrupts(struct vcpu *vcpu)
{
	/* Each is taken once: level-triggered ones may be endless. */
	for (unsigned int i = 0; i < 4; i++) {
		int vector = pc_take_interrupt(vcpu->id);

		require(vector >= -1 && vector <= 255);
		if (vector < 0)
			break;
	}
	pc_exit(vcpu->id);
	pc.hardware_tpr[vcpu->id] = take(1);
}

static void other_side(struct uart *uart)
{
	uint8_t bytes[32] = { 0 };

	spin_lock(&pc.vm.lock);
	switch (take(1) % 4) {
	case 0:
		require(uart_input(uart, bytes, take(1) % sizeof(bytes)) <= UART_FIFO_BYTES);
		break;
	case 1:
		uart_send_break(uart);
		break;
	case 2:
		room = take(1);
		uart_output_ready(uart);
		break;
	default:
		vm_set_irq(&pc.vm, take(1), take(1) & 1);
		break;
	}
	spin_unlock(&pc.vm.lock);
}

static void step(struct platform *platform)
{
	uint8_t what = take(1);
	struct vcpu *vcpu = &pc.vcpus[(what >> 5) % VCPUS];

	switch (what & 31) {
	case 0 ... 9:
		ports();
		break;
	case 10 ... 12:
		ioapic();
		break;
	case 13 ... 16:
		lapic_page(vcpu);
		break;
	case 17 ... 19:
		lapic_msrs(vcpu);
		break;
	case 20 ... 23:
		pass_time();
		break;
	case 24 ... 26:
		take_interrupts(vcpu);
		break;
	case 27:
		other_side(platform->com1);
		break;
	case 28:
		fake_clock_stall(take(4));
		break;
	case 29:
		vcpu->tsc_offset = take(8);
		lapic_tsc_changed(vcpu);
		break;
	case 30:
		lapic_reset(vcpu, take(1) & 1);
		break;
	default:
		fake_pc_reset_devices();
		break;
	}
	require(pc.vm.lock.next == pc.vm.lock.owner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct platform_options options = {
		.debug_exit = true, .low_ram_bytes = MIB(64), .high_ram_bytes = 0 };
	struct platform *platform;

	input_begin(data, size);
	room = 100;
	fake_pc_begin(VCPUS);
	require(platform_create(&pc.vm, &options, &platform) == 0);
	platform->com1->output = take_output;
	while (input_left)
		step(platform);
	fake_pc_end();
	return 0;
}
