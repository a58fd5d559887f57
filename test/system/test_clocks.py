# SPDX-License-Identifier: BSD-2-Clause
"""Clocks of Linux guests over ten minutes of the machine's time, on one CPU that several busy guests share.

The machine's time is exact: the emulator's TSC counts instructions, so many to a second. Each guest says again and
again what its TSC, CLOCK_MONOTONIC and CLOCK_REALTIME are; from the TSC follows what the time really is, Ballast's
error in measuring the TSC's frequency included. Few instructions to a second make ten minutes cheap. Meanwhile all
CPUs of the guests compare their clocks with one another's.
"""

import re

import guests
import suite
import test_many

NTP_PPM = 500  # what ntpd and the kernel's clock discipline correct at most
# QEMU: 32 ns an instruction. With 64, three reads of the PM timer would take Linux longer than the 50,000 ticks of the
# TSC that it allows when it measures that for good.
ICOUNT_SHIFT = 5
QEMU_TSC_HZ = 10**9  # with -icount it counts virtual time
BOCHS_IPS = 10000000  # and so its TSC
RTC = "2031-05-06T07:08:09"
RTC_UNIX = 1935817689

# Time by counting the PIT's interrupts, and nothing else. Where the CPU has TSC deadlines, Linux leaves the PIT off even
# if it is not to use the LAPIC's timer: then it has no timer at all, and its clock stands still.
# Ticks are what a slow machine spends much of its time on: the watchdog would take its boot for a lockup.
TICKS = "no-kvmclock notsc clocksource=jiffies nohz=off highres=off nolapic_timer lapic=notscdeadline nosoftlockup"
# What the guest is told, the clock source it then must have, and its vCPUs.
GUESTS = {
    "kvm": ("clocksource=kvm-clock", "kvm-clock", 2),
    "tsc": ("no-kvmclock clocksource=tsc", "tsc", 1),
    "pm": ("no-kvmclock notsc clocksource=acpi_pm", "acpi_pm", 1),
    "pit": (TICKS, "jiffies", 1),
}
LINE = re.compile(r"^exercise: clocks tsc=(\d+) within=(\d+) monotonic=(\d+) real=(\d+) cpu +(.*)$", re.MULTILINE)


def machine_of(env, image):
    """One CPU, exact time; and the TSC's ticks in a second of it."""
    if env.is_bochs():
        extra = [f"clock: sync=none, time0={RTC_UNIX}, rtc_sync=1"]
        return env.machine(image, 1700, cpus=1, ips=BOCHS_IPS, extra=extra), BOCHS_IPS
    extra = ["-rtc", f"base={RTC},clock=vm"]
    return env.machine(image, 3500, cpus=1, icount=ICOUNT_SHIFT, extra=extra), QEMU_TSC_HZ


def configuration(tsc_khz):
    more = [f"tsc = {tsc_khz}kHz"] if tsc_khz else []
    text, files = "", []
    for name, (words, _, vcpus) in GUESTS.items():
        guest = guests.Guest("debian-cloud/vmlinuz", None, "exercise64/initrd.gz", f"{test_many.SMALL} {words}".strip(),
                             96, vcpus=vcpus)
        section, files = suite.conf_section(name, guest, more=more, folder="all")
        text += section
    return text, files


class Console:
    """A guest's console, attached as long as the `with` lasts."""

    def __init__(self, machine, name):
        self.machine = machine
        self.name = name

    def __enter__(self):
        self.machine.send_line(f"vm console {self.name}")
        self.machine.expect(rf"vm console {self.name}\n", 60)
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.machine.send(test_many.LEAVE)
            self.machine.expect(test_many.PROMPT, 120)

    def ask(self, command, pattern, timeout_s=60):
        """Type a command at the guest's shell; the match of its answer."""
        self.machine.send_line(command)
        self.machine.expect(re.escape(command[-20:]) + r"\n", timeout_s)
        match = self.machine.expect(pattern, timeout_s, guests.KERNEL_DEATH)
        self.machine.expect(guests.SHELL, timeout_s)
        return match


def boot(machine, name):
    with Console(machine, name) as console:
        machine.expect(r"^GUEST-OK Linux", 900, guests.KERNEL_DEATH)
        machine.expect(guests.SHELL, 300)
        check_source(console)
        return int(console.ask("date +%s", r"^(\d+)\n").group(1))


def check_source(console):
    """Linux takes the TSC for good when it has measured it, a second and more after the boot: until then it is early."""
    wanted = GUESTS[console.name][1]
    until = console.machine.seconds() + 300
    while True:
        source = console.ask("cat /sys/devices/system/clocksource/*/current_clocksource", r"^([a-z_-]+)\n").group(1)
        if source != f"{wanted}-early" or console.machine.seconds() > until:
            break
        console.machine.pump(2)
    suite.check(source == wanted, f"guest {console.name} has the clock source {source}, not {wanted}")


def times_of(machine, name):
    shown = "\n".join(machine.command(f"vm show {name}", 120))
    match = re.search(r"vcpu time (\S+) s run, (\S+) s stolen, (\S+) s halted", shown)
    uptime = re.search(r"uptime +(\d+):(\d\d):(\d\d)", shown)
    suite.check(match and uptime, f"vm show tells no times:\n{shown}")
    hours, minutes, seconds = (int(text) for text in uptime.groups())
    return {"run": float(match.group(1)), "stolen": float(match.group(2)), "halted": float(match.group(3)),
            "uptime": hours * 3600 + minutes * 60 + seconds}


