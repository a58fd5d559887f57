# SPDX-License-Identifier: BSD-2-Clause
"""The estimate of how much a guest works with, beside the truth: a program that touches 50 to 250 MiB of its memory, for
some sampling periods each; and what sampling costs. Published (C. A. Waldspurger, OSDI 2002, figure 6): 100 pages a
period of 30 s, the estimate follows a rise at once and a fall within some periods; what Linux itself uses comes on top.

Time is the machine's own. Seconds are those of rows of `mem history`, which are ten apart: one that is called 10 was
taken up to ten seconds after the step began.
"""

import re

import economy
import suite
from test_many import PROMPT, start_all

ICOUNT_SHIFT = 5  # QEMU: 32 ns an instruction
BOCHS_IPS = 25000000
SAMPLES = 100  # pages that are watched in a period
ROW_S = 10
TOLERANCE = 0.15  # of the guest's memory: three standard deviations of 100 samples
MOST_BUSY_US = 20000  # of the boot CPU, a period, however slow that is here
COST = r"sampling +(\d+\.\d) faults, (\d+) us a second; (\d+) faults, (\d+) ms in all"


class Course:
    """What the guest goes through. Seconds are the machine's; all but those of a period are multiples of ROW_S."""

    def __init__(self, memory_mib, period_s, touch_ms, steps):
        self.memory_mib, self.period_s, self.touch_ms = memory_mib, period_s, touch_ms
        self.steps = steps  # MiB touched, for so many seconds, right in the estimate after so many
        self.shown_s = max(period_s, ROW_S)


def cost(machine, guest):
    """Faults a second, microseconds a second, faults and milliseconds in all."""
    text = "\n".join(machine.command(f"mem {guest.name}", 120))
    match = re.search(COST, text)
    suite.check(match, f"mem {guest.name} does not tell what sampling costs:\n{text}")
    return tuple(map(float, match.groups()))


def step(machine, guest, course, mib, step_s, settled_s):
    """So much is touched: print the estimate beside it. They agree when it has settled."""
    guest.order("steps", mib, rf"exercise: touches {mib} MiB", 600)
    rows = economy.wait_seconds(machine, guest.name, step_s)
    first = min(rows)
    for second in range(first + ROW_S, first + step_s + 1, ROW_S):
        row = rows[second]
        if (second - first) % course.shown_s == 0:
            print(f"{second - first:8} {mib:8} {row['active']:8.1f} {row['used']:8.1f}", flush=True)
        suite.check(second - first <= settled_s or abs(row["active"] - mib) <= TOLERANCE * course.memory_mib,
                    f"{row['active']} MiB seem active, {mib} are touched")
    faults_s, us_s, faults, time_ms = cost(machine, guest)
    print(f"         sampling costs {faults_s:.1f} faults, {us_s:.0f} us a second; {faults:.0f} faults, {time_ms:.0f} ms "
          "in all", flush=True)
    suite.check(faults_s <= SAMPLES / course.period_s + 0.1 and us_s <= MOST_BUSY_US / course.period_s,
                "sampling costs more than it may")


def sampling(env, course):
    text, files = economy.configuration(env, {"toucher": course.memory_mib}, ["min = 64M"])
    options = {"ips": BOCHS_IPS} if env.is_bochs() else {"icount": ICOUNT_SHIFT}
    with env.machine(env.image(text, files), 1700, cpus=1, memory_mib=1024, **options) as machine:
        machine.expect(PROMPT, 240)
        machine.command(f"mem policy scan=0 sample={course.period_s}", 60)
        guest = economy.Guest(machine, "toucher")
        start_all(machine, [guest.name])
        guest.boot(600)
        # Its memory is filled; that is forgotten in the first step.
        guest.load("steps", f"touch {max(step[0] for step in course.steps)} 1 {course.touch_ms}", r"exercise: holds", 900)
        print(f"{'second':>8} {'touched':>8} {'active':>8} {'in use':>8}   (MiB)")
        for mib, step_s, settled_s in course.steps:
            step(machine, guest, course, mib, step_s, settled_s)
        suite.check(cost(machine, guest)[2] > 0, "no watched page was touched")
        economy.end(machine, [guest.name])


@suite.test
def test_sampling(env):
    """As published."""
    rises = [(mib, 120, 50) for mib in (100, 150, 200, 250)]
    sampling(env, Course(384, 30, 1000, [(50, 360, 330), *rises, (50, 360, 330)]))


@suite.test
def test_sampling_short(env):
    """Short periods of a smaller guest."""
    sampling(env, Course(192, 2, 200, [(40, 40, 30), (100, 30, 10), (40, 40, 30)]))
