# SPDX-License-Identifier: BSD-2-Clause
"""The operator's side: banner, commands, line editing, mistakes, consoles of guests, the lives of VMs."""

import os
import random
import re

import guests
import suite

PROMPT = r"^ballast> "
LEAVE = "\x1dd"  # Ctrl-] d
COMMANDS = ("vm list", "vm show", "vm create", "vm set", "vm start", "vm stop", "vm reset", "vm pause", "vm resume",
            "vm destroy", "vm console", "vm disk list", "vm disk add", "vm disk commit", "vm disk discard", "vm net list",
            "vm net add", "disk list", "net list", "mem", "mem graph", "mem history", "mem policy", "cpu", "top", "log", "trace", "poweroff",
            "reboot", "help")


def says(machine, line, *patterns, timeout_s=30):
    """The command's answer holds each of the patterns."""
    answer = "\n".join(machine.command(line, timeout_s))
    for pattern in patterns:
        suite.check(re.search(pattern, answer, re.MULTILINE), f"'{line}' does not say {pattern!r}, but:\n{answer}")
    return answer


def power_off(machine):
    machine.send_line("poweroff")
    machine.expect_end(60)


def tiny_section(env, name, guest):
    """A VM with one of the test guests."""
    path = os.path.join(env.build, "guest", f"{guest}.elf")
    return (f"[vm {name}]\nmemory = 32M\nkernel = /tiny/{guest}.elf\nboot = multiboot\ndebug-exit = yes\n",
            [(path, f"/tiny/{guest}.elf")])


@suite.test
def test_shell(env):
    """Banner, every command, mistakes by the word, Tab, history, and a configuration with mistakes."""
    good, files = suite.conf_section("linux", guests.ALL["debian-cloud"])
    conf = (good + "[vm broken]\nmemory = 64Q\nkernel = /linux/kernel\n\n"
            "[vm other]\nmemory = 64M\nkernel = /no/such/file\nbogus = 1\n")
    mistakes = [conf[: conf.index(text)].count("\n") + 1 for text in ("memory = 64Q", "bogus = 1")]
    with env.machine(env.image(conf, files), 300) as machine:
        machine.expect(PROMPT, 90)
        boot = machine.text[: machine.position]
        for pattern in (r"^Ballast \d+\.\d+\.\d+", r"SVM|VMX", r"\d+ CPU", r"\d+(\.\d+)? [MG]iB.*guests", r"help",
                        rf"ballast\.conf:{mistakes[0]}: .*64Q", rf"ballast\.conf:{mistakes[1]}: .*bogus"):
            suite.check(re.search(pattern, boot, re.MULTILINE), f"the start does not say {pattern!r}:\n{boot}")
        suite.check(boot.count("ballast.conf:") == 2, f"more or fewer than two mistakes are named:\n{boot}")
        commands(machine)
        says(machine, "vm start broken", "broken", "64Q")
        says(machine, "vm start other", "bogus|/no/such/file|no.such.file")
        line_editing(machine)
        power_off(machine)


def commands(machine):
    answer = says(machine, "help")
    for command in COMMANDS:
        suite.check(command in answer, f"help does not name '{command}':\n{answer}")
    says(machine, "vm list", r"^linux\b", r"^broken\b", r"^other\b")
    says(machine, "vm show linux", r"memory +256")
    says(machine, "mem", r"\d", r"free")
    says(machine, "mem linux", r"256 MiB guaranteed, 2560 shares", r"it is not started")
    says(machine, "mem policy tax=60", r"tax +60%", r"low +1%")
    says(machine, "mem policy tax=75 soft=7%", r"must be less each")
    says(machine, "cpu", r"TSC|MHz", r"SVM|VMX")
    says(machine, "log", r"\w")
    says(machine, "frobnicate", "frobnicate")
    says(machine, "vm frobnicate", "frobnicate")
    says(machine, "vm start frobnicate", "frobnicate")
    says(machine, "trace linux perhaps", "perhaps")
    says(machine, "vm stop linux", "linux")
    says(machine, "")


def line_editing(machine):
    machine.send("he\t\r")  # completed
    machine.expect(r"help", 20)
    machine.expect(r"poweroff", 20)
    machine.expect(PROMPT, 20)
    machine.send("vm show lin\t\r")
    machine.expect(r"memory +256", 20)
    machine.expect(PROMPT, 20)
    machine.send_line("vm frobnicate2")
    machine.expect(r"'frobnicate2'", 20)
    machine.expect(PROMPT, 20)
    machine.send("\x1b[A\r")  # Up: the line once more
    machine.expect(r"'frobnicate2'", 20)
    machine.expect(PROMPT, 20)
    machine.send("elp\x01h\r")  # Ctrl-A: to the beginning
    machine.expect(r"poweroff", 20)
    machine.expect(PROMPT, 20)
    machine.send("vm liszt\x7f\x7ft\r")  # Backspace
    machine.expect(r"^broken\b", 20)
    machine.expect(PROMPT, 20)
    machine.send("vm list\n")  # a terminal may send a line feed
    machine.expect(r"^broken\b", 20)
    machine.expect(PROMPT, 20)
    machine.send("x" * 600 + "\r")  # longer than a line may be
    machine.expect(PROMPT, 30)


