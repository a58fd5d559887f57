# SPDX-License-Identifier: BSD-2-Clause
"""The host guards itself: CPUs that hang are reported, and what speculation leaks is mitigated exactly where it is
due. The latter is seen from outside: on QEMU by a plugin that watches the instructions, on Bochs in its log.
"""

import os
import re
import sys

import lab
import shares
import suite

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "bench"))
import counting  # noqa: E402  pylint: disable=wrong-import-position

PROMPT = r"^ballast> "


def machine(env, vms, efi="ballast.efi", head="", **options):
    files = [(os.path.join(env.build, elf), f"/{elf}") for elf in sorted({vm.elf for vm in vms})]
    conf = head + "\n".join(vm.section() for vm in vms)
    return env.machine(env.image(conf, files, efi=os.path.join(env.build, efi)), 500, **options)


def hang(target, cpu):
    """A CPU spins for six seconds with interrupts off."""
    target.send_line("fault spin" + (f" {cpu}" if cpu else ""))
    target.expect(rf"^(ballast> )?cpu {cpu} has not come back for [2-5]\.\d s: at fault_spin_here\+0x", 90)
    target.expect(r"^ +from (fault_serve|irq_dispatch)\+0x", 30)
    target.expect(rf"^(ballast> )?cpu {cpu} is back after [4-9]\.\d s", 90)
    target.send_line("")
    target.expect(PROMPT, 60)


@suite.test
def test_watchdog(env):
    """A CPU that hangs is reported with a backtrace, be it the boot CPU, and so is its return; no other one is."""
    with machine(env, [shares.hog("busy", cpus=1)], "ballast-faults.efi", cpus=2) as target:
        target.expect(PROMPT, 120)
        hang(target, 1)
        shares.start(target, "busy")
        # It runs the guest, as an NMI finds it sooner or later.
        for _ in range(50):
            target.send_line("fault nmi 1")
            if target.expect(r"^cpu 1(: in guest busy vCPU 0|: at [^\n]*|, and takes no NMI)\n", 60).group(1).startswith(": in"):
                break
        else:
            raise suite.CheckFailed("50 NMIs did not find CPU 1 in the guest which it runs")
        hang(target, 1)
        shares.destroy(target, "busy")
        hang(target, 0)
        # How long it did not come back, the CPU knows itself.
        cpus = "\n".join(target.command("cpu", 60))
        suite.check(re.search(r"cpu 0 .*timer at most [456]\d{6} us late", cpus), f"cpu does not tell of the hang:\n{cpus}")
        target.command("cpu reset", 60)
        cpus = "\n".join(target.command("cpu", 60))
        suite.check(not re.search(r"cpu 0 .*timer at most [456]\d{6} us late", cpus), f"cpu reset changed nothing:\n{cpus}")
        target.send_line("poweroff")
        target.expect_end(90)


def executed(target):
    """How often each mitigation was carried out, as `cpu` says."""
    text = "\n".join(target.command("cpu", 60))
    return {name: int(count or 0) for name, count in re.findall(r"^  (\w+) +[^\n]*?: on \([^\n]*\)(?:, (\d+) times)?$",
                                                                text, re.MULTILINE)}


@suite.test
def test_mitigations(env):
    """RSB fill and VERW, which every CPU can be made to do: guests run with them, they come and go live."""
    vms = [shares.waker("waker", count=50), shares.hog("hog")]
    with machine(env, vms, head="[ballast]\nmitigations = rsb, verw\n\n", cpus=1) as target:
        target.expect(PROMPT, 120)
        shares.start(target, "waker", "hog")
        before = executed(target)
        suite.check(set(before) == {"rsb", "verw"}, f"on are {before}, not rsb and verw")
        target.command("mitigation rsb off", 60)
        target.command("mitigation verw off", 60)
        suite.check(not executed(target), "something is on that was switched off")
        target.command("mitigation rsb auto", 60)
        target.command("mitigation verw on", 60)
        after = executed(target)
        suite.check(after.get("verw", 0) > before["verw"] > 0, f"VERW: {before} and then {after}")
        answer = "\n".join(target.command("mitigation l1d on", 60) + target.command("mitigation verw maybe", 60))
        suite.check(re.search(r"not possible", answer) and re.search(r"maybe", answer), f"odd answers:\n{answer}")
        target.send_line("vm list")
        for name in ("waker", "hog"):
            target.expect(rf"^{name} +running", 60)
        target.expect(PROMPT, 60)
        shares.destroy(target, "waker", "hog")
        target.send_line("poweroff")
        target.expect_end(90)


