# SPDX-License-Identifier: BSD-2-Clause
"""The benchmark's tables, its aims, and the comparison with the baseline."""

TOLERANCE = 0.05
SLACK = 3  # instructions: the rounding of an average

# What each figure of the bench guest is, in the order of the table, with its aim (None: no aim is set).
OPERATIONS = (
    ("nothing", "the loop itself", None),
    ("cpuid", "CPUID", 300),
    ("hypercall", "VMCALL/VMMCALL, unknown number", None),
    ("rdmsr-apic-base", "RDMSR APIC_BASE", 300),
    ("wbinvd", "WBINVD", None),
    ("cr0-wp-twice", "CR0.WP toggled twice", None),
    ("cr4-pge-twice", "CR4.PGE toggled twice", None),
    ("in-pic", "IN 0x21 (PIC)", 300),
    ("out-pic", "OUT 0x21 (PIC)", 300),
    ("in-pit", "IN 0x40 (PIT)", 300),
    ("in-uart", "IN 0x3fd (serial port)", 300),
    ("out-uart", "OUT 0x3ff (serial port)", 300),
    ("in-pm-timer", "ACPI PM timer read", 300),
    ("in-unknown", "IN from an absent port", 300),
    ("pci-read", "PCI configuration read (two accesses)", 600),
    ("mmio-nothing", "MMIO read where nothing is", None),
    ("mmio-ioapic-read", "IOAPIC read", None),
    ("xapic-tpr-write", "xAPIC TPR write", 350),
    ("xapic-tpr-read", "xAPIC TPR read", 350),
    ("xapic-eoi", "xAPIC EOI", 350),
    ("x2apic-eoi", "x2APIC EOI", 350),
    ("x2apic-self-ipi", "x2APIC self-IPI, its delivery and EOI", None),
    ("tsc-deadline", "TSC deadline: arming, firing, EOI", 1000),
    ("xapic-one-shot-hlt", "one-shot with HLT wake, xAPIC", 2000),
    ("x2apic-one-shot-hlt", "one-shot with HLT wake, x2APIC", 2000),
    ("tsc-deadline-hlt", "TSC deadline with HLT wake", 2000),
    ("xapic-one-shot-late", "  of it after the deadline, xAPIC", None),
    ("x2apic-one-shot-late", "  of it after the deadline, x2APIC", None),
    ("tsc-deadline-late", "  of it after the deadline, TSC deadline", None),
    ("first-touch-4k", "first touch of a page, 4 KiB backing", None),
    ("first-touch-2m", "first touch of a page, 2 MiB backing", None),
)

# The figures of the boot: key, what it is, aim.
BOOT = (
    ("exits-total", "exits", 3500),
    ("host-net", "hypervisor's instructions without zeroing", 2_000_000),
    ("host-zeroed", "zeroing guest memory, iterations of REP STOS", None),
    ("host", "hypervisor's instructions in all", None),
    ("host-per-exit", "hypervisor's instructions an exit, without zeroing", None),
    ("guest", "guest's instructions", None),
    ("start-net", "Ballast's before the first guest instruction, without the next two", 5_000_000),
    ("start-zeroed", "  of which zeroing", None),
    ("start-copied", "  copying (kernel, initrd), iterations of REP MOVS", None),
    ("start-waiting", "  waiting, for the links of SATA ports and to calibrate the TSC", None),
    ("start-firmware", "  the firmware's meanwhile (reading files, its timer)", None),
    ("own-bytes", "host memory for the VM beyond its own, bytes", 512 * 1024),
)

# What the guest and the firmware do is not Ballast's; how long the clock is watched depends on what the clock shows.
NOT_COMPARED = ("exits", "guest", "start-firmware", "start-waiting", "start-own")


def derived(boot):
    """The boot's figures with those that are computed from others."""
    boot = dict(boot)
    if "host" in boot and "host-zeroed" in boot:
        boot["host-net"] = boot["host"] - boot["host-zeroed"]
        boot["host-per-exit"] = boot["host-net"] // boot["exits-total"]
    if "start-own" in boot:
        boot["start-net"] = boot["start-own"] - boot["start-copied"] - boot["start-waiting"]
    return boot


def _number(value):
    return "-" if value is None else f"{value:,}"


def _table(rows):
    """Text columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])])
            .rstrip() for row in rows]


def _ratio(own, other):
    return f"1/{other / own:.1f}" if own and other else ""


def _verdict(aim, values):
    values = [value for value in values if value is not None]
    if aim is None or not values:
        return "", ""
    return f"<= {aim:,}", "yes" if max(values) <= aim else f"+{(max(values) - aim) * 100 / aim:.0f} %"


def _operations(figures):
    ops = {name: figures[name]["ops"] for name in ("svm", "kvm-svm", "vmx", "kvm-vmx") if name in figures}
    heads = {"svm": "SVM", "kvm-svm": "KVM, SVM", "vmx": "VMX", "kvm-vmx": "KVM, VMX"}
    rows = [["executed instructions, round trip"]]
    for name in ops:
        rows[0] += [heads[name]] + (["ratio"] if name.startswith("kvm") else [])
    rows[0] += ["aim", "met"]
    for key, what, aim in OPERATIONS:
        row = [what]
        for name, values in ops.items():
            row.append(_number(values.get(key)))
            if name.startswith("kvm"):
                row.append(_ratio(figures[name[4:]]["ops"].get(key), values.get(key)))
        row += _verdict(aim, [ops[name].get(key) for name in ("svm", "vmx") if name in ops])
        rows.append(row)
    return _table(rows)


def _boots(figures):
    boots = {name: derived(figures[name]["boot"]) for name in ("svm", "kvm-svm", "vmx")
             if "boot" in figures.get(name, {})}
    if not boots:
        return []
    heads = {"svm": "SVM", "kvm-svm": "KVM, SVM", "vmx": "VMX"}
    rows = [["quiet boot of Debian's cloud kernel, 256 MiB"] + [heads[name] for name in boots] + ["aim", "met"]]
    for key, what, aim in BOOT:
        rows.append([what] + [_number(boot.get(key)) for boot in boots.values()]
                    + list(_verdict(aim, [boots[name].get(key) for name in ("svm", "vmx") if name in boots])))
    lines = ["", *_table(rows), "", "exits by kind"]
    for name, boot in boots.items():
        kinds = sorted(boot["exits"].items(), key=lambda pair: -pair[1])
        lines.append(f"  {heads[name]}: " + ", ".join(f"{kind} {count:,}" for kind, count in kinds))
    return lines


def lines(figures):
    """The whole report."""
    return _operations(figures) + _boots(figures)


def _flat(parts):
    flat = dict(parts.get("ops", {}))
    boot = derived(parts.get("boot", {}))
    flat.update({f"boot-{key}": value for key, value in boot.items() if key not in NOT_COMPARED})
    return flat


def differences(own, baseline):
    """Lines about what is worse, what is better, and what is missing, compared with the baseline."""
    worse, better, absent = [], [], []
    for name, parts in own.items():
        old, new = _flat(baseline.get(name, {})), _flat(parts)
        for key, before in old.items():
            if key.startswith("boot-") and "boot" not in parts:
                continue
            if key not in new:
                absent.append(f"{name} {key} is not measured any more")
            elif new[key] > before * (1 + TOLERANCE) + SLACK:
                worse.append(f"{name} {key}: {before:,} -> {new[key]:,}")
            elif new[key] < before * (1 - TOLERANCE) - SLACK:
                better.append(f"{name} {key}: {before:,} -> {new[key]:,}")
    return worse, better, absent
