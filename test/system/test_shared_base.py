# SPDX-License-Identifier: BSD-2-Clause
"""Several Debian guests on one image: one copy of it is in memory, each guest sees its own writes alone, and the image
stays as it was.
"""

import hashlib
import re

import guests
import suite
from test_console import LEAVE, PROMPT, power_off, says
from test_many import destroy_all, expect, free_mib, start_all
from test_virtio import DROP, ext4_image

MEMORY_MIB = 128
SHELL = f"{guests.QUIET} nokaslr mitigations=off cryptomgr.notests nowatchdog"


def configuration(names, image):
    """All have the same kernel; the last one also has the image itself, to read it."""
    text, files = "", []
    for name in names:
        guest = guests.Guest("virtio64/vmlinuz", None, "virtio64/initrd.gz", SHELL, MEMORY_MIB)
        disks = ["disk = /images/base.img, cow, limit=64M"]
        if name == names[-1]:
            disks.append("disk = /images/base.img, ro")
        section, files = suite.conf_section(name, guest, more=disks)
        text += re.sub(r"= /\w+/(kernel|initrd)", r"= /all/\1", section)
    return text, [(here, "/all/" + there.rsplit("/", 1)[1]) for here, there in files] + [(image, "/images/base.img")]


def talk(machine, name, lines):
    """The guest's shell does each line, which prints what is wanted."""
    machine.send_line(f"vm console {name}")
    machine.expect(rf"vm console {name}\n", 60)
    machine.send("\r")
    expect(machine, name, guests.SHELL, 120)
    for line, wanted in lines:
        machine.send_line(line)
        expect(machine, name, wanted, 300)
        expect(machine, name, guests.SHELL, 60)
    machine.send(LEAVE)
    machine.expect(rf"left the console of vm {name}", 60)
    machine.expect(PROMPT, 60)


def booted(machine, name, timeout_s):
    machine.send_line(f"vm console {name}")
    machine.expect(rf"vm console {name}\n", 60)
    expect(machine, name, r"^GUEST-OK Linux", timeout_s)
    expect(machine, name, guests.SHELL, 120)
    machine.send(LEAVE)
    machine.expect(rf"left the console of vm {name}", 60)
    machine.expect(PROMPT, 60)


def writes(number, md5):
    """What it reads is the image's; what it writes, it finds again after reading the disk anew."""
    return [("mkdir /a; mount -t ext4 /dev/vda /a; ls /a | tr '\\n' ' '; md5sum </a/file", rf"^file lost\+found {md5}  -$"),
            (f"yes guest {number} | head -c {number + 1}000000 >/a/own; rm /a/file; sync; echo done $?", r"^done 0$"),
            (f"umount /a; {DROP}; mount -t ext4 /dev/vda /a; ls /a | tr '\\n' ' '; yes guest {number} | head -c "
             f"{number + 1}000000 | cmp - /a/own && echo same", r"^lost\+found own same$")]


def written_kib(machine, names):
    """By `vm disk list`, for each guest."""
    shown = "\n".join(machine.command("vm disk list", 60))
    found = dict(re.findall(r"^(g\d+) +0 .* cow: (\d+(?:\.\d+)? [KM]iB) of its own", shown, re.MULTILINE))
    suite.check(sorted(found) == sorted(names), f"vm disk list does not tell what each has of its own:\n{shown}")
    return {name: float(text.split()[0]) * (1024 if "M" in text else 1) for name, text in found.items()}


def shared_base(env, count, image_mib, **options):
    names = [f"g{number}" for number in range(count)]
    image, md5 = ext4_image(env, "base.img", f"{image_mib}M", "base")
    with open(image, "rb") as file:
        base_md5 = hashlib.md5(file.read()).hexdigest()
    with env.machine(env.image(*configuration(names, image)), 1700, **options) as machine:
        machine.expect(PROMPT, 300)
        free = free_mib(machine)
        start_all(machine, names)
        for name in names:
            booted(machine, name, 200 + 30 * count)
        for number, name in enumerate(names):
            talk(machine, name, writes(number, md5))
        own = written_kib(machine, names)
        least = [(number + 1) * 1000000 // 1024 for number in range(count)]
        for name, kib in zip(names, least):
            suite.check(kib < own[name] < kib + 3000, f"{name} wrote {kib} KiB and has {own[name]} KiB of its own")
        says(machine, "disk list", rf"^/images/base\.img +{image_mib} MiB +read by {count + 1} ")
        said = says(machine, "mem", r"copy-on-write disks +\d")
        used = free - free_mib(machine)
        talk(machine, names[-1], [("md5sum </dev/vdb", rf"^{base_md5}  -$")])
        destroy_all(machine, names)
        left = free_mib(machine)
        suite.check(left == free, f"{free} MiB were free before, {left} MiB are after all guests were destroyed")
        power_off(machine)
    row = next(line.strip() for line in said.splitlines() if "copy-on-write" in line)
    print(f"{count} guests on one image of {image_mib} MiB, which has not changed: they wrote {sum(least) / 1024:.1f} MiB of "
          f"files and took {used} MiB of free memory with all they run in; {' '.join(row.split())}")


@suite.test
def test_shared_base_2(env):
    shared_base(env, 2, 24)


@suite.test
def test_shared_base_10(env):
    shared_base(env, 10, 256, cpus=4)
