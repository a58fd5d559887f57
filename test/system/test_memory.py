# SPDX-License-Identifier: BSD-2-Clause
"""Memory that a Debian guest gives up: to its balloon, by free-page reporting, and what it gets back when in need. And
memory that is plugged in and unplugged while it runs.
"""

import copy
import re

import guests
import suite
from economy import UNITS
from test_console import LEAVE, PROMPT, power_off, says

SIZE = r"([\d.]+) ([KMG]iB)"
TROUBLE = rf"{guests.TROUBLE}|Out of memory|out of memory|No space left"


class Guest:
    """The guest `linux`, in whose shell this terminal is but within these functions."""

    def __init__(self, machine, memory_mib):
        self.machine = machine
        self.memory, self.half = memory_mib, memory_mib // 2
        self.entered = 0

    def does(self, line, wanted, timeout_s=180):
        return guests.does(self.machine, line, wanted, timeout_s, TROUBLE)

    def available_mib(self):
        return int(self.does("awk '/MemAvailable/ {print \"available\", int($2 / 1024), \"MiB\"}' /proc/meminfo",
                             r"^available (\d+) MiB$").group(1))

    def leave(self):
        """To Ballast's shell."""
        self.machine.send(LEAVE)
        self.machine.expect(PROMPT, 60)

    def enter(self):
        """Back to the guest's. What it wrote before is shown once more: so there is a word that is new."""
        self.entered += 1
        self.machine.send_line("vm console linux")
        self.machine.expect(r"^--- console of vm linux", 30)
        self.does(f"echo back-$(({self.entered}))", rf"^back-{self.entered}$")

    def figures(self):
        """MiB of this guest in use; in its balloon; wanted there; reported free. In Ballast's shell."""
        shown = says(self.machine, "vm show linux")
        match = re.search(rf"given, {SIZE} in use.*\n  balloon +{SIZE} of {SIZE} wanted, {SIZE} reported free.*"
                          rf"; {SIZE} of {SIZE} available", shown)
        suite.check(match, f"vm show does not tell what it should of the balloon:\n{shown}")
        return [float(number) * UNITS[unit] for number, unit in zip(match.groups()[0:8:2], match.groups()[1:8:2])]

    def look(self):
        self.leave()
        figures = self.figures()
        self.enter()
        return figures

    def balloon(self, mib):
        """Let the guest do without so many MiB, but for the hole below 1 MiB: what it has in use then."""
        return self.wait(f"{mib} MiB in the balloon",
                         lambda _used, taken, wanted, _told: taken == wanted and mib - 1 <= wanted <= mib, 180,
                         f"vm set linux memory={self.memory - mib}M")

    def wait(self, what, met, timeout_s, command=None):
        """Perhaps a command; then until the figures are such: MiB in use."""
        self.leave()
        if command:
            self.machine.send_line(command)
            self.machine.expect(PROMPT, 60)
        until = self.machine.seconds() + timeout_s
        figures = self.figures()
        while not met(*figures):
            if self.machine.seconds() > until:
                raise self.machine.failure(f"{what}: not within {timeout_s} s; in use, taken, wanted, reported: {figures}")
            self.machine.pump(0.5)
            figures = self.figures()
        self.enter()
        return figures[0]


def fill(guest, name, mib):
    """A file of so much, in memory, of the block that is there."""
    guest.does(f"cat $(yes /m/block | head -{mib}) >/m/{name}; stat -c %s /m/{name}", rf"^{mib << 20}$", 300)


def boot(env, memory_mib, cmdline="", more=()):
    """A machine with the guest `linux`, which has so much memory and virtio drivers, in its shell."""
    guest = copy.copy(guests.ALL["debian-virtio"])
    guest.memory_mib = memory_mib
    guest.cmdline += cmdline
    conf, files = suite.conf_section("linux", guest, autostart=True, more=more)
    machine = env.machine(env.image(conf, files), 900)
    machine.expect(r"^GUEST-OK", guest.timeout_s, guests.KERNEL_DEATH)
    machine.expect(guests.SHELL, 60)
    return machine


