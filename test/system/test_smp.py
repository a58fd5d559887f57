# SPDX-License-Identifier: BSD-2-Clause
"""Debian with several vCPUs under strain: interrupts from CPU to CPU, timers, TLB shootdowns, clocks, all checked
inside the guest by the program `exercise` (test/tools/guest-root/exercise), which prints a verdict on each.
"""

import guests
import suite

# Real seconds for each of the program's ten stages, by bench. Bochs' seconds are emulated, at 50 million
# instructions each for all CPUs together.
STAGE_S = {"qemu-svm": 2, "bochs-vmx": 2, "bochs-svm": 2, "kvm": 2, "bare": 2}
DONE = r"^exercise: (\d+) stages on (\d+) CPUs, (\d+) failed$"


def section(name, vcpus, memory_mib=192, autostart=True, cmdline=guests.QUIET, folder=None):
    """The lines of ballast.conf for such a guest, and its files."""
    guest = guests.Guest("debian-cloud/vmlinuz", None, "exercise64/initrd.gz", cmdline, memory_mib, vcpus=vcpus)
    return suite.conf_section(name, guest, autostart, folder=folder)


def boot(machine, vcpus):
    """Attached to the guest's console: wait for its shell."""
    ok = machine.expect(r"^GUEST-OK Linux \S+ \S+ cpus=(\d+)", 400, guests.KERNEL_DEATH)
    suite.check(int(ok.group(1)) == vcpus, f"the guest has {ok.group(1)} CPUs, not {vcpus}")
    machine.expect(guests.SHELL, 60)


def exercise(machine, vcpus, seconds, stages=""):
    """Run the program; its whole output is in the report when a stage failed."""
    start = machine.position
    machine.send_line(f"exercise check {seconds} {stages}".rstrip())
    done = machine.expect(DONE, 60 + 60 * seconds, guests.KERNEL_DEATH)
    said = "".join(line + "\n" for line in machine.text[start : machine.position].splitlines() if "exercise:" in line)
    print(said, end="", flush=True)
    if int(done.group(3)):
        raise machine.failure(f"{done.group(3)} stages failed:\n{said}")
    suite.check(int(done.group(2)) == vcpus, f"{done.group(2)} CPUs were strained, not {vcpus}")
    machine.expect(guests.SHELL, 60)


def strained(env, vcpus, cpus):
    conf, files = section("guest", vcpus)
    with env.machine(env.image(conf, files), cpus=cpus) as machine:
        boot(machine, vcpus)
        exercise(machine, vcpus, STAGE_S[env.bench])
        machine.send_line("poweroff")
        machine.expect(r"^vm guest: powered off", 60)
        machine.expect(r"^ballast> ", 60)
        machine.send_line("poweroff")
        machine.expect_end(60)


def host_cpus(env):
    """Emulated CPUs: of qemu-svm four, each with a thread of its own; of Bochs what is stable."""
    return {"bochs-vmx": 2, "bochs-svm": 1}.get(env.bench, 4)


@suite.test
def test_smp_2(env):
    strained(env, 2, host_cpus(env))


@suite.test
def test_smp_4(env):
    """On Bochs more vCPUs than CPUs."""
    strained(env, 4, host_cpus(env))
