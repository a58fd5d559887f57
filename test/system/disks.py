# SPDX-License-Identifier: BSD-2-Clause
"""Disks of the emulated machine, with all their writes recorded or with errors on demand; and a guest that has the
program `diskpattern`.
"""

import gzip
import importlib.machinery
import importlib.util
import json
import os
import subprocess

import benches
import guests
import suite

LOG_BYTES = 2 << 30  # of a log; a sparse file
SECTOR = 512
# The stick is on the controller's port 0 and becomes sata0.
FIRST_SATA_PORT = 2


class Disk:
    """A disk of the machine, and QEMU's arguments for it.

    kind      nvme or sata
    index     of its kind, from 0
    block     bytes of a logical block
    record    all writes and flushes go into `log` as well
    errors    these of its I/Os fail, counted from 1 from when the machine is switched on: reads, writes and flushes
    """

    def __init__(self, env, kind, index=0, mib=32, block=512, record=False, errors=()):
        self.kind, self.index, self.block, self.errors = kind, index, block, sorted(errors)
        self.workdir = env.workdir
        self.name = f"nvme{index}" if kind == "nvme" else f"sata{index + 1}"
        self.path = os.path.join(env.workdir, f"{self.name}.img")
        self.log = os.path.join(env.workdir, f"{self.name}.log") if record else None
        self._make(self.path, mib << 20)
        if record:
            self._make(self.log, LOG_BYTES)

    @staticmethod
    def _make(path, size):
        if os.path.exists(path):
            os.unlink(path)
        with open(path, "wb") as file:
            file.truncate(size)

    def partition(self, *first_and_last):
        """Make a GPT with these partitions, in blocks of 512 bytes."""
        command = ["sgdisk", "-a", "8"]
        for number, (first, last) in enumerate(first_and_last, 1):
            command += ["-n", f"{number}:{first}:{last}"]
        result = subprocess.run([*command, self.path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        suite.check(result.returncode == 0, f"sgdisk: {result.stdout.decode(errors='replace')}")

    def _node(self):
        node = {"driver": "file", "filename": self.path}
        if self.errors:
            node = {"driver": "blkdebug", "image": node, "config": self._rules()}
        if self.log:
            node = {"driver": "blklogwrites", "file": node, "log-sector-size": SECTOR,
                    "log": {"driver": "raw", "file": {"driver": "file", "filename": self.log}}}
        return {"driver": "raw", "node-name": self.name, "file": node}

    def _rules(self):
        """blkdebug's state counts the I/Os, and in some of its states they fail. A file: a thousand are no argument."""
        path = os.path.join(self.workdir, f"{self.name}.blkdebug")
        with open(path, "w", encoding="utf-8") as file:
            for event in ("read_aio", "write_aio", "flush_to_disk"):
                for state in range(1, self.errors[-1] + 1):
                    file.write(f'[set-state]\nevent = "{event}"\nstate = "{state}"\nnew_state = "{state + 1}"\n')
                for state in self.errors:
                    file.write(f'[inject-error]\nevent = "{event}"\nstate = "{state}"\nerrno = "5"\nonce = "on"\n')
        return path

    def arguments(self):
        sizes = f"logical_block_size={self.block},physical_block_size={max(self.block, 4096)}"
        if self.kind == "nvme":
            device = f"nvme,drive={self.name},serial={self.name},{sizes}"
        else:
            device = f"ide-hd,drive={self.name},bus=ide.{FIRST_SATA_PORT + self.index},{sizes}"
        return ["-blockdev", json.dumps(self._node()), "-device", device]


def _archive():
    """test/tools/mkinitrd as a module: it has no suffix."""
    loader = importlib.machinery.SourceFileLoader("mkinitrd", os.path.join(benches.TOOLS, "mkinitrd"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("mkinitrd", loader))
    loader.exec_module(module)
    return module.Archive()


def initrd(env):
    """The initial root file system of the guest with virtio drivers, and diskpattern in /bin."""
    program = os.path.join(env.workdir, "diskpattern")
    source = os.path.join(benches.TOOLS, "guest-root", "diskpattern", "diskpattern.c")
    result = subprocess.run(["gcc", "-std=gnu11", "-O2", "-static", "-s", "-o", program, source], check=False,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    suite.check(result.returncode == 0, f"{source}: {result.stdout.decode(errors='replace')}")
    return initrd_with(env, program)


def initrd_with(env, *programs):
    """The initial root file system of the guest with virtio drivers, and these programs and scripts in /bin."""
    archive = _archive()
    for program in programs:
        with open(program, "rb") as file:
            archive.file(f"bin/{os.path.basename(program)}", file.read(), 0o755)
    path = os.path.join(env.workdir, "initrd.gz")
    with open(path, "wb") as out, open(os.path.join(guests.folder(), "virtio64", "initrd.gz"), "rb") as root:
        # Linux unpacks one archive after the other.
        out.write(root.read() + gzip.compress(archive.finish(), mtime=0))
    return path


def boot(env, disks, uses, life_s=900, **options):
    """A machine with these disks and a guest in its shell, which has `uses` as /dev/vda and so on."""
    guest = guests.Guest("virtio64/vmlinuz", guests.linux_64, None, guests.QUIET, timeout_s=240)
    more = [*(f"disk = {name}" for name in uses), "initrd = /linux/initrd"]
    conf, files = suite.conf_section("linux", guest, autostart=True, more=more)
    image = env.image(conf, [*files, (initrd(env), "/linux/initrd")])
    extra = [argument for disk in disks for argument in disk.arguments()]
    machine = env.machine(image, life_s, extra=extra, **options)
    try:
        machine.expect(r"^GUEST-OK", guest.timeout_s, guests.KERNEL_DEATH)
        machine.expect(guests.SHELL, 60)
    except BaseException:
        machine.stop()
        raise
    return machine


def power_off(machine):
    machine.send_line("poweroff")
    machine.expect(r"^vm linux: ", 60)
    machine.expect(r"^ballast> ", 60)
    machine.send_line("poweroff")
    machine.expect_end(60)