# Three VMs on one CPU. One sleeps and wakes much, so the CPU changes VM often; the others exit and run on.
SCENE = [shares.waker("first", count=50), shares.hog("hog"), shares.Vm("bully", "time/bully.elf", "case=cpuids")]
# Where each exit is many lines of a log, three that exit seldom.
QUIET_SCENE = [shares.hog("first", every_ms=5000), shares.hog("second", every_ms=5000),
               shares.hog("third", every_ms=5000)]

# A VM is taken up once more to be stopped, without being entered; and one that is started again may get the page that
# its VMCS or its vCPU had. Both are a change of VM that cannot be told from outside: this many at most.
STOPS = 2 * 6


def await_exits(target, name, count):
    """The scene is long enough when this VM has made so many exits, however fast this machine is."""
    for _ in range(200):
        shown = re.search(r"^ *exits +(\d+) since", "\n".join(target.command(f"vm show {name}", 60)), re.MULTILINE)
        if shown and int(shown.group(1)) >= count:
            return
        target.pump(0.2)
    raise target.failure(f"vm {name} does not come to {count} exits")


def play(target, scene):
    target.expect(PROMPT, 120)
    shares.start(target, *(vm.name for vm in scene))
    # One VM comes into memory that another one had.
    for _ in range(3):
        shares.destroy(target, "first")
        shares.start(target, "first")
    if scene is SCENE:
        await_exits(target, "bully", 10000)
    for _ in range(3):
        target.command("vm list", 60)
    executed_by_own_account = executed(target)
    shares.destroy(target, *(vm.name for vm in scene))
    target.send_line("poweroff")
    target.expect_end(90)
    return executed_by_own_account


def plugin(env, out):
    elf = os.path.join(env.build, "ballast.elf")
    shared = counting.build_plugin(env.workdir, os.path.join(HERE, "boundary.c"))
    functions = {name: (start, size) for start, size, name in counting.functions(elf)}
    argument = f"{shared},out={out},{counting.image_argument(elf)}"
    for name, function in (("barrier", "mitigation_barrier"), ("plain", "svm_run_guest"),
                           ("mitigated", "svm_run_guest_mitigated")):
        argument += f",{name}={functions[function][0]:x}+{functions[function][1]:x}"
    return argument


def watched(env, head):
    """What the plugin saw of the scene, summed up over all CPUs."""
    out = os.path.join(env.workdir, "boundary.txt")
    # QEMU's emulation has no such MSRs, but ignores what is written to MSRs which it does not know.
    with machine(env, SCENE, head=head, cpus=1, icount=4, plugin=plugin(env, out),
                 cpu="EPYC,+svm,+npt,+ibpb,x-force-features=on") as target:
        own = play(target, SCENE)
    seen = {}
    with open(out, encoding="ascii") as file:
        for line in file:
            for name, value in re.findall(r"(\w+)=(\d+)", line):
                seen[name] = seen.get(name, 0) + int(value)
    print(f"seen from outside: {seen}\nBallast's own account: {own}")
    return seen, own


