# SPDX-License-Identifier: BSD-2-Clause
"""How many Debian guests a machine of 4 GiB holds that take part in the economy, all of them up and answering."""

import os
import re
import time

import guests
import lab
import suite
from test_isolation import table
from test_many import LEAST_MIB, PROMPT, Crowd, expect, free_mib, host_cpus, overhead_kib, start_all

MACHINE_MIB = 4096
MIN_MIB = 24
EVERY = 8  # guests, between two rows of the table
SCAN = 16000  # pages of all guests in a second: so much does an emulated CPU look at beside all else
GOOD_S = 1.0  # an answer
PLENTY_S = 60


def configuration(crowd):
    text, files = crowd.configuration(LEAST_MIB)
    return re.sub(r"(memory = \S+)", rf"\1\nmin = {MIN_MIB}M\ngroup = debian", text), files


def boot(machine, crowd, name):
    start_all(machine, [name])
    start = crowd.attach(machine, name)
    expect(machine, name, r"^GUEST-OK Linux", 600)
    expect(machine, name, guests.SHELL, 120)
    crowd.leave(machine, name, start)


def answer_s(machine, crowd, name):
    """From a typed line to its answer; QEMU's time is this machine's here."""
    start = crowd.attach(machine, name)
    machine.send_line("")
    expect(machine, name, guests.SHELL, PLENTY_S)
    began = time.monotonic()
    machine.send("echo $((6*7))\r")
    expect(machine, name, r"^42$", PLENTY_S)
    took = time.monotonic() - began
    crowd.leave(machine, name, start)
    return took


def saved_mib(machine):
    said = "\n".join(machine.command("mem", 60))
    units = {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}
    found = re.findall(r"(?:saved by sharing|zeroes that take no memory|before that it took) +([\d.]+) (\S+)", said)
    return sum(float(number) * units[unit] for number, unit in found)


@suite.test
def test_density(env):
    """BALLAST_GUESTS: how many to try, 128 if it is not said; BALLAST_SECONDS: begin no more after so long."""
    count = int(os.environ.get("BALLAST_GUESTS", "128"))
    last_s = float(os.environ.get("BALLAST_SECONDS", "6600"))
    crowd = Crowd(count)
    rows, up, why = [], [], "that is as many as were tried"
    with env.machine(env.image(*configuration(crowd)), 3 * last_s, cpus=host_cpus(env), memory_mib=MACHINE_MIB) as machine:
        machine.expect(PROMPT, 120)
        free = free_mib(machine)
        for name in crowd:
            machine.command(f"mem policy scan={SCAN // (len(up) + 1)}", 60)
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
            if len(up) % EVERY == 0:
                left = free_mib(machine)
                rows.append((len(up), len(up) * LEAST_MIB, free - left, f"{saved_mib(machine):.0f}", f"{(free - left) / len(up):.1f}"))
                print(" ".join(map(str, rows[-1])), flush=True)
        took = sorted(answer_s(machine, crowd, name) for name in up)
        table(f"Debian guests of {LEAST_MIB} MiB, {free} MiB free before; {why}",
              ("guests", "MiB promised", "MiB taken", "MiB saved", "MiB each"), rows)
        own = max(overhead_kib(machine, name) for name in up)
        good = sum(each <= GOOD_S for each in took)
        print(f"{len(up)} answer: half of them within {took[len(took) // 2]:.2f} s, {good} within {GOOD_S:g} s, the last after "
              f"{took[-1]:.2f} s; at most {own} KiB of Ballast's own for one")
        suite.check(len(up) * LEAST_MIB > free or len(up) == count or "begun" in why,
                    f"only {len(up)} guests of {LEAST_MIB} MiB fit into {free} MiB")
