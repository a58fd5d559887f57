# SPDX-License-Identifier: BSD-2-Clause
"""Identical Debian guests share their equal pages: how much that saves, and that each still has its own."""

import re

import lab
import suite
from test_many import PROMPT, Crowd, destroy_all, free_mib, host_cpus, start_all

MEMORY_MIB = 96
SCAN = 40000  # pages of each guest in a second: in a test there is no time to lose
LEAST_PART = 0.4  # of two guests' memory
TABLE_MIB = 24  # what Ballast needs to find equal pages in 4 GiB, which stays
SETTLED = 0.01  # of what is shared: less of a change between two looks is none
UNITS = {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}


def view(machine, name):
    """What `mem NAME` says, in MiB."""
    text = "\n".join(machine.command(f"mem {name}", 60))
    size = r"([\d.]+) ([KMG]iB)"
    match = re.search(rf"in use +{size}:.*?shared +{size}, which saves {size}; {size} of zeroes", text, re.DOTALL)
    suite.check(match, f"mem {name} does not tell what is shared:\n{text}")
    numbers = [float(match.group(i)) * UNITS[match.group(i + 1)] for i in (1, 3, 5, 7)]
    return dict(zip(("used", "shared", "saved", "zero"), numbers))


def settle(machine, names, limit_s):
    """Wait until sharing comes to no more; what each guest has then."""
    before, until = -1.0, machine.seconds() + limit_s
    while True:
        those = {name: view(machine, name) for name in names}
        shared = sum(each["shared"] + each["zero"] for each in those.values())
        if shared > 0 and abs(shared - before) <= SETTLED * shared:
            return those
        if machine.seconds() > until:
            raise lab.Failure(f"sharing does not settle: {before} MiB, then {shared}")
        before = shared
        machine.pump(4)


def row(those):
    """A line of the table; what is had back, as a part of what the guests use."""
    used, shared, saved, zero = (sum(each[key] for each in those.values()) for key in ("used", "shared", "saved", "zero"))
    print(f"{len(those):2} guests use {used:5.0f} MiB: {100 * (shared + zero) / used:3.0f} % of it is shared or zeroes, "
          f"{saved + zero:4.0f} MiB or {100 * (saved + zero) / used:2.0f} % is had back, {zero:4.0f} of that zeroes")
    return (saved + zero) / used


def sharing(env, count):
    """One guest after the other; each still answers when all share, and all memory is free when they have gone."""
    crowd = Crowd(count)
    text, files = crowd.configuration(MEMORY_MIB)
    text = re.sub(r"(memory = \S+)", r"\1\nmin = 32M\ngroup = debian", text)
    with env.machine(env.image(text, files), cpus=host_cpus(env), memory_mib=4096 if count > 8 else 2048,
                     life_s=1700) as machine:
        machine.expect(PROMPT, 120)
        free = free_mib(machine)
        names = list(crowd)
        machine.command(f"mem policy scan={SCAN}", 60)
        part = 0
        for number, name in enumerate(names, 1):
            start_all(machine, [name])
            crowd.boot_talk(machine, name, 180)
            part = row(settle(machine, names[:number], 400))
        suite.check(part >= LEAST_PART, f"only {part:.0%} of the guests' memory is had back")
        for name in names:
            crowd.answer(machine, name)
        destroy_all(machine, names)
        until = machine.seconds() + 60
        while free_mib(machine) < free - TABLE_MIB:
            suite.check(machine.seconds() < until, f"{free_mib(machine)} MiB are free in the end, {free} were before")
            machine.pump(1)
        machine.send_line("poweroff")
        machine.expect_end(120)


@suite.test
def test_sharing_2(env):
    sharing(env, 2)


@suite.test
def test_sharing_10(env):
    sharing(env, 10)
