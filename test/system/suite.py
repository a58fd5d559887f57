# SPDX-License-Identifier: BSD-2-Clause
"""What every test of a whole machine stands on: the table of tests, and an environment in which one runs.

A test is a function of an Environment, entered into the table by @test; it fails by an exception.
"""

import os
import subprocess

import benches
import guests
import lab

TESTS = {}


class CheckFailed(Exception):
    """An expectation of a test was not met, the machine being well."""


def test(function):
    TESTS[function.__name__.removeprefix("test_").replace("_", "-")] = function
    return function


def check(condition, what):
    if not condition:
        raise CheckFailed(what)


class Environment:
    """One run of one test: its bench, its folder, and how it gets images and machines."""

    def __init__(self, bench, build, workdir):
        self.bench = bench
        self.build = os.path.abspath(build)
        self.workdir = os.path.abspath(workdir)
        os.makedirs(self.workdir, exist_ok=True)

    def is_bochs(self):
        return self.bench.startswith("bochs")

    def image(self, conf, files=(), efi=None, name="ballast.img"):
        """A bootable image: conf is the text of ballast.conf, or None; files are (path here, path on the stick)."""
        out = os.path.join(self.workdir, name)
        command = [os.path.join(benches.TOOLS, "mkimage"), out, "--efi", efi or os.path.join(self.build, "ballast.efi")]
        if conf is not None:
            path = os.path.join(self.workdir, "ballast.conf")
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(conf)
            command += ["--conf", path]
        for here, there in files:
            command += ["--file", f"{here}:{there}"]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        check(result.returncode == 0, f"mkimage: {result.stdout.decode(errors='replace')}")
        return out

    def machine(self, image, life_s=900, **options):
        # With two CPUs Bochs' SVM now and then spins in its own main loop, seen by bochs.log ending without its
        # `ips` lines; bochs-vmx and qemu-svm have the tests of machines with several.
        options.setdefault("cpus", 1 if self.bench == "bochs-svm" else 2)
        # With a thread for each of its CPUs QEMU's SVM is unsafe on the first, which then runs no guest: svm/svm.h.
        if self.bench == "qemu-svm" and options["cpus"] > 1 and options.get("icount", False) is False:
            options["cpus"] += 1
        return lab.Machine(self.bench, image, self.workdir, life_s, **options)


def conf_section(name, guest, autostart=False, more=(), folder=None):
    """The lines of ballast.conf for one of the real guests, and the files that it names: in a folder of the VM's own
    on the stick, or in this one, if several have the same.
    """
    folder = folder or name
    where = guests.folder()
    lines = [f"[vm {name}]", f"memory = {guest.memory_mib}M", f"vcpus = {guest.vcpus}",
             f"kernel = /{folder}/kernel", f"boot = {guest.boot}"]
    files = [(os.path.join(where, guest.kernel), f"/{folder}/kernel")]
    if guest.initrd:
        lines.append(f"initrd = /{folder}/initrd")
        files.append((os.path.join(where, guest.initrd), f"/{folder}/initrd"))
    if guest.cmdline:
        lines.append(f"cmdline = {guest.cmdline}")
    if autostart:
        lines.append("autostart = yes")
    return "\n".join([*lines, *more]) + "\n", files
