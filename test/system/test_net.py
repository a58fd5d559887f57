# SPDX-License-Identifier: BSD-2-Clause
"""Guests on a switch: Debian's own virtio-net driver at both ends, ping, TCP in bulk with checksums, addresses that
are not a guest's, drivers that are taken out while frames wait.
"""

import itertools
import re

import guests
import suite
from guests import does
from test_console import LEAVE, PROMPT, power_off

NAMES = ("one", "two")
SMALL = f"{guests.QUIET} nokaslr mitigations=off cryptomgr.notests"


def configuration():
    text, files = "", []
    for name in NAMES:
        guest = guests.Guest("virtio64/vmlinuz", None, "virtio64/initrd.gz", SMALL, 160)
        section, own = suite.conf_section(name, guest, more=["net = lan0"])
        text += section
        files += own
    return text, files


numbers = itertools.count(1)


def open_console(machine, name):
    machine.send_line(f"vm console {name}")
    machine.expect(rf"^--- console of vm {name}: ", 30)


def attach(machine, name):
    """To a shell: what is shown again of what was there before is left behind."""
    open_console(machine, name)
    number = next(numbers)
    machine.send_line(f"echo here {number}")
    machine.expect(rf"^here {number}$", 60, guests.KERNEL_DEATH)
    machine.expect(guests.SHELL, 60)


def leave(machine):
    machine.send(LEAVE)
    machine.expect(PROMPT, 30)


def up(number):
    """The line that gives eth0 its addresses; that of IPv6 can be used at once."""
    return (f"echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad; ip link set lo up; ip link set eth0 up; "
            f"ip addr add 10.0.0.{number}/24 dev eth0; ip addr add fd00::{number}/64 dev eth0; echo up $?")


def boot(machine, name, number):
    """Start a guest and give its NIC addresses; the MAC that it found."""
    machine.send_line(f"vm start {name}")
    machine.expect(rf"^vm {name}: started", 60)
    open_console(machine, name)
    machine.expect(r"^GUEST-OK", 240, guests.KERNEL_DEATH)
    machine.send("\r")
    machine.expect(guests.SHELL, 60)
    mac = does(machine, "cat /sys/class/net/eth0/address", r"^([0-9a-f:]{17})$").group(1)
    does(machine, up(number), r"^up 0$")
    leave(machine)
    return mac


def serve(machine, kib):
    """Guest one offers some random bytes; their sum. Linux sends so many segments at once as take it a millisecond,
    which on an emulated machine is two; it is told to do as on a fast one.
    """
    attach(machine, "one")
    does(machine, "echo 40 >/proc/sys/net/ipv4/tcp_min_tso_segs; echo set $?", r"^set 0$")
    made = does(machine, f"dd if=/dev/urandom of=/tmp/data bs=1k count={kib} 2>/dev/null; httpd -h /tmp; "
                "echo made $(md5sum </tmp/data)", r"^made ([0-9a-f]{32})", 300).group(1)
    leave(machine)
    return made


def fetch(machine, address, made):
    """Guest two gets them."""
    attach(machine, "two")
    got = does(machine, f"echo got $(wget -q -O - http://{address}/data | md5sum)", r"^got ([0-9a-f]{32})", 300)
    leave(machine)
    suite.check(got.group(1) == made, f"{made} was sent, and {got.group(1)} came")


def port(machine, name):
    """The counters of a guest's port: packets and what was refused."""
    answer = "\n".join(machine.command("net list"))
    line = re.search(rf"^ +{name}/0 .*$", answer, re.MULTILINE)
    suite.check(line, f"net list does not name {name}'s port:\n{answer}")
    numbers = re.search(r"sent (\d+) .*received (\d+) ", line.group(0))
    suite.check(numbers, f"net list does not count: {line.group(0)}")
    refused = re.search(r"(\d+) not let through", line.group(0))
    return int(numbers.group(1)), int(numbers.group(2)), int(refused.group(1)) if refused else 0


def pings(machine, address="10.0.0.2", count=3, size=1400):
    attach(machine, "one")
    result = does(machine, f"ping -c {count} -i 0.2 -s {size} {address}",
                  r"^(\d+) packets transmitted, (\d+) packets received", 120)
    leave(machine)
    suite.check(result.group(2) == str(count), f"of {count} pings {result.group(2)} were answered")


def keeps_its_address(machine):
    """The driver is told no, and what is sent with another address is not let through."""
    attach(machine, "one")
    does(machine, "ip link set eth0 address 02:11:22:33:44:55; echo set $?", r"^set [1-9]")
    leave(machine)


def another_driver(machine, number):
    """The driver goes while frames come, and another comes, which leaves less to the device."""
    attach(machine, "one")
    does(machine, "ping -c 100 -i 0.05 10.0.0.2 >/dev/null & echo pings", r"^pings$")
    leave(machine)
    attach(machine, "two")
    does(machine, "rmmod virtio_net; sleep 1; insmod /lib/modules/*/virtio_net.ko csum=0 gso=0; echo in $?", r"^in 0$")
    does(machine, up(number), r"^up 0$")
    leave(machine)


def run(env, kib, more=True, **options):
    text, files = configuration()
    with env.machine(env.image(text, files), 900, **options) as machine:
        machine.expect(PROMPT, 120)
        macs = [boot(machine, name, number) for number, name in enumerate(NAMES, 1)]
        suite.check(len(set(macs)) == 2, f"both guests have the address {macs[0]}")
        pings(machine)
        made = serve(machine, kib)
        before = port(machine, "two")[1]
        fetch(machine, "10.0.0.1", made)
        frames = port(machine, "two")[1] - before
        # Segments are not cut between guests: far fewer frames than of 1448 bytes each.
        suite.check(frames < kib * 1024 / 5000, f"{kib} KiB came in {frames} frames")
        if more:
            keeps_its_address(machine)
            fetch(machine, "[fd00::1]", made)
            another_driver(machine, 2)
            pings(machine, "fd00::2")
            fetch(machine, "10.0.0.1", made)
        sent, received, refused = port(machine, "one")
        suite.check(sent and received and not refused,
                    f"one sent {sent}, received {received}, and {refused} were not let through")
        for name in NAMES:
            machine.send_line(f"vm stop {name}")
            machine.expect(rf"^vm {name}: stopped", 30)
        power_off(machine)


@suite.test
def test_net(env):
    """Two guests on a switch."""
    run(env, 8192)


@suite.test
def test_net_short(env):
    """The same, with less of it."""
    run(env, 256, more=False)
