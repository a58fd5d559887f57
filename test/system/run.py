#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run one test of a whole machine: run.py TEST --bench BENCH --build DIR. Bench `bare` runs a real guest on QEMU
without Ballast, to prove the test's own expectations. Exit status 0: passed; 1: failed; 2: cannot be run here.
"""

import argparse
import glob
import importlib
import os
import signal
import sys
import time

import benches
import guests
import lab
import suite

# Every file test_*.py here enters its tests into the table.
for path in sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "test_*.py"))):
    importlib.import_module(os.path.basename(path)[:-3])


def run_bare(name, workdir):
    """The conversation of a real guest with the guest alone."""
    guest = guests.ALL[name]
    with lab.Machine("bare", None, workdir, 600, extra=guests.bare_arguments(guest)) as machine:
        guest.talk(machine, guest)
        if guest.talk in (guests.linux_64, guests.linux_32):
            machine.expect_end(60)


def main():
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__)
    parser.add_argument("test", choices=sorted(suite.TESTS), metavar="TEST", help=", ".join(sorted(suite.TESTS)))
    parser.add_argument("--bench", choices=benches.BENCHES + ("bare",), default="qemu-svm")
    parser.add_argument("--build", default="build", metavar="DIR", help="the build folder (default: build)")
    options = parser.parse_args()
    # A test that is told to end takes its emulator along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    workdir = os.path.join(options.build, "test", f"{options.test}.{options.bench}")
    began = time.monotonic()
    try:
        if options.bench == "bare":
            run_bare(options.test, workdir)
        else:
            suite.TESTS[options.test](suite.Environment(options.bench, options.build, workdir))
    except (lab.Failure, suite.CheckFailed) as failure:
        print(failure)
        return 1
    except benches.BenchError as error:
        print(f"cannot be run: {error}")
        return 2
    print(f"{options.test} on {options.bench}: passed in {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
