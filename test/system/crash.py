#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a disk may hold after the power failed, from the log of all its writes and flushes.

The log is QEMU's blklogwrites, in the format of Linux' dm-log-writes. A crash may come after any of its entries. On
the disk is then what was flushed, and of the writes since the last flush any subset, sector by sector.

The writes are those of `diskpattern write`: each sector names itself, the write it belongs to and the last write
whose flush had been reported to the guest when the sector was made up. So a sector in the log proves which writes
must survive every crash from there on; one that does not is a byte lost.

    crash.py LOG [--points N] [--seed N] [--flushed N] [--start N]

--flushed: what the guest said last on its console; it must survive the crash at the log's end. --start: the first
sector of the guest's disk on this one.
"""

import argparse
import random
import struct
import sys
import zlib

SUPER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")
MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD = 1, 2, 4

SECTOR = 512
BLOCK = 4096
PATTERN = struct.Struct("<QQII")
PATTERN_MAGIC = 0x3154415042414C4C


class LogError(Exception):
    """The log cannot be read, or does not hold what it should."""


class Write:
    """sectors: (sector, sequence) of what it put there; sequence 0 is anything that is not of the pattern."""

    def __init__(self, sectors, flushed, fua):
        self.sectors = sectors
        self.flushed = flushed
        self.fua = fua


def parse_sector(number, data):
    """(sequence, flushed) of a sector; (0, 0) when it is not one of the pattern's."""
    magic, named, sequence, flushed = PATTERN.unpack_from(data)
    if magic != PATTERN_MAGIC:
        return 0, 0
    if named != number or zlib.crc32(data[:-4]) != struct.unpack_from("<I", data, SECTOR - 4)[0]:
        raise LogError(f"a write of sector {number} holds a damaged sector of the pattern (its own number: {named})")
    return sequence, flushed


def parse_write(first, data, fua):
    """`first` is counted from the start of the guest's disk: what lies before that is none of the pattern's."""
    sectors, newest = [], 0
    for at in range(0, len(data), SECTOR):
        number = first + at // SECTOR
        if number < 0:
            continue
        sequence, flushed = parse_sector(number, data[at : at + SECTOR])
        sectors.append((number, sequence))
        newest = max(newest, flushed)
    return Write(sectors, newest, fua)