@suite.test
def test_no_configuration(env):
    """A stick without ballast.conf: a prompt, and a word about what is missing."""
    with env.machine(env.image(None), 180) as machine:
        machine.expect(PROMPT, 90)
        suite.check("ballast.conf" in machine.text, f"the start does not name ballast.conf:\n{machine.text}")
        says(machine, "vm list")
        machine.send_line("reboot")
        machine.expect_end(60)


@suite.test
def test_console(env):
    """A guest's console is left and entered again; only the operator can leave it."""
    conf, files = suite.conf_section("linux", guests.ALL["debian-cloud"], autostart=True)
    with env.machine(env.image(conf, files), 600) as machine:
        machine.expect(r"^GUEST-OK", 120)
        machine.expect(guests.SHELL, 60)
        machine.send(LEAVE)
        machine.expect(PROMPT, 30)
        says(machine, "vm list", r"^linux +running")
        machine.send_line("vm console linux")
        machine.expect(r"vm console linux\n", 30)
        machine.send_line("echo back again")
        machine.expect(r"^back again$", 60)
        machine.expect(guests.SHELL, 30)
        # The guest sends the keys, and so would a terminal that echoes: nothing happens.
        machine.send_line(r"printf '\035d\n'; echo still here")
        machine.expect(r"^still here$", 60)
        machine.expect(guests.SHELL, 30)
        machine.send_line("stty -a | grep -c intr")
        machine.expect(r"^[0-9]+$", 60)
        machine.expect(guests.SHELL, 30)
        guest_writes_unattached(machine)
        traced(machine)
        machine.send_line("vm stop linux")
        machine.expect(r"^vm linux: stopped", 30)
        power_off(machine)


def guest_writes_unattached(machine):
    """What the guest writes while its console is not attached is shown when it is."""
    machine.send_line("sleep 3; echo written alone")
    machine.expect(r"alone\n", 30)
    machine.send(LEAVE)
    machine.expect(PROMPT, 30)
    says(machine, "vm show linux", r"running", r"memory", r"\d+ +\d+\.\d+ ?%")
    machine.send_line("vm console linux")
    machine.expect(r"^written alone$", 60)
    machine.send(LEAVE)
    machine.expect(PROMPT, 30)


def traced(machine):
    """`trace` prints lines of exits while it is on, and none afterwards."""
    machine.send_line("trace linux on")
    machine.expect(r"trace.*\bon\b[^\n]*\n", 30)
    for _ in range(5):
        machine.expect(r"^trace linux/0: [^\n]*rip=", 60)
    machine.send_line("trace linux off")
    machine.expect(r"trace[^\n]*\boff\b", 60)
    machine.expect(PROMPT, 60)
    says(machine, "vm show linux", r"running")


@suite.test
def test_lives(env):
    """VMs side by side: one faults alone, one is stopped, reset and destroyed, one reboots itself."""
    linux, files = suite.conf_section("linux", guests.ALL["debian-cloud"])
    triple, more = tiny_section(env, "faulty", "triple")
    with env.machine(env.image(linux + triple, files + more), 900) as machine:
        machine.expect(PROMPT, 90)
        machine.send_line("vm start linux")
        machine.expect(r"^vm linux: started", 30)
        machine.expect(PROMPT, 30)
        fault_alone(machine)
        machine.send_line("vm console linux")
        machine.expect(r"^GUEST-OK", 120)
        machine.expect(guests.SHELL, 60)
        machine.send_line("reboot")
        machine.expect(r"^vm linux: reset", 60)
        machine.expect(r"^GUEST-OK", 120)
        machine.expect(guests.SHELL, 60)
        machine.send(LEAVE)
        machine.expect(PROMPT, 30)
        machine.send_line("vm reset linux")
        machine.expect(r"^vm linux: reset", 60)
        machine.expect(PROMPT, 30)
        machine.send_line("vm console linux")
        machine.expect(r"^GUEST-OK", 120)
        machine.expect(guests.SHELL, 60)
        machine.send(LEAVE)
        machine.expect(PROMPT, 30)
        stop_and_destroy(machine)
        power_off(machine)


