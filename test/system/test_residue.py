# SPDX-License-Identifier: BSD-2-Clause
"""What guests leave behind in the machine's memory: VMs whose memory says everywhere whose it is are ended at random
moments, others start beside them, and then all of the machine's memory is searched: nothing of those that are gone may be
anywhere, and nothing of those that live in memory that is not theirs.
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

MACHINE_MIB = 320
GUEST_MIB = 64
MIN_MIB = 16
MAGIC = 0x3D1F5C60A7E9B284 ^ 0x91C4E7D2580B6F3A
RECORD = struct.Struct("<QQQQ")
ERASED_S = 120  # of this machine's time, for what the erasing has before it


def section(build):
    conf = (f"[vm template]\nmemory = {GUEST_MIB}M\nmin = {MIN_MIB}M\ngroup = canaries\nkernel = /canary.elf\nboot = multiboot\n"
            f"cmdline = mib={GUEST_MIB}\ndisk = /numbers.img, cow\nconsole\ndebug-exit = yes\n")
    return conf, [(os.path.join(build, "memory", "canary.elf"), "/canary.elf")]


class Lives:
    """The VMs of the machine, each with the number of its life, which no other one has."""

    def __init__(self, machine, seed):
        self.machine = machine
        self.random = random.Random(seed)
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
        self._do(f'vm create {name} like=template cmdline="mib={GUEST_MIB} life={self.newest}" autostart=yes',
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
        if self.random.random() < 0.25:
            self._do(f"vm stop {name}", rf"^vm {name}: stopped")
            self.former.setdefault(name, set()).add(self.living[name])
            self.newest += 1
            self._do(f'vm set {name} cmdline="mib={GUEST_MIB} life={self.newest}"', rf"^vm {name} has")
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


def residue(env, count, guests):
    suite.check(env.bench == "qemu-svm", "only QEMU saves its memory")
    seed = int(os.environ.get("BALLAST_SEED", "20261122"))
    conf, files = section(env.build)
    disk = os.path.join(env.workdir, "numbers.img")
    with open(disk, "wb") as file:
        file.write(bytes(1 << 20))
    image = env.image(conf, files + [(disk, "/numbers.img")])
    with env.machine(image, 3000, cpus=1, icount=4, memory_mib=MACHINE_MIB, monitor="monitor.sock") as machine:
        machine.expect(PROMPT, 120)
        free_before = free_pages(machine)
        lives = Lives(machine, seed)
        while len(lives.living) < guests:
            lives.create()
        for _ in range(count):
            lives.wait_a_while()
            lives.end_one()
        lives.wait_until_filled()
        shown = "\n".join(machine.command("mem", 60))
        for name in sorted(lives.living):
            machine.command(f"vm pause {name}", 60)
        wait_until_erased(machine)
        monitor = physical.Monitor(machine)
        memory = physical.Memory(machine, monitor, MACHINE_MIB, os.path.join(env.build, "ballast.elf"))
        rows, wrong, seen = judge(memory, set(lives.living.values()), set().union(*lives.former.values()))
        print(f"{count} VMs ended (BALLAST_SEED={seed}); then, in {MACHINE_MIB} MiB:")
        table("Pages of 4 KiB", ("what they are for", "pages", "with records of VMs that live", "of VMs that are gone"), rows)
        print(shown)
        suite.check(not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:40]))
        suite.check(seen == sorted(lives.living.values()), f"lives {seen} are seen in guests' frames, of {lives.living}")
        memory.close()
        for name in sorted(lives.living):
            machine.send_line(f"vm destroy {name}")
            machine.expect(rf"^vm {name}: destroyed", 60)
        machine.expect(PROMPT, 60)
        wait_until_erased(machine)
        memory = physical.Memory(machine, monitor, MACHINE_MIB, os.path.join(env.build, "ballast.elf"))
        _, wrong, _ = judge(memory, set())
        memory.close()
        suite.check(not wrong, f"after all have gone {len(wrong)} records are left:\n" + "\n".join(wrong[:40]))
        print(f"after all have gone: no record; {free_before} pages were free before, {free_pages(machine)} are")


@suite.test
def test_residue_20(env):
    residue(env, 20, 5)


@suite.test
def test_residue_1000(env):
    residue(env, 1000, 8)  # which have 512 MiB in all, more than there is
