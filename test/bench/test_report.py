#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Unit tests of the benchmark's comparison with the baseline, and of reading the plugin's and the guest's lines."""

import os
import tempfile
import unittest

import measure
import report
from measure import counting

BOOT = {"exits": {"CPUID": 4}, "exits-total": 4, "host": 1000, "host-zeroed": 200, "own-bytes": 4096, "guest": 7}


class Differences(unittest.TestCase):
    """What counts as worse."""

    def judge(self, old, new):
        return report.differences({"svm": new}, {"svm": old})

    def test_same_is_neither(self):
        self.assertEqual(self.judge({"ops": {"cpuid": 300}}, {"ops": {"cpuid": 300}}), ([], [], []))

    def test_within_tolerance(self):
        self.assertEqual(self.judge({"ops": {"cpuid": 300}}, {"ops": {"cpuid": 314}}), ([], [], []))

    def test_worse(self):
        worse, better, absent = self.judge({"ops": {"cpuid": 300}}, {"ops": {"cpuid": 319}})
        self.assertEqual((len(worse), better, absent), (1, [], []))
        self.assertIn("cpuid", worse[0])

    def test_better(self):
        worse, better, _ = self.judge({"ops": {"cpuid": 300}}, {"ops": {"cpuid": 200}})
        self.assertEqual((worse, len(better)), ([], 1))

    def test_a_figure_that_vanished(self):
        self.assertEqual(len(self.judge({"ops": {"cpuid": 300}}, {"ops": {}})[2]), 1)

    def test_boot(self):
        slower = {**BOOT, "host": 1100}
        worse, _, _ = self.judge({"ops": {}, "boot": BOOT}, {"ops": {}, "boot": slower})
        self.assertEqual([line.split(":")[0] for line in worse],
                         ["svm boot-host", "svm boot-host-net", "svm boot-host-per-exit"])

    def test_boot_not_measured_this_time(self):
        self.assertEqual(self.judge({"ops": {}, "boot": BOOT}, {"ops": {}}), ([], [], []))

    def test_guest_is_not_ours(self):
        new = {"ops": {}, "boot": {**BOOT, "guest": 9000}}
        self.assertEqual(self.judge({"ops": {}, "boot": BOOT}, new), ([], [], []))


class Reading(unittest.TestCase):
    """The lines of others."""

    def test_guest_lines(self):
        self.assertEqual(measure.ops_figures("x\nbench cpuid 303\nbench-note y 1\nbench done 0\n"), {"cpuid": 303})

    def test_show(self):
        text = ("vm debian: powered off\n  memory    256 MiB given, 0 KiB in use, 72 KiB of Ballast's own for it\n"
                "  exits     12 since its start\n            control register            9   75.0%\n"
                "            HLT                         3   25.0%\n")
        self.assertEqual(measure.read_show(text), {"exits": {"control register": 9, "HLT": 3}, "exits-total": 12,
                                                   "own-bytes": 72 * 1024})

    def test_show_that_does_not_add_up(self):
        with self.assertRaises(measure.lab.Failure):
            measure.read_show("  memory  1 KiB of Ballast's own for it\n  exits     2 since its start\n"
                              "            HLT                         3   25.0%\n")

    def test_counts(self):
        text = ("total 99 base 0x1000\nsection vm1 host 90 guest 9 zeroed 5 copied 0 longest 60\n"
                "exit cpuid exit_cpuid count 2 host 80\nin svm_enter 60 2\nin - 20 0\n"
                "exit other exit_memory count 1 host 10\nin svm_enter 10 1\n")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "count.txt")
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            run = counting.read(path)["vm1"]
        self.assertEqual((run.host, run.guest, run.zeroed, run.count()), (90, 9, 5, 3))
        self.assertEqual([exits.kind() for exits in run.exits], ["cpuid", "memory"])
        self.assertEqual(counting.sum_functions(run.exits),
                         {"svm_enter": (70, 3), "-": (20, 0)})


if __name__ == "__main__":
    unittest.main()
