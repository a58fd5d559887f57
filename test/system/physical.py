# SPDX-License-Identifier: BSD-2-Clause
"""The whole memory of a machine on QEMU, as a file, and what Ballast's own records say of each of its frames."""

import mmap
import os
import re
import socket
import struct
import subprocess
import sys

import benches

sys.path.insert(0, os.path.join(benches.HERE, "..", "bench"))
import counting  # noqa: E402  pylint: disable=wrong-import-position

PAGE = 4096
REGION_FRAMES = 1 << 18
CHUNK_FRAMES = 512
TAIL = 0xFF
RECORD = struct.Struct("<QBBBBI")  # struct frame: gfn, use, order, slab class, flags, owner
USES = ("Ballast's image, firmware, reserved", "free", "free, to be erased", "Ballast's own data", "VMs' structures",
        "guests, private", "guests, shared", "written to disks", "compressed")
RESERVED, FREE, STALE, HOST, VM, GUEST, SHARED, DISK, STORE = range(len(USES))


class Monitor:
    """QEMU's human monitor, at the unix socket that the option `monitor` made."""

    def __init__(self, machine):
        self.socket = socket.socket(socket.AF_UNIX)
        here = os.open(".", os.O_RDONLY)
        try:
            os.chdir(machine.workdir)  # a socket's path is short
            self.socket.connect(machine.options.monitor)
        finally:
            os.fchdir(here)
            os.close(here)
        self.socket.settimeout(120)
        self._answer()

    def _answer(self):
        text = ""
        while not text.rstrip().endswith("(qemu)"):
            data = self.socket.recv(65536)
            if not data:
                raise benches.BenchError("QEMU's monitor has gone")
            text += data.decode(errors="replace")
        return text

    def command(self, line):
        self.socket.sendall(line.encode() + b"\n")
        return self._answer()


class Memory:
    """All RAM of a machine below 2 GiB, at one instant."""

    def __init__(self, machine, monitor, mib, elf):
        self.path = os.path.join(machine.workdir, "memory.bin")
        monitor.command("stop")
        said = monitor.command(f'pmemsave 0 {mib << 20} "{self.path}"')
        monitor.command("cont")
        if not os.path.exists(self.path) or os.path.getsize(self.path) != mib << 20:
            raise benches.BenchError(f"QEMU does not save its memory: {said}")
        with open(self.path, "rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.frames = mib << 20 >> 12
        self.use = bytearray(self.frames)
        self.owner = [0] * self.frames
        self._read_records(elf)

    def close(self):
        self.bytes.close()
        os.unlink(self.path)

    def find_all(self, what):
        at = self.bytes.find(what)
        while at >= 0:
            yield at
            at = self.bytes.find(what, at + 1)

    def _symbols(self, elf):
        text = subprocess.run(["nm", elf], stdout=subprocess.PIPE, check=True).stdout.decode()
        return {name: int(address, 16) for address, name in re.findall(r"^(\w+) \w (\w+)$", text, re.MULTILINE)}

    def _read_records(self, elf):
        """Where the image lies is seen by its code: the firmware's copy of the file has no records."""
        symbols = self._symbols(elf)
        entry, code = counting._entry(elf)  # pylint: disable=protected-access
        for at in self.find_all(code):
            base = at - entry
            if base < 0 or base % PAGE:
                continue
            count, = struct.unpack_from("<I", self.bytes, base + symbols["region_count"])
            regions, = struct.unpack_from("<Q", self.bytes, base + symbols["regions"])
            if 0 < count <= 4 and 0 < regions < len(self.bytes):
                for region in range(count):
                    records, frames = struct.unpack_from("<QI", self.bytes, regions + 16 * region)
                    self._read_region(region * REGION_FRAMES, records, frames)
                return
        raise benches.BenchError("the frames' records are not found in the machine's memory")

    def _read_region(self, first, records, frames):
        at = 0
        while at < frames:
            _, use, order, _, flags, owner = RECORD.unpack_from(self.bytes, records + at * RECORD.size)
            if order == TAIL:
                # No block's head: not memory; of a chunk that was never split nothing else is written.
                at += 1 if flags & 1 or at % CHUNK_FRAMES else CHUNK_FRAMES
                continue
            end = min(at + (1 << order), frames)
            for frame in range(first + at, min(first + end, self.frames)):
                self.use[frame] = use
                self.owner[frame] = owner
            at = end
