/* SPDX-License-Identifier: BSD-2-Clause */
/* Linear and physical accesses of a guest that software makes on its behalf. */
#include "host/x86.h"
#include "lib/string.h"
#include "vcpu/guest_access.h"
#include "vcpu/guest_walk.h"
#include "vcpu/lapic.h"
#include "vcpu/vm.h"

int guest_translate(struct vcpu *vcpu, gva_t linear, uint64_t access, gpa_t *gpa)
{
	uint32_t error;
	int err;

	vcpu_need(vcpu, WALK_REGISTERS);
	err = guest_walk(vcpu, linear, access, gpa, &error, NULL);
	if (likely(err != -EFAULT))
		return err;
	vcpu_inject_page_fault(vcpu, linear, error);
	return -EFAULT;
}

/* Aligned accesses of a power of two are one access to RAM too: other vCPUs see all or nothing. */
static void copy_ram(void *to, const void *from, unsigned int size)
{
	switch (size) {
	case 1:
		*(volatile uint8_t *)to = *(const volatile uint8_t *)from;
		return;
	case 2:
		__builtin_memcpy(to, from, 2);
		return;
	case 4:
		__builtin_memcpy(to, from, 4);
		return;
	case 8:
		__builtin_memcpy(to, from, 8);
		return;
	default:
		memcpy(to, from, size);
	}
}

/* The widest naturally aligned piece that begins at `gpa`, 8 bytes at most. */
static inline unsigned int piece_size(gpa_t gpa, unsigned int size)
{
	unsigned int piece = 8;

	while (piece > size || gpa & (piece - 1))
		piece >>= 1;
	return piece;
}

bool guest_is_device(struct vcpu *vcpu, gpa_t gpa)
{
	return lapic_claims(vcpu, gpa) || !guest_memory_is_ram(&vcpu->vm->memory, gpa);
}

uint64_t guest_device_read(struct vcpu *vcpu, gpa_t gpa, unsigned int size)
{
	struct vm *vm = vcpu->vm;
	uint64_t value;

	if (lapic_claims(vcpu, gpa))
		return lapic_mmio_read(vcpu, gpa, size);
	spin_lock(&vm->lock);
	value = io_bus_read(&vm->mmio, gpa, size);
	spin_unlock(&vm->lock);
	return value;
}

void guest_device_write(struct vcpu *vcpu, gpa_t gpa, unsigned int size, uint64_t value)
{
	struct vm *vm = vcpu->vm;

	if (lapic_claims(vcpu, gpa)) {
		lapic_mmio_write(vcpu, gpa, size, value);
		return;
	}
	spin_lock(&vm->lock);
	io_bus_write(&vm->mmio, gpa, size, value);
	spin_unlock(&vm->lock);
}

/* RAM within one page, or NULL: a device, or an error in *err. */
static void *ram_ptr(struct vcpu *vcpu, gpa_t gpa, uint64_t access, int *err)
{
	void *ram = guest_memory_ptr(&vcpu->vm->memory, gpa, access, NULL);

	*err = 0;
	if (!ram && unlikely(guest_memory_is_ram(&vcpu->vm->memory, gpa)))
		*err = -EAGAIN;
	return ram;
}

static int read_within_page(struct vcpu *vcpu, gpa_t gpa, uint8_t *to, unsigned int size)
{
	unsigned int piece;
	uint64_t value;
	int err;
	const void *ram = ram_ptr(vcpu, gpa, S2_READ, &err);

	if (ram)
		copy_ram(to, ram, size);
	if (ram || err)
		return err;
	for (; size; size -= piece, gpa += piece, to += piece) {
		piece = piece_size(gpa, size);
		value = guest_device_read(vcpu, gpa, piece);
		copy_ram(to, &value, piece);
	}
	return 0;
}

static int write_within_page(struct vcpu *vcpu, gpa_t gpa, const uint8_t *from, unsigned int size)
{
	unsigned int piece;
	uint64_t value;
	int err;
	void *ram = ram_ptr(vcpu, gpa, S2_WRITE, &err);

	if (ram) {
		if (guest_ram_writable(vcpu, gpa))
			copy_ram(ram, from, size);
		return 0;
	}
	if (err)
		return err;
	for (; size; size -= piece, gpa += piece, from += piece) {
		piece = piece_size(gpa, size);
		value = 0;
		copy_ram(&value, from, piece);
		guest_device_write(vcpu, gpa, piece, value);
	}
	return 0;
}

/* How much of an access that begins at `address` lies in its first page. */
static inline unsigned int first_part(uint64_t address, unsigned int size)
{
	return MIN(size, PAGE_SIZE - (address & PAGE_MASK));
}

/* The linear address after the end of a page, as the mode wraps it. */
static gva_t next_page(struct vcpu *vcpu, gva_t linear)
{
	gva_t next = (linear & ~PAGE_MASK) + PAGE_SIZE;

	return guest_mode_bits(vcpu) == 64 ? next : (uint32_t)next;
}

/* Translate, and have what is RAM there: it stays until the end of this exit. */
static int have_translated(struct vcpu *vcpu, gva_t linear, uint64_t access, gpa_t *gpa)
{
	int err = guest_translate(vcpu, linear, access, gpa);

	if (likely(!err))
		ram_ptr(vcpu, *gpa, access & ACCESS_WRITE ? S2_WRITE : S2_READ, &err);
	return err;
}

int guest_span_translate(struct vcpu *vcpu, gva_t linear, unsigned int size, uint64_t access,
	struct guest_span *span)
{
	int err = have_translated(vcpu, linear, access, &span->gpa[0]);

	span->size = size;
	span->first = first_part(linear, size);
	if (err || likely(span->first == size))
		return err;
	return have_translated(vcpu, next_page(vcpu, linear), access, &span->gpa[1]);
}

int guest_span_read(struct vcpu *vcpu, const struct guest_span *span, void *to)
{
	int err = read_within_page(vcpu, span->gpa[0], to, span->first);

	if (err || likely(span->first == span->size))
		return err;
	return read_within_page(vcpu, span->gpa[1], (uint8_t *)to + span->first,
		span->size - span->first);
}

int guest_span_write(struct vcpu *vcpu, const struct guest_span *span, const void *from)
{
	int err = write_within_page(vcpu, span->gpa[0], from, span->first);

	if (err || likely(span->first == span->size))
		return err;
	return write_within_page(vcpu, span->gpa[1], (const uint8_t *)from + span->first,
		span->size - span->first);
}
