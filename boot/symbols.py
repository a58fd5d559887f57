#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Write the assembly source of the symbol table that host/symbols.h describes.

Usage: symbols.py NM PROGRAM OUT.S   (without a PROGRAM that exists: an empty table)
"""
import subprocess
import sys

NAME_BYTES = 63


def functions(nm, program):
    """(address, name) of each function in text, one name an address, by address."""
    output = subprocess.run([nm, "--numeric-sort", "--defined-only", program],
                            check=True, capture_output=True, text=True).stdout
    start, found = None, {}
    for line in output.splitlines():
        address, kind, name = line.split()
        if name == "image_text":
            start = int(address, 16)
        if kind in "tTwW" and name != "image_text" and not name.startswith((".", "trap_stubs")):
            found.setdefault(int(address, 16), set()).add(name)
    return [(address - start, min(names)) for address, names in sorted(found.items())
            if address >= start]


def leb128(value):
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def encode(symbols):
    out, last_address, last_name = bytearray(), 0, ""
    for address, name in symbols:
        name = name[:NAME_BYTES]
        shared = 0
        while shared < min(len(name), len(last_name)) and name[shared] == last_name[shared]:
            shared += 1
        out += leb128(address - last_address) + bytes([shared]) + name[shared:].encode() + b"\0"
        last_address, last_name = address, name
    return bytes(out)


def main():
    nm, program, target = sys.argv[1:4]
    table = encode(functions(nm, program)) if program != "-" else b""
    with open(target, "w", encoding="ascii") as out:
        out.write('\t.section .symbol_table, "a"\n'
                  "\t.globl symbol_table, symbol_table_end\n"
                  "\t.hidden symbol_table, symbol_table_end\n"
                  "symbol_table:\n")
        for at in range(0, len(table), 16):
            out.write("\t.byte " + ",".join(str(b) for b in table[at:at + 16]) + "\n")
        out.write('symbol_table_end:\n\t.section .note.GNU-stack, "", @progbits\n')


main()
