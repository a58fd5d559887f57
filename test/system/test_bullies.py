# SPDX-License-Identifier: BSD-2-Clause
"""A VM beside one that costs the host as much as it can: how much of its part of the time is left to it, how late
the host's own timer comes at worst, and how long the operator waits for an answer."""

import re

import hostile
import shares
import suite
from test_isolation import table

# VMs that attack: the guest, its word, how many vCPUs. Those of hostile.py that never end are among them.
OWN = ("cpuids", "ports", "msrs", "controls", "pauses", "wakes", "rearms", "periods", "self-ipis", "rewrites", "touches",
       "hypercalls")
SMP = ("ipis", "pings", "startups")
HOSTILE = ("loops.debug", "loops.halt", "loops.timers", "loops.deadlines", "loops.interrupts", "loops.flood",
           "loops.string-memory", "loops.string-port", "loops.exceptions", "legacy.alignment")
TOUCH_MIB = 640

# Of what its weight entitles it to, a victim keeps so much; the shell answers within so many seconds.
KEPT = 0.9
ANSWER_S = 1.0


def bullies(bench):
    vms = [shares.hog("hog")]
    for name in OWN:
        memory = TOUCH_MIB if name == "touches" else 64
        vms.append(shares.Vm(name, "time/bully.elf", f"case={name} mib={memory}", memory_mib=memory))
    vms += [shares.Vm(name, "time/bully.elf", f"case={name}", vcpus=2) for name in SMP]
    vms += [shares.Vm(name, f"guest/{hostile.elf_of(name)}.elf", hostile.word_of(name)) for name in HOSTILE
            if name not in hostile.SKIPPED.get(bench, ())]
    return vms


def timer_late_us(machine):
    """How long a CPU did not come back to the host, at worst, since `cpu reset`: how late its timer was served."""
    found = re.findall(r"timer at most (\d+) us late", "\n".join(machine.command("cpu", 120)))
    return max((int(text) for text in found), default=None)


def one_bully(machine, reader, bully):
    """(permille of a CPU that the victim had, worst lateness of the host's timer, seconds to answer)."""
    shares.start(machine, bully.name)
    machine.command("cpu reset", 120)
    got = reader.shares(["victim"], 6)["victim"]
    answer = shares.answer_s(machine, "victim")
    late = timer_late_us(machine)
    listed = "\n".join(machine.command("vm list", 60))
    suite.check(re.search(rf"^{re.escape(bully.name)} +running", listed, re.MULTILINE),
                f"{bully.name} does not run any more:\n{listed}")
    shares.destroy(machine, bully.name)
    return got, late, answer


def suffer(env, names, cpus):
    """One row for each bully; those named, or all."""
    victim = shares.hog("victim", every_ms=125)
    vms = [vm for vm in bullies(env.bench) if not names or vm.name in names]
    rows, wrong = [], []
    with shares.machine(env, [victim, *vms], cpus, 900) as machine:
        machine.expect(shares.PROMPT, 120)
        reader = shares.Reader(machine)
        shares.start(machine, "victim")
        rows.append(("(nobody)", f"{reader.shares(['victim'], 8)['victim'] / 10:.1f} %", "", "", ""))
        for vm in vms:
            got, late, answer = one_bully(machine, reader, vm)
            kept = got / 500
            good = kept >= KEPT and answer is not None and answer <= ANSWER_S
            rows.append((vm.name, f"{got / 10:.1f} %", f"{kept * 100:.0f} %", "-" if late is None else late,
                         "-" if answer is None else f"{answer * 1000:.0f}", "" if good else "WRONG"))
            if not good:
                wrong.append(vm.name)
        table(f"A victim beside one bully on {cpus} CPU{'s' if cpus > 1 else ''}, {env.bench}",
              ("bully", "victim has", "of its part", "timer late at most, us", "shell answers after, ms", ""),
              [(*row, "")[:6] for row in rows])
        if wrong:
            raise machine.failure(f"beside {', '.join(wrong)} the victim has less than {KEPT * 100:.0f} % of its part, "
                                  f"or the shell takes more than {ANSWER_S:g} s")


@suite.test
def test_bullies(env):
    """All on one CPU: victim, bully, console."""
    suffer(env, (), 1)