def fault_alone(machine):
    """A triple fault ends its VM with a report, while another VM runs on."""
    machine.send_line("vm start faulty")
    machine.expect(r"^vm faulty: stopped: [^\n]*triple fault", 60)
    machine.expect(PROMPT, 30)
    says(machine, "vm show faulty", r"triple fault", r"\brip\b", r"(?i)\bcr0\b")
    says(machine, "log", r"vm faulty: stopped")
    says(machine, "vm list", r"^linux +running", r"^faulty +faulted")


def stop_and_destroy(machine):
    machine.send_line("vm destroy linux")
    machine.expect(r"^vm linux: destroyed", 60)
    machine.expect(PROMPT, 30)
    machine.send_line("vm start linux")
    machine.expect(r"^vm linux: started", 60)
    machine.expect(PROMPT, 30)
    machine.send_line("vm stop linux")
    machine.expect(r"^vm linux: stopped", 60)
    machine.expect(PROMPT, 30)
    says(machine, "vm list", r"^linux +stopped", r"^faulty +faulted")


def told(machine, line, state):
    """A command whose answer is a state line; it may be longer than the editor's row."""
    machine.send_line(line)
    # A refusal of this command: an answer to the one before may come late, when a state line came into its row.
    machine.expect(state, 60, but_not=rf"^{' '.join(line.split()[:2])}: ")
    machine.expect(PROMPT, 60)


@suite.test
def test_create(env):
    """VMs made at the prompt: created like others, changed while they run, paused, watched by top, gone for good."""
    files = [(os.path.join(env.build, path), f"/{path}") for path in ("time/hog.elf", "guest/port.elf")]
    conf = ("[vm first]\nmemory = 24M\nkernel = /time/hog.elf\nboot = multiboot\ncmdline = every=100\n"
            "[ballast]\nload = /guest/port.elf\nload = /no/such/file\n")
    with env.machine(env.image(conf, files), 600) as machine:
        machine.expect(PROMPT, 90)
        suite.check(re.search(r"^ballast\.conf: .*/no/such/file.* not on the boot volume", machine.text, re.MULTILINE),
                    "the file that is not there is not named")
        before = own_memory(machine)
        creation_mistakes(machine)
        told(machine, "vm create tiny kernel=/guest/port.elf boot=multiboot debug-exit=yes memory=32M autostart=yes",
             r"^vm tiny: exited with status 0")
        told(machine, "vm create second like=first weight=50 cap=90%", r"^vm second: created")
        says(machine, "vm list", r"^tiny +exited", r"^second +not started +1 +24 MiB")
        told(machine, "vm start second", r"^vm second: started")
        console_of_second(machine)
        changed_and_paused(machine)
        watched(machine)
        told(machine, "vm pause second", r"^vm second: paused")
        told(machine, "vm destroy second", r"^vm second: destroyed")
        told(machine, "vm destroy tiny", r"^vm tiny: destroyed")
        answer = says(machine, "vm list", r"^first +not started")
        suite.check("second" not in answer and "tiny" not in answer, f"a destroyed VM is listed:\n{answer}")
        after = own_memory(machine)
        suite.check(before == after, f"memory is not as before: {before}, now {after}")
        power_off(machine)


def own_memory(machine):
    """Three rows of `mem`, to the KiB as long as they are small."""
    answer = says(machine, "mem")
    return re.findall(r"^ *(Ballast's own data|Ballast's data about the VMs|guests' memory in use) +(\d+ .iB)", answer,
                      re.MULTILINE)


def console_of_second(machine):
    machine.send_line("vm console second")
    machine.expect(r"vm console second\n(.*\n)*--- console of vm second", 30)
    machine.expect(r"^hog \d+: \d+\n(.*\n)*hog \d+: \d+\n(.*\n)*hog \d+: \d+\n", 60)
    machine.send(LEAVE)
    machine.expect(PROMPT, 30)


def creation_mistakes(machine):
    says(machine, "vm create first kernel=/guest/port.elf", r"there is a VM 'first' already")
    says(machine, "vm create x", r"kernel.*/time/hog\.elf, /guest/port\.elf$")
    says(machine, "vm create x kernel=/nothing", r"/nothing is not in memory")
    says(machine, "vm create x kernel=/guest/port.elf memory=some", r"'some' is not a size")
    says(machine, "vm create x krenel=/guest/port.elf", r"'krenel'; did you mean 'kernel'")
    says(machine, "vm set first cpus=200-", r"'200-' is no set of CPUs")
    says(machine, "vm set first", r"key=value")
    machine.send("vm cre\tnew ker\t/guest\t\r")  # completed: commands, keys, files
    machine.expect(r"^vm new: created", 30)
    machine.expect(PROMPT, 30)
    told(machine, "vm destroy new", r"^vm new: destroyed")


