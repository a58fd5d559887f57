# SPDX-License-Identifier: BSD-2-Clause
set(MEM_POLICY_SOURCES balloon/policy.c balloon/policy_state.c)
ballast_unit_test(mem_estimate SOURCES test/unit/test_mem_estimate.c balloon/estimate.c)
ballast_unit_test(sampling SOURCES test/unit/test_sampling.c test/unit/fake_clock.c balloon/sampling.c balloon/estimate.c
	DEFINITIONS BALLAST_FAKE_CLOCK)
ballast_unit_test(cycle SOURCES test/unit/test_cycle.c test/unit/fake_clock.c balloon/cycle.c ${MEM_POLICY_SOURCES}
	DEFINITIONS BALLAST_FAKE_CLOCK)
ballast_unit_test(economy SOURCES test/unit/test_economy.c test/unit/fake_economy.c test/unit/fake_clock.c
	balloon/economy.c balloon/economy_policy.c balloon/economy_view.c balloon/estimate.c ${MEM_POLICY_SOURCES}
	DEFINITIONS BALLAST_FAKE_CLOCK)
ballast_unit_test(mem_policy SOURCES test/unit/test_mem_policy.c ${MEM_POLICY_SOURCES})
# The policy with guests, in simulated time.
ballast_unit_test(mem_sim SOURCES test/unit/test_mem_sim.c test/unit/mem_sim.c balloon/estimate.c
	${MEM_POLICY_SOURCES})
ballast_unit_test(store SOURCES test/unit/test_store.c test/unit/pages.c test/unit/fake_arena.c test/unit/fake_panic.c
	balloon/store.c test/unit/fake_clock.c lib/hash.c lib/lz.c DEFINITIONS BALLAST_FAKE_CLOCK)
ballast_unit_test(mem_screens SOURCES test/unit/test_mem_screens.c test/unit/fake_clock.c mgmt/cmd_mem_graph.c mgmt/cmd_mem_history.c
	mgmt/cmd_mem_policy.c mgmt/cmd_mem_show.c mgmt/mem_view.c mgmt/text.c mgmt/text_memory.c ${CONFIG_SOURCES}
	host/mitigation_plan.c ${MEM_POLICY_SOURCES} DEFINITIONS BALLAST_FAKE_CLOCK)
