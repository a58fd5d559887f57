# SPDX-License-Identifier: BSD-2-Clause
"""Guests reach the network outside through the machine's NICs: DHCP, ping, TCP in both directions, by way of the
emulator's user network to a web server in this process.
"""

import hashlib
import http.server
import random
import re
import threading
import time

import guests
import suite
from guests import does
from test_console import LEAVE, PROMPT, power_off, says

NICS = {  # QEMU's device, and what Ballast calls it
    "e1000": ("e1000", "82540EM", "polled"),
    "e1000e": ("e1000e", "82574L", "MSI-X"),
    "virtio": ("virtio-net-pci,disable-legacy=on", "virtio-net", "MSI-X"),
}
DOWNLOAD_BYTES = 2 << 20
UPLOAD_BYTES = 1 << 20
# What udhcpc calls: first with "deconfig", then with "bound" and what it was given.
DHCP = r"""printf '#!/bin/sh\nifconfig $interface $ip ${subnet:+netmask $subnet} up\n' >/tmp/dhcp; chmod +x /tmp/dhcp"""


class Server:
    """A web server on this machine's loopback: GET gives the same random bytes each time, POST keeps what comes."""

    def __init__(self):
        self.body = random.Random(1).randbytes(DOWNLOAD_BYTES)
        self.posted = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def answer(self, body):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):  # pylint: disable=invalid-name
                self.answer(server.body)

            def do_POST(self):  # pylint: disable=invalid-name
                server.posted.append(hashlib.md5(self.rfile.read(int(self.headers["Content-Length"]))).hexdigest())
                self.answer(b"taken\n")

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        self.md5 = hashlib.md5(self.body).hexdigest()

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


def qemu_nics(names):
    """Each NIC with a network of its own, 10.0.N.0/24; on a port of the root complex where its bus asks for one."""
    arguments = []
    for index, name in enumerate(names):
        number = index + 2
        arguments += ["-netdev", f"user,id=net{index},net=10.0.{number}.0/24,dhcpstart=10.0.{number}.15",
                      "-device", f"pcie-root-port,id=port{index},chassis={number},slot={number}"]
        bus = "pcie.0" if name == "e1000" else f"port{index}"
        arguments += ["-device", f"{NICS[name][0]},netdev=net{index},bus={bus},mac=52:54:00:12:34:{0x60 + index:02x}"]
    return arguments


def bochs_nic():
    return ["pci: enabled=1, chipset=i440fx, slot1=e1000",
            'e1000: card=0, enabled=1, mac=52:54:00:12:34:60, ethmod=slirp, script=""']


def get_address(machine, interface, network):
    does(machine, f"udhcpc -i {interface} -s /tmp/dhcp -n -q -t 20 -T 1 >/tmp/said 2>&1; echo dhcp $?", r"^dhcp 0$", 60)
    found = does(machine, f"ifconfig {interface}; echo shown", r"inet addr:(\S+) ", 60).group(1)
    suite.check(found.startswith(network + "."), f"{interface} has the address {found}, not one of {network}.0/24")
    return found


def use_network(machine, server, gateway):
    """Ping, a download and an upload; the seconds that the latter two took in the guest."""
    does(machine, f"ping -c 3 -W 5 {gateway} | grep received", r"^3 packets transmitted, 3 packets received", 60)
    begun = time.monotonic()
    does(machine, f"wget -q -O - http://{gateway}:{server.port}/ | md5sum", rf"^{server.md5}  -$", 120)
    down = time.monotonic() - begun
    # As text: busybox' wget posts no zeroes.
    sent = does(machine, f"head -c {UPLOAD_BYTES * 3 // 4} /dev/urandom | base64 >/tmp/up; md5sum /tmp/up", r"^([0-9a-f]{32})  /tmp/up$", 60)
    begun = time.monotonic()
    does(machine, f"wget -q -O - --post-file /tmp/up http://{gateway}:{server.port}/", r"^taken$", 120)
    suite.check(server.posted[-1] == sent.group(1), "what was uploaded is not what arrived")
    return down, time.monotonic() - begun


def uplink(env, names):
    guest = guests.ALL["debian-virtio"]
    extra = bochs_nic() if env.is_bochs() else qemu_nics(names)
    conf, files = suite.conf_section("linux", guest, True, [f"net = lan{i}" for i in range(len(names))])
    conf += "".join(f"[net lan{i}]\nnic = nic{i}\n" for i in range(len(names)))
    with Server() as server, env.machine(env.image(conf, files), 600, extra=extra) as machine:
        machine.expect(r"^GUEST-OK", 240, guests.KERNEL_DEATH)
        machine.expect(guests.SHELL, 60)
        machine.send_line(DHCP)
        machine.expect(guests.SHELL, 60)
        for index, name in enumerate(names):
            get_address(machine, f"eth{index}", f"10.0.{index + 2}")
            down, up = use_network(machine, server, f"10.0.{index + 2}.2")
            print(f"{name}: {DOWNLOAD_BYTES >> 20} MiB in {down:.1f} s, {UPLOAD_BYTES >> 20} MiB out {up:.1f} s")
        machine.send(LEAVE)
        machine.expect(PROMPT, 30)
        log = says(machine, "log 200", r"nic0: link up")
        for index, name in enumerate(names):
            suite.check(re.search(rf"nic{index}: {NICS[name][1]} at .*, {NICS[name][2]}", log),
                        f"the log does not say that nic{index} is {NICS[name][1]}:\n{log}")
        suite.check("reset" not in log, f"a NIC was reset:\n{log}")
        for index, name in enumerate(names):
            says(machine, "net list", rf"^nic{index}  52:54:00:12:34:6{index}  {NICS[name][1]}, (link up|\d+ Mbit/s)$")
        machine.send_line("vm stop linux")
        machine.expect(PROMPT, 30)
        power_off(machine)


@suite.test
def test_uplink(env):
    """A Debian guest on three networks, each led outside by another kind of NIC; Bochs has one."""
    uplink(env, ["e1000"] if env.is_bochs() else ["e1000", "e1000e", "virtio"])
