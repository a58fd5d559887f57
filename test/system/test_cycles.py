# SPDX-License-Identifier: BSD-2-Clause
"""VMs made, started and destroyed again and again: nothing may be lost by it. And what it costs."""

import re

import shares
import suite
from test_isolation import table

# Two lines, one after the other for ever, each brought back from the line editor's history by three keys.
AGAIN = "\x1b[A\x1b[A\r"
TEMPLATE = {"waker": shares.waker("template", memory_mib=32), "pair": shares.hog("template", vcpus=2, memory_mib=32),
            "halt": shares.Vm("template", "guest/hostile_loops.elf", "case=halt", memory_mib=32)}


def free_pages(machine):
    answer = "\n".join(machine.command("mem", 60))
    match = re.search(r"in pages of 4 KiB +(\d+)$", answer, re.MULTILINE)
    suite.check(match, f"'mem' does not tell the free pages:\n{answer}")
    return int(match.group(1))


def cycles(machine, count, first, second, done_first, done_second):
    """Two commands in turn; each prints its state line."""
    for i in range(count):
        for line, done in ((first, done_first), (second, done_second)):
            if i == 0:
                machine.send_line(line)
            else:
                machine.send(AGAIN)
            machine.expect(done, 60, r"could not|^vm (create|destroy): ")


def live(machine, count):
    """`count` lives of one VM."""
    cycles(machine, count, "vm create c like=template autostart=yes", "vm destroy c", r"^vm c: started",
           r"^vm c: destroyed")
    machine.expect(shares.PROMPT, 60)


def lives(env, count):
    """A guest with an armed timer, and one with two busy vCPUs."""
    rows, wrong = [], []
    for name in ("waker", "pair"):
        with shares.machine(env, [TEMPLATE[name]], 1 if not env.is_bochs() else 2, 900) as machine:
            machine.expect(shares.PROMPT, 120)
            fresh = free_pages(machine)
            live(machine, 10)  # the heap keeps a few pages for the next time
            before = free_pages(machine)
            live(machine, count)
            after = free_pages(machine)
            rows.append((name, count, fresh, before, after, "" if after == before else "WRONG"))
            if after != before:
                wrong.append(f"{count} lives of {name} have cost {before - after} pages")
            listed = "\n".join(machine.command("vm list", 60))
            suite.check(not re.search(r"^c +", listed, re.MULTILINE), f"a destroyed VM is still there:\n{listed}")
    table(f"Free pages, {env.bench}", ("guest", "lives", "at first", "after 10 lives", "at last", ""), rows)
    suite.check(not wrong, "; ".join(wrong))


@suite.test
def test_lives_100(env):
    lives(env, 100)


@suite.test
def test_lives_1000(env):
    lives(env, 1000)


METER_MS = 50
COUNT = 40
NS_PER_INSTRUCTION = {False: 16, True: 20}  # by is_bochs()


def lost_ns(machine, reader, work):
    """How much of the CPU the hog did not get while `work` was done."""
    before = reader.last("meter")
    work()
    end = reader.last("meter") + 2
    reader.wait("meter", end)
    windows = reader.windows("meter")
    return sum(1000 - windows[number][0] for number in range(before + 1, end + 1)) * METER_MS * 1000


@suite.test
def test_cost_of_life(env):
    """Instructions to create, start and destroy a VM: what a hog on the same CPU misses meanwhile."""
    pairs = {
        "two lines of the console": ("vm set template weight=100", "vm set template weight=50",
                                     r"^vm template has", r"^vm template has"),
        "create, destroy": ("vm create c like=template", "vm destroy c", r"^vm c: created", r"^vm c: destroyed"),
        "create, start, destroy": ("vm create c like=template autostart=yes", "vm destroy c", r"^vm c: started",
                                   r"^vm c: destroyed"),
    }
    vms = [shares.hog("meter", every_ms=METER_MS), TEMPLATE["halt"]]
    rows = []
    with shares.machine(env, vms, 1, 600) as machine:
        machine.expect(shares.PROMPT, 120)
        reader = shares.Reader(machine)
        shares.start(machine, "meter")
        reader.wait("meter", 10)
        live(machine, 2)
        for what, (first, second, done_first, done_second) in pairs.items():
            def work(count=COUNT, lines=(first, second, done_first, done_second)):
                cycles(machine, count, *lines)
                machine.expect(shares.PROMPT, 60)
            lost = lost_ns(machine, reader, work)
            rows.append((what, f"{lost / COUNT / 1000:.0f}", f"{lost / COUNT / NS_PER_INSTRUCTION[env.is_bochs()]:.0f}"))
        own = re.search(r"([\d.]+ \w+) of Ballast's own for it", "\n".join(machine.command("vm show meter", 60)))
    table(f"What a life of a VM costs, {env.bench}", ("each time", "us", "instructions"), rows)
    suite.check(own, "'vm show' does not tell Ballast's own memory")
    print(f"  Ballast's own memory for a running VM with 64 MiB: {own.group(1)}")
