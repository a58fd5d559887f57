# SPDX-License-Identifier: BSD-2-Clause
"""More memory is promised than there is, and one guest takes all that it can: nobody is ended for that, no byte is lost,
what is guaranteed is there, and the others go on answering. For some minutes here; test_pressure_hour.py has the hours.
"""

import economy
import overcommit
import suite
from test_many import PROMPT, start_all

GREED_MIB = 110   # of contents that compress, in the greedy one; half of it is in use
SETTLE_S = 40
NEED_S = 60       # so long half of it is in use


def pressure(env, crowd):
    """The greedy guest takes its memory once, and works with half of it."""
    with crowd.machine(env) as machine:
        machine.expect(PROMPT, 240)
        greedy, *others = crowd.guests(machine)
        start_all(machine, crowd.names)
        crowd.begin(greedy, others)
        overcommit.answers(others)
        economy.wait_seconds(machine, greedy.name, SETTLE_S)
        before = overcommit.answers(others)
        greedy.load("greed", f"touch {GREED_MIB} 99 text", r"exercise: holds", 1800)
        greedy.order("greed", f"{GREED_MIB // 2}", r"exercise: touches")
        economy.wait_seconds(machine, greedy.name, NEED_S)
        figures = overcommit.Figures(machine)
        after = overcommit.answers(others)
        print(figures.said)
        print(overcommit.ANSWERS_HEAD + "; first with memory for all")
        for guest, *rows in zip(others, before, after):
            for row in rows:
                overcommit.print_answers(guest.name, row)
        for guest in others:
            overcommit.intact(guest, "held", crowd.held_mib)
        greedy.order("greed", "1", r"exercise: touches")
        overcommit.intact(greedy, "greed", GREED_MIB)
        suite.check(figures.taken(), f"the machine was never short of memory:\n{figures.said}")
        overcommit.none_is_killed(others)
        crowd.all_run(machine)
        economy.end(machine, crowd.names)


@suite.test
def test_pressure(env):
    """Twice what there is, with balloons."""
    pressure(env, overcommit.Crowd(env, 2, balloons=True))


@suite.test
def test_pressure_4(env):
    """Four times what there is."""
    pressure(env, overcommit.Crowd(env, 4, balloons=True))


@suite.test
def test_pressure_bare(env):
    """Without balloons: sharing, zeroes, compression and a disk to swap to."""
    pressure(env, overcommit.Crowd(env, 2, balloons=False))


@suite.test
def test_pressure_bare_4(env):
    pressure(env, overcommit.Crowd(env, 4, balloons=False))
