# SPDX-License-Identifier: BSD-2-Clause
set(EPT_SOURCES ept/s2.c ept/guest_memory.c ept/guest_hotplug.c ept/guest_reclaim.c)