def boundaries_on_qemu(env):
    seen, own = watched(env, "[ballast]\nmitigations = ibpb, rsb, verw\n\n")
    suite.check(seen["changes"] >= 10, f"only {seen['changes']} changes of VM")
    suite.check(seen["changes_without"] == 0, "changes of VM without an IBPB")
    suite.check(seen["barriers_more"] <= STOPS, "IBPBs without a change of VM")
    suite.check(seen["longer_entries"] == seen["entries"], "entries without mitigations")
    suite.check(seen["verw_last"] == seen["entries"] and seen["verw_elsewhere"] == 0,
                "not one VERW right before each VMRUN")
    suite.check(seen["filled"] == seen["entries"] and seen["filled_otherwise"] == seen["returns_before"] == 0,
                "the return stack was not filled after each exit, before any RET")
    # Its own account is read while the scene goes on.
    barriers = seen["changes"] + seen["barriers_more"]
    suite.check(0 < own["ibpb"] <= barriers and 0 < own["verw"] <= seen["entries"], "Ballast counts otherwise")
    seen, own = watched(env, "[ballast]\nmitigations = off\n\n")
    suite.check(seen["entries"] > 1000 and seen["longer_entries"] == seen["verw_last"] == seen["filled"] == 0 and
                seen["changes_without"] == seen["changes"] and not own, "something was done though all is off")


def boundaries_on_bochs(env):
    """With a CPU that has the MSRs: a barrier between entries of two VMs, and never else."""
    with machine(env, QUIET_SCENE, cpus=1, cpu="tigerlake",
                 extra=["error: action=ignore", "debug: action=ignore, cpu0=report"]) as target:
        own = play(target, QUIET_SCENE)
    changes = barriers = entries = entry = since = extra = 0
    spec_ctrl = None
    with open(os.path.join(env.workdir, "bochs.log"), encoding="utf-8", errors="replace") as file:
        for line in file:
            written = re.search(r"WRMSR: write 00000000:([0-9a-f]{8}) to MSR (48|49)$", line.strip())
            entered = re.search(r"VM(?:LAUNCH|RESUME) VMCS ptr: 0x([0-9a-f]+)", line)
            if written and written.group(2) == "48":
                spec_ctrl = int(written.group(1), 16)
            elif written:
                since += 1
                barriers += 1
            elif entered:
                entries += 1
                if entered.group(1) != entry:
                    changes += 1
                    suite.check(since >= 1, f"no barrier before entry {entries}, to another VM")
                    extra += since - 1
                else:
                    extra += since
                entry, since = entered.group(1), 0
    print(f"{entries} entries, {changes} changes of VM, {barriers} barriers; Ballast's own account: {own}")
    suite.check(changes >= 10, f"only {changes} changes of VM")
    suite.check(extra <= STOPS, f"{extra} barriers too many, for {changes} changes of VM")
    suite.check(spec_ctrl is not None and spec_ctrl & 1, f"IBRS is not set: {spec_ctrl}")
    suite.check(0 < own["ibpb"] <= barriers, "Ballast counts otherwise")


@suite.test
def test_boundaries(env):
    if env.is_bochs():
        boundaries_on_bochs(env)
    else:
        boundaries_on_qemu(env)


@suite.test
def test_siblings(env):
    """Two threads of a core: guests on the first of them only, unless allowed."""
    if env.is_bochs():
        raise lab.Failure("this machine's threads are of QEMU's making")
    threads = ["-smp", "2,cores=1,threads=2"]
    for smt, sibling in (("auto", "sibling thread: no guests"), ("on", r"sibling thread(;|$)"),
                         ("off", "sibling thread: no guests")):
        with machine(env, [shares.hog("one"), shares.hog("two")], head=f"[ballast]\nsmt = {smt}\n\n",
                     cpu="EPYC,+svm,+npt,+topoext", extra=threads) as target:
            target.expect(PROMPT, 120)
            shares.start(target, "one", "two")
            cpus = target.command("cpu", 60)
            second = [line for line in cpus if line.startswith("  cpu 1 ")]
            suite.check(len(second) == 1 and re.search(sibling, second[0]), f"smt = {smt}, but: {second}")
            suite.check((" 0 vCPUs" in second[0]) == (smt != "on"), f"smt = {smt}, but: {second}")
            target.send_line("poweroff")
            target.expect_end(90)
