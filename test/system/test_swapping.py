# SPDX-License-Identifier: BSD-2-Clause
"""A machine that is short of memory, guests without balloons whose memory does not compress, and a disk to swap to: what
they hold is more than there is, so much of it goes to the disk and comes back, some of it on its way to a disk of the
guest's own. No byte is lost, nobody is ended.
"""

import os
import re
import subprocess

import disks
import economy
import suite
from test_many import PROMPT, destroy_all, start_all

MACHINE_MIB = 384
GUESTS = 3
MEMORY_MIB = 384
MIN_MIB = 48
HELD_MIB = 128  # random, in each
COPY_MIB = 64   # of it, on the first one's own disk
SWAP_MIB = 512
SUM = r"^([0-9a-f]{32})  "
UPTIME = r"^at (\d+\.\d+) "
CHECKED = r"exercise: checked (\d+) pages, (\d+) bad\n"
SPEED_MIB, SPEED_SEED = 64, 7  # what is held while its speed is measured
TRIAL_MIB, TRIAL_HELD_MIB = 48, 40


def make_swap(env, mib=SWAP_MIB, errors=()):
    disk = disks.Disk(env, "nvme", mib=mib + 2, errors=errors)
    disk.partition((2048, 2048 + (mib << 20) // disks.SECTOR - 1))
    result = subprocess.run(["sgdisk", "-t", "1:8200", disk.path], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, check=False)
    suite.check(result.returncode == 0, f"sgdisk: {result.stdout.decode(errors='replace')}")
    return disk


def swapped_kib(said):
    match = re.search(r"guests' memory on disk \S+ +(\d+) ([KMG])iB", said)
    suite.check(match, f"'mem' does not say what is on the disk:\n{said}")
    return int(match.group(1)) * {"K": 1, "M": 1 << 10, "G": 1 << 20}[match.group(2)]


def on_disk(machine, name):
    """Pages of this guest that are on the disk now."""
    text = "\n".join(machine.command(f"mem {name}", 120))
    match = re.search(r"compressed, ([\d.]+) ([KMG]iB) on disk", text)
    suite.check(match, f"mem {name} does not tell what is on the disk:\n{text}")
    return round(float(match.group(1)) * economy.UNITS[match.group(2)] * 256)


def checked(guest, line, wanted, what):
    found = guest.run(line, SUM, 900).group(1)
    suite.check(found == wanted, f"{guest.name}: {what} has changed")


@suite.test
def test_swapping(env):
    names = [f"g{number}" for number in range(GUESTS)]
    swap, own = make_swap(env), disks.Disk(env, "nvme", 1, mib=COPY_MIB)
    text, files = economy.configuration(env, dict.fromkeys(names, MEMORY_MIB), [f"min = {MIN_MIB}M", "balloon = no"])
    text = text.replace("[vm g0]\n", f"[vm g0]\ndisk = {own.name}\n")
    with env.machine(env.image(f"[ballast]\nswap = {swap.name}p1\n" + text, files), cpus=2, memory_mib=MACHINE_MIB,
                     life_s=1700, extra=[*swap.arguments(), *own.arguments()]) as machine:
        machine.expect(PROMPT, 120)
        crowd = [economy.Guest(machine, name) for name in names]
        for guest in crowd:
            start_all(machine, [guest.name])
            guest.boot()
        sums, most = {}, 0
        for guest in crowd:
            guest.run(f"dd if=/dev/urandom of=/held bs=1M count={HELD_MIB} && echo held $((6*7))", r"^held 42", 900)
            sums[guest.name] = guest.run("md5sum /held", SUM, 900).group(1)
            if guest is crowd[0]:
                copy = guest.run(f"head -c {COPY_MIB << 20} /held | md5sum", SUM, 900).group(1)
                guest.run(f"dd if=/held of=/dev/vda bs=1M count={COPY_MIB} && echo copied $((6*7))", r"^copied 42", 900)
        for guest in crowd:
            checked(guest, "md5sum /held", sums[guest.name], "what it holds")
            said = "\n".join(machine.command("mem", 60))
            most = max(most, swapped_kib(said))
        checked(crowd[0], f"sync; echo 3 >/proc/sys/vm/drop_caches; head -c {COPY_MIB << 20} /dev/vda | md5sum", copy,
                "its disk")
        checked(crowd[0], "md5sum /held", sums["g0"], "what it holds")
        print(said)
        print("\n".join(line for name in names for line in machine.command(f"mem {name}", 60)))
        suite.check(most > 20 << 10, f"only {most} KiB were ever on the disk")
        running = [line for line in machine.command("vm list", 60) if re.match(r"g\d+ +running\b", line)]
        suite.check(len(running) == GUESTS, f"{len(running)} of {GUESTS} guests run")
        destroy_all(machine, names)
        said = "\n".join(machine.command("mem", 60))
        suite.check(swapped_kib(said) == 0, f"slots of guests that are no more are in use:\n{said}")
        machine.send_line("poweroff")
        machine.expect_end(120)


def first_word(seed, number):
    """What `exercise touch` makes the second word of a page, as its pages.c does."""
    state = (seed << 32 | number + 1) * 0x9e3779b97f4a7c15 % 2**64
    state ^= state << 13 & 2**64 - 1
    state ^= state >> 7
    return state ^ state << 17 & 2**64 - 1


def is_cipher(disk, seed, pages):
    """Nothing of these pages can be recognised on the disk, where much is."""
    with open(disk.path, "rb") as file:
        image = file.read()
    suite.check(image.count(bytes(4096)) < len(image) // 4096 - 1024, "nothing was ever written to the disk")
    for number in range(0, pages, 97):
        suite.check(first_word(seed, number).to_bytes(8, "little") not in image,
                    f"page {number} of what was held is on the disk as it was in memory")


def wait_for_swapped(machine, guest, least, limit_s=1500):
    """Until so many of its pages are on the disk."""
    until = machine.seconds() + limit_s
    while on_disk(machine, guest.name) < least:
        suite.check(machine.seconds() < until, f"only {on_disk(machine, guest.name)} pages of {guest.name} went out")
        machine.pump(2)


def two_guests(env, swap, files=()):
    """An image with two guests that have no balloons, and this for `swap`."""
    text, files = economy.configuration(env, {"idle": 160, "greedy": 224}, ["min = 32M", "balloon = no"], files)
    return env.image(f"[ballast]\nswap = {swap}\n" + text, files)


def idle_and_greedy(env, swap):
    """A machine with counted instructions and two guests, for one of which its memory suffices."""
    return env.machine(two_guests(env, f"{swap.name}p1"), cpus=1, memory_mib=176, icount=5, life_s=3400,
                       extra=swap.arguments())


def begin_idle(machine):
    """The first one is at its shell."""
    machine.expect(PROMPT, 300)
    idle, greedy = (economy.Guest(machine, name) for name in ("idle", "greedy"))
    start_all(machine, ["idle"])
    idle.boot(900)
    return idle, greedy


@suite.test
def test_swap_speed(env):
    """How fast a guest has back what is on the disk, when there is room for it again: in emulated time."""
    swap = make_swap(env)
    with idle_and_greedy(env, swap) as machine:
        idle, greedy = begin_idle(machine)
        match = idle.load("held", f"touch {SPEED_MIB} {SPEED_SEED}", r"exercise: holds .*, first ([0-9a-f]+)\n", 900)
        suite.check(int(match.group(1), 16) == first_word(SPEED_SEED, 0), "what is held is not what is looked for")
        start_all(machine, ["greedy"])
        greedy.boot(900)
        greedy.load("greed", f"touch {SPEED_MIB} 99", r"exercise: holds", 1700)
        wait_for_swapped(machine, idle, SPEED_MIB * 256 // 4)
        destroy_all(machine, ["greedy"])
        before = on_disk(machine, "idle")
        begin = float(idle.run("echo at $(cat /proc/uptime)", UPTIME, 900).group(1))
        match = idle.order("held", "check", CHECKED, 1700)
        took = float(idle.run("echo at $(cat /proc/uptime)", UPTIME, 900).group(1)) - begin
        pages = before - on_disk(machine, "idle")
        print(f"{pages} pages in {took:.2f} s: {pages / took:.0f} a second")
        suite.check(match.groups() == (str(SPEED_MIB * 256), "0"), f"{match.group(2)} pages are not what they were")
        suite.check(pages > SPEED_MIB * 256 // 8, f"only {pages} pages came back")
        economy.end(machine, ["idle"])
    is_cipher(swap, SPEED_SEED, SPEED_MIB * 256)


@suite.test
def test_swap_trial(env):
    """Swap in a file of the boot volume, for benches without a disk."""
    file = os.path.join(env.workdir, "swap.img")
    with open(file, "wb") as zeroes:
        zeroes.truncate(TRIAL_MIB << 20)
    image = two_guests(env, "/swap.img, trial", [(file, "/swap.img")])
    with env.machine(image, cpus=1, memory_mib=176 + TRIAL_MIB, life_s=900) as machine:
        idle, greedy = begin_idle(machine)
        idle.load("held", f"touch {TRIAL_HELD_MIB} {SPEED_SEED}", r"exercise: holds", 300)
        start_all(machine, ["greedy"])
        greedy.boot(300)
        greedy.load("greed", f"touch {TRIAL_HELD_MIB} 99", r"exercise: holds", 600)
        wait_for_swapped(machine, idle, TRIAL_HELD_MIB * 256 // 8)
        for guest, load in ((idle, "held"), (greedy, "greed"), (idle, "held")):
            match = guest.order(load, "check", CHECKED, 600)
            suite.check(match.groups() == (str(TRIAL_HELD_MIB * 256), "0"), f"{guest.name}: {match.group(0)}")
        print("\n".join(machine.command("mem", 60)))
        economy.end(machine, ["idle", "greedy"])


def console_of(machine):
    with open(os.path.join(machine.workdir, "console.raw"), encoding="utf-8", errors="replace") as file:
        return file.read()


@suite.test
def test_swap_fails(env):
    """The disk fails in the middle: whose pages cannot be read back ends with that as its reason, others go on."""
    swap = make_swap(env, errors=range(150, 4000))
    with idle_and_greedy(env, swap) as machine:
        idle, greedy = begin_idle(machine)
        idle.run("dd if=/dev/urandom of=/held bs=1M count=40 && echo held $((6*7))", r"^held 42", 900)
        start_all(machine, ["greedy"])
        greedy.boot(900)
        with greedy:
            greedy.fresh()
            machine.send_line("dd if=/dev/urandom of=/held bs=1M count=80 && echo held $((6*7))")
        # It may have been said at any time before.
        while "fails again and again: nothing more is written" not in console_of(machine):
            machine.pump(2)
        lost = on_disk(machine, "idle")
        suite.check(lost > 256, f"only {lost} pages are on the disk that failed")
        destroy_all(machine, ["greedy"])
        machine.send_line("vm console idle")
        # What is on the disk may be memory that the guest has free: it uses that, too.
        machine.send_line("exercise touch 60 1 </dev/null; cat /held >/dev/null")
        # Its console ends with it.
        machine.expect(r"vm idle: stopped: a page of its memory could not be read back", 900)
        machine.expect(PROMPT, 120)
        # The machine goes on, without swapping.
        start_all(machine, ["greedy"])
        greedy.boot(900)
        greedy.run("echo alive $((6*7))", r"^alive 42")
        economy.end(machine, ["idle", "greedy"])
