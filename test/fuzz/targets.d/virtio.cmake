# SPDX-License-Identifier: BSD-2-Clause
ballast_fuzz(ring SOURCES test/fuzz/fuzz_ring.c devices/virtio/ring.c)
