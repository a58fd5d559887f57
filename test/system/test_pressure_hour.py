# SPDX-License-Identifier: BSD-2-Clause
"""An hour of the machine's time in which two or four times its memory is promised, and a memory bomb goes off in one guest
again and again: it takes memory until its own kernel kills it. The others hold memory whose every byte is known and is
compared at intervals, and answer every two seconds. Early on a guest whose memory is all guaranteed is started and
ended again. BALLAST_HOUR_S is for a shorter hour.
"""

import os
import re

import economy
import guests
import overcommit
import suite
import test_many
from test_many import PROMPT, start_all

HOUR_S = int(os.environ.get("BALLAST_HOUR_S", "3600"))
LOOKS = 4        # at all, in the hour
PAUSE_S = 420    # between bombs
WORKED_MIB = 2   # of what each of the others holds, touched ten times a second
LATE_MIB = 88
PROBE_MS = 2000
POLL_S = 12      # of this machine's time
BOMBS = (r"exercise: (\d+) bombs, (\d+) killed, (\d+) ended otherwise, MiB: last (\d+), most (\d+), now (\d+); "
         r"looked at (\d+) pages, (\d+) bad\n")


class Bombed(economy.Guest):
    """Its kernel may say that it has killed the bomb."""

    trouble = f"{guests.KERNEL_DEATH}|{test_many.ENDED}"


class Hour:
    def __init__(self, machine, crowd):
        self.machine, self.crowd = machine, crowd
        first, *self.others = crowd.guests(machine)
        self.bombed = Bombed(machine, first.name)
        self.began = self.seconds = 0

    def head(self):
        print(f"{crowd_name(self.crowd)}: {self.crowd.times} times {overcommit.MACHINE_MIB} MiB are promised, "
              f"{'with' if self.crowd.balloons else 'without'} balloons; MiB, seconds")
        print(f"{'second':>7} {'bombs':>6} {'now':>5} {'free':>6} {'shared':>7} {'zeroes':>7} {'balloons':>9} "
              f"{'compressed':>11} {'on disk':>8} {'high':>6} {'soft':>6} {'hard':>6} {'low':>6} {'waits':>6}", flush=True)

    def look(self):
        """A row; everything is compared."""
        bombs = tuple(map(int, self.bombed.order("bomb", "tell", BOMBS, 3000).groups()))
        now = overcommit.Figures(self.machine)
        print(f"{self.seconds:7} {bombs[0]:6} {bombs[5]:5} {now.free:6.0f} {now.saved + now.shared:7.0f} {now.zeroes:7.0f} "
              f"{now.balloons:9.0f} {now.compressed:11.0f} {now.swapped:8.0f} "
              + " ".join(f"{now.states[name]:6}" for name in now.STATES) + f" {now.waits:6}", flush=True)
        suite.check(bombs[7] == 0, f"the bomb found {bombs[7]} of {bombs[6]} pages changed")
        for guest in self.others:
            overcommit.intact(guest, "held", self.crowd.held_mib)
        self.crowd.all_run(self.machine)
        return bombs, now

    def now(self):
        """By the machine's clock, of which the history has a row for each ten seconds."""
        return max(economy.history(self.machine, self.bombed.name))

    def pass_time(self, until_s):
        """Looks are rare: what the machine prints takes its time."""
        while (seconds := self.now() - self.began) < until_s:
            until = self.machine.seconds() + POLL_S
            while self.machine.seconds() < until:
                self.machine.pump(1)
        self.seconds = seconds

    def late_guest(self):
        """All of its memory is guaranteed: it has it at once."""
        late = economy.Guest(self.machine, "late")
        before = self.now()
        start_all(self.machine, [late.name], 1800)
        waited = self.now() - before
        late.boot(1800)
        told = late.run("read -r up _ </proc/uptime; echo up-$up", r"^up-([\d.]+)$", 900).group(1)
        late.load("held", "touch 12 77", r"exercise: holds", 1800)
        overcommit.intact(late, "held", 12)
        said = "\n".join(self.machine.command("mem late", 240))
        test_many.destroy_all(self.machine, [late.name])
        waits = re.findall(r"vm late waits for memory", self.machine.text)
        asked = re.findall(r"^vm late: waits to start[^\n]*", self.machine.text, re.MULTILINE)
        print(f"late guest: {asked[0] if asked else 'started at once'}; started after {waited} s (in steps of 10), "
              f"at its shell {told} s later", flush=True)
        suite.check(not waits, f"a guest waited for memory that is guaranteed to it:\n{said}")

    def only_bombs_killed(self, bombs):
        count = self.bombed.run("dmesg | grep 'K[i]lled process' | grep -vc '(exercise)' | sed s/^/others-/", r"^others-(\d+)$",
                                900).group(1)
        suite.check(count == "0", f"{count} programs that are no bombs were killed in {self.bombed.name}")
        suite.check(bombs[2] == 0, f"{bombs[2]} bombs ended otherwise than by being killed")


def crowd_name(crowd):
    return f"pressure{'' if crowd.balloons else '-bare'}{'' if crowd.times == 2 else f'-{crowd.times}'}"


def hour(env, times, balloons):
    crowd = overcommit.Crowd(env, times, balloons, swap=True, probe_ms=PROBE_MS)
    late = economy.configuration(env, {"late": LATE_MIB}, ["group = debian"])[0]
    with crowd.machine(env, late) as machine:
        machine.expect(PROMPT, 240)
        this = Hour(machine, crowd)
        start_all(machine, crowd.names)
        crowd.begin(this.bombed, this.others)
        for guest in this.others:
            guest.order("held", f"{WORKED_MIB}", r"exercise: touches", 900)
        overcommit.answers(this.others)
        this.head()
        this.bombed.run("echo 0 >/proc/sys/vm/oom_dump_tasks; echo quiet-$?", r"^quiet-0$", 900)
        this.bombed.load("bomb", f"bomb {PAUSE_S}", None, 900)
        this.began = this.now()
        for turn in range(1, LOOKS + 1):
            this.pass_time(HOUR_S * turn // LOOKS)
            bombs, figures = this.look()
            if turn == 1:
                this.late_guest()
        end(this, bombs, figures)
        economy.end(machine, crowd.names)


def end(this, bombs, figures):
    rows = overcommit.answers(this.others)
    print(figures.said)
    for guest in (this.bombed, *this.others):
        print("\n".join(this.machine.command(f"mem {guest.name}", 240)))
    print(f"{bombs[0]} bombs, {bombs[1]} killed by their kernel; the most {bombs[4]} MiB; {bombs[6]} pages looked at")
    print(overcommit.ANSWERS_HEAD)
    for guest, row in zip(this.others, rows):
        overcommit.print_answers(guest.name, row)
    this.only_bombs_killed(bombs)
    overcommit.none_is_killed(this.others)
    suite.check(bombs[1] >= 1, "no bomb came to its end")
    short = sum(figures.states[name] for name in ("soft", "hard", "low"))
    suite.check(short > HOUR_S // 20, f"the machine was short of memory for {short} s only")


@suite.test
def test_pressure_hour(env):
    hour(env, 2, balloons=True)


@suite.test
def test_pressure_4_hour(env):
    hour(env, 4, balloons=True)


@suite.test
def test_pressure_bare_hour(env):
    hour(env, 2, balloons=False)


@suite.test
def test_pressure_bare_4_hour(env):
    hour(env, 4, balloons=False)
