# SPDX-License-Identifier: BSD-2-Clause
"""More memory is promised than there is, and one guest takes all that it can: nobody is ended for that, no byte is lost,
what is guaranteed is there, and the others go on answering.
"""

import re

import economy
import suite
from test_many import PROMPT, start_all

MACHINE_MIB = 512
MEMORY_MIB = 256  # of each of four guests
MIN_MIB = 64
HELD_MIB = 80     # of contents that do not compress, in each of the others
GREED_MIB = 150   # of contents that do, in the greedy one
NEED_S = 30       # so long half of it is in use
ANSWERS = r"exercise: (\d+) answers, us: median (\d+), 99 in 100 (\d+), last (\d+)\n"
CHECKED = r"exercise: checked (\d+) pages, (\d+) bad\n"


def answers(guests):
    """What the guests' probes tell since they were asked last: [(count, median us, 99 %, most)]."""
    return [tuple(map(int, guest.order("probe", "tell", ANSWERS).groups())) for guest in guests]


def begin(guests, greedy):
    start_all(greedy.machine, [guest.name for guest in (greedy, *guests)])
    for guest in (greedy, *guests):
        guest.boot()
    for number, guest in enumerate(guests):
        guest.load("held", f"touch {HELD_MIB} {number}", r"exercise: holds")
        guest.load("probe", "probe", None)


def intact(guest, name, mib):
    match = guest.order(name, "check", CHECKED, 600)
    suite.check(match.groups() == (str(mib * 256), "0"),
                f"of {mib * 256} pages of {guest.name} {match.group(1)} were checked, and {match.group(2)} are others")


def pressure(env, words, memory_mib=MEMORY_MIB, greed_mib=GREED_MIB):
    """One run; words: a line of ballast.conf for all guests."""
    names = [f"g{number}" for number in range(4)]
    text, files = economy.configuration(env, dict.fromkeys(names, memory_mib),
                                        [f"min = {MIN_MIB}M", "group = debian", *words])
    with env.machine(env.image(text, files), 1700, memory_mib=MACHINE_MIB) as machine:
        machine.expect(PROMPT, 120)
        machine.command("mem policy scan=20000 sample=5", 60)
        greedy, *others = (economy.Guest(machine, name) for name in names)
        begin(others, greedy)
        answers(others)
        economy.wait_seconds(machine, greedy.name, 10)
        before = answers(others)
        greedy.load("greed", f"touch {greed_mib} 99 text", r"exercise: holds", 900)
        greedy.order("greed", greed_mib // 2, r"exercise: touches")
        economy.wait_seconds(machine, greedy.name, NEED_S)
        said = "\n".join(machine.command("mem", 60))
        after = answers(others)
        print(said)
        print(f"{'guest':6} {'answers':>8} {'median':>8} {'99 %':>8} {'last':>8}   (us; first with memory for all)")
        for guest, *rows in zip(others, before, after):
            for row in rows:
                print(f"{guest.name:6} {row[0]:8} {row[1]:8} {row[2]:8} {row[3]:8}", flush=True)
        for guest in others:
            intact(guest, "held", HELD_MIB)
        greedy.order("greed", 1, r"exercise: touches")
        intact(greedy, "greed", greed_mib)
        running = [line for line in machine.command("vm list", 60) if re.match(r"g\d+ +running\b", line)]
        suite.check(len(running) == len(names), f"{len(running)} of {len(names)} guests run")
        economy.end(machine, names)


@suite.test
def test_pressure(env):
    """Twice what there is, with balloons."""
    pressure(env, [])
