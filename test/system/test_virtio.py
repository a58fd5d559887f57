# SPDX-License-Identifier: BSD-2-Clause
"""Debian's virtio drivers: console and randomness, disks of the boot volume, a distribution on its own root disk."""

import hashlib
import os
import re
import shutil
import subprocess

import guests
import suite
from guests import does
from test_console import LEAVE, PROMPT, power_off, says

PORT = "port() { dirname $(grep -l $1 /sys/class/virtio-ports/*/name); }"


def boot(env, more=(), files=(), life_s=600, **options):
    """A machine with the guest `linux` in its shell, and this terminal at its serial port."""
    guest = guests.ALL["debian-virtio"]
    conf, own = suite.conf_section("linux", guest, autostart=True, more=more)
    machine = env.machine(env.image(conf, [*own, *files]), life_s, **options)
    machine.expect(r"^GUEST-OK", guest.timeout_s, guests.KERNEL_DEATH)
    machine.expect(guests.SHELL, 60)
    return machine


@suite.test
def test_virtio_console(env):
    """Random bytes, a shell on hvc0, lines in Ballast's log."""
    with boot(env, ("console", "rng")) as machine:
        does(machine, "cat /sys/class/misc/hw_random/rng_current", r"^virtio_rng\.0$")
        does(machine, "head -c 5000 /dev/hwrng | wc -c", r"^5000$")
        does(machine, "for i in 1 2 3; do head -c 32 /dev/hwrng | md5sum; done | sort -u | wc -l", r"^3$")
        machine.send_line(PORT)
        machine.expect(guests.SHELL, 30)
        does(machine, "echo lines for the log >/dev/$(basename $(port org.ballast.log)); echo sent $?",
             r"^sent 0$")
        # More than is let through: it costs the guest nothing, and the log no more than it is to have.
        does(machine, "seq 100 | sed s/^/flood/ >/dev/$(basename $(port org.ballast.log)); echo sent $?", r"^sent 0$")
        machine.send(LEAVE)
        machine.expect(PROMPT, 30)
        log = says(machine, "log 100", r"vm linux: log: lines for the log$", r"vm linux: log: flood1$")
        suite.check(log.count(": flood") <= 12, f"the log has more of the guest's lines than it should:\n{log}")
        hvc(machine)
        says(machine, "vm show linux", r"virtio +console, rng")
        machine.send_line("vm stop linux")
        machine.expect(r"^vm linux: stopped", 30)
        power_off(machine)


def hvc(machine):
    machine.send_line("vm console linux hvc0")
    machine.expect(r"^--- console of vm linux hvc0: ", 30)
    machine.send("\r")
    machine.expect(guests.SHELL, 60)
    does(machine, "echo on $(tty)", r"^on /dev/hvc0$")
    words = " ".join(str(i) for i in range(100, 160))
    does(machine, f"set -- {words}; echo $# $1 ${{60}}", r"^60 100 159$")
    # Output faster than the serial line: nothing is lost, and none of it comes twice.
    machine.send_line("seq 10001 13000")
    machine.expect(r"^10001$", 60)
    start = machine.position
    match = machine.expect(r"^13000$", 120)
    numbers = re.findall(r"^\d+$", machine.text[start : match.start()], re.MULTILINE)
    suite.check(numbers == [str(n) for n in range(10002, 13000)], f"hvc0 lost some output: {len(numbers)} lines")
    machine.expect(guests.SHELL, 60)
    machine.send_line("sh -c 'echo ready; exec sleep 1000'")
    machine.expect(r"^ready$", 60)
    machine.send("\x03")
    machine.expect(guests.SHELL, 60)
    machine.send(LEAVE)
    machine.expect(PROMPT, 30)
    machine.send_line("vm console linux com1")
    machine.expect(r"^--- console of vm linux: ", 30)
    does(machine, "echo on $(tty)", r"^on /dev/(ttyS0|console)$")
    machine.send(LEAVE)
    machine.expect(PROMPT, 30)


def ext4_tree(env, name, size, files, options=()):
    """An ext4 file system with these files, of name and content; its path."""
    tree = os.path.join(env.workdir, f"{name}.tree")
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(tree)
    for file_name, content in files.items():
        with open(os.path.join(tree, file_name), "wb") as file:
            file.write(content)
    out = os.path.join(env.workdir, name)
    if os.path.exists(out):
        os.unlink(out)
    made = subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", *options, "-d", tree, out, size],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    suite.check(made.returncode == 0, f"mke2fs: {made.stdout.decode(errors='replace')}")
    return out


