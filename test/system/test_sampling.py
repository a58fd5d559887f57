# SPDX-License-Identifier: BSD-2-Clause
"""The estimate of how much a guest works with, beside the truth: a program that touches 50 to 250 MiB of its memory, for
some sampling periods each. Published (C. A. Waldspurger, OSDI 2002, figure 6): the estimate follows a rise at once and
a fall within some periods; what Linux itself uses comes on top.
"""

import economy
import suite
from test_many import PROMPT, start_all

MEMORY_MIB = 384
PERIOD_S = 2
STEPS_MIB = (50, 100, 150, 200, 250, 50)
STEP_S = 30  # fifteen periods
MOST_MIB = max(STEPS_MIB)
SETTLED_S = 15
TOLERANCE_MIB = 0.15 * MEMORY_MIB  # three standard deviations of 100 samples


def begin(machine, guest):
    steps = "; ".join(f"echo {mib}; sleep {STEP_S}" for mib in STEPS_MIB)
    # It has filled its memory, and that is forgotten, before the first step begins.
    guest.load("steps", f"touch {MOST_MIB} 1", r"exercise: holds", 600)
    economy.wait_seconds(machine, guest.name, STEP_S)
    with guest:
        guest.fresh()
        machine.send_line(f"({steps}) >/steps &")
        guest.wait(rf"exercise: touches {STEPS_MIB[0]} MiB", 600)


def judge(rows):
    """Print the estimate beside the truth; they agree some seconds after each step."""
    first = min(rows)
    print(f"{'second':>8} {'touched':>8} {'active':>8} {'in use':>8}   (MiB)")
    for second, row in sorted(rows.items()):
        # The first row is older than the first step by up to ten seconds.
        step, since = divmod(second - first - 5, STEP_S)
        if not 0 <= step < len(STEPS_MIB):
            continue
        truth = STEPS_MIB[step]
        print(f"{second - first:8} {truth:8} {row['active']:8.1f} {row['used']:8.1f}")
        suite.check(since < SETTLED_S or abs(row["active"] - truth) <= TOLERANCE_MIB,
                    f"{row['active']} MiB seem active, {truth} are touched")


@suite.test
def test_sampling(env):
    text, files = economy.configuration(env, {"toucher": MEMORY_MIB}, ["min = 64M"])
    with env.machine(env.image(text, files), memory_mib=1024) as machine:
        machine.expect(PROMPT, 120)
        machine.command(f"mem policy scan=0 sample={PERIOD_S}", 60)
        guest = economy.Guest(machine, "toucher")
        start_all(machine, [guest.name])
        guest.boot()
        begin(machine, guest)
        rows = economy.wait_seconds(machine, guest.name, len(STEPS_MIB) * STEP_S)
        judge(rows)
        economy.end(machine, [guest.name])
