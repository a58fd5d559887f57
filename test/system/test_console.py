# SPDX-License-Identifier: BSD-2-Clause
"""The operator's side: banner, commands, line editing, mistakes, consoles of guests, the lives of VMs."""

import os
import re

import guests
import suite

PROMPT = r"^ballast> "
LEAVE = "\x1dd"  # Ctrl-] d
COMMANDS = ("vm list", "vm show", "vm start", "vm stop", "vm reset", "vm destroy", "vm console", "mem", "cpu", "log",
            "trace", "poweroff", "reboot", "help")


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
