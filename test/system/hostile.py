# SPDX-License-Identifier: BSD-2-Clause
"""The guests that attack the host: which attacks there are, and how the VM of each may end.

A guest hostile_THEME.elf runs in one VM for each attack, called THEME.ATTACK. After each of them the shell must
still answer.
"""

SURVIVES = r"exited with status 0\b"
TRIPLE = r"stopped: triple fault"
NO_TABLES = r"stopped: the guest's page tables are not in RAM"
NO_DELIVERY = r"stopped: an event could not be delivered"
RESETS = r"reset\b"
ENDLESS = None

# QEMU 7.2 and Bochs 3.0 do not always report an event whose delivery was interrupted (EXITINTINFO) or leave a
# check out: then the guest repeats its instruction for ever, at its own expense.
NO_DELIVERY_OR_ENDLESS = (NO_DELIVERY, ENDLESS)

# What the guest runs into: a pattern of its state line, ENDLESS, or a tuple of both where it depends on the CPU.
ATTACKS = {
    "delivery": {
        "idt-limit": TRIPLE,
        "idt-hole": NO_DELIVERY_OR_ENDLESS,
        "idt-lapic": NO_DELIVERY_OR_ENDLESS,
        "idt-nmi": NO_DELIVERY_OR_ENDLESS,
        "gdt-hole": NO_DELIVERY_OR_ENDLESS,
        "tss-hole": NO_DELIVERY_OR_ENDLESS,
        "cr3-empty": TRIPLE,
        "cr3-hole": NO_TABLES,
        "cr3-lapic": NO_TABLES,
        "cr3-beyond": NO_TABLES,
        "directory-hole": NO_TABLES,
        "directory-lapic": NO_TABLES,
        "operand-tables": SURVIVES,
        "stack-hole": NO_DELIVERY_OR_ENDLESS,
        "stack-lapic": NO_DELIVERY_OR_ENDLESS,
        "stack-interrupt": NO_DELIVERY_OR_ENDLESS,
        "code": SURVIVES,
        "mov-ss": SURVIVES,
    },
    "legacy": {
        # AMD's CPUs switch tasks themselves.
        "jump-tss": (SURVIVES, r"stopped: hardware task switches are not emulated"),
        "task-gate": (SURVIVES, r"stopped: hardware task switches are not emulated"),
        "alignment": ENDLESS,
        "virtual-8086": SURVIVES,
        "stack16": TRIPLE,
        "bad-pae": (TRIPLE, r"stopped: the CPU refused to enter the guest"),
    },
    "loops": dict.fromkeys(
        ("debug", "halt", "spin", "timers", "deadlines", "interrupts", "flood", "string-memory", "string-move",
         "string-port", "string-output", "exceptions"), ENDLESS) | {"init-self": RESETS},
    "virtio": dict.fromkeys(
        ("loops", "next", "addresses", "lengths", "order", "indirect", "indices", "rings", "sizes", "status", "reset",
         "rewrite", "registers", "bars", "messages", "balloon"), SURVIVES),
    "sweep": dict.fromkeys(("msrs", "cpuids", "ports", "memory", "xstates", "lapic"), SURVIVES),
}

# Where the emulator is at fault. Bochs 3.0 keeps the host's interrupts masked while a guest that was entered with
# its own disabled keeps them so; VT-x has a timer against that. QEMU 7.2 ends itself, by an assertion about its
# locks, when a data breakpoint is hit while an interrupt is delivered. Bochs' SVM ends itself when the host's
# interrupt comes while a guest is in virtual-8086 mode ("VM is set in long mode").
SKIPPED = {"bochs-svm": ("loops.spin", "legacy.virtual-8086"), "qemu-svm": ("loops.debug",)}


def is_hostile(elf):
    return elf.startswith("hostile_")


def vm_names(elf, bench):
    theme = elf[len("hostile_"):]
    names = [f"{theme}.{attack}" for attack in ATTACKS[theme]]
    return [name for name in names if name not in SKIPPED.get(bench, ())]


def elf_of(vm):
    return "hostile_" + vm.split(".")[0]


def word_of(vm):
    return "case=" + vm.split(".")[1]


def endings_of(vm):
    """(pattern of the state lines that may end it or None, whether it may run for ever)."""
    theme, attack = vm.split(".")
    allowed = ATTACKS[theme][attack]
    allowed = allowed if isinstance(allowed, tuple) else (allowed,)
    patterns = [pattern for pattern in allowed if pattern is not ENDLESS]
    return "|".join(patterns) or None, ENDLESS in allowed
