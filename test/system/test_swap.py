# SPDX-License-Identifier: BSD-2-Clause
"""The disk for guests' memory: which partition may be it, and what becomes of those that may not."""

import hashlib
import re
import subprocess

import disks
import suite

LINUX = (2048, 2048 + (8 << 20) // disks.SECTOR - 1)
SWAP = (20480, 20480 + (16 << 20) // disks.SECTOR - 1)


def make_disk(env):
    """On p1 something that looks like files, on p2 swap space."""
    disk = disks.Disk(env, "nvme")
    disk.partition(LINUX, SWAP)
    result = subprocess.run(["sgdisk", "-t", "1:8300", "-t", "2:8200", disk.path], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, check=False)
    suite.check(result.returncode == 0, f"sgdisk: {result.stdout.decode(errors='replace')}")
    with open(disk.path, "r+b") as file:
        file.seek(LINUX[0] * disks.SECTOR)
        file.write(b"somebody's files" * 512)
        file.seek(SWAP[0] * disks.SECTOR + 4096 - 10)
        file.write(b"SWAPSPACE2")
    return disk


def contents(disk):
    with open(disk.path, "rb") as file:
        return file.read()


def started(env, disk, swap, *lines):
    """A machine with this key says all of these lines, and more later on `mem`; returns what that says."""
    image = env.image(f"[ballast]\nswap = {swap}\n")
    with env.machine(image, 180, extra=disk.arguments()) as machine:
        for line in lines:
            machine.expect(line, 90, r"panic:")
        machine.expect(r"^ballast> ", 60)
        answer = "\n".join(machine.command("mem", 30) + machine.command("disk list", 30))
        machine.send_line("poweroff")
        machine.expect_end(60)
    return answer


@suite.test
def test_swap(env):
    disk = make_disk(env)
    before = contents(disk)
    answer = started(env, disk, "nvme0p2", r"swap: nvme0p2, 16 MiB, with \d+ KiB of memory for its records")
    suite.check(re.search(r"memory on disk nvme0p2 +0 ", answer), f"'mem' does not know of it:\n{answer}")
    suite.check(re.search(r"nvme0p2 .* written ", answer), f"'disk list' does not know of it:\n{answer}")
    for swap, why in (("nvme0p1", r"nvme0p1 is not of the type Linux swap; give it that type"),
                      ("nvme0", r"nvme0 has partitions; name one of them"),
                      ("nvme0p3", r"there is no disk nvme0p3")):
        answer = started(env, disk, swap, rf"swap: {why}", r"guests' memory is not swapped")
        suite.check("memory on disk" not in answer, f"'mem' tells of a swap disk all the same:\n{answer}")
    suite.check(hashlib.sha256(contents(disk)).digest() == hashlib.sha256(before).digest(),
                "a disk was written to that nobody allowed")
    started(env, disk, "nvme0p1, erase", r"swap: nvme0p1, 8 MiB")
    at = LINUX[0] * disks.SECTOR
    suite.check(contents(disk) == before[:at] + bytes(4096) + before[at + 4096:], "more or less was erased than 4 KiB")
