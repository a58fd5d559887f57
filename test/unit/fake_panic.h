/* SPDX-License-Identifier: BSD-2-Clause */
/* panic() on the build machine: it tells why and ends the test, unless the test expects one. */
#ifndef BALLAST_TEST_FAKE_PANIC_H
#define BALLAST_TEST_FAKE_PANIC_H

#include <setjmp.h>
#include <stdbool.h>

extern bool fake_panic_expected;  /* the next one only */
extern jmp_buf fake_panic_return; /* where that goes to */

/* Does the statement panic? What locks it has taken stay so. */
#define PANICS(statement) \
	({ \
		fake_panic_expected = true; \
		if (!setjmp(fake_panic_return)) { \
			statement; \
		} \
		bool panicked = !fake_panic_expected; \
		fake_panic_expected = false; \
		panicked; \
	})

#endif
