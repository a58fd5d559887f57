#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Proves that crash.py finds what it is there to find, on logs made here: a good one, and the same one as disks
would write it that answer flushes too early, forget them, or lose writes.
"""

import random
import struct
import sys
import tempfile
import zlib

import crash

UNIT = 512


def sector(number, sequence, flushed):
    body = crash.PATTERN.pack(crash.PATTERN_MAGIC, number, sequence, flushed)
    body += bytes((sequence + i) & 0xFF for i in range(crash.SECTOR - 4 - len(body)))
    return body + struct.pack("<I", zlib.crc32(body))


def guest(rounds, seed):
    """What a guest asks for: ("write", first, data) and ("flush",)."""
    rng = random.Random(seed)
    sequence = flushed = 0
    for _ in range(rounds):
        for _ in range(rng.randrange(1, 8)):
            sequence += 1
            first, count = rng.randrange(64), rng.randrange(1, 9)
            yield "write", first, b"".join(sector(first + i, sequence, flushed) for i in range(count))
        yield ("flush",)
        flushed = sequence


def write_log(path, requests):
    with open(path, "wb") as file:
        file.write(crash.SUPER.pack(crash.MAGIC, 1, len(requests), UNIT).ljust(UNIT, b"\0"))
        for request in requests:
            if request[0] == "flush":
                file.write(crash.ENTRY.pack(0, 0, crash.FLUSH, 0).ljust(UNIT, b"\0"))
            else:
                file.write(crash.ENTRY.pack(request[1], len(request[2]) // UNIT, 0, 0).ljust(UNIT, b"\0") + request[2])


def lost(requests):
    with tempfile.NamedTemporaryFile() as file:
        write_log(file.name, requests)
        replay = crash.Replay(crash.read_log(file.name)).run(3000)
        assert replay.points >= 3000
        return replay.lost


def main():
    good = list(guest(40, 7))
    assert not lost(good), lost(good)[:3]
    flushes = [i for i, request in enumerate(good) if request[0] == "flush"]
    # Each flush matters but the last one: after that nobody claims anything.
    for at in flushes[:-1:4]:
        assert lost(good[:at] + good[at + 1 :]), f"a forgotten flush at {at} goes unnoticed"
        assert lost(good[: at - 1] + [good[at], good[at - 1]] + good[at + 1 :]), f"an early flush at {at} goes unnoticed"
    try:
        damaged = list(good)
        damaged[0] = ("write", good[0][1] + 1, good[0][2])
        lost(damaged)
        raise AssertionError("a write in the wrong place goes unnoticed")
    except crash.LogError:
        pass
    print("crash.py finds lost writes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
