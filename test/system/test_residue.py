# SPDX-License-Identifier: BSD-2-Clause
"""What guests leave behind in the machine's memory: VMs whose memory says everywhere whose it is are ended at random
moments, others start beside them, and then all of the machine's memory is searched: nothing of those that are gone may be
anywhere, and nothing of those that live in memory that is not theirs. Where they are swapped to a disk, nothing may be read
there, of anyone.
"""

import os
import random
import re
import struct

import lab
import physical
import suite
from test_cycles import free_pages
from test_isolation import table
from test_many import LEAVE, PROMPT
from test_swapping import make_swap, on_disk, swapped_kib

MIN_MIB = 16
SWAP_MIB = 256
REFILL = 0.3  # so often with swap all wait until all have filled their memory, so that pages of new ones go to the disk
MAGIC = 0x3D1F5C60A7E9B284 ^ 0x91C4E7D2580B6F3A
RECORD = struct.Struct("<QQQQ")
ERASED_S = 120  # of this machine's time, for what the erasing has before it


class Course:
    """So many lives are ended, of so many guests at a time. With swap they have no balloons, and most of their pages do not
    compress.
    """

    def __init__(self, machine_mib, guest_mib, guests, count, swap=False):
        self.machine_mib, self.guest_mib, self.guests, self.count = machine_mib, guest_mib, guests, count
        self.swap = swap

    def words(self, life=0):
        return f"mib={self.guest_mib} life={life}" + (" noise=1" if self.swap else "")

    def configuration(self, build, swap):
        conf = (f"[vm template]\nmemory = {self.guest_mib}M\nmin = {MIN_MIB}M\ngroup = canaries\nkernel = /canary.elf\n"
                f"boot = multiboot\ncmdline = {self.words()}\ndisk = /numbers.img, cow\nconsole\ndebug-exit = yes\n")
        if swap:
            conf = f"[ballast]\nswap = {swap.name}p1\n{conf}balloon = no\n"
        return conf, [(os.path.join(build, "memory", "canary.elf"), "/canary.elf")]


class Lives:
    """The VMs of the machine, each with the number of its life, which no other one has."""

    def __init__(self, machine, course, seed):
        self.machine = machine
        self.course = course
        self.random = random.Random(seed)
        self.lost = []  # pages that were on the disk of those that have ended
        self.newest = 0
        self.living = {}  # name: life
        self.former = {}  # name: lives of a VM that was stopped, whose console and disk stay

    def _do(self, line, wanted):
        self.machine.send_line(line)
        self.machine.expect(wanted, 120, r"could not|^vm (?:create|set|start|stop|destroy): ")
        self.machine.expect(PROMPT, 60)

    def create(self):
        self.newest += 1
        name = f"c{self.newest}"
        self._do(f'vm create {name} like=template cmdline="{self.course.words(self.newest)}" autostart=yes',
                 rf"^vm {name}: started")
        self.living[name] = self.newest

    def wait_a_while(self):
        """Until a random moment: some while the guest begins, most while it fills its memory or goes on."""
        until = self.machine.seconds() + self.random.choice((0.01, 0.1, 0.5, 2)) * self.random.random()
        while self.machine.seconds() < until:
            self.machine.pump(until - self.machine.seconds())

    def wait_until_filled(self):
        for name, life in sorted(self.living.items()):
            self.machine.send_line(f"vm console {name}")
            self.machine.expect(rf"^canary {life} filled$", 120, r"^FAIL|^--- left")
            self.machine.send(LEAVE)
            self.machine.expect(PROMPT, 60)

    def end_one(self):
        """By one of the two ways; another one begins in its place."""
        name = self.random.choice(sorted(self.living))
        if self.course.swap:
            self.lost.append(on_disk(self.machine, name))
        if self.random.random() < 0.25:
            self._do(f"vm stop {name}", rf"^vm {name}: stopped")
            self.former.setdefault(name, set()).add(self.living[name])
            self.newest += 1
            self._do(f'vm set {name} cmdline="{self.course.words(self.newest)}"', rf"^vm {name} has")
            self._do(f"vm start {name}", rf"^vm {name}: started")
            self.living[name] = self.newest
            return
        del self.living[name]
        self.former.pop(name, None)
        self._do(f"vm destroy {name}", rf"^vm {name}: destroyed")
        self.create()


def wait_until_erased(machine):
    """Until nothing is left to be erased; guests that run give pages back meanwhile, so they are held."""
    until = machine.seconds() + ERASED_S
    while True:
        said = "\n".join(machine.command("mem", 60))
        match = re.search(r"to be erased yet +([\d.]+ \S+)", said)
        if not match:
            return said
        if machine.seconds() > until:
            raise lab.Failure(f"after {ERASED_S} s there is still memory to be erased: {match.group(1)}")
        machine.pump(0.2)


