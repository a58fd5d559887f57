# SPDX-License-Identifier: BSD-2-Clause
"""The benches: how each emulator is started with an image, and with its serial line on a socket of ours.

A bench never gets a port or a path which another process could take meanwhile: this side listens first, the
emulator connects.
"""

import glob
import os
import socket
import subprocess

BENCHES = ("qemu-svm", "bochs-vmx", "bochs-svm", "kvm")
HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = os.path.join(HERE, "..", "tools")

BOCHS_MODELS = {"bochs-vmx": "corei7_skylake_x", "bochs-svm": "ryzen"}
FIRMWARE = ("/usr/share/ovmf/OVMF.fd", "/usr/share/OVMF/OVMF.fd", "/usr/share/qemu/OVMF.fd")
VGA_BIOS = ("/usr/share/bochs/VGABIOS-lgpl-latest", "/usr/share/vgabios/vgabios.bin")


class BenchError(Exception):
    """A bench cannot be had on this machine; says what is missing."""


class Options:
    """What a run may choose. None means the bench's own default.

    memory_mib, cpus   of the emulated machine
    cpu                QEMU's -cpu or Bochs' cpu model
    icount             QEMU: virtual time, and so the TSC, counts executed instructions: True for 1 ns each, or a
                       number N for 2^N ns each. The run is then the same each time, however busy this machine
    usb                QEMU: the image is a USB stick on an xHCI controller, not a SATA disk
    persist            what the machine writes goes into the image; else it is dropped (firmware writes its
                       variables to the stick), and one image can be run many times at once
    reboot             QEMU: a reset of the machine starts it again instead of ending the emulator
    plugin             QEMU: argument of -plugin
    monitor            QEMU: path of a unix socket to make for its human monitor
    extra              more arguments of QEMU, more lines of bochsrc
    ips                Bochs: instructions a second of its emulated clock
    """

    def __init__(self, **chosen):
        self.memory_mib = None
        self.cpus = None
        self.cpu = None
        self.icount = False
        self.usb = False
        self.persist = False
        self.reboot = False
        self.plugin = None
        self.monitor = None
        self.extra = []
        self.ips = 50000000
        for name, value in chosen.items():
            if not hasattr(self, name):
                raise TypeError(f"no such bench option: {name}")
            setattr(self, name, value)


def first_existing(paths, what):
    for path in paths:
        if os.path.exists(path):
            return path
    raise BenchError(f"{what} is not installed: none of {', '.join(paths)} exists")


def listen(workdir):
    """A listening socket for QEMU's serial line, and QEMU's name for it."""
    # A socket's path has at most 107 bytes, which a build folder may exceed: use the short relative name.
    path = os.path.join(workdir, "serial.sock")
    if os.path.exists(path):
        os.unlink(path)
    server = socket.socket(socket.AF_UNIX)
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(workdir)
        server.bind("serial.sock")
    finally:
        os.fchdir(here)
        os.close(here)
    server.listen(1)
    return server


def qemu_command(bench, image, options):
    """QEMU's command line; it is to be run in the folder that has serial.sock."""
    if bench == "kvm":
        accel, cpu = "kvm", "host"
    else:
        accel, cpu = "tcg", "EPYC,+svm,+npt"
    command = ["qemu-system-x86_64", "-M", "q35", "-accel", accel, "-cpu", options.cpu or cpu,
               "-m", f"{options.memory_mib or 2048}M", "-smp", str(options.cpus or 2),
               "-bios", first_existing(FIRMWARE, "OVMF (Debian package ovmf)"),
               "-nodefaults", "-vga", "std", "-display", "none",
               "-chardev", "socket,id=com1,path=serial.sock", "-serial", "chardev:com1"]
    if image:
        command += ["-drive", f"if=none,id=stick,format=raw,snapshot={'off' if options.persist else 'on'},"
                    f"file={image.replace(',', ',,')}"]
        if options.usb:
            command += ["-device", "qemu-xhci", "-device", "usb-storage,drive=stick,bootindex=0"]
        else:
            command += ["-device", "ide-hd,drive=stick,bus=ide.0,bootindex=0"]
    if options.icount is not False:
        shift = 0 if options.icount is True else options.icount
        command += ["-icount", f"shift={shift},sleep=off"]
    if not options.reboot:
        command += ["-no-reboot"]
    if options.plugin:
        command += ["-plugin", options.plugin]
    if options.monitor:
        command += ["-monitor", f"unix:{options.monitor},server=on,wait=off"]
    return command + list(options.extra)


