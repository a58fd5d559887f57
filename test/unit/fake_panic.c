/* SPDX-License-Identifier: BSD-2-Clause */
#include "test/unit/fake_panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/log.h"

bool fake_panic_expected;
jmp_buf fake_panic_return;

void panic(const char *format, ...)
{
	va_list args;

	if (fake_panic_expected) {
		fake_panic_expected = false;
		longjmp(fake_panic_return, 1);
	}
	fputs("panic: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}
