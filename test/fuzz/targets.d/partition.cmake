# SPDX-License-Identifier: BSD-2-Clause
ballast_fuzz(partition SECONDS 10 SOURCES test/fuzz/fuzz_partition.c host/block/partition.c
	MAX_BYTES 20480)
