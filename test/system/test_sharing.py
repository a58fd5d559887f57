# SPDX-License-Identifier: BSD-2-Clause
"""Identical Debian guests share their equal pages: how much that saves, and that each still has its own."""

import re

import economy
import guests
import lab
import shares
import suite
from test_many import PROMPT, Crowd, destroy_all, free_mib, start_all

MEMORY_MIB = 96
SHIFT = 4     # on QEMU: 62 million instructions a second
SCAN = 8000   # pages of each guest in a second
LOOK_S = 10   # between two looks at what is shared, of the machine's time
LEAST_PART = 0.4  # of two guests' memory
TABLE_MIB = 24  # what Ballast needs to find equal pages in 4 GiB, which stays
SETTLED = 0.01  # of what is shared: less of a change between two looks is none
HELD_MIB = 32     # of the same contents, in each guest that then writes to all of it
ROOM_PART = 0.2   # of what they need then there is, beyond what they had before
DIRTY_MIB = 128   # of guests that have the balloon's driver, and what goes with it
DIRTY_PART = 0.4  # as above, for these
LEAD_S = 60       # from when the first one is told when to begin, for each guest
MARKED = r"exercise: marked (\d+) pages with (\d+) from ([\d.]+) to ([\d.]+) s\n"


def view(machine, name):
    """What `mem NAME` says, in MiB."""
    text = "\n".join(machine.command(f"mem {name}", 60))
    size = r"([\d.]+) ([KMG]iB)"
    match = re.search(rf"in use +{size}:.*?shared +{size}, which saves {size}; {size} of zeroes", text, re.DOTALL)
    suite.check(match, f"mem {name} does not tell what is shared:\n{text}")
    numbers = [float(match.group(i)) * economy.UNITS[match.group(i + 1)] for i in (1, 3, 5, 7)]
    return dict(zip(("used", "shared", "saved", "zero"), numbers))


def settle(machine, names, limit_s):
    """Wait until sharing comes to no more; what each guest has then."""
    before, waited = -1.0, 0
    while True:
        those = {name: view(machine, name) for name in names}
        shared = sum(each["shared"] + each["zero"] for each in those.values())
        if shared > 0 and abs(shared - before) <= SETTLED * shared:
            return those
        if waited > limit_s:
            raise lab.Failure(f"sharing does not settle: {before} MiB, then {shared}")
        before = shared
        economy.wait_seconds(machine, names[0], LOOK_S)
        waited += LOOK_S


def row(those):
    """A line of the table; what is had back, as a part of what the guests use."""
    used, shared, saved, zero = (sum(each[key] for each in those.values()) for key in ("used", "shared", "saved", "zero"))
    print(f"{len(those):2} guests use {used:5.0f} MiB: {100 * (shared + zero) / used:3.0f} % of it is shared or zeroes, "
          f"{saved + zero:4.0f} MiB or {100 * (saved + zero) / used:2.0f} % is had back, {zero:4.0f} of that zeroes",
          flush=True)
    return (saved + zero) / used


def options(env, memory_mib):
    if env.is_bochs():
        return {"memory_mib": memory_mib}
    return {"memory_mib": memory_mib, "cpus": 1, "icount": SHIFT}


def with_rest(env, text, files):
    """The configuration, and a VM that is to take what the others are not to have."""
    rest = shares.Vm("rest", "time/waker.elf", "count=1000")
    return env.image(text + rest.section(), [*files, (f"{env.build}/{rest.elf}", f"/{rest.elf}")])


def hold(guest, mib):
    guest.load("held", f"touch {mib} 1 text", r"exercise: holds")


def until_shared(machine, names, mib):
    """All that is held alike is shared."""
    for _ in range(100):
        if all(view(machine, name)["shared"] >= 0.9 * mib for name in names):
            return
        economy.wait_seconds(machine, names[0], LOOK_S)
    raise lab.Failure("what guests hold alike is not shared:\n" + "\n".join(machine.command(f"mem {names[0]}", 60)))


def take_the_rest(machine, count, mib, part):
    """A VM that never runs is guaranteed so much that the others have not enough for pages of their own."""
    free = free_mib(machine)
    rest = int(free - part * count * mib)
    machine.command(f"vm set rest memory={rest}M min={rest}M", 60)
    start_all(machine, ["rest"])
    machine.command("vm pause rest", 60)
    print(f"{count} guests hold {mib} MiB alike; {free} MiB are free, {rest} of them guaranteed to a VM at rest: "
          f"{free - rest} MiB for the {count * mib} MiB that all write to now", flush=True)


