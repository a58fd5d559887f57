#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run the test guests on one bench: one machine, one VM for each guest, started one after the other. The hostile
ones have a machine of their own, and a VM for each of their attacks.

  tiny.py --bench qemu-svm --build BUILD [NAME ...]

NAME is a guest, or one attack of a hostile guest such as loops.halt. A guest's exit status is the number of its
checks that failed. Exit status 0: all guests did what was expected.
"""

import argparse
import glob
import os
import subprocess
import sys
import tempfile
import time

import benches
import hostile
import lab

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools")

# How a guest ends that does not leave by its exit port, and what else must be seen.
ENDINGS = {
    "power": r"powered off",
    "triple": r"stopped: triple fault",
}
# Guests that run with more than one vCPU: a VM for each number, called GUEST-NUMBER. Those below have one more
# whose vCPUs share a CPU, GUEST-NUMBER-shared; where the machine has only one, all do.
VCPUS = {"pause": (2,), "pv": (1, 2), "pvclock": (1, 2), "sipi": (1, 2, 4)}
SHARED = {"pause": (2,), "pv": (2,)}
# Guests whose TSC has another frequency than the machine's, in kHz: a VM for each, called GUEST-KHZ. Where the hardware
# cannot scale it, they are refused; of the benches, one can.
TSC_KHZ = {"tsc_scale": (25000, 33333, 2000000)}
SCALING_BENCH = "bochs-vmx"
REFUSED = "could not start: this CPU cannot scale its TSC"
# What those have that use virtio devices; each sector of the disk begins with its number.
DEVICES = "disk = /disks/numbers.img, cow\nnet = lan0\nconsole\nrng\n"
DISK_SECTORS = 2048
BENCH_WORDS = {"qemu-svm": "lax qemu-svm"}  # see guest_cpu_is_lax(); else the bench's name


def names_in(build):
    return sorted(os.path.basename(path)[:-4] for path in glob.glob(os.path.join(build, "guest", "*.elf")))


def is_attack(name):
    return "." in name


def vm_names(name, bench):
    if hostile.is_hostile(name):
        return hostile.vm_names(name, bench)
    if name in TSC_KHZ:
        return [f"{name}-{khz}" for khz in TSC_KHZ[name]]
    if name not in VCPUS:
        return [name]
    shared = [] if has_one_cpu(bench) else SHARED.get(name, ())
    return [f"{name}-{count}" for count in VCPUS[name]] + [f"{name}-{count}-shared" for count in shared]


def has_one_cpu(bench):
    """QEMU stands still when it counts instructions of two CPUs that both are busy: VMs with several get one."""
    return bench == "qemu-svm"


def vcpus_of(name):
    guest, *rest = name.split("-")
    return int(rest[0]) if guest in VCPUS else 1


def tsc_khz_of(name):
    guest, *rest = name.split("-")
    return int(rest[0]) if guest in TSC_KHZ else None


def elf_of(name):
    if is_attack(name):
        return hostile.elf_of(name)
    guest = name.split("-")[0]
    return guest if guest in VCPUS or guest in TSC_KHZ else name


def words_of(name, bench):
    words = [BENCH_WORDS.get(bench, bench), f"vcpus={vcpus_of(name)}"]
    if tsc_khz_of(name):
        words.append(f"khz={tsc_khz_of(name)}")
    if is_attack(name):
        words.append(hostile.word_of(name))
    if name.endswith("-shared") or (has_one_cpu(bench) and vcpus_of(name) > 1):
        words.append("shared")
    return " ".join(words)


def uses_virtio(name):
    return name.startswith("virtio")


def make_disk(path):
    with open(path, "wb") as file:
        for sector in range(DISK_SECTORS):
            file.write(sector.to_bytes(8, "little") + bytes(504))


def configuration(names, bench):
    sections = []
    for name in names:
        more = "cpus = 1\n" if name.endswith("-shared") else ""
        more += DEVICES if uses_virtio(name) else ""
        more += f"tsc = {tsc_khz_of(name)}kHz\n" if tsc_khz_of(name) else ""
        sections.append(f"[vm {name}]\nmemory = 64M\nvcpus = {vcpus_of(name)}\n{more}"
                        f"kernel = /guest/{elf_of(name)}.elf\nboot = multiboot\n"
                        f"cmdline = {words_of(name, bench)}\nautostart = no\ndebug-exit = yes\n")
    return "\n".join(sections)


def make_image(build, names, bench, workdir):
    conf = os.path.join(workdir, "ballast.conf")
    image = os.path.join(workdir, "guests.img")
    with open(conf, "w", encoding="ascii") as file:
        file.write(configuration(names, bench))
    elves = sorted({elf_of(name) for name in names})
    files = [word for elf in elves for word in ("--file", f"{build}/guest/{elf}.elf:/guest/{elf}.elf")]
    if any(map(uses_virtio, names)):
        disk = os.path.join(workdir, "numbers.img")
        make_disk(disk)
        files += ["--file", f"{disk}:/disks/numbers.img"]
    subprocess.run([os.path.join(TOOLS, "mkimage"), image, "--efi", os.path.join(build, "ballast.efi"),
                    "--conf", conf, *files], check=True, stdout=subprocess.DEVNULL)
    return image


def run_guest(machine, name):
    """The guest's output when it failed, None when all was well."""
    ending = ENDINGS.get(name, r"exited with status 0\b")
    start = machine.position
    machine.send_line(f"vm start {name}")
    may_be_refused = tsc_khz_of(name) and machine.bench != SCALING_BENCH
    match = machine.expect(rf"^vm {name}: (started{'|' + REFUSED if may_be_refused else ''})", 30)
    if match.group(1) == REFUSED:
        return None
    machine.send_line(f"vm console {name}")
    match = machine.expect(rf"vm {name}: (exited with status \d+|powered off|stopped[^\n]*)\n", 120)
    good = bool(lab.re.match(ending, match.group(1)))
    machine.expect(r"^ballast> ", 30)
    if good:
        machine.command(f"vm destroy {name}")
        return None
    machine.command(f"vm show {name}")
    return machine.text[start : machine.position]


