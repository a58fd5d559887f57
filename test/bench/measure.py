# SPDX-License-Identifier: BSD-2-Clause
"""The measurements behind test/bench/bench: machines started, guests run in them, figures read.

All figures are executed instructions, exactly repeatable: QEMU's instruction counter drives the emulated machine's
clock; Bochs' clock ticks with its instructions. The guest reads it as its TSC.
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "system"))

import benches  # noqa: E402  pylint: disable=wrong-import-position
import counting  # noqa: E402  pylint: disable=wrong-import-position
import guests  # noqa: E402  pylint: disable=wrong-import-position
import lab  # noqa: E402  pylint: disable=wrong-import-position
import peer  # noqa: E402  pylint: disable=wrong-import-position

# Without nokaslr the kernel chooses at random where it lies, and so how many pages are touched.
BOOT_CMDLINE = "quiet nokaslr console=ttyS0 run=poweroff"
BOOT_MIB = 256
# The same time of day for every run: a guest that reads its clock does the same each time.
FIXED_CLOCK = ["-rtc", "base=2024-01-01T00:00:00,clock=vm"]
# Where Ballast waits to see how fast the TSC is, and for disks to appear.
WAITING = ("spin", "spin_pm_timer", "spin_pit", "clock_tsc", "clock_wait")
FIGURE = re.compile(r"^bench (\S+) (\d+)$", re.MULTILINE)
EXIT_LINE = re.compile(r"^ {12}(\S.*?) +(\d+) +[\d.<]+ ?%", re.MULTILINE)
UNITS = {"B": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
PEER_DEATH = r"KVM: entry failed|KVM internal error|Kernel panic|^FAIL"


def machine_options(bench, cpus=1):
    """On all benches a clock of one tick a nanosecond, to which an instruction is a tick where there is one CPU: so a
    boot has as many timer interrupts on the one as on the other.
    """
    options = {"cpus": cpus, "ips": 1_000_000_000}
    if bench == "qemu-svm":
        options.update(icount=True, extra=FIXED_CLOCK)
    return options


def make_image(build, workdir, conf, files):
    """A stick with Ballast, ballast.conf with this text, and files: (path here, path there)."""
    path = os.path.join(workdir, "ballast.conf")
    image = os.path.join(workdir, "bench.img")
    with open(path, "w", encoding="ascii") as file:
        file.write(conf)
    command = [os.path.join(benches.TOOLS, "mkimage"), image, "--efi", os.path.join(build, "ballast.efi"), "--conf", path]
    for here, there in files:
        command += ["--file", f"{here}:{there}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return image


def run_in_ballast(machine, name):
    """Start a bench guest from Ballast's prompt; the figures that it prints."""
    machine.expect(r"^ballast> ", 300)
    machine.send_line(f"vm start {name}")
    machine.expect(rf"^vm {name}: started", 60)
    start = machine.position
    machine.send_line(f"vm console {name}")
    machine.expect(r"^bench done 0$", 600, rf"^FAIL|vm {name}: stopped")
    return ops_figures(machine.text[start : machine.position])


def peer_machine(bench, workdir, cpus=1, plugin=None):
    """The machine with KVM in it, which runs what peer.make_initrd() has put into workdir's peer.cpio."""
    if bench == "qemu-svm":
        return lab.Machine("bare", None, workdir, 1500, **peer.svm_options(workdir, plugin=plugin))
    # There a kernel is started as a UEFI program.
    program, image = os.path.join(workdir, "peer.efi"), os.path.join(workdir, "peer.img")
    peer.make_efi_program(program, workdir)
    subprocess.run([os.path.join(benches.TOOLS, "mkimage"), image, "--efi", program], check=True,
                   stdout=subprocess.DEVNULL)
    return lab.Machine(bench, image, workdir, 1500, memory_mib=2048, **machine_options(bench, cpus))


def _configuration(build, boot):
    guest = guests.ALL["debian-cloud"]
    where = guests.folder() if boot else ""
    files = []
    conf = "[vm ops]\nmemory = 128M\nkernel = /ops.elf\nboot = multiboot\nautostart = no\ndebug-exit = yes\nballoon = no\n"
    if boot:
        conf += (f"[vm debian]\nmemory = {BOOT_MIB}M\nkernel = /debian/kernel\ninitrd = /debian/initrd\n"
                 f"cmdline = {BOOT_CMDLINE}\nautostart = yes\nballoon = no\n")
        files = [(os.path.join(where, guest.kernel), "/debian/kernel"),
                 (os.path.join(where, guest.initrd), "/debian/initrd")]
    return conf, files + [(ops_elf(build), "/ops.elf")]


