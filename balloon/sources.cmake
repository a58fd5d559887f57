# SPDX-License-Identifier: BSD-2-Clause
#
# Memory overcommit: balloon targets, page sharing, compression and swap belong here. There is none yet;
# ept/guest_memory.h has the reclaim hook that it will register.
set(BALLOON_SOURCES)
