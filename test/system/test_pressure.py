# SPDX-License-Identifier: BSD-2-Clause
"""More memory is promised than there is, and one guest takes all that it can: nobody is ended for that, no byte is lost,
and what is guaranteed is there.
"""

import re

import guests
import suite
from test_many import LEAVE, PROMPT, Crowd, destroy_all, expect, start_all

MACHINE_MIB = 512
GUESTS = 4
MEMORY_MIB = 256  # twice what the machine has
MIN_MIB = 64
HELD_MIB = 70     # of contents that do not compress, in each of the others
FILL = 75         # files of something more than a MB, of contents that do, by the greedy one


def talk(machine, crowd, name, line, wanted, timeout_s):
    start = crowd.attach(machine, name)
    machine.send_line(line)
    match = expect(machine, name, wanted, timeout_s)
    expect(machine, name, guests.SHELL, 60)
    crowd.leave(machine, name, start)
    return match


@suite.test
def test_pressure(env):
    crowd = Crowd(GUESTS)
    text, files = crowd.configuration(MEMORY_MIB)
    text = re.sub(r"(memory = \S+)", rf"\1\nmin = {MIN_MIB}M", text)
    with env.machine(env.image(text, files), cpus=2, memory_mib=MACHINE_MIB, life_s=900) as machine:
        machine.expect(PROMPT, 120)
        machine.command("mem policy scan=20000", 60)
        names = list(crowd)
        sums = {}
        for name in names:
            start_all(machine, [name])
            crowd.boot_talk(machine, name, 180)
        for name in names[1:]:
            match = talk(machine, crowd, name, f"dd if=/dev/urandom of=/held bs=1M count={HELD_MIB} 2>/dev/null; md5sum /held",
                         r"^([0-9a-f]{32})  /held", 180)
            sums[name] = match.group(1)
        greedy = names[0]
        talk(machine, crowd, greedy, "seq 1 200000 | head -c 1000000 > /t; echo made $((6*7))", r"^made 42", 120)
        # Each line of each file has its number, so no two pages are equal.
        fill = f"i=0; while [ $i -lt {FILL} ]; do sed s/^/$i/ /t > /f$i; i=$((i+1)); done; echo filled $((i))"
        talk(machine, crowd, greedy, fill, rf"^filled {FILL}$", 400)
        said = "\n".join(machine.command("mem", 60) + machine.command(f"mem {greedy}", 60))
        print(said)
        for name in names[1:]:
            match = talk(machine, crowd, name, "md5sum /held", r"^([0-9a-f]{32})  /held", 300)
            suite.check(match.group(1) == sums[name], f"the memory of {name} has changed")
        look = (f"i=0; while [ $i -lt {FILL} ]; do sed s/^/$i/ /t | cmp -s - /f$i || echo bad $i; i=$((i+1)); done; "
                "echo looked $((6*7))")
        match = talk(machine, crowd, greedy, look, r"^(bad \d+|looked 42)", 400)
        suite.check(match.group(1) == "looked 42", f"a file of the greedy guest is another: {match.group(1)}")
        print("\n".join(machine.command("mem", 60)))
        running = [line for line in machine.command("vm list", 60) if re.match(r"g\d+ +running\b", line)]
        suite.check(len(running) == GUESTS, f"{len(running)} of {GUESTS} guests run")
        destroy_all(machine, names)
        machine.send_line("poweroff")
        machine.expect_end(120)
