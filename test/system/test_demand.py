# SPDX-License-Identifier: BSD-2-Clause
"""A guest with 4 GiB on a machine with little more: what the machine gives it is what it has touched, no more. With 1.5
GiB on Bochs, which has 2 GiB at most.
"""

import copy
import re

import guests
import suite
from economy import BOCHS_WORDS, UNITS
from test_console import LEAVE, PROMPT, power_off
from test_isolation import table
from test_many import free_mib

ICOUNT_SHIFT = 4  # QEMU: 16 ns an instruction
SPARE_MIB = 512  # that the machine has beyond the guest's
FILES_MIB = (256, 512)  # that the guest writes, one after the other
SLACK_MIB = 64  # of pieces of 2 MiB a part may be unused, and what the kernel unpacked itself in is free again for it


def given_mib(machine):
    """By `vm show`, and by `mem`: rounded to what they print."""
    sizes = []
    for line, pattern in (("vm show linux", r"given, ([\d.]+) ([KMG]iB) in use"),
                          ("mem", r"guests' memory in use +([\d.]+) ([KMG]iB)")):
        said = "\n".join(machine.command(line, 60))
        match = re.search(pattern, said)
        suite.check(match, f"`{line}` does not tell what the guest uses:\n{said}")
        sizes.append(float(match.group(1)) * UNITS[match.group(2)])
    return sizes


class Rows:
    def __init__(self, machine, guest_mib):
        self.machine = machine
        self.guest_mib = guest_mib
        self.free = None
        self.rows = []
        self.entered = 0

    def look(self, what):
        """What the guest says that it does not use, and what the machine says that it gave."""
        match = guests.does(self.machine, "awk '/MemFree/ {print \"free\", $2, \"kB\"}' /proc/meminfo", r"^free (\d+) kB$")
        touched = self.guest_mib - int(match.group(1)) / 1024
        self.machine.send(LEAVE)
        self.machine.expect(PROMPT, 60)
        shown, listed = given_mib(self.machine)
        gone = self.free - free_mib(self.machine)
        self.rows.append((what, f"{touched:.0f}", f"{shown:.0f}", f"{listed:.0f}", gone))
        self.entered += 1
        self.machine.send_line("vm console linux")
        self.machine.expect(r"^--- console of vm linux", 30)
        guests.does(self.machine, f"echo back-$(({self.entered}))", rf"^back-{self.entered}$")
        return touched, shown, listed, gone


@suite.test
def test_demand(env):
    guest = copy.copy(guests.ALL["debian-cloud"])
    guest.memory_mib = 1536 if env.is_bochs() else 4096
    guest.cmdline += BOCHS_WORDS if env.is_bochs() else ""
    conf, files = suite.conf_section("linux", guest)
    options = {} if env.is_bochs() else {"icount": ICOUNT_SHIFT}
    with env.machine(env.image(conf, files), 1200, cpus=1, memory_mib=guest.memory_mib + SPARE_MIB,
                     **options) as machine:
        machine.expect(PROMPT, 240)
        rows = Rows(machine, guest.memory_mib)
        rows.free = free_mib(machine)
        machine.send_line("vm start linux")
        machine.expect(r"^vm linux: started", 60)
        machine.send_line("vm console linux")
        machine.expect(r"^GUEST-OK", 300, guests.KERNEL_DEATH)
        machine.expect(guests.SHELL, 60)
        seen = [rows.look("at its shell")]
        guests.does(machine, f"mkdir /m; mount -t tmpfs -o size={guest.memory_mib}M none /m; echo mounted $?", r"^mounted 0$")
        for mib in FILES_MIB:
            guests.does(machine, f"dd if=/dev/zero of=/m/{mib} bs=1M count={mib} 2>/dev/null; echo wrote $?", r"^wrote 0$", 300)
            seen.append(rows.look(f"{mib} MiB written"))
        table(f"MiB of a guest with {guest.memory_mib} MiB, {rows.free} MiB free before",
              ("when", "not free for the guest", "vm show", "mem", "gone from the free"), rows.rows)
        for touched, shown, listed, gone in seen:
            for other in (shown, listed, gone):
                suite.check(abs(other - touched) <= SLACK_MIB, f"the guest has touched {touched:.0f} MiB, {other:.0f} are given")
        for (touched, before, _, _), (_, after, _, _), mib in zip(seen, seen[1:], FILES_MIB):
            unused = max(0, before - touched)  # which may be part of what is written to
            suite.check(mib - unused <= after - before + 4 <= mib * 1.1 + 8,
                        f"{mib} MiB were written, {after - before:.0f} more are given")
        machine.send_line("poweroff")
        machine.expect(r"^vm linux: powered off", 60)
        machine.expect(PROMPT, 30)
        power_off(machine)
