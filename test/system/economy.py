# SPDX-License-Identifier: BSD-2-Clause
"""What the experiments with the memory economy stand on: Debian guests with balloons and the program `exercise`, the
orders that its loads take, and the figures of ten minutes that Ballast keeps.
"""

import os
import random
import re

import disks
import guests
import suite
import test_clocks
import test_many
from test_many import PROMPT, destroy_all

UNITS = {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}  # in MiB
# With SMAP Bochs walks all page tables for each byte that a kernel copies from or to its programs.
BOCHS_WORDS = " clearcpuid=smap"
TROUBLE = f"{guests.KERNEL_DEATH}|{test_many.ENDED}|Out of memory|Killed process"


def configuration(env, sizes, more=(), files=(), script=None):
    """ballast.conf and files. sizes: MiB of each VM by its name; more: lines for all of them; script: runs in each."""
    initrd = disks.initrd_with(env, os.path.join(guests.folder(), "exercise64", "exercise"), *([script] if script else []))
    words = f"{test_many.SMALL} nowatchdog" + (f" run=/bin/{os.path.basename(script)}" if script else "")
    words += BOCHS_WORDS if env.is_bochs() else ""
    text, kernel = "", []
    for name, mib in sizes.items():
        guest = guests.Guest("virtio64/vmlinuz", None, None, words, mib)
        lines = [*more, "initrd = /all/initrd"]
        section, kernel = suite.conf_section(name, guest, more=lines, folder="all")
        text += section
    return text, [*kernel, (initrd, "/all/initrd"), *files]


class Guest(test_clocks.Console):
    """One of them, at whose shell no terminal is but within these functions."""

    trouble = TROUBLE  # what must not be seen on its console

    def __init__(self, target, name):
        super().__init__(target, name)
        self.turns = 0

    def boot(self, timeout_s=300):
        """It has been started: to its shell."""
        with self:
            self.wait(r"^GUEST-OK Linux", timeout_s)
            self.wait(guests.SHELL, 120)

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.machine.send(test_many.LEAVE)
            self.machine.expect(rf"left the console of vm {self.name}", 60)
            self.machine.expect(PROMPT, 60)

    def wait(self, pattern, timeout_s):
        return self.machine.expect(pattern, timeout_s, self.trouble)

    def fresh(self):
        """What was seen before, and is shown again, is behind us."""
        self.turns += 1
        self.does(f"echo turn-$(({self.turns}))", rf"^turn-{self.turns}$")

    def does(self, line, wanted, timeout_s=300):
        return guests.does(self.machine, line, wanted, timeout_s, self.trouble)

    def run(self, line, wanted, timeout_s=300):
        """A line of the shell, and what it answers."""
        with self:
            self.fresh()
            return self.does(line, wanted, timeout_s)

    def begin(self, words):
        """A load that runs for ever."""
        with self:
            self.fresh()
            self.machine.send_line(f"exercise {words} &")
            self.does("echo begun $((6*7))", r"^begun 42$")

    def load(self, name, words, wanted, timeout_s=300):
        """Begin a load that takes orders, and wait until it says that it is there."""
        with self:
            self.fresh()
            self.machine.send_line(f"mkfifo /{name}; exercise {words} <>/{name} &")
            if wanted:
                match = self.wait(wanted, timeout_s)
            self.does("echo begun $((6*7))", r"^begun 42$")
            return match if wanted else None

    def order(self, name, order, wanted, timeout_s=300):
        with self:
            self.fresh()
            self.machine.send_line(f"echo {order} >/{name}")
            return self.wait(wanted, timeout_s)


def history(target, name):
    """The rows of `mem history`: {second: {"free": MiB, "used": ..., "active": ..., "target": ...}}."""
    lines = target.command(f"mem history {name}", 120)
    rows = [line.split() for line in lines if re.match(r"^ +\d+( +[\d.]+){4}$", line)]
    suite.check(rows, "mem history shows nothing:\n" + "\n".join(lines))
    return {int(row[0]): dict(zip(("free", "used", "active", "target"), map(float, row[1:]))) for row in rows}


def figures(target, name):
    """What `mem NAME` says now, in MiB."""
    text = "\n".join(target.command(f"mem {name}", 120))
    size = r"([\d.]+) ([KMG]iB)"
    match = re.search(rf"target now is {size}\n +in use +{size}: {size} active", text)
    away = re.search(rf"away +{size} compressed, {size} on disk; (\d+) a second", text)
    balloon = re.search(rf"balloon +{size} of {size} wanted", text)
    suite.check(match and away and balloon, f"mem {name} does not tell what it should:\n{text}")
    texts = match.groups() + away.groups()[:4] + balloon.groups()
    numbers = [float(texts[i]) * UNITS[texts[i + 1]] for i in range(0, len(texts), 2)]
    names = ("target", "used", "active", "compressed", "swapped", "balloon", "wanted")
    return dict(zip(names, numbers))


def wait_seconds(target, name, seconds):
    """Until so much of the machine's time has gone, by the history: rows of ten seconds each. All rows since then."""
    rows = history(target, name)
    begin = max(rows)
    while max(rows) < begin + seconds:
        target.pump(2)
        rows.update(history(target, name))
    return {second: row for second, row in rows.items() if second >= begin}


def numbered(env, mib):
    """A disk whose pages begin with their numbers, and compress badly; and where it is in the guest's configuration."""
    path = os.path.join(env.workdir, "numbered.img")
    noise = random.Random(1).randbytes(1 << 20)
    with open(path, "wb") as file:
        for page in range(mib * 256):
            begin = page * 8 % (len(noise) - 4096)
            file.write(page.to_bytes(8, "little") + noise[begin : begin + 4088])
    return path, "/images/numbered.img"


def end(target, names):
    destroy_all(target, names)
    target.send_line("poweroff")
    target.expect_end(120)