def mark_all(those, mib):
    """All of them write to all that they hold, from one moment on; when they began and ended, by their clocks."""
    now = int(those[0].run("date +%s", r"^(\d{9,})\n").group(1))
    for number, guest in enumerate(those, 1):
        guest.order("held", f"mark {number} {now + LEAD_S * len(those)}", guests.SHELL)
    marks = []
    for number, guest in enumerate(those, 1):
        with guest:
            match = guest.wait(MARKED, 2400)
        suite.check(match.groups()[:2] == (str(mib * 256), str(number)), f"{guest.name} did: {match.group(0)}")
        marks.append((float(match.group(3)), float(match.group(4))))
    return marks


def write_at_once(machine, those, mib, part):
    """Guests write to pages that all of them show, on a machine that has not enough for all; each byte is compared."""
    take_the_rest(machine, len(those), mib, part)
    waits = machine.text.count(" waits for memory")
    marks = mark_all(those, mib)
    begin, end = max(mark[0] for mark in marks), min(mark[1] for mark in marks)
    print("\n".join(["when all have:", *machine.command("mem", 60)]))
    print(f"they began within {begin - min(mark[0] for mark in marks):.2f} s of each other and took "
          f"{min(last - first for first, last in marks):.1f} to {max(last - first for first, last in marks):.1f} s; "
          f"{machine.text.count(' waits for memory') - waits} times one waited for more than a second", flush=True)
    suite.check(begin < end, f"they did not write at the same time: {marks}")
    for guest in those:
        match = guest.order("held", "check", r"exercise: checked (\d+) pages, (\d+) bad\n", 2400)
        suite.check(match.groups() == (str(mib * 256), "0"), f"{guest.name} finds other contents: {match.group(0)}")
    running = [line for line in machine.command("vm list", 60) if re.match(r"g\d+ +running\b", line)]
    suite.check(len(running) == len(those), f"{len(running)} of {len(those)} guests run")
    print(f"{len(those) * mib * 256} pages compared, none is another; all {len(those)} guests run", flush=True)


def until_free(machine, wanted_mib):
    until = machine.seconds() + 120
    while free_mib(machine) < wanted_mib:
        suite.check(machine.seconds() < until, f"{free_mib(machine)} MiB are free in the end, not {wanted_mib}")
        machine.pump(1)


def sharing(env, count):
    """One guest after the other; then all write to what they share; in the end all memory is free."""
    crowd = Crowd(count)
    text, files = crowd.configuration(MEMORY_MIB, "exercise64/initrd.gz")
    image = with_rest(env, re.sub(r"(memory = \S+)", r"\1\nmin = 24M\ngroup = debian", text), files)
    with env.machine(image, 3400, **options(env, 4096 if count > 8 else 1024)) as machine:
        machine.expect(PROMPT, 300)
        free = free_mib(machine)
        names = list(crowd)
        machine.command(f"mem policy scan={SCAN}", 60)
        those = [economy.Guest(machine, name) for name in names]
        for number, guest in enumerate(those, 1):
            start_all(machine, [guest.name])
            guest.boot()
            part = row(settle(machine, names[:number], 600))
        suite.check(part >= LEAST_PART, f"only {part:.0%} of the guests' memory is had back")
        for guest in those:
            hold(guest, HELD_MIB)
        until_shared(machine, names, HELD_MIB)
        write_at_once(machine, those, HELD_MIB, ROOM_PART)
        destroy_all(machine, ["rest", *names])
        until_free(machine, free - TABLE_MIB)
        machine.send_line("poweroff")
        machine.expect_end(120)


def dirtying(env, count):
    """All write to what they share, as in sharing(); these have balloons."""
    names = [f"g{number}" for number in range(count)]
    text, files = economy.configuration(env, dict.fromkeys(names, DIRTY_MIB), ["min = 24M", "group = debian"])
    with env.machine(with_rest(env, text, files), 3400, **options(env, 2048 if count > 4 else 1024)) as machine:
        machine.expect(PROMPT, 300)
        machine.command(f"mem policy scan={SCAN}", 60)
        those = [economy.Guest(machine, name) for name in names]
        for guest in those:
            start_all(machine, [guest.name])
            guest.boot()
            hold(guest, HELD_MIB)
        until_shared(machine, names, HELD_MIB)
        write_at_once(machine, those, HELD_MIB, DIRTY_PART)
        economy.end(machine, ["rest", *names])


@suite.test
def test_dirtying_2(env):
    dirtying(env, 2)


@suite.test
def test_dirtying_10(env):
    dirtying(env, 10)


@suite.test
def test_sharing_2(env):
    sharing(env, 2)


@suite.test
def test_sharing_10(env):
    sharing(env, 10)
