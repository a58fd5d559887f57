# SPDX-License-Identifier: BSD-2-Clause
set(LIB_SOURCES
	lib/printf.c
	lib/string.c
)
