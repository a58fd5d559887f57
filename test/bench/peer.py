# SPDX-License-Identifier: BSD-2-Clause
"""The benchmark's peer: the same bench guest under KVM and QEMU, inside the same emulated machine that Ballast gets.

Debian's cloud kernel is the host there, with an initial root file system of busybox, the KVM modules, and QEMU with
its libraries and firmware. The kernel and the modules come from Debian packages (fetch-peer), QEMU from this machine,
where it must be installed anyway: it is the emulator.
"""

import importlib.machinery
import importlib.util
import os
import re
import shutil
import subprocess

import benches

HERE = os.path.dirname(os.path.abspath(__file__))
FIRMWARE_FOLDERS = ("/usr/share/seabios", "/usr/share/qemu")
FIRMWARE = ("bios-256k.bin", "kvmvapic.bin", "multiboot_dma.bin", "linuxboot_dma.bin")

CMDLINE = "quiet console=ttyS0"

# Bochs refuses the posted-interrupt descriptor that KVM gives to a CPU with APICv.

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
insmod /kvm/irqbypass.ko
insmod /kvm/kvm.ko
if grep -q AuthenticAMD /proc/cpuinfo; then insmod /kvm/kvm-amd.ko; else insmod /kvm/kvm-intel.ko enable_apicv=0; fi
. /run-peer
echo peer: done
sleep 5 # an emulated UART may keep to its bit rate: what was written is not yet sent
poweroff -f
"""

# vapic is a help for guests that knows some by their code; the bench guest is none of them, and would be slowed down.
QEMU = """
qemu() {
	qemu-system-x86_64 -accel kvm -cpu host -L /firmware -nodefaults -vga none -display none -serial stdio \\
		-global kvm-apic.vapic=off -device isa-debug-exit,iobase=0xf4,iosize=4 "$@" </dev/null
}
"""

# Small and large pages behind the guest are two runs: the host's huge pages are off in the second.
RUN_OPS = QEMU + """
echo peer: ops
qemu -m 128 -kernel /ops.elf
echo never >/sys/kernel/mm/transparent_hugepage/enabled
echo peer: touch
qemu -m 128 -kernel /ops.elf -append touch-only
"""


def run_boot(memory_mib, cmdline):
    """What the peer does to boot a kernel."""
    return QEMU + f'qemu -m {memory_mib} -kernel /guest/vmlinuz -initrd /guest/initrd -append "{cmdline}"\n'


def mkinitrd():
    """The archive writer of test/tools/mkinitrd, which is a program without an ending."""
    path = os.path.join(benches.TOOLS, "mkinitrd")
    loader = importlib.machinery.SourceFileLoader("mkinitrd", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("mkinitrd", loader))
    loader.exec_module(module)
    return module


def folder():
    result = subprocess.run([os.path.join(HERE, "fetch-peer")], stdout=subprocess.PIPE, check=False)
    if result.returncode != 0:
        raise benches.BenchError("the benchmark's peer could not be fetched; test/bench/fetch-peer says why")
    return result.stdout.decode().strip()


def _libraries(program):
    """What the dynamic linker will look for, as (path in the archive, file here)."""
    text = subprocess.run(["ldd", program], stdout=subprocess.PIPE, check=True).stdout.decode()
    return sorted(set(re.findall(r"(/\S+)", text)))


class _Tree:
    """Files on their way into the archive, their folders made as needed."""

    def __init__(self, archive):
        self.archive = archive
        self.folders = set()

    def add(self, path, body, mode=0o755):
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if parent not in self.folders:
                self.folders.add(parent)
                self.archive.folder(parent)
        self.archive.file("/".join(parts), body, mode)


def make_initrd(out, ops, run, more=None):
    """Write the initial root file system; run: the shell text of what to do there, more: {path there: file here}."""
    tools = mkinitrd()
    where = folder()
    archive = tools.Archive()
    for name in ("proc", "sys", "dev", "tmp"):
        archive.folder(name)
    archive.character_device("dev/console", 5, 1)
    tree = _Tree(archive)
    tree.add("init", INIT.encode())
    tree.add("run-peer", run.encode())
    tree.add("bin/busybox", tools.read(os.path.join(where, "busybox")))
    for path, here in {**({"ops.elf": ops} if ops else {}), **(more or {})}.items():
        tree.add(path, tools.read(here))
    for name in ("irqbypass", "kvm", "kvm-amd", "kvm-intel"):
        tree.add(f"kvm/{name}.ko", tools.read(os.path.join(where, f"{name}.ko")))
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        raise benches.BenchError("qemu-system-x86_64 is not installed")
    tree.add("bin/qemu-system-x86_64", tools.read(qemu))
    for path in _libraries(qemu):
        tree.add(path, tools.read(path))
    for name in FIRMWARE:
        path = benches.first_existing([os.path.join(place, name) for place in FIRMWARE_FOLDERS], name)
        tree.add(f"firmware/{name}", tools.read(path))
    with open(out, "wb") as file:
        file.write(archive.finish())


def svm_options(workdir, icount=True, plugin=None):
    """The options of the bare bench in which the peer's kernel starts on the emulated CPU that Ballast gets."""
    extra = ["-rtc", "base=2024-01-01T00:00:00,clock=vm", "-m", "2048M", "-smp", "1",
             "-kernel", os.path.join(folder(), "vmlinuz"), "-initrd", os.path.join(workdir, "peer.cpio"),
             "-append", CMDLINE]
    if icount:
        extra += ["-icount", "shift=0,sleep=off"]
    if plugin:
        extra += ["-plugin", plugin]
    return {"cpu": "EPYC,+svm,+npt", "extra": extra}


def _section_end(stub):
    """Where the next section of the PE program may lie."""
    text = subprocess.run(["objdump", "-h", stub], stdout=subprocess.PIPE, check=True).stdout.decode()
    sections = re.findall(r"^ +\d+ \S+ +(\w+)  (\w+)", text, re.MULTILINE)
    return max(int(size, 16) + int(start, 16) for size, start in sections)


def make_efi_program(out, workdir):
    """The peer as one UEFI program, for the bench that has no other way to start a kernel: systemd's stub, with
    kernel, initial root file system and command line as its sections.
    """
    where = folder()
    stub = os.path.join(where, "linuxx64.efi.stub")
    line = os.path.join(workdir, "cmdline.txt")
    with open(line, "w", encoding="ascii") as file:
        file.write(CMDLINE)
    at = _section_end(stub)
    command = ["objcopy"]
    for name, path in ((".cmdline", line), (".linux", os.path.join(where, "vmlinuz")),
                       (".initrd", os.path.join(workdir, "peer.cpio"))):
        at = (at + 0xfffff) & ~0xfffff
        command += ["--add-section", f"{name}={path}", "--change-section-vma", f"{name}={at:#x}"]
        at += os.path.getsize(path)
    subprocess.run(command + [stub, out], check=True)
