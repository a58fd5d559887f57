# SPDX-License-Identifier: BSD-2-Clause
"""Many Debian guests at once: each has its own console, none sees another's, all answer; and what each costs.

Every guest gets a word of its own, which it prints again and again whether anyone looks or not. Whatever is seen
while its console is attached has its own word only.
"""

import re
import secrets

import guests
import lab
import suite

# The least with which Debian's cloud kernel comes to busybox' shell each time. Its bzImage wants 68 MiB to unpack
# itself; of guests with 72 MiB, some run out of memory while they initialize.
LEAST_MIB = 80
LEAVE = "\x1dd"
PROMPT = r"^ballast> "
SMALL = f"{guests.QUIET} nokaslr mitigations=off cryptomgr.notests"


# A VM that should run has ended.
ENDED = r"^--- vm \S+ does not run|^vm g\d+: (?!started|destroyed|waits to start)[^\n]*"


def expect(machine, name, pattern, timeout_s):
    """Wait for what the guest says; when it does not, what Ballast says of it is part of the report."""
    try:
        return machine.expect(pattern, timeout_s, f"{guests.KERNEL_DEATH}|{ENDED}")
    except lab.Failure as failure:
        if not machine.closed:
            start, until = len(machine.text), machine.seconds() + 5  # a kernel's last words are many
            while machine.seconds() < until:
                machine.pump(0.5)
            failure.args = (f"{failure.args[0]}\n--- and then\n{machine.text[start:]}",)
            machine.send(LEAVE + "\r")
            machine.expect(PROMPT, 60)
            for about in (name, *re.findall(r"^vm (g\d+): stopped", machine.text, re.MULTILINE)):
                failure.args = ("\n".join([failure.args[0], *machine.command(f"vm show {about}", 60)]),)
        raise


class Crowd:
    """VMs g0, g1, ...; each with its word."""

    def __init__(self, count):
        self.words = {f"g{number}": "w" + secrets.token_hex(4) for number in range(count)}
        self.seen = dict.fromkeys(self.words, "")

    def __iter__(self):
        return iter(self.words)

    def configuration(self, memory_mib=LEAST_MIB, initrd="root64/initrd.gz"):
        """ballast.conf and files; all guests have the same."""
        text, files = "", []
        for name, word in self.words.items():
            # Of 64 guests on an emulated machine each gets so little that Linux takes its CPU for stuck.
            guest = guests.Guest("debian-cloud/vmlinuz", None, initrd, f"{SMALL} nowatchdog word={word}", memory_mib)
            section, files = suite.conf_section(name, guest, folder="all")
            text += section
        return text, files

    def attach(self, machine, name):
        machine.send_line(f"vm console {name}")
        machine.expect(rf"vm console {name}\n", 60)
        return machine.position

    def leave(self, machine, name, start):
        """Keep what was seen on the console, and look for words of others in it."""
        machine.send(LEAVE)
        end = machine.expect(rf"left the console of vm {name}", 60)
        machine.expect(PROMPT, 60)
        self.seen[name] += machine.text[start : end.start()]
        for other, word in self.words.items():
            if other != name and word in self.seen[name]:
                raise machine.failure(f"the console of {name} shows the word of {other}, '{word}':\n{self.seen[name]}")

    def boot_talk(self, machine, name, timeout_s):
        """To the shell, and let it say its word for ever."""
        start = self.attach(machine, name)
        expect(machine, name, r"^GUEST-OK Linux", timeout_s)
        expect(machine, name, guests.SHELL, 120)
        machine.send_line("(while sleep 1; do echo word $word; done) &")
        expect(machine, name, guests.SHELL, 60)
        self.leave(machine, name, start)

    def answer(self, machine, name):
        """It says its word by itself, and when it is asked."""
        word = self.words[name]
        start = self.attach(machine, name)
        expect(machine, name, rf"^(?:guest# )?word {word}$", 60)
        machine.send_line("echo asked, $word-$((6*7))")
        expect(machine, name, rf"^asked, {word}-42$", 60)
        self.leave(machine, name, start)


def start_all(machine, names, timeout_s=60):
    for name in names:
        machine.send_line(f"vm start {name}")
        machine.expect(rf"^vm {name}: started", timeout_s, rf"^vm {name}: could not start[^\n]*")
        machine.expect(PROMPT, 60)


