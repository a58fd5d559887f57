# SPDX-License-Identifier: BSD-2-Clause
"""Guests to which more memory is promised than there is, and what the tests of that look at: checksummed memory, the times
of answers, the figures of `mem`, and whether a guest's kernel has killed a program.
"""

import re

import economy
import suite
from test_swapping import make_swap

MACHINE_MIB = 384
GUESTS = 4
MIN_MIB = 48
ICOUNT = 6  # 64 ns of the machine's time for an instruction
SWAP_MIB = 1024
LIFE_S = 10000
ANSWERS = r"exercise: (\d+) answers, us: median (\d+), 99 in 100 (\d+), 999 in 1000 (\d+), last (\d+)\n"
CHECKED = r"exercise: checked (\d+) pages, (\d+) bad\n"
ANSWERS_HEAD = f"{'guest':6} {'answers':>8} {'median':>8} {'99 %':>8} {'99.9 %':>8} {'last':>8}   (ms)"
WAITS = re.compile(r"vm \S+ waits for memory: ")


class Crowd:
    """GUESTS guests that are promised so many times the machine's memory, the first of which is greedy."""

    def __init__(self, env, times, balloons, swap=None, probe_ms=1000, held_mib=48):
        self.names = [f"g{number}" for number in range(GUESTS)]
        self.balloons, self.times = balloons, times
        self.probe_ms, self.held_mib = probe_ms, held_mib
        self.memory_mib = MACHINE_MIB * times // GUESTS
        self.swap = make_swap(env, SWAP_MIB) if swap or not balloons else None

    def machine(self, env, more=""):
        """It is on; more: sections of ballast.conf."""
        lines = [f"min = {MIN_MIB}M", "group = debian", *([] if self.balloons else ["balloon = no"])]
        text, files = economy.configuration(env, dict.fromkeys(self.names, self.memory_mib), lines)
        if self.swap:
            text = f"[ballast]\nswap = {self.swap.name}p1\n" + text
        counted = {"icount": ICOUNT} if env.bench == "qemu-svm" else {}
        return env.machine(env.image(text + more, files), LIFE_S, memory_mib=MACHINE_MIB, cpus=1,
                           extra=self.swap.arguments() if self.swap else [], **counted)

    def guests(self, machine):
        return [economy.Guest(machine, name) for name in self.names]

    def begin(self, greedy, others):
        """All have been started: to their shells, and the others hold their memory and answer."""
        for guest in (greedy, *others):
            guest.boot(1800)
        for number, guest in enumerate(others):
            guest.load("held", f"touch {self.held_mib} {number}", r"exercise: holds", 1800)
            guest.load("probe", f"probe {self.probe_ms}", None, 600)

    def all_run(self, machine):
        running = [line for line in machine.command("vm list", 120) if re.match(r"g\d+ +running\b", line)]
        suite.check(len(running) == GUESTS, f"{len(running)} of {GUESTS} guests run")


def answers(guests):
    """What the guests' probes tell since they were asked last: [(count, us: median, 99 %, 99.9 %, most)]."""
    return [tuple(map(int, guest.order("probe", "tell", ANSWERS, 1800).groups())) for guest in guests]


def print_answers(name, row):
    print(f"{name:6} {row[0]:8} " + " ".join(f"{us / 1000:8.1f}" for us in row[1:]), flush=True)


def intact(guest, name, mib):
    match = guest.order(name, "check", CHECKED, 3000)
    suite.check(match.groups() == (str(mib * 256), "0"),
                f"of {mib * 256} pages of {guest.name} {match.group(1)} were checked, and {match.group(2)} are others")


def none_is_killed(guests):
    for guest in guests:
        count = guest.run("dmesg | grep -c 'O[u]t of memory' | sed s/^/killed-/", r"^killed-(\d+)$", 900).group(1)
        suite.check(count == "0", f"the kernel of {guest.name} killed {count} programs")


class Figures:
    """What `mem` says, in MiB and seconds."""

    SIZES = {"shared": "of this shared by several of their pages", "saved": "saved by sharing",
             "zeroes": "pages of zeroes that take no memory", "stored": "guests' memory, compressed",
             "compressed": "before that it took", "balloons": "in the guests' balloons", "free": "free"}
    STATES = ("high", "soft", "hard", "low")

    def __init__(self, machine):
        self.said = "\n".join(machine.command("mem", 240))
        for name, words in self.SIZES.items():
            setattr(self, name, self._size(re.escape(words)))
        self.swapped = self._size(r"guests' memory on disk \S+")
        self.state = re.search(r"which is the state +(\w+)", self.said).group(1)
        match = re.search(r"so far: high (\d+) s, soft (\d+) s, hard (\d+) s, low (\d+) s", self.said)
        self.states = dict(zip(self.STATES, map(int, match.groups() if match else "0000")))
        self.waits = len(WAITS.findall(machine.text))

    def _size(self, words):
        match = re.search(rf"^ +{words} +(\d+) ([KMG]iB)", self.said, re.MULTILINE)
        return int(match.group(1)) * economy.UNITS[match.group(2)] if match else 0

    def taken(self):
        """Was anything taken from anyone?"""
        return self.balloons + self.compressed + self.swapped
