# SPDX-License-Identifier: BSD-2-Clause
set(LIB_SOURCES
	lib/pairing_heap.c
	lib/printf.c
	lib/string.c
)
