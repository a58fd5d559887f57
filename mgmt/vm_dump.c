/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/vm_dump.h"

#include "host/log.h"
#include "host/memory.h"
#include "lib/printf.h"
#include "lib/string.h"

#define DUMP_LINE_BYTES 200
/* Some fifty lines for each vCPU; of a large VM the first ones. */
#define DUMP_VCPU_BYTES 8192
#define DUMP_VCPUS 4

/* vcpu_dump() knows no more than a function to call; boot CPU. */
static struct {
	char *text; /* may be NULL: the log alone */
	size_t size, used;
} capture;

static void add_line(const char *line)
{
	size_t length = strlen(line);

	log_note("%s", line);
	if (!capture.text || capture.used + length + 2 > capture.size)
		return;
	memcpy(capture.text + capture.used, line, length);
	capture.used += length;
	capture.text[capture.used++] = '\n';
	capture.text[capture.used] = '\0';
}

static void capture_line(const char *format, ...) __printf(1, 2);
static void capture_line(const char *format, ...)
{
	char line[DUMP_LINE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	add_line(line);
}

char *vm_dump_capture(struct vm *vm)
{
	unsigned int count = MIN(vm->vcpu_count, (unsigned int)DUMP_VCPUS);

	capture.size = count * DUMP_VCPU_BYTES;
	capture.text = heap_alloc(capture.size, FRAME_VM);
	capture.used = 0;
	capture_line("--- vm %s: exit dump", vm->name);
	capture_line("%s", vm->stop_reason);
	for (unsigned int i = 0; i < count; i++)
		vcpu_dump(vm->vcpus[i], capture_line);
	if (count < vm->vcpu_count)
		capture_line("(%u more vCPUs)", vm->vcpu_count - count);
	capture_line("--- end of dump");
	return capture.text;
}