def changed_and_paused(machine):
    says(machine, "vm set second weight=300 cpus=0", r"^vm second has weight 300, cap 90%, cpus 0$")
    says(machine, "vm set second vcpus=2", r"runs: only weight, cap, cpus, memory, min and shares")
    says(machine, "vm set second min=50% shares=high", r"memory 24 MiB, 12 MiB guaranteed, 480 shares")
    says(machine, "vm set second memory=25M", r"it can have no more")
    says(machine, "mem second", r"in use +\d+ .iB", r"shares for a MiB")
    says(machine, "vm show second", r"weight 300, cap 90%, cpus 0$", r"vcpu time +\d+\.\d+ s run, \d+\.\d+ s stolen",
         r"vcpu 0 ")
    told(machine, "vm pause second", r"^vm second: paused")
    says(machine, "vm pause second", r"'second' is paused")
    says(machine, "vm list", r"^second +paused")
    before = says(machine, "vm show second", r"second is paused", r"exits +\d+")
    machine.pump(3)
    after = says(machine, "vm show second")
    counts = [re.search(r"exits +(\d+)", text).group(1) for text in (before, after)]
    suite.check(counts[0] == counts[1], f"a paused guest runs: {counts[0]} exits, later {counts[1]}")
    told(machine, "vm resume second", r"^vm second: resumed")
    says(machine, "vm resume second", r"not paused but running")
    console_of_second(machine)


def watched(machine):
    """Escape sequences are left out of the text: what top draws is one long line here."""
    machine.send_line("top 3")
    match = machine.expect(r"Ballast, up \d+:\d+:\d+; 1 of 3 VMs run; .*CPUs +\d+%:( +\d+)+.*EXITS A SECOND"
                           r"second +running +1 +\d+% +\d+% +\d+[KM] +[a-z]+ [0-9.]+k? ", 60)
    suite.check("\n" not in match.group(0), f"top is torn:\n{match.group(0)}")
    machine.expect(PROMPT, 60)
    machine.send_line("top")
    machine.expect(r"second +running", 60)
    machine.send("xq")
    machine.expect(PROMPT, 60)
    machine.send_line("mem graph 3")
    match = machine.expect(r"Free: \d+ .iB of \d+ .iB, the state is \w+.*now *second: # \d+ .iB active, : \d+ .iB in use,"
                           r".*1 VMs run; q ends", 60)
    suite.check("\n" not in match.group(0), f"mem graph is torn:\n{match.group(0)}")
    machine.expect(PROMPT, 60)
    says(machine, "cpu", r"^ +cpu 0 .*load \d+%")


STORM_VMS = 12
STORM_COMMANDS = 200


@suite.test
def test_storm(env):
    """Commands at random about VMs that all want the CPUs: each is answered, and in the end no page is missing."""
    files = [(os.path.join(env.build, f"time/{name}.elf"), f"/{name}.elf") for name in ("hog", "waker")]
    conf = "[ballast]\nload = /hog.elf\nload = /waker.elf\n"
    chance = random.Random(4711)
    with env.machine(env.image(conf, files), 900, cpus=2 if env.is_bochs() else 4) as machine:
        machine.expect(PROMPT, 90)
        before = free_pages(machine)
        there = set()
        for _ in range(STORM_COMMANDS):
            storm_command(machine, chance, there)
        says(machine, "vm list")
        for name in sorted(there):
            told(machine, f"vm destroy {name}", rf"^vm {name}: destroyed")
        after = free_pages(machine)
        suite.check(before == after, f"{before} pages were free, now {after}")
        power_off(machine)


def free_pages(machine):
    return int(re.search(r"in pages of 4 KiB +(\d+)", says(machine, "mem")).group(1))


def storm_command(machine, chance, there):
    """One command, sensible or not; a VM may still be about to stop when the next one comes."""
    name = f"s{chance.randrange(STORM_VMS)}"
    if name not in there:
        kernel = chance.choice(("hog", "waker"))
        told(machine, f"vm create {name} kernel=/{kernel}.elf boot=multiboot memory=16M vcpus={chance.randint(1, 3)}"
             f" debug-exit=yes cmdline=\"every=200 count=100000\" autostart=yes", rf"^vm {name}: started")
        there.add(name)
        return
    command = chance.choice(("start", "stop", "reset", "pause", "resume", "show", "set", "destroy"))
    words = ""
    if command == "set":
        words = " " + chance.choice((f"weight={chance.randint(1, 10000)}", f"cap={chance.randint(5, 300)}%", "cap=none",
                                     f"cpus={chance.randint(0, 1)}", "cpus=all", "memory=20M", "vcpus=2"))
    if command == "destroy":
        told(machine, f"vm destroy {name}", rf"^vm {name}: destroyed")
        there.remove(name)
        return
    machine.send_line(f"vm {command} {name}{words}")
    machine.expect(rf"vm {command} {name}{words}\n", 30)
    machine.expect(PROMPT, 30)