def drifts(readings, hz):
    """For each reading against the first, parts per million: of CLOCK_MONOTONIC, of CLOCK_REALTIME."""
    tsc0, _, monotonic0, real0 = readings[0]
    for tsc, _, monotonic, real in readings[1:]:
        true_ns = (tsc - tsc0) * 10**9 / hz
        yield ((monotonic - monotonic0) / true_ns - 1) * 1e6, ((real - real0) / true_ns - 1) * 1e6, true_ns / 1e9


def judge(name, text, hz, times):
    """Print a row of the table; check it."""
    readings = sorted({tuple(int(word) for word in match.groups()[:4]) for match in LINE.finditer(text)})
    suite.check(len(readings) == times + 1, f"guest {name} told its clocks {len(readings)} times:\n{text}")
    all_drifts = list(drifts(readings, hz))
    monotonic, real, seconds = all_drifts[-1]
    worst = max((drift for row in all_drifts for drift in row[:2]), key=abs)
    print(f"{name:8} {GUESTS[name][1]:10} {seconds:8.1f} {monotonic:+10.1f} {real:+10.1f} {worst:+10.1f}", flush=True)
    suite.check(abs(worst) <= NTP_PPM, f"the clock of guest {name} is off by {worst:+.1f} ppm; NTP corrects {NTP_PPM}")
    suite.check("ran backwards 0 times" in text, f"clocks of guest {name} ran backwards:\n{text}")


def check_dates(dates):
    """Guests asked one after the other: at first the RTC's time and a little more."""
    suite.check(RTC_UNIX <= dates[0] <= RTC_UNIX + 1200, f"the RTC began at {RTC_UNIX}, a guest's date is {dates[0]}")
    print("wall clocks, asked one after the other: " + ", ".join(f"{date - RTC_UNIX} s" for date in dates)
          + " after the firmware's clock began")
    for earlier, later in zip(dates, dates[1:]):
        suite.check(-2 <= later - earlier <= 600, f"wall clocks of guests disagree: {dates}")


def begin(machine, name, every_s, times):
    """The first that the guest says of its clocks, which finish() may not be shown again."""
    with Console(machine, name):
        machine.send_line(f"exercise clocks {every_s} {times}")
        return machine.expect(r"^exercise: clocks tsc[^\n]*\n", 300).group(0)


def finish(machine, name):
    """All that the guest said of its clocks since then."""
    start = machine.position
    with Console(machine, name) as console:
        machine.expect(r"^exercise: clocks ran backwards \d+ times", 3000, guests.KERNEL_DEATH)
        end = machine.position
        machine.expect(guests.SHELL, 300)
        console.ask("echo over", r"^over$", 300)
        check_source(console)
    return machine.text[start:end]


def account(machine, name, text, before):
    """Run, stolen and halted time of all vCPUs add up to the time since the start; the guest knows what was stolen."""
    after = times_of(machine, name)
    vcpus = GUESTS[name][2]
    total = after["run"] + after["stolen"] + after["halted"]
    stolen = [int(match.group(5).split()[7]) / 100 for match in LINE.finditer(text)]
    known, shown = max(stolen) - min(stolen), after["stolen"] - before["stolen"]
    print(f"{name:8} {after['run']:10.1f} {after['stolen']:10.1f} {after['halted']:10.1f} {total:10.1f} "
          f"{vcpus * after['uptime']:10.1f} {shown:10.1f} {known:10.1f}", flush=True)
    suite.check(abs(total - vcpus * after["uptime"]) <= 2 * vcpus, f"the times of guest {name} do not add up")
    suite.check(shown > 0, f"nothing was stolen from guest {name}, which shared its CPU")
    # The two do not look at the same moments: some seconds of real time are many of the machine's.
    suite.check(abs(known - shown) <= 0.1 * shown + 5,
                f"guest {name} says that {known:.1f} s were stolen, vm show {shown:.1f} s")


def clocks(env, seconds, every_s, tsc_khz=None):
    """tsc_khz: what the guests' TSCs have; None: what the machine's has."""
    machine, hz = machine_of(env, env.image(*configuration(tsc_khz)))
    hz = tsc_khz * 1000 if tsc_khz else hz
    with machine:
        machine.expect(test_many.PROMPT, 120)
        test_many.start_all(machine, GUESTS)
        check_dates([boot(machine, name) for name in GUESTS])
        times = seconds // every_s
        texts = {name: begin(machine, name, every_s, times) for name in GUESTS}
        before = {name: times_of(machine, name) for name in GUESTS}
        texts = {name: text + finish(machine, name) for name, text in texts.items()}
        print(f"{'guest':8} {'clock':10} {'seconds':>8} {'monotonic':>10} {'real':>10} {'worst':>10}   (ppm)")
        for name, text in texts.items():
            judge(name, text, hz, times)
        print("seconds of all vCPUs, by vm show; and stolen meanwhile, by vm show and by the guest\n"
              f"{'guest':8} {'run':>10} {'stolen':>10} {'halted':>10} {'together':>10} {'elapsed':>10} {'stolen':>10} "
              f"{'by guest':>10}")
        for name, text in texts.items():
            account(machine, name, text, before[name])


@suite.test
def test_clocks(env):
    """kvm-clock, TSC, ACPI PM timer and PIT keep the machine's time while four busy guests share one CPU."""
    clocks(env, 600, 60)


@suite.test
def test_clocks_minute(env):
    """The same in short."""
    clocks(env, 60, 10)


@suite.test
def test_clocks_scaled(env):
    """The same with TSCs of another frequency than the machine's, on a bench whose hardware can scale them."""
    clocks(env, 60, 10, 4000)
