# SPDX-License-Identifier: BSD-2-Clause
"""TCP in bulk between two Debian guests, for bench-io: what the hypervisor does for each MiB, counted from outside
and so on emulated SVM alone.

The peer's guests are on a bridge of its kernel's, by tap devices and vhost-net: of what KVM and QEMU have, the way
with the least work.
"""

import gzip
import os
import subprocess

import measure
from measure import counting, guests, lab, peer

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = 32
MARK = "0x100001"  # as in tcp.c
MEMORY_MIB = 160
CMDLINE = f"{guests.QUIET} nokaslr mitigations=off cryptomgr.notests run=tcp-guest"
GUEST = f"""#!/bin/sh
ip link set eth0 up
ip addr add 10.0.0.$number/24 dev eth0
case $number in
1) tcp send {MIB} ;;
2) tcp receive 10.0.0.1 {MIB} ;;
esac
poweroff -f
"""
# In the order of their dependencies.
MODULES = ("llc", "stp", "bridge", "tun", "tap", "vhost_iotlb", "vhost", "vhost_net")
JOIN = "#!/bin/sh\nip link set $1 master br0\nip link set $1 up\n"
# KVM's guests are started one after the other, by so many seconds. QEMU 7.2's VMRUN does not forget an interrupt that it
# has injected: when a timer of the machine is due before the next exit, the guest takes the interrupt once more, with
# RFLAGS.IF clear. Linux bears that in most places, some twenty times in one run; but in the timer's own handler it then
# waits for ever for a lock that it holds. So a boot may come to nothing, and does so the more often the more timers there
# are: of three boots of two guests at once two hung. Another try, with another pause, may get through.
PAUSES = (2, 2.3, 1.7)
TRY_S = 300


def _write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


def _initrd(workdir):
    """That of the guest with virtio drivers, and tcp with what starts it."""
    program = os.path.join(workdir, "tcp")
    command = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-static", "-s", "-o", program,
               os.path.join(HERE, "tcp.c")]
    subprocess.run(command, check=True)
    archive = peer.mkinitrd().Archive()
    for path in (program, _write(os.path.join(workdir, "tcp-guest"), GUEST)):
        with open(path, "rb") as file:
            archive.file(f"bin/{os.path.basename(path)}", file.read(), 0o755)
    out = os.path.join(workdir, "initrd.gz")
    with open(out, "wb") as file, open(os.path.join(guests.folder(), "virtio64", "initrd.gz"), "rb") as root:
        # Linux unpacks one archive after the other.
        file.write(root.read() + gzip.compress(archive.finish(), mtime=0))
    return out


ROWS = (("hypervisor", "hypervisor's instructions"), ("copied", "  of it copying, REP MOVS"), ("exits", "exits"),
        ("guests", "guests' instructions"))
COMPARED = ("hypervisor", "exits")


def _figures(counted):
    """Of one MiB, by the keys of ROWS."""
    bulk = counting.read(counted)[MARK]
    return {"hypervisor": bulk.host / MIB, "copied": bulk.copied / MIB, "exits": bulk.count() / MIB,
            "guests": bulk.guest / MIB}


def _kernel():
    return os.path.join(guests.folder(), "virtio64", "vmlinuz")


def ballast(build, workdir):
    conf = "".join(f"[vm g{number}]\nmemory = {MEMORY_MIB}M\nkernel = /vmlinuz\ninitrd = /initrd\n"
                   f"cmdline = {CMDLINE} number={number}\nnet = lan0\nautostart = yes\n" for number in (1, 2))
    image = measure.make_image(build, workdir, conf, [(_kernel(), "/vmlinuz"), (_initrd(workdir), "/initrd")])
    counted = os.path.join(workdir, "count.txt")
    plugin = counting.plugin_argument(workdir, counted, os.path.join(build, "ballast.elf"))
    with lab.Machine("qemu-svm", image, workdir, 1500, plugin=plugin, **measure.machine_options("qemu-svm")) as machine:
        for _ in (1, 2):
            machine.expect(r"^vm g[12]: powered off", 900, guests.KERNEL_DEATH)
        machine.send("\r")
        machine.expect(r"^ballast> ", 60)
    return _figures(counted)


def _run(pause):
    """What the peer does."""
    return peer.QEMU + f"""
for module in {" ".join(MODULES)}; do insmod /kvm/$module.ko; done
ip link add br0 type bridge
ip link set br0 up
guest() {{
	qemu -m {MEMORY_MIB} -kernel /guest/vmlinuz -initrd /guest/initrd -append "{CMDLINE} number=$1" \\
		-netdev tap,id=n,vhost=on,script=/bin/join,downscript=no \\
		-device virtio-net-pci,netdev=n,disable-legacy=on,romfile=,mac=52:54:00:00:00:0$1
}}
guest 1 &
sleep {pause}
guest 2
wait
"""


def _try_kvm(workdir, files, pause):
    peer.make_initrd(os.path.join(workdir, "peer.cpio"), None, _run(pause), files)
    counted = os.path.join(workdir, "count.txt")
    with measure.peer_machine("qemu-svm", workdir, plugin=counting.plugin_argument(workdir, counted)) as machine:
        machine.expect(rf"^received {MIB} MiB", TRY_S, measure.PEER_DEATH)
        machine.expect(r"^peer: done", 60)
    return _figures(counted)


def kvm(_, workdir):
    files = {f"kvm/{name}.ko": os.path.join(peer.folder(), f"{name}.ko") for name in MODULES}
    files.update({"guest/vmlinuz": _kernel(), "guest/initrd": _initrd(workdir),
                  "bin/join": _write(os.path.join(workdir, "join"), JOIN)})
    for pause in PAUSES:
        try:
            return _try_kvm(workdir, files, pause)
        except lab.Failure as failure:
            print(f"KVM's guests, the second {pause} s after the first, did not get through TCP: {failure}", flush=True)
    raise lab.Failure(f"KVM's guests did not get through TCP in {len(PAUSES)} tries; see PAUSES in test/bench/bulk.py")
