# SPDX-License-Identifier: BSD-2-Clause
"""A Debian guest that works beside one that misbehaves, on one CPU: how much of its fair share it keeps.

The victim says how much work it gets done in each second. Both VMs have the same weight, so half of what it does
alone is its fair share, whatever the other does and however many vCPUs it has. Time is the emulator's, which
counts instructions.
"""

import guests
import suite
import test_clocks
import test_isolation
import test_many
import test_smp

LEAST_SHARE = 0.9
ICOUNT_SHIFT = 3  # QEMU: 8 ns an instruction
SECONDS = 3
# What runs in the bully; with two vCPUs it can interrupt itself. The fork bomb last: nobody catches all of it.
BULLIES = {
    "busy loops": "exercise spin",
    "IPI storm": "exercise ipis",
    "timer storm": "exercise timers",
    "fork bomb": "exercise forks",
}


def victim_work(machine, beside):
    """Portions of work a second, the mean of some seconds, and the worst second's."""
    with test_clocks.Console(machine, "victim"):
        # An attached console shows what came before once more: begin at a line that did not.
        machine.send_line(f"echo beside {beside}; exercise victim {SECONDS}")
        machine.expect(f"^beside {beside}$", 120)
        rates = []
        for _ in range(SECONDS):
            said = machine.expect(r"^exercise: second \d+, (\d+) portions in (\d+) us", 120, guests.KERNEL_DEATH)
            rates.append(int(said.group(1)) * 1e6 / int(said.group(2)))
        machine.expect(guests.SHELL, 60)
    return sum(rates) / len(rates), min(rates)


def beside(machine, name, command):
    """Let the bully run it; meanwhile: the victim's work, and the part of the CPU that the bully got."""
    with test_clocks.Console(machine, "bully"):
        machine.send_line(f"{command} >/dev/null & sleep 1; echo there goes {name}")
        machine.expect(rf"^there goes {name}$", 300, guests.KERNEL_DEATH)
    before = [test_clocks.times_of(machine, name)["run"] for name in ("bully", "victim")]
    work = victim_work(machine, name)
    after = [test_clocks.times_of(machine, name)["run"] for name in ("bully", "victim")]
    with test_clocks.Console(machine, "bully"):
        machine.send_line("kill -9 $!")  # in vain with a fork bomb, which is the last
    return work, (after[0] - before[0]) / (sum(after) - sum(before))


@suite.test
def test_linux_bullies(env):
    victim, files = test_smp.section("victim", 1, 96, False, test_many.SMALL, folder="both")
    bully, _ = test_smp.section("bully", 2, 96, False, test_many.SMALL, folder="both")
    options = {} if env.is_bochs() else {"icount": ICOUNT_SHIFT}
    rows, wrong = [], []
    with env.machine(env.image(victim + bully, files), cpus=1, life_s=900, **options) as machine:
        machine.expect(test_many.PROMPT, 120)
        test_many.start_all(machine, ["victim", "bully"])
        for name, vcpus in (("victim", 1), ("bully", 2)):
            with test_clocks.Console(machine, name):
                test_smp.boot(machine, vcpus)
        alone, _ = victim_work(machine, "nobody")
        for name, command in BULLIES.items():
            (mean, worst), bully_part = beside(machine, name, command)
            kept = mean / alone * 2
            rows.append((name, f"{mean / alone * 100:.1f} %", f"{kept * 100:.1f} %", f"{worst / alone * 200:.1f} %",
                         f"{bully_part * 100:.1f} %", "" if kept >= LEAST_SHARE else "WRONG"))
            if kept < LEAST_SHARE:
                wrong.append(f"beside the {name} the victim keeps {kept * 100:.1f} % of its fair share")
            # Who shares the CPU with nobody is no victim.
            if bully_part < 0.3:
                wrong.append(f"the {name} was none: it ran {bully_part * 100:.1f} % of the time")
        test_isolation.table(f"A Debian guest beside bullies with two vCPUs on one CPU, {env.bench}: its work, against "
                             "what it does alone",
                             ("bully", "work", "of fair share", "worst second", "bully's CPU time", ""), rows)
        if wrong:
            raise machine.failure("; ".join(wrong))