def judge(memory, living, former=()):
    """Rows by what frames are for, and what is wrong. former: lives whose console and disk are there."""
    wrong = []
    pages = [[0, 0, 0] for _ in physical.USES]  # records' pages: of who lives, of who is gone, frames
    owners, mine = {}, {}
    for use in memory.use:
        pages[use][2] += 1
    last = -1
    for at in memory.find_all(struct.pack("<Q", MAGIC)):
        frame = at // physical.PAGE
        _, life, page, total = RECORD.unpack(memory.bytes[at : at + RECORD.size].ljust(RECORD.size, b"\0"))
        use = memory.use[frame]
        whole = total == MAGIC ^ life ^ page
        alive = not whole or life in living or (life in former and use in (physical.VM, physical.DISK))
        if frame != last or not alive:
            pages[use][0 if alive else 1] += 1
        last = frame
        if whole and not alive:
            wrong.append(f"0x{at:x} ({physical.USES[use]}): a record of life {life}, which is over")
        elif use in (physical.FREE, physical.STALE):
            wrong.append(f"0x{at:x} ({physical.USES[use]}): a record of life {life}, which goes on")
        elif whole and use == physical.GUEST:
            owners.setdefault(memory.owner[frame], set()).add(life)
            mine.setdefault(life, set()).add(memory.owner[frame])
    wrong += [f"frames of the owner {owner} have records of lives {sorted(lives)}" for owner, lives in owners.items()
              if len(lives) > 1]
    wrong += [f"records of life {life} are in frames of owners {sorted(those)}" for life, those in mine.items()
              if len(those) > 1]
    rows = [(what, frames, alive, gone) for what, (alive, gone, frames) in zip(physical.USES, pages)]
    return rows, wrong, sorted(mine)


def search(machine, course, monitor, env, living, former=()):
    """judge() for all of the machine's memory as it is now, at a moment when nothing is to be erased: of guests that are
    held pages may still go to the disk.
    """
    until = machine.seconds() + ERASED_S
    while True:
        wait_until_erased(machine)
        memory = physical.Memory(machine, monitor, course.machine_mib, os.path.join(env.build, "ballast.elf"))
        try:
            if physical.STALE not in memory.use or machine.seconds() > until:
                return judge(memory, living, former)
        finally:
            memory.close()


def search_disk(swap, least):
    """Much was written, nothing of which can be read."""
    with open(swap.path, "rb") as file:
        image = file.read()
    written = sum(image[at : at + 4096] != bytes(4096) for at in range(0, len(image), 4096))
    found = image.find(struct.pack("<Q", MAGIC))
    print(f"on the swap disk {written} pages of 4 KiB are written to; none has a record in clear" if found < 0 else
          f"a record in clear is on the swap disk, at 0x{found:x}")
    suite.check(found < 0, f"a record in clear is on the swap disk, at 0x{found:x}")
    suite.check(written >= least, f"only {written} pages of the swap disk were ever written to")


def end_all(machine, lives):
    for name in sorted(lives.living):
        machine.send_line(f"vm destroy {name}")
        machine.expect(rf"^vm {name}: destroyed", 60)
    machine.expect(PROMPT, 60)


def residue(env, course):
    suite.check(env.bench == "qemu-svm", "only QEMU saves its memory")
    seed = int(os.environ.get("BALLAST_SEED", "20261122"))
    swap = make_swap(env, SWAP_MIB) if course.swap else None
    conf, files = course.configuration(env.build, swap)
    disk = os.path.join(env.workdir, "numbers.img")
    with open(disk, "wb") as file:
        file.write(bytes(1 << 20))
    image = env.image(conf, files + [(disk, "/numbers.img")])
    with env.machine(image, 3000, cpus=1, icount=4, memory_mib=course.machine_mib, monitor="monitor.sock",
                     extra=swap.arguments() if swap else []) as machine:
        machine.expect(PROMPT, 120)
        free_before = free_pages(machine)
        lives = Lives(machine, course, seed)
        while len(lives.living) < course.guests:
            lives.create()
        if swap:
            lives.wait_until_filled()
        for _ in range(course.count):
            if swap and lives.random.random() < REFILL:
                lives.wait_until_filled()
            lives.wait_a_while()
            lives.end_one()
        lives.wait_until_filled()
        shown = "\n".join(machine.command("mem", 60))
        for name in sorted(lives.living):
            machine.command(f"vm pause {name}", 60)
        monitor = physical.Monitor(machine)
        rows, wrong, seen = search(machine, course, monitor, env, set(lives.living.values()),
                                   set().union(*lives.former.values()))
        print(f"{course.count} VMs ended (BALLAST_SEED={seed}); then, in {course.machine_mib} MiB:")
        table("Pages of 4 KiB", ("what they are for", "pages", "with records of VMs that live", "of VMs that are gone"), rows)
        print(shown)
        suite.check(not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:40]))
        suite.check(seen == sorted(lives.living.values()), f"lives {seen} are seen in guests' frames, of {lives.living}")
        if swap:
            print(f"{sum(count > 0 for count in lives.lost)} of those that ended had pages on the disk then, "
                  f"{sum(lives.lost)} in all; {swapped_kib(shown)} KiB of those that live are there")
            search_disk(swap, swapped_kib(shown) // 4)
            suite.check(sum(count > 0 for count in lives.lost) >= course.count // 4, f"too few were swapped: {lives.lost}")
        end_all(machine, lives)
        _, wrong, _ = search(machine, course, monitor, env, set())
        suite.check(not wrong, f"after all have gone {len(wrong)} records are left:\n" + "\n".join(wrong[:40]))
        print(f"after all have gone: no record; {free_before} pages were free before, {free_pages(machine)} are")


@suite.test
def test_residue_20(env):
    residue(env, Course(320, 64, 5, 20))


@suite.test
def test_residue_1000(env):
    """They have 512 MiB in all, more than there is."""
    residue(env, Course(320, 64, 8, 1000))


@suite.test
def test_residue_swap_10(env):
    residue(env, Course(176, 48, 5, 10, swap=True))


@suite.test
def test_residue_swap_100(env):
    residue(env, Course(176, 48, 5, 100, swap=True))
