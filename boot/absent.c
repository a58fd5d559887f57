/* SPDX-License-Identifier: BSD-2-Clause */
/* Stands in for parts that a build of ballast.efi leaves out (BALLAST_EFI_FOLDERS). */
#include "boot/boot.h"

#include "boot/vendors.h"
#include "host/log.h"
#include "mgmt/config.h"
#include "vcpu/hw.h"
#include "vcpu/sched.h"
#include "vcpu/vcpu.h"

#define ABSENT __attribute__((weak))

static int probe_nothing(char *why, size_t size)
{
	(void)why;
	(void)size;
	return -ENODEV;
}

ABSENT const struct hw_ops vmx_ops = {.probe = probe_nothing};
ABSENT const struct hw_ops svm_ops = {.probe = probe_nothing};
ABSENT const struct hw_ops *hw;

ABSENT int hw_probe(const struct hw_ops *const *vendors, size_t count, char *why, size_t size)
{
	(void)vendors;
	(void)count;
	(void)why;
	(void)size;
	return 0;
}

ABSENT int vcpu_cpu_init(struct cpu *cpu)
{
	(void)cpu;
	return 0;
}

ABSENT int sched_init(void)
{
	return 0;
}

ABSENT void sched_cpu_loop(void)
{
	for (;;)
		cpu_idle();
}

ABSENT void config_each_file(const char *text, size_t bytes,
	void (*each)(const char *path, void *argument), void *argument)
{
	(void)text;
	(void)bytes;
	(void)each;
	(void)argument;
}

ABSENT void mgmt_main(void)
{
	log_line("This build has no console: it does nothing but idle.");
	for (;;)
		cpu_idle();
}
