# SPDX-License-Identifier: BSD-2-Clause
"""How many Debian guests a machine of 4 GiB holds that take part in the economy, all of them up and answering.

The time is the machine's own: its CPU executes 10^9 / 2^SHIFT instructions a second, however long that takes here.
"""

import os
import re

import guests
import lab
import suite
from test_isolation import table
from test_many import LEAST_MIB, PROMPT, Crowd, expect, free_mib, overhead_kib, start_all

MACHINE_MIB = 4096
MIN_MIB = 16
SHIFT = 1   # 500 million instructions a second: a slow server
EVERY = 32  # guests, between two rows of the table
GOOD_S = 1.0  # an answer


def configuration(crowd):
    text, files = crowd.configuration(LEAST_MIB)
    return re.sub(r"(memory = \S+)", rf"\1\nmin = {MIN_MIB}M\ngroup = debian", text), files


def boot(machine, crowd, name):
    start_all(machine, [name])
    start = crowd.attach(machine, name)
    expect(machine, name, r"^GUEST-OK Linux", 600)
    expect(machine, name, guests.SHELL, 300)
    crowd.leave(machine, name, start)


def shown(machine, name, pattern):
    said = "\n".join(machine.command(f"vm show {name}", 120))
    match = re.search(pattern, said)
    suite.check(match, f"vm show {name} does not tell {pattern}:\n{said}")
    return match


def answer_s(machine, crowd, name, turn):
    """From the Return key at the end of a line to the prompt after its answer, by Ballast's clock."""
    start = crowd.attach(machine, name)
    # What was asked before is shown again when the console is attached.
    machine.send(f"echo answer $(({turn}*7))")
    expect(machine, name, rf"echo answer \$\(\({turn}\*7\)\)", 120)
    machine.send("\r")
    expect(machine, name, rf"^answer {turn * 7}$", 120)
    expect(machine, name, guests.SHELL, 120)
    crowd.leave(machine, name, start)
    return int(shown(machine, name, r"console +last written to (\d+) us after the last key").group(1)) / 1e6


def saved_mib(machine):
    said = "\n".join(machine.command("mem", 60))
    units = {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}
    found = re.findall(r"(?:saved by sharing|zeroes that take no memory|before that it took) +([\d.]+) (\S+)", said)
    return sum(float(number) * units[unit] for number, unit in found)


def times(machine, name):
    """Seconds that its vCPU ran, waited for the CPU, and halted."""
    return tuple(map(float, shown(machine, name, r"vcpu time ([\d.]+) s run, ([\d.]+) s stolen, ([\d.]+) s halted").groups()))


def row(machine, crowd, up, free, before):
    """What so many guests take and how they answer: all of them are asked, one after the other. And how busy the first
    one was since `before`.
    """
    now = times(machine, up[0])
    run, stolen, halted = (a - b for a, b in zip(now, before))
    took = sorted(answer_s(machine, crowd, name, len(up)) for name in up)
    left = free_mib(machine)
    rest = run / (run + stolen + halted)
    good = sum(each <= GOOD_S for each in took)
    cells = (len(up), len(up) * LEAST_MIB, free - left, f"{saved_mib(machine):.0f}", f"{(free - left) / len(up):.1f}",
             f"{1000 * took[len(took) // 2]:.2f}", f"{1000 * took[-1]:.2f}", good, f"{100 * rest:.3f}", f"{sum(now):.0f}",
             f"{machine.seconds():.0f}")
    print(" ".join(map(str, cells)), flush=True)
    return cells


@suite.test
def test_density(env):
    """BALLAST_GUESTS: how many to try, 128 if it is not said; BALLAST_SECONDS: begin no more after so long, here."""
    count = int(os.environ.get("BALLAST_GUESTS", "128"))
    last_s = float(os.environ.get("BALLAST_SECONDS", "5400"))
    shift = int(os.environ.get("BALLAST_SHIFT", SHIFT))
    crowd = Crowd(count)
    rows, up, first, why = [], [], None, "that is as many as were tried"
    with env.machine(env.image(*configuration(crowd)), 3 * last_s, cpus=1, icount=shift, memory_mib=MACHINE_MIB) as machine:
        machine.expect(PROMPT, 600)  # the firmware waits by counting
        free = free_mib(machine)
        for name in crowd:
            if machine.seconds() > last_s:
                why = f"no more were begun after {last_s:.0f} s"
                break
            try:
                boot(machine, crowd, name)
            except lab.Failure as failure:
                if "could not start" not in str(failure):
                    raise
                machine.expect(PROMPT, 60)
                why = "the next one is refused"
                break
            up.append(name)
            first = first or times(machine, name)
            if len(up) % EVERY == 0:
                rows.append(row(machine, crowd, up, free, first))
        if len(up) % EVERY:
            rows.append(row(machine, crowd, up, free, first))
        table(f"Debian guests of {LEAST_MIB} MiB, {free} MiB free before; {why}",
              ("guests", "MiB promised", "MiB taken", "MiB saved", "MiB each", "median ms", "longest ms",
               "within 1 s", "first one busy %", "s", "s here"), rows)
        own = max(overhead_kib(machine, name) for name in up)
        print(f"at most {own} KiB of Ballast's own for one")
        good = rows[-1][7]
        suite.check(good == len(up), f"{good} of {len(up)} guests answer within {GOOD_S:g} s")
        suite.check(len(up) == count or "begun" in why, f"only {len(up)} guests of {LEAST_MIB} MiB fit into {free} MiB")
