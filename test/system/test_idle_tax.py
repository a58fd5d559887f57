# SPDX-License-Identifier: BSD-2-Clause
"""What the tax on idle memory does: two guests share a machine that has not enough for both. One has filled its page
cache once and rests; the other one reads random records of a file that is larger than what it has. Without the tax they
have the same, with it the second one has more, and does more. Then the first one wakes up, and has its part again.

Published (C. A. Waldspurger, OSDI 2002, figure 7): with a tax of 75 % the busy guest does over 30 % more.

Time is the machine's own: the guests' seconds and those of `mem history` count executed instructions.
"""

import re

import economy
import suite
from test_many import PROMPT, start_all

ICOUNT_SHIFT = 5  # QEMU: 32 ns an instruction
MEMORY_MIB = 256
MACHINE_MIB = 656  # of which 365 MiB for both, beside the reserve
FILE_MIB = 240
IDLE_MIB = 200
EVERY_S = 10
SAMPLE_S = 10
UNTAXED_S, TAXED_S, AWAKE_S = 70, 80, 60
MOST_S = 60  # until the one that woke up has its part again
READS = re.compile(r"exercise: (\d+) reads, (\d+) bad, up to (\d+) s", re.MULTILINE)


class Curves:
    """The rows of both guests, printed beside each other."""

    def __init__(self, machine, idle, busy):
        self.machine, self.idle, self.busy = machine, idle, busy
        self.begin = None
        print(f"{'second':>8} {'idle has':>9} {'active':>9} {'target':>9} {'busy has':>9} {'active':>9} {'target':>9} "
              f"{'free':>9}   (MiB)")

    def phase(self, what, seconds):
        """So many seconds; the rows of the idle guest and of the busy one."""
        print(f"--- {what}", flush=True)
        idle = economy.wait_seconds(self.machine, self.idle.name, seconds)
        busy = economy.history(self.machine, self.busy.name)
        self.begin = self.begin or min(idle)
        for second, row in sorted(idle.items()):
            other = busy.get(second)
            if other:
                print(f"{second - self.begin:8} {row['used']:9.1f} {row['active']:9.1f} {row['target']:9.1f} "
                      f"{other['used']:9.1f} {other['active']:9.1f} {other['target']:9.1f} {row['free']:9.1f}", flush=True)
        return idle, busy


def work(machine, busy):
    """What the busy guest has read in its last thirty seconds, a second."""
    start = machine.position
    with busy:
        busy.fresh()
    found = READS.findall(machine.text[start:])
    suite.check(len(found) >= 3, f"the busy guest does not tell how much it reads: {found}")
    suite.check(all(bad == "0" for _, bad, _ in found), f"pages read were others: {found}")
    last = [int(count) for count, _, _ in found[-3:]]
    return sum(last) / len(last) / EVERY_S


@suite.test
def test_idle_tax(env):
    image = economy.numbered(env, FILE_MIB)
    text, files = economy.configuration(env, {"idle": MEMORY_MIB, "busy": MEMORY_MIB},
                                        ["min = 64M", "disk = /images/numbered.img, ro"], [image])
    with env.machine(env.image(text, files), 1700, cpus=1, memory_mib=MACHINE_MIB, icount=ICOUNT_SHIFT) as machine:
        machine.expect(PROMPT, 240)
        machine.command(f"mem policy tax=0 scan=0 sample={SAMPLE_S}", 60)
        print("\n".join(machine.command("mem", 60)))
        idle, busy = economy.Guest(machine, "idle"), economy.Guest(machine, "busy")
        start_all(machine, [idle.name])
        idle.boot()
        # The cache lasts as long as the disk is open.
        idle.run(f"exec 4</dev/vda; head -c {IDLE_MIB << 20} <&4 >/dev/null; echo filled $?", r"^filled 0$")
        start_all(machine, [busy.name])
        busy.boot()
        busy.begin(f"read /dev/vda {FILE_MIB} {EVERY_S}")
        curves = Curves(machine, idle, busy)
        curves.phase("no tax", UNTAXED_S)
        untaxed = work(machine, busy)
        machine.command("mem policy tax=75", 60)
        rows, _ = curves.phase("tax 75 %", TAXED_S)
        taxed = work(machine, busy)
        rested = rows[max(rows)]
        print(f"the busy guest reads {untaxed:.0f} records a second without the tax, {taxed:.0f} with it: "
              f"{taxed / untaxed - 1:+.0%} (published: over 30 %)", flush=True)
        suite.check(taxed > 1.3 * untaxed, "the tax did not give the busy guest what it needs")
        idle.begin(f"read /dev/vda {IDLE_MIB} {EVERY_S}")
        awake, _ = curves.phase("the idle one wakes up", AWAKE_S)
        first = min(awake)
        part = awake[max(awake)]["used"]
        back = [second - first for second, row in sorted(awake.items()) if row["used"] >= 0.9 * part]
        print(f"it had {rested['used']:.0f} MiB and has {part:.0f} MiB, nine tenths of it after {back[0]} s")
        suite.check(part > rested["used"] + 20, f"it had {rested} and has {awake[max(awake)]}")
        suite.check(back[0] <= MOST_S, f"that took {back[0]} s")
        economy.end(machine, ["idle", "busy"])
