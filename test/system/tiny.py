#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run the test guests on one bench: one machine, one VM for each guest, started one after the other.

  tiny.py --bench qemu-svm --build BUILD [NAME ...]

A guest's exit status is the number of its checks that failed. Exit status 0: all guests did what was expected.
"""

import argparse
import glob
import os
import subprocess
import sys
import tempfile

import benches
import lab

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools")

# How a guest ends that does not leave by its exit port, and what else must be seen.
ENDINGS = {
    "power": r"powered off",
    "triple": r"stopped: triple fault",
}
BENCH_WORDS = {"qemu-svm": "lax qemu-svm"}  # see guest_cpu_is_lax(); else the bench's name


def names_in(build):
    return sorted(os.path.basename(path)[:-4] for path in glob.glob(os.path.join(build, "guest", "*.elf")))


def configuration(names, bench):
    sections = []
    for name in names:
        sections.append(f"[vm {name}]\nmemory = 64M\nkernel = /guest/{name}.elf\nboot = multiboot\n"
                        f"cmdline = {BENCH_WORDS.get(bench, bench)}\nautostart = no\ndebug-exit = yes\n")
    return "\n".join(sections)


def make_image(build, names, bench, workdir):
    conf = os.path.join(workdir, "ballast.conf")
    image = os.path.join(workdir, "guests.img")
    with open(conf, "w", encoding="ascii") as file:
        file.write(configuration(names, bench))
    files = [word for name in names for word in ("--file", f"{build}/guest/{name}.elf:/guest/{name}.elf")]
    subprocess.run([os.path.join(TOOLS, "mkimage"), image, "--efi", os.path.join(build, "ballast.efi"),
                    "--conf", conf, *files], check=True, stdout=subprocess.DEVNULL)
    return image


def run_guest(machine, name):
    """The guest's output when it failed, None when all was well."""
    ending = ENDINGS.get(name, r"exited with status 0\b")
    start = machine.position
    machine.send_line(f"vm start {name}")
    machine.expect(rf"^vm {name}: started", 30)
    machine.send_line(f"vm console {name}")
    match = machine.expect(rf"vm {name}: (exited with status \d+|powered off|stopped[^\n]*)", 120)
    good = bool(lab.re.match(ending, match.group(1)))
    machine.expect(r"^ballast> ", 30)
    if good:
        machine.command(f"vm destroy {name}")
        return None
    machine.command(f"vm show {name}")
    return machine.text[start : machine.position]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", choices=benches.BENCHES, default="qemu-svm")
    parser.add_argument("--build", required=True, help="the build directory: ballast.efi and guest/*.elf are there")
    parser.add_argument("--workdir", help="keep the console and the image here")
    parser.add_argument("--cpus", type=int, default=2, help="of the machine (default: 2)")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all guests")
    arguments = parser.parse_args()
    names = arguments.names or names_in(arguments.build)
    with tempfile.TemporaryDirectory() as scratch:
        workdir = arguments.workdir or scratch
        os.makedirs(workdir, exist_ok=True)
        return run_all(arguments, names, workdir)


def run_all(arguments, names, workdir):
    image = make_image(os.path.abspath(arguments.build), names, arguments.bench, workdir)
    failed = []
    # Many guests check how long things take. QEMU's time must not depend on how busy this machine is: each
    # instruction takes 16 ns there.
    icount = 4 if arguments.bench == "qemu-svm" else False
    with lab.Machine(arguments.bench, image, workdir, life_s=900, cpus=arguments.cpus, icount=icount) as machine:
        machine.expect(r"^ballast> ", 90)
        for name in names:
            output = run_guest(machine, name)
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
