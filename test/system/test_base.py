# SPDX-License-Identifier: BSD-2-Clause
"""Many Debian guests on one image: it is in memory once, for each guest what it wrote comes to that, none sees what
another wrote or removed, and the image is as it was until one of them is told to write to it.
"""

import hashlib
import random
import re

import guests
import suite
from test_console import PROMPT, power_off, says
from test_many import destroy_all, host_cpus, start_all
from test_net import attach, leave, open_console
from test_virtio import DROP, ext4_tree

BASE = "/images/base.img"
READER = "reader"  # has the image without cow, and writes nothing
MEMORY_MIB = 128
CMDLINE = f"{guests.QUIET} nokaslr mitigations=off cryptomgr.notests nowatchdog"
MARK = "the base was here"
MORE_KIB = 1024  # a guest's file system itself, and Ballast's tables, beside the contents of files
CLEAN = ("-E", "lazy_itable_init=0,lazy_journal_init=0")  # else Linux would write what mke2fs left out


class Guest:
    """A VM, and the file that it writes."""

    def __init__(self, number):
        self.name = f"g{number}"
        self.mark = f"{self.name} was here"
        self.kib = (number + 1) * 1024
        line = f"{self.mark}\n".encode()
        content = (line * (self.kib * 1024 // len(line) + 1))[: self.kib * 1024]
        self.md5 = hashlib.md5(content).hexdigest()
        self.own_kib = 0  # by `vm disk list`


class Base:
    """The image: half of it is files that do not compress, one is there to be written by all, one to be removed."""

    def __init__(self, env, mib):
        count = mib // 8
        each = (mib << 20) // 2 // count
        contents = [random.Random(number).randbytes(each) for number in range(count)]
        files = {f"f{number:02}": content for number, content in enumerate(contents)}
        self.names = [*files, "lost+found", "mark", "unloved"]
        self.md5 = hashlib.md5(b"".join(contents)).hexdigest()
        self.mib = mib
        self.path = ext4_tree(env, "base.img", f"{mib}M", {**files, "mark": f"{MARK}\n".encode(), "unloved": b"x"}, CLEAN)
        with open(self.path, "rb") as file:
            self.sha256 = hashlib.sha256(file.read()).hexdigest()


def configuration(those, base):
    """All have the same kernel."""
    text, files = "", []
    for name in (*(guest.name for guest in those), READER):
        guest = guests.Guest("virtio64/vmlinuz", None, "virtio64/initrd.gz", CMDLINE, MEMORY_MIB)
        how = "ro" if name == READER else "cow"
        section, files = suite.conf_section(name, guest, more=[f"disk = {BASE}, {how}"], folder="all")
        text += section
    return text, [*files, (base.path, BASE)]


# --- In a guest ---

def come_up(machine, name, timeout_s, again=False):
    """again: after what it said in its life before, which ended in the shell and is shown first."""
    open_console(machine, name)
    machine.expect(r"^guest# GUEST-OK" if again else r"^GUEST-OK", timeout_s, guests.KERNEL_DEATH)
    machine.expect(guests.SHELL, 120)
    leave(machine)


def in_guest(machine, name, *lines):
    """The guest's shell does each line, which prints what is wanted; the last match."""
    attach(machine, name)
    for line, wanted in lines:
        match = guests.does(machine, line, wanted, 300)
    leave(machine)
    return match


def mount(options="rw"):
    return f"mkdir -p /a; mount -t ext4 -o {options} /dev/vda /a; echo mounted $?", r"^mounted 0$"


UNMOUNT = "umount /a; echo gone $?", r"^gone 0$"


def sees(base, guest=None):
    """All that is on the disk, read anew: the base's files, and this guest's or nobody's own."""
    names = sorted({*base.names, "own"} - {"unloved"}) if guest else base.names
    yield f"{DROP}; ls /a | tr '\\n' ' '; echo", rf"^{' '.join(names)} $".replace("+", r"\+")
    yield "cat /a/f* | md5sum", rf"^{base.md5}  -$"
    yield "cat /a/mark", rf"^{guest.mark if guest else MARK}$"
    if guest:
        yield "md5sum </a/own", rf"^{guest.md5}  -$"


def writes(guest):
    """A file of its own, and into one of the base's, where all of them write; and one of the base's goes."""
    return (f"yes '{guest.mark}' | head -c {guest.kib}k >/a/own && echo '{guest.mark}' | dd of=/a/mark conv=notrunc "
            "2>/dev/null && rm /a/unloved && sync; echo wrote $?", r"^wrote 0$")


def hashes_disk(machine):
    return in_guest(machine, READER, (f"{DROP}; cat /dev/vda | sha256sum", r"^([0-9a-f]{64})  -$")).group(1)


# --- What Ballast says ---

def kib(text):
    number, unit = re.fullmatch(r"(\d+) ([KMG])iB", text).groups()
    return int(number) << {"K": 0, "M": 10, "G": 20}[unit]


class Memory:
    """`mem`, in KiB. What is shown in MiB is rounded down."""

    def __init__(self, machine):
        self.said = "\n".join(machine.command("mem", 60))
        self.free = 4 * int(self._find(r"in pages of 4 KiB +(\d+)"))
        self.guests = kib(self._find(r"guests' memory in use +(\d+ \wiB)"))
        self.vms = kib(self._find(r"data about the VMs +(\d+ \wiB)"))
        self.written = kib(self._find(r"copy-on-write disks +(\d+ \wiB)"))
        self.files = kib(self._find(r"files of ballast\.conf +(\d+ \wiB)"))

    def _find(self, pattern):
        match = re.search(pattern, self.said)
        suite.check(match, f"mem does not say {pattern!r}:\n{self.said}")
        return match.group(1)


def own_kib(machine, name):
    shown = "\n".join(machine.command(f"vm disk list {name}", 60))
    match = re.search(rf"^{name} +0 +{BASE} .* cow: (\d+ \wiB) of its own$", shown, re.MULTILINE)
    suite.check(match, f"vm disk list does not tell what {name} has of its own:\n{shown}")
    return kib(match.group(1))


def measure(machine, those, base, before):
    """Memory holds the base once, and what each wrote; prints it."""
    for guest in those:
        guest.own_kib = own_kib(machine, guest.name)
    after = Memory(machine)
    # All that was taken for anything but the VMs themselves.
    taken = before.free - after.free - (after.guests - before.guests) - (after.vms - before.vms)
    wrote, own = sum(guest.kib for guest in those), sum(guest.own_kib for guest in those)
    print(f"{len(those)} guests on one base of {base.mib} MiB\nguest   wrote KiB   own KiB")
    for guest in those:
        print(f"{guest.name:5}  {guest.kib:10}  {guest.own_kib:8}")
    print(f"{'all':5}  {wrote:10}  {own:8}\nmemory for disks: {base.mib} MiB for the base, once, and "
          f"{after.written} KiB by `mem`; {taken} KiB less are free, the VMs' own memory left out")
    for guest in those:
        suite.check(guest.kib <= guest.own_kib + 1023 and guest.own_kib < guest.kib + MORE_KIB,
                    f"{guest.name} wrote {guest.kib} KiB, and has {guest.own_kib} KiB of its own")
    suite.check(after.files == before.files, f"the files of ballast.conf took {before.files} KiB, now {after.files}")
    for what, number in (("mem has", after.written), ("there are no longer free", taken)):
        # Of which up to three figures in MiB.
        suite.check(wrote - 3072 <= number < wrote + len(those) * MORE_KIB + 3072,
                    f"the guests wrote {wrote} KiB, and {what} {number} KiB for their disks\n"
                    f"before:\n{before.said}\nnow:\n{after.said}")


# --- The test ---

def all_write(machine, those, base):
    """First all write, and only then all look."""
    for guest in those:
        in_guest(machine, guest.name, mount(), *sees(base), writes(guest))
    for guest in those:
        in_guest(machine, guest.name, UNMOUNT, mount(), *sees(base, guest), UNMOUNT)


def stop(machine, name):
    machine.send_line(f"vm stop {name}")
    machine.expect(rf"^vm {name}: stopped", 60)
    machine.expect(PROMPT, 30)


def discards(machine, guest, base):
    """It is back at the base."""
    stop(machine, guest.name)
    suite.check(own_kib(machine, guest.name) == guest.own_kib, f"{guest.name} lost what it wrote when it stopped")
    says(machine, f"vm disk discard {guest.name} 0", rf"^disk 0 of vm {guest.name} is as its base again$")
    suite.check(own_kib(machine, guest.name) == 0, "discarded, and still there")
    start_all(machine, [guest.name])
    come_up(machine, guest.name, 240, again=True)
    in_guest(machine, guest.name, mount(), *sees(base), UNMOUNT)


def commits(machine, guest, others, base):
    """Not while others rely on the base; then whoever comes sees what the guest wrote."""
    stop(machine, guest.name)
    says(machine, f"vm disk commit {guest.name} 0",
         rf"^vm disk commit: vm {others[0]} relies on its base; 'vm destroy {others[0]}' first$")
    suite.check(own_kib(machine, guest.name) == guest.own_kib, "a refused commit has changed something")
    suite.check(hashes_disk(machine) == base.sha256, "a refused commit has changed the base")
    destroy_all(machine, others)
    machine.send_line(f"vm disk commit {guest.name} 0")
    machine.expect(rf"^vm {guest.name}: disk 0: \d+ \wiB written to {BASE}$", 120, r"^vm disk commit: [^\n]*")
    machine.expect(PROMPT, 30)
    suite.check(own_kib(machine, guest.name) == 0, "committed, and still its own")
    start_all(machine, [READER])
    come_up(machine, READER, 240)
    in_guest(machine, READER, mount("ro"), *sees(base, guest), UNMOUNT)
    suite.check(hashes_disk(machine) != base.sha256, "the base was written, and has the same hash")


def shared_base(env, count, mib, **options):
    base, those = Base(env, mib), [Guest(number) for number in range(count)]
    names = [*(guest.name for guest in those), READER]
    with env.machine(env.image(*configuration(those, base)), **options) as machine:
        machine.expect(PROMPT, 300)
        before = Memory(machine)
        start_all(machine, names)
        for name in names:
            come_up(machine, name, 240 + 30 * count)
        up = machine.seconds()
        all_write(machine, those, base)
        says(machine, "disk list", rf"^{BASE} +{mib} MiB +read by {count + 1} ")
        measure(machine, those, base, before)
        suite.check(hashes_disk(machine) == base.sha256, "the base is not what it was")
        print(f"sha256 of the base as on the stick: {base.sha256}\nguests up after {up:.0f} s, all of this after "
              f"{machine.seconds():.0f} s")
        discards(machine, those[0], base)
        commits(machine, those[1], [name for name in names if name != those[1].name], base)
        destroy_all(machine, [those[1].name, READER])
        left = Memory(machine)
        suite.check(left.free == before.free, f"{before.free} KiB were free before, {left.free} KiB are after all "
                    f"guests were destroyed\nbefore:\n{before.said}\nnow:\n{left.said}")
        power_off(machine)


@suite.test
def test_base_2(env):
    shared_base(env, 2, 24, life_s=1700)


@suite.test
def test_base_3(env):
    shared_base(env, 3, 24, cpus=host_cpus(env))


@suite.test
def test_base_10(env):
    shared_base(env, 10, 256, cpus=host_cpus(env), memory_mib=4096, life_s=1700)
