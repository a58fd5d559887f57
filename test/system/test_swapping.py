# SPDX-License-Identifier: BSD-2-Clause
"""A machine that is short of memory, guests without balloons whose memory does not compress, and a disk to swap to: what
they hold is more than there is, so much of it goes to the disk and comes back, some of it on its way to a disk of the
guest's own. No byte is lost, nobody is ended.
"""

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


def make_swap(env, mib=SWAP_MIB):
    disk = disks.Disk(env, "nvme", mib=mib + 2)
    disk.partition((2048, 2048 + (mib << 20) // disks.SECTOR - 1))
    result = subprocess.run(["sgdisk", "-t", "1:8200", disk.path], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, check=False)
    suite.check(result.returncode == 0, f"sgdisk: {result.stdout.decode(errors='replace')}")
    return disk


def swapped_kib(said):
    match = re.search(r"guests' memory on disk \S+ +(\d+) ([KMG])iB", said)
    suite.check(match, f"'mem' does not say what is on the disk:\n{said}")
    return int(match.group(1)) * {"K": 1, "M": 1 << 10, "G": 1 << 20}[match.group(2)]


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