def overhead_kib(machine, name):
    """Host memory for a VM beyond its own, by `vm show`."""
    shown = "\n".join(machine.command(f"vm show {name}", 60))
    match = re.search(r"(\d+) ([KM])iB of Ballast's own", shown)
    suite.check(match, f"vm show does not say what Ballast needs for {name}:\n{shown}")
    return int(match.group(1)) * (1024 if match.group(2) == "M" else 1)


def free_mib(machine):
    said = "\n".join(machine.command("mem", 60))
    match = re.search(r"(\d+) MiB\b[^\n]*free|free\D*(\d+) MiB", said)
    suite.check(match, f"mem does not say what is free:\n{said}")
    return int(match.group(1) or match.group(2))


def destroy_all(machine, names):
    for name in names:
        machine.send_line(f"vm destroy {name}")
        machine.expect(rf"^vm {name}: destroyed", 120)
        machine.expect(PROMPT, 60)


def crowd(env, count, **options):
    """So many at once; all are talked to twice, the second time in another order."""
    those = Crowd(count)
    with env.machine(env.image(*those.configuration()), **options) as machine:
        machine.expect(PROMPT, 120)
        free = free_mib(machine)
        began = machine.seconds()
        start_all(machine, those)
        for name in those:
            those.boot_talk(machine, name, 120 + 20 * count)
        booted = machine.seconds()
        for name in reversed(list(those)):
            those.answer(machine, name)
        answered = machine.seconds()
        running = [line for line in machine.command("vm list", 60) if re.match(r"g\d+ +running\b", line)]
        suite.check(len(running) == count, f"{len(running)} of {count} guests run")
        own = sorted(overhead_kib(machine, name) for name in those)
        used = free - free_mib(machine)
        destroy_all(machine, those)
        left = free_mib(machine)
        print(f"{count} guests of {LEAST_MIB} MiB: all at their shells after {booted - began:.0f} s, all answered "
              f"{answered - booted:.0f} s later; each costs {own[0]} to {own[-1]} KiB beyond its own memory; "
              f"{used / count:.1f} MiB each taken from the free memory, {free - left} MiB of it not given back")
        suite.check(left == free, f"{free} MiB were free before, {left} MiB are after all guests were destroyed")
        machine.send_line("poweroff")
        machine.expect_end(120)


@suite.test
def test_many_2(env):
    crowd(env, 2)


@suite.test
def test_many_8(env):
    crowd(env, 8, cpus=host_cpus(env))


@suite.test
def test_many_64(env):
    crowd(env, 64, cpus=host_cpus(env), memory_mib=8192, life_s=1700)


def host_cpus(env):
    return {"bochs-vmx": 2, "bochs-svm": 1}.get(env.bench, 4)


@suite.test
def test_many_fit(env):
    """As many as the memory holds; the next is refused in words, and fits when one has gone."""
    those = Crowd(20)
    with env.machine(env.image(*those.configuration()), cpus=host_cpus(env), memory_mib=1024) as machine:
        machine.expect(PROMPT, 120)
        names = list(those)
        fit, refusal = 0, None
        while not refusal:
            machine.send_line(f"vm start {names[fit]}")
            said = machine.expect(rf"^vm {names[fit]}: (started|could not start[^\n]*)\n", 60).group(1)
            machine.expect(PROMPT, 60)
            if said == "started":
                fit += 1
                suite.check(fit < len(names), f"{fit} guests of {LEAST_MIB} MiB fit into 1 GiB, it is said")
            else:
                refusal = said
        suite.check("MiB are free" in refusal, f"the guest that does not fit is refused by: {refusal}")
        suite.check(fit >= 10, f"only {fit} guests of {LEAST_MIB} MiB fit into 1 GiB")
        for name in names[:fit]:
            those.boot_talk(machine, name, 120 + 20 * fit)
        for name in names[:fit]:
            those.answer(machine, name)
        destroy_all(machine, names[:1])
        start_all(machine, names[fit : fit + 1])
        those.boot_talk(machine, names[fit], 120)
        those.answer(machine, names[fit])
        print(f"{fit} guests of {LEAST_MIB} MiB fit into 1 GiB and all answer; the next: {refusal}")
