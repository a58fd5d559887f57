# SPDX-License-Identifier: BSD-2-Clause
"""Counting executed instructions from outside the emulated machine: the plugin count.c, built, given Ballast's
functions, and its output read.
"""

import os
import re
import struct
import subprocess

import benches

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CODE_BYTES = 20  # of the entry point, by which the plugin finds the image in memory
# Local labels of assembly belong to the function before them; GCC's parts of functions stand for themselves.
LOCAL_LABEL = re.compile(r"^\.|^[^.]+\.(?!part|isra|constprop|cold)")


def build_plugin(folder, source):
    """The plugin's path; compiled if need be."""
    out = os.path.join(folder, os.path.basename(source).replace(".c", ".so"))
    newest = max(os.path.getmtime(path) for path in (source, os.path.join(ROOT, "test", "tools", "plugin.h")))
    if not os.path.exists(out) or os.path.getmtime(out) < newest:
        os.makedirs(folder, exist_ok=True)
        command = ["gcc", "-O2", "-Wall", "-Wextra", "-Wshadow", "-shared", "-fPIC", f"-I{ROOT}", "-o", out + ".new",
                   source]
        if subprocess.run(command, check=False).returncode != 0:
            raise benches.BenchError(f"{source} does not compile")
        os.replace(out + ".new", out)
    return out


def functions(elf):
    """Ballast's functions: (start, size, name), sorted."""
    text = subprocess.run(["nm", "-n", elf], stdout=subprocess.PIPE, check=True).stdout.decode()
    found = {}
    end = 0
    for line in text.splitlines():
        words = line.split()
        if len(words) != 3 or words[1] not in "tT":
            continue
        end = max(end, int(words[0], 16))
        if not LOCAL_LABEL.search(words[2]) and words[2] not in ("ImageBase", "image_text"):
            found[int(words[0], 16)] = words[2]
    starts = sorted(found)
    return [(start, following - start, found[start]) for start, following in zip(starts, starts[1:] + [end + 4096])]


def _entry(elf):
    """The entry point of an ELF64 file, and the first bytes there."""
    with open(elf, "rb") as file:
        data = file.read()
    entry, headers = struct.unpack_from("<QQ", data, 24)
    size, count = struct.unpack_from("<HH", data, 54)
    for i in range(count):
        kind, _, offset, address, _, in_file = struct.unpack_from("<IIQQQQ", data, headers + i * size)
        if kind == 1 and address <= entry < address + in_file:
            at = offset + entry - address
            return entry, data[at : at + CODE_BYTES]
    raise benches.BenchError(f"{elf} has no code at its entry point")


def image_argument(elf):
    """What a plugin finds the image by."""
    entry, code = _entry(elf)
    return f"entry={entry:x},code={code.hex()}"


def plugin_argument(workdir, out, elf=None):
    """What to give to QEMU's -plugin; elf is ballast.elf, or None for another hypervisor."""
    argument = f"{build_plugin(workdir, os.path.join(HERE, 'count.c'))},out={out}"
    if elf:
        symbols = os.path.join(workdir, "symbols.txt")
        with open(symbols, "w", encoding="ascii") as file:
            for start, size, name in functions(elf):
                file.write(f"{start:x} {size:x} {name[:63]}\n")
        argument += f",symbols={symbols},{image_argument(elf)},stop=vm_stop"
    return argument


class Exits:
    """The exits of one kind in one section: how many, their host instructions, and those by function."""

    def __init__(self, instruction, handler, count, host):
        self.instruction = instruction
        self.handler = handler
        self.count = count
        self.host = host
        self.functions = {}

    def kind(self):
        """What the guest did; for what is no special instruction, what Ballast made of it."""
        if self.instruction != "other" or self.handler == "-":
            return self.instruction
        return self.handler.removeprefix("exit_")


class Section:
    """What was counted between two marks."""

    def __init__(self, words):
        self.host, self.guest, self.zeroed, self.copied, self.longest = (int(word) for word in words[3::2])
        self.exits = []

    def count(self):
        return sum(exits.count for exits in self.exits)


def sum_functions(many):
    """(instructions, calls) by function of several kinds of exit."""
    sums = {}
    for exits in many:
        for name, (instructions, calls) in exits.functions.items():
            before = sums.get(name, (0, 0))
            sums[name] = (before[0] + instructions, before[1] + calls)
    return sums


def _string_at(data, address):
    """A string of a guest: an ELF32 file's contents at an address."""
    headers, = struct.unpack_from("<I", data, 28)
    size, count = struct.unpack_from("<HH", data, 42)
    for i in range(count):
        kind, offset, start, _, in_file = struct.unpack_from("<IIIII", data, headers + i * size)
        if kind == 1 and start <= address < start + in_file:
            at = offset + address - start
            return data[at : data.index(b"\0", at)].decode()
    return hex(address)


def read(path, guest=None):
    """The plugin's output: sections by name. guest: the ELF file whose marks they are."""
    names = b""
    if guest:
        with open(guest, "rb") as file:
            names = file.read()
    sections = {}
    section = exits = None
    with open(path, encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words[0] == "section":
                name = words[1]
                if name.startswith("0x") and names:
                    name = _string_at(names, int(name, 16))
                section = sections[name] = Section(words)
            elif words[0] == "exit":
                exits = Exits(words[1], words[2], int(words[4]), int(words[6]))
                section.exits.append(exits)
            elif words[0] == "in":
                exits.functions[words[1]] = (int(words[2]), int(words[3]))
    return sections
