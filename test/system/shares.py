# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of time isolation stand on: the guests of test/guest/time in VMs of their own, what they tell of
the time that they got, and the operator's commands between.

All times are the emulated machine's own: under QEMU its clock counts executed instructions, and Bochs' does so
anyway. So nothing here depends on how busy this machine is.
"""

import os
import re

PROMPT = r"^ballast> "
LEAVE = "\x1dd"  # Ctrl-] d
UNITS = {"B": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class Vm:
    """One VM of the scene. elf is a file of the build folder; words are its command line; more its other keys."""

    def __init__(self, name, elf, words="", vcpus=1, memory_mib=64, **more):
        self.name = name
        self.elf = elf
        self.words = words
        self.vcpus = vcpus
        self.memory_mib = memory_mib
        self.more = more

    def section(self):
        lines = [f"[vm {self.name}]", f"memory = {self.memory_mib}M", f"vcpus = {self.vcpus}", f"kernel = /{self.elf}",
                 "boot = multiboot", "debug-exit = yes", f"cmdline = {self.words or 'none'}"]
        return "\n".join(lines + [f"{key} = {value}" for key, value in self.more.items()]) + "\n"


def hog(name, every_ms=250, **more):
    return Vm(name, "time/hog.elf", f"every={every_ms}", **more)


def waker(name, count=200, work_us=0, **more):
    return Vm(name, "time/waker.elf", f"count={count} work={work_us}", **more)


def machine(env, vms, cpus, life_s=600, memory_mib=None):
    """A machine with these VMs, none of them started."""
    files = [(os.path.join(env.build, elf), f"/{elf}") for elf in sorted({vm.elf for vm in vms})]
    image = env.image("\n".join(vm.section() for vm in vms), files)
    # Each instruction takes 16 ns on QEMU and 20 ns on Bochs.
    options = {"cpus": cpus, "memory_mib": memory_mib}
    if env.is_bochs():
        options["extra"] = ["error: action=ignore"]  # each fault of a guest would be a line
    else:
        options["icount"] = 4
    return env.machine(image, life_s, **options)


def start(target, *names):
    for name in names:
        target.send_line(f"vm start {name}")
        target.expect(rf"^vm {re.escape(name)}: started", 60)
        target.expect(PROMPT, 60)


def destroy(target, *names):
    for name in names:
        target.send_line(f"vm destroy {name}")
        target.expect(rf"^vm {re.escape(name)}: destroyed", 60)
        target.expect(PROMPT, 60)


def _windows(text):
    return {int(number): [int(part) for part in parts.split()]
            for number, parts in re.findall(r"^hog (\d+):((?: \d+)+)$", text, re.MULTILINE)}


class Reader:
    """Reads the lines that VMs print about themselves, and keeps them by VM."""

    def __init__(self, target):
        self.machine = target
        self.text = {}

    def listen(self, name, pattern=None, timeout_s=120):
        """What the VM printed since; waits for the pattern, if there is one. The console is the shell's again."""
        target = self.machine
        target.send_line(f"vm console {name}")
        target.expect(rf"vm console {re.escape(name)}\n", 60)
        begin = target.position
        if pattern:
            target.expect(pattern, timeout_s, rf"^vm {re.escape(name)}: (?!started)|^FAIL")
            target.position = target.text.index("\n", target.position) + 1 if "\n" in target.text[target.position:] \
                else target.position
        target.send(LEAVE)
        target.expect(PROMPT, 60)
        self.text[name] = self.text.get(name, "") + target.text[begin : target.position]
        return self.text[name]

    def windows(self, name):
        return _windows(self.text.get(name, ""))

    def lateness(self, name, count, timeout_s=180):
        """Each of the waker's next series as {"min": us, "p50": us, ...}."""
        self.listen(name)
        old = max(self._series(name), default=0)
        # One had begun before.
        self.listen(name, rf"^waker {old + count + 1}: [^\n]*\n", timeout_s)
        return [late for number, late in sorted(self._series(name).items()) if number > old + 1]

    def _series(self, name):
        found = re.findall(r"^waker (\d+): us late (.*)\n", self.text.get(name, ""), re.MULTILINE)
        return {int(number): dict(zip(words.split()[::2], map(int, words.split()[1::2]))) for number, words in found}

    def last(self, name):
        """The number of the VM's newest window."""
        self.listen(name)
        return max(self.windows(name), default=0)

    def shares(self, names, count, timeout_s=180):
        """Mean parts per thousand of one CPU that the hogs got in `count` windows from now on, all vCPUs together."""
        after = {name: self.last(name) + 1 for name in names}  # that one had begun before
        result = {}
        for name in names:
            # One who gets little is not on time with its lines.
            self.wait(name, after[name] + count, timeout_s)
            seen = [sum(parts) for number, parts in sorted(self.windows(name).items()) if number > after[name]]
            result[name] = sum(seen) / len(seen)
        return result

    def wait(self, name, number, timeout_s=180):
        """Until the hog has told of that window: a wait in its own time."""
        if max(self.windows(name), default=0) < number:
            self.listen(name, rf"^hog {number}: [^\n]*\n", timeout_s)


def vcpu_time_s(text):
    """How long the VM's vCPUs have been there, all together, by the answer to `vm show`: to the millisecond."""
    match = re.search(r"vcpu time +([\d.]+) s run, ([\d.]+) s stolen, ([\d.]+) s halted", text)
    return sum(float(part) for part in match.groups()) if match else None


def answer_s(target, name):
    """Seconds of the machine's time from one answer of the shell to the next one, asked for at once: VM with one vCPU.

    The question is two keys, so that nothing but the shell takes time.
    """
    question = f"vm show {name}"
    before = vcpu_time_s("\n".join(target.command(question, 120)))
    target.send("\x1b[A\r")
    target.expect(rf"{re.escape(question)}\n", 120)
    start = target.position
    match = target.expect(PROMPT, 120)
    after = vcpu_time_s(target.text[start : match.start()])
    return None if before is None or after is None else after - before