# How long an attack that never ends is let run before the operator asks how things are.
ATTACK_S = 0.7
# Within so many seconds the shell answers, whatever guests do; an emulated machine is no fast one.
ANSWER_S = 20


def run_attack(machine, name):
    """As run_guest(). Meanwhile, and afterwards, the shell has to answer."""
    pattern, endless = hostile.endings_of(name)
    start = machine.position
    machine.send_line(f"vm start {name}")
    machine.expect(rf"^vm {lab.re.escape(name)}: started", 30)
    state = wait_for_ending(machine, name, ATTACK_S if endless else 60)
    listed = machine.command("vm list", ANSWER_S)
    if state is None:
        good = endless and any(lab.re.match(rf"{lab.re.escape(name)} +running", line) for line in listed)
    else:
        good = bool(pattern and lab.re.match(pattern, state))
    if not good:
        machine.command(f"vm show {name}", ANSWER_S)
    machine.send_line(f"vm destroy {name}")
    machine.expect(rf"^vm {lab.re.escape(name)}: destroyed", ANSWER_S)
    machine.command("mem", ANSWER_S)
    return None if good else machine.text[start : machine.position]


def wait_for_ending(machine, name, seconds):
    """The state line that ended the VM; None when none came."""
    until = time.monotonic() + seconds
    ending = lab.re.compile(rf"^vm {lab.re.escape(name)}: (exited with status \d+|(?:stopped|reset)[^\n]*|powered off)\n",
                            lab.re.MULTILINE)
    while time.monotonic() < until and machine.pump(0.05):
        match = ending.search(machine.text, machine.position)
        if match:
            return match.group(1)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", choices=benches.BENCHES, default="qemu-svm")
    parser.add_argument("--build", required=True, help="the build directory: ballast.efi and guest/*.elf are there")
    parser.add_argument("--workdir", help="keep the console and the image here")
    parser.add_argument("--cpus", type=int,
                        help="of the machine (default: 2; with hostile guests 1, which they share with the console)")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all guests")
    arguments = parser.parse_args()
    names = arguments.names or names_in(arguments.build)
    names = [vm for name in names for vm in vm_names(name, arguments.bench)]
    groups = {}
    for name in names:
        groups.setdefault(cpus_for(name, arguments.bench), []).append(name)
    with tempfile.TemporaryDirectory() as scratch:
        workdir = arguments.workdir or scratch
        os.makedirs(workdir, exist_ok=True)
        return max(run_all(arguments, group, arguments.cpus or cpus, workdir) for (cpus, _), group in groups.items())


def cpus_for(name, bench):
    """CPUs of the machine for this VM, and what makes VMs share a machine beside that."""
    if is_attack(name):
        return 1, "attacks"
    if has_one_cpu(bench) and vcpus_of(name) > 1:
        return 1, "several vCPUs"
    return 2, "others"


def run_all(arguments, names, cpus, workdir):
    image = make_image(os.path.abspath(arguments.build), names, arguments.bench, workdir)
    failed = []
    # Many guests check how long things take. QEMU's time must not depend on how busy this machine is: each
    # instruction takes 16 ns there.
    icount = 4 if arguments.bench == "qemu-svm" else False
    # Bochs notes each fault of a guest in its log: of those that do nothing else, this is all it would do.
    extra = ["error: action=ignore"] if is_attack(names[0]) and arguments.bench.startswith("bochs") else []
    with lab.Machine(arguments.bench, image, workdir, life_s=900, cpus=cpus, icount=icount, extra=extra) as machine:
        machine.expect(r"^ballast> ", 90)
        for name in names:
            output = run_attack(machine, name) if is_attack(name) else run_guest(machine, name)
            print(f"{'FAIL' if output else 'ok  '} {arguments.bench} {name}", flush=True)
            if output:
                failed.append(name)
                print(output)
    if failed:
        print(f"{len(failed)} of {len(names)} guests failed: {' '.join(failed)}")
        print(f"to repeat: {lab.shlex.join([sys.executable] + sys.argv)}")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except lab.Failure as failure:
        print(failure)
        sys.exit(1)
    except benches.BenchError as error:
        print(error)
        sys.exit(2)