def raw_entries(path):
    """The log's entries in their order: (first sector, data, flags). Sectors that were discarded are zeroes."""
    with open(path, "rb") as file:
        magic, version, count, unit = SUPER.unpack(file.read(SUPER.size))
        if magic != MAGIC or version != 1:
            raise LogError(f"{path} is no log of writes")
        at = unit
        for _ in range(count):
            file.seek(at)
            sector, sectors, flags, _ = ENTRY.unpack(file.read(ENTRY.size))
            at += unit
            sector, sectors = sector * (unit // SECTOR), sectors * (unit // SECTOR)
            data = bytes(sectors * SECTOR) if flags & DISCARD else b""
            if sectors and not flags & DISCARD:
                file.seek(at)
                data = file.read(sectors * SECTOR)
                if len(data) != sectors * SECTOR:
                    raise LogError(f"{path} ends within an entry")
                at += (len(data) + unit - 1) // unit * unit
            yield sector, data, flags


def read_log(path, start=0):
    """The log's entries as Replay wants them: Write, or None for a flush."""
    entries = []
    for sector, data, flags in raw_entries(path):
        if flags & FLUSH:
            entries.append(None)
        if data:
            entries.append(parse_write(sector - start, data, bool(flags & FUA)))
    return entries


def write_image(path, out, flushes, rng):
    """What a disk that was empty may hold if the power fails some time after so many flushes, before the next one.

    Of what was written since, each block of 4 KiB, which disks write as one, is there or not.
    """
    with open(out, "wb") as image:
        for sector, data, flags in raw_entries(path):
            if flags & FLUSH:
                flushes -= 1
                if flushes < 0:
                    return
            at, end = sector * SECTOR, sector * SECTOR + len(data)
            while at < end:
                block_end = min(end, (at // BLOCK + 1) * BLOCK)
                if flushes > 0 or flags & FUA or rng.random() < 0.5:
                    image.seek(at)
                    image.write(data[at - sector * SECTOR : block_end - sector * SECTOR])
                at = block_end


def flushes_with(path, first, last):
    """The numbers of flushes, from 1, after which something was written to these sectors before the next one."""
    found, count = set(), 0
    for sector, data, flags in raw_entries(path):
        count += flags & FLUSH
        if data and sector <= last and sector + len(data) // SECTOR > first:
            found.add(count)
    return sorted(found - {0})


class Replay:
    """Goes along the log and tries crashes."""

    def __init__(self, entries, seed=1):
        self.entries = entries
        self.rng = random.Random(seed)
        self.disk = {}  # sector: sequence, of what is flushed
        self.since = []  # writes since the last flush
        # What must be there: advanced with the highest write that is known to be flushed.
        self.order = sorted((sequence, sector) for entry in entries if entry for sector, sequence in entry.sectors)
        self.taken = 0
        self.due = 0
        self.must = {}
        # The results.
        self.points = self.boundaries = 0
        self.lost = []

    def _require(self, due):
        self.due = max(self.due, due)
        while self.taken < len(self.order) and self.order[self.taken][0] <= self.due:
            sequence, sector = self.order[self.taken]
            self.must[sector] = sequence
            self.taken += 1

    def _take(self, entry):
        if entry is None:
            for write in self.since:
                self.disk.update(write.sectors)
            self.since = []
        else:
            self._require(entry.flushed)
            self.since.append(entry)

    def _after_crash(self):
        """What is on the disk: any part of what was not flushed is lost."""
        disk = dict(self.disk)
        share = self.rng.choice((0, 0.1, 0.5, 0.9, 1))
        for write in self.since:
            if write.fua:
                disk.update(write.sectors)
            elif self.rng.random() < share:
                torn = self.rng.random() < 0.3
                disk.update(item for item in write.sectors if not torn or self.rng.random() < 0.5)
        return disk

    def _check(self, disk, where):
        self.points += 1
        for sector, must in self.must.items():
            if disk.get(sector, 0) < must:
                self.lost.append(f"crash {where}: sector {sector} has write {disk.get(sector, 0)}; {must} was flushed "
                                 f"(all up to {self.due} were)")

    def run(self, points, flushed=None):
        """Crash right before and after each flush, and after random entries, `points` times at least."""
        self.boundaries = sum(entry is None for entry in self.entries)
        crashes = [0] * len(self.entries)
        for _ in range(points - 2 * self.boundaries):
            crashes[self.rng.randrange(len(self.entries))] += 1
        for index, entry in enumerate(self.entries):
            if entry is None:
                self._check(self._after_crash(), f"before the flush at entry {index}")
            self._take(entry)
            if entry is None:
                self._check(self._after_crash(), f"after the flush at entry {index}")
            for _ in range(crashes[index]):
                self._check(self._after_crash(), f"after entry {index}")
        if flushed is not None:
            self._require(flushed)
            self._check(self.disk, "at the end, with what the guest said last")
        return self


def summary(replay):
    writes = sum(entry is not None for entry in replay.entries)
    lines = [f"{writes} writes, {replay.boundaries} flushes, {replay.points} crashes, writes up to {replay.due} due: "
             f"{len(replay.lost)} sectors lost"]
    return "\n".join(lines + replay.lost[:20])


def main():
    parser = argparse.ArgumentParser(prog="crash.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log")
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--flushed", type=int)
    parser.add_argument("--start", type=int, default=0)
    options = parser.parse_args()
    entries = read_log(options.log, options.start)
    replay = Replay(entries, options.seed).run(options.points, options.flushed)
    print(summary(replay))
    return 1 if replay.lost else 0


if __name__ == "__main__":
    sys.exit(main())
