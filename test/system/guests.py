# SPDX-License-Identifier: BSD-2-Clause
"""The real guests: what each is started with, and what a conversation with it looks like when it works.

A conversation gets the machine, in which the guest's console is attached, and returns when the guest has shown
what it is there to show. The same conversation is held with the guest alone on QEMU (bench `bare`), which proves
the conversation, and with the guest in Ballast, which proves Ballast.
"""

import os
import subprocess

import benches

SHELL = r"^guest# "


class Guest:
    """files: paths below the folder of fetched guests; None where there is none."""

    def __init__(self, kernel, talk, initrd=None, cmdline="", memory_mib=256, boot="auto", timeout_s=120,
                 vcpus=1):
        self.kernel = kernel
        self.initrd = initrd
        self.cmdline = cmdline
        self.memory_mib = memory_mib
        self.boot = boot
        self.talk = talk
        self.timeout_s = timeout_s
        self.vcpus = vcpus


def linux_shell(machine, guest, machine_name):
    """Linux comes up to busybox' shell, which reads and answers a command; then it is told to power off."""
    # The line is written by userland through the UART's transmit interrupt; printk's lines are polled.
    ok = machine.expect(r"^GUEST-OK Linux (\S+) (\S+) cpus=(\d+) mem=(\d+)kB", guest.timeout_s, KERNEL_DEATH)
    if ok.group(2) != machine_name:
        raise machine.failure(f"GUEST-OK names the machine {ok.group(2)!r}, not {machine_name!r}")
    if not guest.memory_mib * 1024 * 0.7 < int(ok.group(4)) <= guest.memory_mib * 1024:
        raise machine.failure(f"GUEST-OK names {ok.group(4)} kB of memory; the guest has {guest.memory_mib} MiB")
    if int(ok.group(3)) != guest.vcpus:
        raise machine.failure(f"GUEST-OK names {ok.group(3)} CPUs; the guest has {guest.vcpus}")
    machine.expect(SHELL, 60)
    if guest.vcpus > 1:
        all_cpus_work(machine, guest)
    machine.send_line("echo answer $((6*7)) $(cat /proc/sys/kernel/ostype)")
    machine.expect(r"^answer 42 Linux$", 60, KERNEL_DEATH)
    machine.expect(SHELL, 60)
    # By sh -c, so that what prints the line is already what Ctrl-C interrupts.
    machine.send_line("sh -c 'echo ready; exec sleep 10000'")
    machine.expect(r"^ready$", 60)
    machine.send("\x03")
    machine.expect(SHELL, 60)
    machine.send_line("sleep 2; echo slept $?; date +%Y")
    machine.expect(r"^slept 0$", 90)
    machine.expect(r"^20[2-9]\d$", 30)
    machine.expect(SHELL, 60)
    machine.send_line("poweroff")
    machine.expect(r"poweroff\n", 30)


def all_cpus_work(machine, guest):
    """More processes than CPUs at once, each CPU taking some: forks, page faults and TLB shootdowns on all of them."""
    machine.send_line(f"for i in $(seq {2 * guest.vcpus}); do (find / -xdev | sort | md5sum >/dev/null)& done; wait; echo all $?")
    machine.expect(r"^all 0$", 120, KERNEL_DEATH)
    machine.expect(SHELL, 60)
    machine.send_line("grep -c '^cpu[0-9].* ' /proc/stat; awk '/^cpu[0-9]/ && $2 + $4 == 0 {print \"idle\", $1}' /proc/stat")
    machine.expect(rf"^{guest.vcpus}$", 60, r"^idle cpu")
    machine.expect(SHELL, 60, r"^idle cpu")


KERNEL_DEATH = r"Kernel panic|Attempted to kill init|---\[ end trace|BUG: |Oops: "
# And what a line of the shell ends with when it has failed.
TROUBLE = KERNEL_DEATH + r"|^(?:mounted|written|checked|wrote|gone) [1-9]"


def does(machine, line, wanted, timeout_s=120, but_not=TROUBLE):
    """The shell of the guest whose console is attached runs a line, which prints what is wanted; the match."""
    machine.send_line(line)
    match = machine.expect(wanted, timeout_s, but_not)
    machine.expect(SHELL, 60, but_not)
    return match


def linux_64(machine, guest):
    linux_shell(machine, guest, "x86_64")


def linux_32(machine, guest):
    linux_shell(machine, guest, "i686")


def memtest(machine, guest):
    """memtest86+ gets through its first tests and into the moving inversions, without an error of memory.

    It redraws its screen every two seconds: a test that takes less may never be shown.
    """
    machine.expect(r"Memtest86\+ v\d", guest.timeout_s)
    machine.expect(r"(?:Moving inversions|Block move|Modulo 20|Bit fade)", guest.timeout_s, r"Errors: +[1-9]|Unexpected interrupt|Press any key")


def mach(machine, guest):
    """GNU Mach finds its devices and then, as Debian packages no servers for it, no bootstrap module."""
    machine.expect(r"GNU Mach 1\.8", guest.timeout_s)
    machine.expect(r"vm_page: ", guest.timeout_s)
    machine.expect(r"RTC time is 20[2-9]\d-", guest.timeout_s)
    machine.expect(r"No bootstrap code loaded with the kernel", guest.timeout_s)


QUIET = "console=ttyS0 quiet"
ALL = {
    "debian-cloud": Guest("debian-cloud/vmlinuz", linux_64, "root64/initrd.gz", QUIET),
    "debian-pvh": Guest("debian-cloud/vmlinux", linux_64, "root64/initrd.gz", QUIET, boot="pvh"),
    "debian-verbose": Guest("debian-cloud/vmlinuz", linux_64, "root64/initrd.gz", "console=ttyS0", timeout_s=240),
    "debian-smp": Guest("debian-cloud/vmlinuz", linux_64, "root64/initrd.gz", QUIET, timeout_s=300, vcpus=2),
    "debian-virtio": Guest("virtio64/vmlinuz", linux_64, "virtio64/initrd.gz", QUIET, timeout_s=240),
    "debian-full": Guest("debian-full/vmlinuz", linux_64, "root64/initrd.gz", QUIET, timeout_s=300),
    "debian-pae": Guest("debian-pae/vmlinuz", linux_32, "root32/initrd.gz", QUIET, timeout_s=300),
    "debian-686": Guest("debian-686/vmlinuz", linux_32, "root32/initrd.gz", QUIET, timeout_s=300),
    "memtest64": Guest("memtest/memtest64.bin", memtest, None, "console=ttyS0,115200", 16, timeout_s=240),
    "memtest32": Guest("memtest/memtest32.bin", memtest, None, "console=ttyS0,115200", 16, timeout_s=240),
    "gnumach": Guest("gnumach/gnumach", mach, None, "console=com0", 64, boot="multiboot", timeout_s=240),
}


def folder(only=None):
    """Where the fetched guests are; fetches those that are missing, or this one alone."""
    command = [os.path.join(benches.TOOLS, "fetch-guests")] + (["--only", only] if only else [])
    result = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if result.returncode != 0:
        raise benches.BenchError("the guests cannot be fetched; test/tools/fetch-guests says why")
    return result.stdout.decode().strip()


def bare_arguments(guest):
    """Arguments for QEMU to run the guest alone."""
    where = folder()
    arguments = ["-m", f"{guest.memory_mib}M", "-kernel", os.path.join(where, guest.kernel), "-append", guest.cmdline]
    if guest.initrd:
        arguments += ["-initrd", os.path.join(where, guest.initrd)]
    return arguments
