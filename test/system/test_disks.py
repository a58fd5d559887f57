# SPDX-License-Identifier: BSD-2-Clause
"""The machine's own disks, NVMe and SATA, in a guest's hands: file systems, the power failing, I/O errors."""

import os
import random
import subprocess

import crash
import disks
import suite
from guests import does

# On each disk a partition for the pattern, as long as its area, and one for a file system.
PATTERN = (2048, 2048 + (8 << 20) // disks.SECTOR - 1)
FILES = (20480, (30 << 20) // disks.SECTOR - 1)

MAKE_FILES = ("cd /mnt && for i in $(seq 12); do head -c $((i * 60000)) /dev/urandom >f$i; done && mkdir d && "
              "cp /bin/busybox d/ && md5sum f* d/* >/tmp/sums")


def file_system(machine, device):
    """mkfs, write, sync, mount anew, checksums; and all caches dropped in between."""
    does(machine, f"mkdir -p /mnt; /sbin/mke2fs -q -F -t ext4 {device} && mount {device} /mnt; echo mounted $?",
               r"^mounted 0$", 120)
    does(machine, f"({MAKE_FILES}) && sync && umount /mnt; echo written $?", r"^written 0$", 180)
    does(machine, f"echo 3 >/proc/sys/vm/drop_caches; mount {device} /mnt && cd /mnt && md5sum -c /tmp/sums "
               "| grep -c OK; cd /; umount /mnt; echo checked $?", r"^13\nchecked 0$", 120)


def e2fsck(path, *options):
    result = subprocess.run(["/sbin/e2fsck", "-f", *options, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            check=False)
    return result.returncode, result.stdout.decode(errors="replace")


def check_file_system(whole, what):
    """The file system on the second partition of this image, after its journal was replayed."""
    path = f"{whole}.ext4"
    size = (FILES[1] + 1 - FILES[0]) * disks.SECTOR
    with open(whole, "rb") as source, open(path, "wb") as part:
        source.seek(FILES[0] * disks.SECTOR)
        part.write(source.read(size))
        part.truncate(size)
    replayed, said = e2fsck(path, "-E", "journal_only", "-y")
    suite.check(replayed <= 1, f"{what}: the journal cannot be replayed:\n{said}")
    faults, said = e2fsck(path, "-n")
    suite.check(faults == 0, f"{what}: e2fsck finds faults:\n{said}")


def crashed_file_systems(disk, times, seed):
    """ext4 keeps its promise, which stands on flushes: it is whole whenever the power fails after mkfs."""
    rng, path = random.Random(seed), f"{disk.path}.crashed"
    flushes = crash.flushes_with(disk.log, *FILES)
    for flush in flushes:
        for _ in range(times):
            crash.write_image(disk.log, path, flush, rng)
            check_file_system(path, f"{disk.name}, power gone after flush {flush}")
    print(f"{disk.name}: ext4 is whole after {len(flushes) * times} crashes")
    os.unlink(path)


def write_pattern(machine, device, rounds, seed):
    """The last write of which the guest says that it is flushed. Nothing but fsync writes the page cache back."""
    does(machine, f"echo 0 >/proc/sys/vm/dirty_writeback_centisecs; "
               f"diskpattern write {device} {rounds} {seed} >/tmp/said; echo wrote $?", r"^wrote 0$", 600)
    said = does(machine, "tail -n 1 /tmp/said; tail -n 2 /tmp/said", r"^WRITTEN (\d+)\nFLUSHED (\d+)$", 60)
    does(machine, f"diskpattern verify {device}", rf"^VERIFIED \d+ sectors up to write {said.group(1)}$", 120)
    return int(said.group(2))


def crashes(disk, flushed, points, seed, start=PATTERN[0]):
    replay = crash.Replay(crash.read_log(disk.log, start), seed).run(points, flushed)
    print(f"{disk.name}: {crash.summary(replay)}")
    suite.check(replay.points >= points and replay.due >= flushed > 0, "too little was tried")
    suite.check(not replay.lost, f"{disk.name}: what was flushed is lost")


def files_and_power(env, these, rounds, points):
    for disk in these:
        disk.partition(PATTERN, FILES)
    uses = [disk.name + part for disk in these for part in ("p1", "p2")]
    flushed = []
    with disks.boot(env, these, uses) as machine:
        for i, _ in enumerate(these):
            file_system(machine, f"/dev/vd{'abcdefgh'[2 * i + 1]}")
            flushed.append(write_pattern(machine, f"/dev/vd{'abcdefgh'[2 * i]}", rounds, i + 1))
        disks.power_off(machine)
    for i, disk in enumerate(these):
        check_file_system(disk.path, disk.name)
        crashes(disk, flushed[i], points, i + 1)
        crashed_file_systems(disk, max(1, points // 2000), i + 1)


@suite.test
def test_disks(env):
    """Debian's ext4 on an NVMe and a SATA disk; then the power fails, 1,000 times each."""
    files_and_power(env, [disks.Disk(env, kind, record=True) for kind in ("nvme", "sata")], 60, 1000)


@suite.test
def test_disks_long(env):
    """The same with more of everything."""
    files_and_power(env, [disks.Disk(env, kind, record=True) for kind in ("nvme", "sata")], 600, 6000)


@suite.test
def test_disks_4k(env):
    """NVMe with blocks of 4096 bytes; a SATA disk beside it that has them inside only."""
    disk = disks.Disk(env, "nvme", block=4096, record=True)
    with disks.boot(env, [disk], [disk.name]) as machine:
        does(machine, "cat /sys/block/vda/queue/logical_block_size", r"^4096$", 60)
        file_system(machine, "/dev/vda")
        flushed = write_pattern(machine, "/dev/vda", 60, 5)
        disks.power_off(machine)
    crashes(disk, flushed, 1000, 5, 0)


def errors(env, starts, last, tasks=1):
    """Of the disks' I/Os every second one fails, from the one of `starts` on; what is asked for again succeeds.

    With several tasks several I/Os are under way at once: then SATA's NCQ does not tell which one of them failed, all
    are done again, and the guest does not learn of the error.
    """
    these = [disks.Disk(env, kind, errors=range(start, last + 1, 2)) for kind, start in starts]
    # At most two I/Os of the disk for each of three of the guest; Linux merges tasks' flushes. At the end no error is
    # left.
    count = last // (6 if tasks == 1 else 2) // tasks + 2
    with disks.boot(env, these, [disk.name for disk in these]) as machine:
        for disk, device in zip(these, ("/dev/vda", "/dev/vdb")):
            match = does(machine, f"diskpattern probe {device} {count} {tasks}",
                               r"^PROBED \d+: (\d+) writes, (\d+) flushes, (\d+) reads failed before they succeeded$",
                               600, r"^BAD |Kernel panic|BUG: |Oops: ")
            failed = [int(number) for number in match.groups()]
            print(f"{disk.name}: {sum(failed)} errors reached the guest: {failed} of writes, flushes, reads")
            # The first ones were the firmware's and Ballast's own.
            suite.check(tasks > 1 or min(failed) >= last // 6 - 8, "the guest saw too few errors")
            does(machine, f"diskpattern write {device} 5 3 >/tmp/said; echo wrote $?", r"^wrote 0$", 120)
            does(machine, f"diskpattern verify {device}", r"^VERIFIED ", 60)
        disks.power_off(machine)


@suite.test
def test_disk_errors(env):
    errors(env, (("nvme", 1), ("sata", 2)), 120)


@suite.test
def test_disk_errors_long(env):
    """Each I/O of both disks up to the 1000th fails once."""
    errors(env, (("nvme", 1), ("sata", 2)), 1000)
    errors(env, (("nvme", 2), ("sata", 1)), 1000)


@suite.test
def test_disk_errors_many(env):
    """The same where several I/Os are under way at once."""
    errors(env, (("nvme", 2), ("sata", 1)), 500, 8)