def ext4_image(env, name, size, seed):
    """An ext4 file system with one file of 1 MiB; the path, and the file's MD5."""
    content = hashlib.sha512(seed.encode()).digest() * (1024 * 1024 // 64)
    return ext4_tree(env, name, size, {"file": content}), hashlib.md5(content).hexdigest()


OWN = r"(?:4\d\d\d KiB|[45](?:\.\d+)? MiB)"  # what the guest wrote, and the file system's own for it
DROP = "echo 3 >/proc/sys/vm/drop_caches"


@suite.test
def test_virtio_disk(env):
    """A file system in the boot volume, with cow: written, synced, mounted again; committed, and discarded."""
    image, md5 = ext4_image(env, "data.img", "12M", "data")
    with boot(env, ["disk = /images/data.img, cow, limit=64M"], [(image, "/images/data.img")]) as machine:
        plugged(machine)
        does(machine, "cat /sys/block/vda/size /sys/block/vda/ro /sys/block/vdb/ro", r"^24576\n0\n1$")
        does(machine, "cat /sys/block/vda/serial; echo", r"^ballast-0")
        machine.send_line("mkdir /a /b; mount -t ext4 /dev/vda /a; mount -t ext4 -o ro /dev/vdb /b")
        machine.expect(guests.SHELL, 60)
        does(machine, "md5sum /a/file /b/file", rf"^{md5}  /a/file\n{md5}  /b/file$")
        sums = does(machine, "dd if=/dev/urandom of=/a/new bs=64k count=64 2>/dev/null; sync; md5sum /a/new",
                    r"^([0-9a-f]{32})  /a/new$").group(1)
        does(machine, f"umount /a; {DROP}; mount -t ext4 /dev/vda /a; md5sum /a/new", rf"^{sums}  /a/new$")
        does(machine, f"umount /b; {DROP}; mount -t ext4 -o ro /dev/vdb /b; ls /b | tr '\\n' ' '; echo",
             r"^file lost\+found $")
        does(machine, "umount /a /b; echo gone $?", r"^gone 0$")
        guest_off(machine)
        says(machine, "vm disk list linux", rf"^linux +0 +/images/data\.img +12 MiB +cow: {OWN} of its own of 64 MiB$",
             r"^linux +1 +/images/data\.img +12 MiB +ro$")
        says(machine, "disk list", r"^/images/data\.img +12 MiB +read by 2 ")
        says(machine, "mem", rf"copy-on-write disks +{OWN}")
        mistakes(machine)
        commits(machine)
        written_to_base(machine, sums)
        guest_off(machine)
        says(machine, "vm disk discard linux 0", r"disk 0 of vm linux is as its base again")
        says(machine, "vm disk list linux", r"^linux +0 .* cow: 0 KiB of its own")
        power_off(machine)


def plugged(machine):
    """A second disk, while the guest runs."""
    machine.send(LEAVE)
    machine.expect(PROMPT, 30)
    says(machine, "vm disk add linux /images/data.img, ro", r"^vm linux has disk 1$")
    machine.send_line("vm console linux")
    machine.expect(r"^--- console of vm linux", 30)
    does(machine, "until [ -b /dev/vdb ]; do sleep 1; done; echo it is there", r"^it is there$")


def guest_off(machine):
    machine.send_line("poweroff")
    machine.expect(r"^vm linux: powered off", 60)
    machine.expect(PROMPT, 30)


def mistakes(machine):
    """Each names the disk, and says what to do."""
    says(machine, "vm create bad like=linux disk=/images/data.img,cwo", r"'cwo' is not known; did you mean 'cow'\?")
    says(machine, "vm create bad like=linux disk=/images/no.img", r"disk /images/no\.img is not in memory; there are: ")
    for disk, reason in (("nvme0p9", r"there is no such disk; 'disk list' shows those there are"),
                         ("/images/data.img", r"vm linux relies on it; take it with cow or ro, or 'vm destroy linux' first")):
        machine.send_line(f"vm create bad like=linux disk={disk}")
        machine.expect(r"^vm bad: created", 30)
        machine.send_line("vm start bad")
        machine.expect(rf"^vm bad: could not start: disk '{disk}': {reason}", 30)
        machine.send_line("vm destroy bad")
        machine.expect(r"^vm bad: destroyed", 30)
        machine.expect(PROMPT, 30)


def commits(machine):
    """Only when nobody reads the base: the guest's second disk does."""
    says(machine, "vm disk commit linux 0", r"another of this VM's disks relies on its base")
    machine.send_line("vm set linux disk=/images/data.img,cow,limit=64M")
    machine.expect(PROMPT, 30)
    machine.send_line("vm disk commit linux 0")
    machine.expect(rf"^vm linux: disk 0: {OWN} written to /images/data\.img", 60)
    machine.expect(PROMPT, 30)
    says(machine, "vm disk list linux", r"^linux +0 .* cow: 0 KiB of its own")


def written_to_base(machine, md5):
    """The guest anew, on the base that it has changed; and a file system of its own making."""
    machine.send_line("vm destroy linux")
    machine.expect(r"^vm linux: destroyed", 30)
    machine.send_line("vm start linux")
    machine.expect(r"^vm linux: started", 30)
    machine.send_line("vm console linux")
    machine.expect(r"^GUEST-OK", 240, guests.KERNEL_DEATH)
    machine.expect(guests.SHELL, 60)
    does(machine, "mkdir /a; mount -t ext4 /dev/vda /a; md5sum /a/new", rf"^{md5}  /a/new$")
    does(machine, "umount /a; /sbin/mke2fs -q -F -t ext4 /dev/vda && mount -t ext4 /dev/vda /a && ls -a /a | wc -l", r"^3$")
    does(machine, f"seq 9999 >/a/numbers; sync; {DROP}; md5sum </a/numbers; seq 9999 | md5sum",
         r"^([0-9a-f]{32})  -\n\1  -$")
    does(machine, "umount /a; echo gone $?", r"^gone 0$")


@suite.test
def test_distribution(env):
    """Debian 12 as debootstrap installs it: its initramfs finds the root disk by UUID, systemd brings up a login."""
    where = os.path.join(guests.folder("debian-disk"), "debian-disk")
    with open(os.path.join(where, "uuid"), encoding="ascii") as file:
        uuid = file.read().strip()
    # On an emulated machine udev may take longer than systemd would wait for it.
    patience = "systemd.default_timeout_start_sec=900 systemd.default_device_timeout_sec=900"
    conf = (f"[vm debian]\nmemory = 384M\nkernel = /d/vmlinuz\ninitrd = /d/initrd.img\nautostart = yes\nrng\n"
            f"cmdline = root=UUID={uuid} ro console=ttyS0 quiet {patience}\ndisk = /d/disk.img, cow\n")
    files = [(os.path.join(where, name), f"/d/{name}") for name in ("vmlinuz", "initrd.img", "disk.img")]
    with env.machine(env.image(conf, files), 1500) as machine:
        log_in(machine)
        machine.send_line("findmnt -no SOURCE,FSTYPE /; uname -r >/root/kept; sync; systemctl poweroff")
        machine.expect(r"^/dev/vda +ext4", 60, guests.KERNEL_DEATH)
        machine.expect(r"^vm debian: powered off", 180, guests.KERNEL_DEATH)
        machine.expect(PROMPT, 30)
        # What it wrote is its own, and there when it starts again.
        machine.send_line("vm start debian")
        machine.expect(r"^vm debian: started", 30)
        machine.send_line("vm console debian")
        machine.expect(r"reboot: Power down", 30)  # what is shown again ends there
        log_in(machine)
        machine.send_line("cmp /root/kept /proc/sys/kernel/osrelease && echo kept; journalctl -b -p err -q | wc -l")
        machine.expect(r"^kept$", 60, guests.KERNEL_DEATH)
        machine.send_line("systemctl poweroff")
        machine.expect(r"^vm debian: powered off", 180, guests.KERNEL_DEATH)
        machine.expect(PROMPT, 30)
        says(machine, "vm disk list debian", r"^debian +0 .* cow: \d\S* [KM]iB of its own")
        power_off(machine)


def log_in(machine):
    machine.expect(r"login: ", 600, guests.KERNEL_DEATH)
    machine.send("root\r")
    machine.expect(r"^root@guest:~# ", 120, guests.KERNEL_DEATH)
