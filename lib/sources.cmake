# SPDX-License-Identifier: BSD-2-Clause
set(LIB_SOURCES
	lib/chacha20.c
	lib/hash.c
	lib/hmac_drbg.c
	lib/lz.c
	lib/pairing_heap.c
	lib/printf.c
	lib/sha256.c
	lib/string.c
)
