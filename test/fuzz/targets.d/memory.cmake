# SPDX-License-Identifier: BSD-2-Clause
ballast_fuzz(lz SOURCES test/fuzz/fuzz_lz.c lib/lz.c)