def bare_command(options):
    """QEMU's command line for a guest without Ballast: the guest itself is among the extra arguments."""
    return ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg,thread=single", "-cpu", options.cpu or "qemu64",
            "-nodefaults", "-display", "none", "-no-reboot", "-chardev", "socket,id=com1,path=serial.sock",
            "-serial", "chardev:com1", *options.extra]


def bochs_binary():
    """The Bochs with VMX and SVM, out of the cache or built now."""
    given = os.environ.get("BALLAST_BOCHS")
    if given:
        return given
    result = subprocess.run([os.path.join(TOOLS, "build-bochs")], stdout=subprocess.PIPE, check=False)
    if result.returncode != 0:
        raise BenchError("Bochs could not be built; test/tools/build-bochs says why")
    return result.stdout.decode().strip()


def vga_bios():
    given = [path for path in VGA_BIOS if os.path.exists(path)]
    return first_existing(given or sorted(glob.glob("/usr/share/*/vgabios*stdvga*.bin")) or VGA_BIOS,
                          "a VGA BIOS (Debian package vgabios)")


def bochs_config(bench, image, options, port):
    """The text of a bochsrc."""
    memory = options.memory_mib or 1024
    lines = [
        "config_interface: textconfig",
        "display_library: nogui",
        f"memory: host={memory}, guest={memory}",
        f'romimage: file="{first_existing(FIRMWARE, "OVMF (Debian package ovmf)")}", address=0xffe00000, options=none',
        f'vgaromimage: file="{vga_bios()}"',
        "boot: disk",
        "ata0: enabled=true, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14",
        "pci: enabled=1, chipset=i440fx",
        "vga: extension=vbe, update_freq=5, realtime=1, ddc=builtin",
        f"cpu: count={options.cpus or 2}, ips={options.ips}, model={options.cpu or BOCHS_MODELS[bench]}, "
        "reset_on_triple_fault=0, cpuid_limit_winnt=0, ignore_bad_msrs=1, mwait_is_nop=0",
        "clock: sync=none, time0=local, rtc_sync=0",
        "log: bochs.log",
        "debug: action=ignore",
        # Its report of instructions per second comes from a signal handler, which waits for ever when the signal
        # has interrupted the writing of another line.
        "info: action=report, nogui=ignore",
        "error: action=report",
        "panic: action=fatal",
        f'com1: enabled=true, mode=socket-client, dev="localhost:{port}"',
        "magic_break: enabled=0",
    ]
    if image:
        lines.append(f'ata0-master: type=disk, path="{image}", mode={"flat" if options.persist else "volatile"}, journal=disk')
    return "\n".join(lines + list(options.extra)) + "\n"


def prepare(bench, image, workdir, options):
    """A listening socket, and the command line to be run in workdir that will connect its serial line to it."""
    if bench.startswith("bochs"):
        server = socket.socket(socket.AF_INET)
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        config = bochs_config(bench, image, options, server.getsockname()[1])
        with open(os.path.join(workdir, "bochsrc"), "w", encoding="utf-8") as file:
            file.write(config)
        return server, [bochs_binary(), "-q", "-unlock", "-f", "bochsrc"]
    if bench == "bare":
        return listen(workdir), bare_command(options)
    return listen(workdir), qemu_command(bench, image, options)
