# SPDX-License-Identifier: BSD-2-Clause
ballast_fuzz(partition SOURCES test/fuzz/fuzz_partition.c host/block/partition.c
	MAX_BYTES 20480)