def ops_elf(build):
    return os.path.join(build, "bench", "ops.elf")


def ops_figures(text):
    return {name: int(value) for name, value in FIGURE.findall(text) if name != "done"}


def _bytes(amount, unit):
    return int(float(amount) * UNITS[unit])


def read_show(text):
    """Exits by kind, and Ballast's own memory for the VM, from the answer to `vm show`."""
    own = re.search(r"([\d.]+) (\w+) of Ballast's own for it", text)
    exits = {kind: int(count) for kind, count in EXIT_LINE.findall(text)}
    total = re.search(r"^ +exits +(\d+)", text, re.MULTILINE)
    if not own or not total or sum(exits.values()) != int(total.group(1)):
        raise lab.Failure(f"`vm show` is not understood:\n{text}")
    return {"exits": exits, "exits-total": int(total.group(1)), "own-bytes": _bytes(*own.groups())}


def _boot(machine):
    machine.expect(r"^GUEST-OK ", 900, guests.KERNEL_DEATH)
    machine.expect(r"^vm debian: powered off", 300)
    machine.expect(r"^ballast> ", 60)
    return read_show("\n".join(machine.command("vm show debian", 60)))


def _counted_boot(sections):
    """The figures of the boot that were counted from outside."""
    start, run = sections["start"], sections["vm1"]
    functions = {name: instructions for name, (instructions, _) in counting.sum_functions(start.exits).items()}
    own = sum(count for name, count in functions.items() if name != "-")
    return {
        "start-waiting": sum(functions.get(name, 0) for name in WAITING),
        "start-own": own, "start-firmware": functions.get("-", 0), "start-zeroed": start.zeroed,
        "start-copied": start.copied, "host": run.host, "host-zeroed": run.zeroed, "host-copied": run.copied,
        "guest": run.guest,
    }


def ballast(bench, build, workdir, boot, count):
    """Ballast on a bench: {"ops": figures, "boot": figures, "sections": what the plugin counted}."""
    os.makedirs(workdir, exist_ok=True)
    image = make_image(build, workdir, *_configuration(build, boot))
    options = machine_options(bench)
    counted = os.path.join(workdir, "count.txt")
    if bench == "qemu-svm" and count:
        options["plugin"] = counting.plugin_argument(workdir, counted, os.path.join(build, "ballast.elf"))
    result = {}
    with lab.Machine(bench, image, workdir, 1500, **options) as machine:
        if boot:
            result["boot"] = _boot(machine)
            machine.send("\r")
        result["ops"] = run_in_ballast(machine, "ops")
    if "plugin" in options:
        result["sections"] = counting.read(counted, ops_elf(build))
        if "start" not in result["sections"]:
            raise lab.Failure("the counting plugin did not find ballast.efi in the machine's memory")
        if boot:
            result["boot"].update(_counted_boot(result["sections"]))
    return result


def kvm(bench, build, workdir):
    """The bench guest's operations under KVM."""
    os.makedirs(workdir, exist_ok=True)
    peer.make_initrd(os.path.join(workdir, "peer.cpio"), ops_elf(build), peer.RUN_OPS)
    with peer_machine(bench, workdir) as machine:
        machine.expect(r"^peer: done", 1400, PEER_DEATH)
        both = machine.text.split("peer: touch")
        if len(both) != 2 or "bench done" not in both[0]:
            raise machine.failure("the peer did not run the bench guest to its end")
    # The pages of 4 KiB are those of the second run.
    return {**ops_figures(both[0]), **ops_figures(both[1])}


def kvm_boot(workdir):
    """The same Debian boot under KVM and QEMU, counted from outside."""
    os.makedirs(workdir, exist_ok=True)
    guest = guests.ALL["debian-cloud"]
    where = guests.folder()
    files = {"guest/vmlinuz": os.path.join(where, guest.kernel), "guest/initrd": os.path.join(where, guest.initrd)}
    peer.make_initrd(os.path.join(workdir, "peer.cpio"), None, peer.run_boot(BOOT_MIB, BOOT_CMDLINE), files)
    counted = os.path.join(workdir, "count.txt")
    plugin = counting.plugin_argument(workdir, counted)
    with peer_machine("qemu-svm", workdir, plugin=plugin) as machine:
        machine.expect(r"^GUEST-OK ", 1200, guests.KERNEL_DEATH)
        machine.expect(r"^peer: done", 300)
    run = counting.read(counted)["vm1"]
    return {"exits-total": run.count(), "host": run.host, "guest": run.guest,
            "exits": {exits.kind(): exits.count for exits in run.exits}}
