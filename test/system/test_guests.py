# SPDX-License-Identifier: BSD-2-Clause
"""Real, unmodified guests: to the end of their conversation, and out again."""

import re

import guests
import suite

STATE_LINE = r"^vm {}: "


def boot_guest(env, name, **options):
    """The image with one autostarted guest; its console is attached at once. Returns when it has been talked to."""
    guest = guests.ALL[name]
    conf, files = suite.conf_section("guest", guest, autostart=True)
    machine = env.machine(env.image(conf, files), **options)
    try:
        guest.talk(machine, guest)
    except BaseException:
        machine.stop()
        raise
    return machine


def power_off_host(machine):
    machine.send_line("poweroff")
    machine.expect_end(60)


def check_shown(machine):
    """`vm show` of a guest that has run: a state, memory, and exits by kind with counts and shares."""
    shown = machine.command("vm show guest")
    text = "\n".join(shown)
    suite.check(re.search(r"\bmemory\b", text), f"vm show names no memory:\n{text}")
    suite.check(re.search(r"\b\d+\b.*\b\d+(\.\d+)?\s*%", text), f"vm show has no line of a count and a share:\n{text}")


def linux_guest(env, name, **options):
    """Power-on to a shell, a command, power off; then Ballast's prompt again, and the machine off."""
    with boot_guest(env, name, **options) as machine:
        machine.expect(STATE_LINE.format("guest"), 60)
        machine.expect(r"^ballast> ", 60)
        check_shown(machine)
        power_off_host(machine)


@suite.test
def test_debian_cloud(env):
    linux_guest(env, "debian-cloud")


@suite.test
def test_debian_pvh(env):
    linux_guest(env, "debian-pvh")


@suite.test
def test_debian_verbose(env):
    linux_guest(env, "debian-verbose")


@suite.test
def test_debian_smp(env):
    linux_guest(env, "debian-smp")


@suite.test
def test_debian_full(env):
    linux_guest(env, "debian-full")


@suite.test
def test_debian_pae(env):
    linux_guest(env, "debian-pae")


@suite.test
def test_debian_686(env):
    linux_guest(env, "debian-686")


@suite.test
def test_memtest64(env):
    boot_guest(env, "memtest64").stop()


@suite.test
def test_memtest32(env):
    boot_guest(env, "memtest32").stop()


@suite.test
def test_gnumach(env):
    boot_guest(env, "gnumach").stop()


@suite.test
def test_one_cpu(env):
    """On a machine with one CPU, guest and console share it."""
    linux_guest(env, "debian-cloud", cpus=1)


@suite.test
def test_usb_boot(env):
    """The very image from a USB stick: xHCI and usb-storage, read by the firmware alone."""
    linux_guest(env, "debian-cloud", usb=True)
