# SPDX-License-Identifier: BSD-2-Clause
#
# Memory overcommit: balloon targets, page sharing, compression and swap belong here.
set(BALLOON_SOURCES
	balloon/cycle.c
	balloon/economy.c
	balloon/economy_policy.c
	balloon/economy_view.c
	balloon/estimate.c
	balloon/keep.c
	balloon/pager.c
	balloon/pager_out.c
	balloon/policy.c
	balloon/policy_state.c
	balloon/sampling.c
	balloon/share.c
	balloon/store.c
	balloon/swap.c
	balloon/swap_open.c
	balloon/swap_slots.c)