def reports(guest):
    """What has been in use and is free again is reported, in large pieces and after two seconds or so."""
    fill(guest, "junk", guest.memory * 55 // 100)
    used, _, _, reported = guest.look()
    guest.does("rm /m/junk; echo removed $?", r"^removed 0$")
    guest.wait("the guest reports what is free", lambda now, _b, _w, told:
               now < used - guest.memory * 0.45 and told > reported + guest.memory * 0.45, 120)


def inflates(guest):
    """What is free in pieces too small for a report goes into the balloon: MiB available before, and after."""
    guest.does(f"for i in $(seq {guest.memory // 5}); do cat /m/block >>/m/even; cat /m/block >>/m/odd; done;"
               " echo filled $?", r"^filled 0$", 400)
    guest.does("rm /m/odd; echo removed $?", r"^removed 0$")
    before = guest.available_mib()
    used = guest.look()[0]
    now = guest.balloon(guest.half)
    suite.check(now < used - guest.memory * 0.15, f"with {guest.half} MiB in the balloon {now} MiB are in use, before {used}")
    after = guest.available_mib()
    suite.check(after < before - guest.half * 0.9, f"the guest has {after} MiB available, and had {before} without balloon")
    return before, after


def helps_in_need(guest, available):
    """The guest takes out what it needs, and nothing is killed."""
    fill(guest, "need", available + guest.memory * 5 // 100)
    taken = guest.look()[1]
    suite.check(taken < guest.half - 4, f"the guest needed memory, and left {taken} MiB in its balloon")
    guest.does("rm /m/need /m/even; echo removed $?", r"^removed 0$")


def deflates(guest, available):
    """All of it comes back, and can be used."""
    guest.balloon(0)
    until = guest.machine.seconds() + 60
    # What the guest reports as free just now, up to 64 MiB, it does not count.
    while (now := guest.available_mib()) <= available:
        suite.check(guest.machine.seconds() < until,
                    f"the guest has {now} MiB available again, and {available} and more are its")
        guest.machine.pump(1)
    fill(guest, "junk", guest.memory // 8)
    guest.does("head -c 1048576 /m/junk | cmp - /m/block; echo compared $?", r"^compared 0$")


@suite.test
def test_balloon(env):
    """Half of a guest's memory goes into its balloon and comes back; free pages are reported; what it keeps is intact."""
    memory = 320 if env.is_bochs() else 512
    with boot(env, memory) as machine:
        guest = Guest(machine, memory)
        guest.does(f"mkdir /m; mount -t tmpfs -o size={memory}M none /m; echo mounted $?", r"^mounted 0$")
        guest.does("cat /sys/bus/virtio/drivers/virtio_balloon/virtio*/device", r"^0x0005$")
        guest.does("for i in block kept; do dd if=/dev/urandom of=/m/$i bs=64k count=16 2>/dev/null; done; echo made $?",
                   r"^made 0$")
        guest.does("for i in 1 2 3; do cat /m/kept /m/kept >/m/more; mv /m/more /m/kept; done; echo made $?", r"^made 0$")
        md5 = guest.does("md5sum /m/kept", r"^([0-9a-f]{32})  /m/kept$").group(1)
        reports(guest)
        before, after = inflates(guest)
        guest.does("md5sum /m/kept", rf"^{md5}  /m/kept$")
        helps_in_need(guest, after)
        deflates(guest, before)
        guest.does("md5sum /m/kept", rf"^{md5}  /m/kept$")
        machine.send_line("poweroff")
        machine.expect(r"^vm linux: powered off", 60, TROUBLE)
        machine.expect(PROMPT, 30)
        power_off(machine)


def memory_of(guest):
    """MiB that the guest knows of."""
    return int(guest.does("awk '/MemTotal/ {print \"total\", int($2 / 1024), \"MiB\"}' /proc/meminfo",
                          r"^total (\d+) MiB$").group(1))


def plugged(machine):
    """MiB plugged in, and wanted so; in Ballast's shell."""
    shown = says(machine, "vm show linux")
    match = re.search(rf"^  hotplug +{SIZE} of {SIZE} wanted plugged in$", shown, re.MULTILINE)
    if not match and re.search(r"^  hotplug +0 B of 0 B wanted plugged in$", shown, re.MULTILINE):
        return 0, 0
    suite.check(match, f"vm show does not tell what it should of what is plugged in:\n{shown}")
    return float(match.group(1)) * UNITS[match.group(2)], float(match.group(3)) * UNITS[match.group(4)]


def set_memory(guest, mib, more):
    """Let the guest have so much, so much of which is plugged in when it is done."""
    machine = guest.machine
    guest.leave()
    says(machine, f"vm set linux memory={mib}M")
    until = machine.seconds() + 180
    while plugged(machine) != (more, more):
        if machine.seconds() > until:
            raise machine.failure(f"the guest was given {mib} MiB, and did not come to {more} MiB plugged in")
        machine.pump(0.5)
    guest.enter()


@suite.test
def test_hotplug(env):
    """A guest of 256 MiB grows to 640 and shrinks again, uses what it got, and what it gives up is the machine's."""
    with boot(env, 256, " memhp_default_state=online_movable", ["maxmem = 768M", "hotplug = yes"]) as machine:
        guest = Guest(machine, 256)
        before = memory_of(guest)
        suite.check(before < 256, f"the guest was to boot with 256 MiB, and has {before}")
        guest.does("mkdir /m; mount -t tmpfs -o size=512M none /m; echo mounted $?", r"^mounted 0$")
        guest.does("dd if=/dev/urandom of=/m/block bs=64k count=16 2>/dev/null; echo made $?", r"^made 0$")
        set_memory(guest, 640, 384)
        now = memory_of(guest)
        suite.check(now == before + 384, f"the guest has {now} MiB; it had {before}, and 384 were plugged in")
        fill(guest, "junk", 320)
        guest.does("tail -c 1048576 /m/junk | cmp - /m/block; echo compared $?", r"^compared 0$")
        full = guest.look()[0]
        guest.does("rm /m/junk; echo removed $?", r"^removed 0$")
        set_memory(guest, 256, 0)
        now = memory_of(guest)
        suite.check(now == before, f"the guest has {now} MiB, and {before} before anything was plugged in")
        guest.wait("the machine has back what was unplugged", lambda used, _b, _w, _t: used < full - 300, 30)
        guest.does("cmp /m/block /m/block && md5sum /m/block | wc -l", r"^1$")
        set_memory(guest, 768, 512)
        fill(guest, "junk", 320)
        guest.does("tail -c 1048576 /m/junk | cmp - /m/block; echo compared $?", r"^compared 0$")
        machine.send_line("reboot")
        machine.expect(r"^GUEST-OK", guests.ALL["debian-virtio"].timeout_s, guests.KERNEL_DEATH)
        machine.expect(guests.SHELL, 60)
        set_memory(guest, 640, 384)
        machine.send_line("poweroff")
        machine.expect(r"^vm linux: powered off", 60, TROUBLE)
        machine.expect(PROMPT, 30)
        power_off(machine)
