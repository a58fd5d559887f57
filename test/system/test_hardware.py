# SPDX-License-Identifier: BSD-2-Clause
"""Machines that lack what Ballast needs: a sentence on the serial line that says what and, where a setting helps,
which; then the firmware has the machine back, unharmed."""

import os

import suite

CRASH = r"X64 Exception|!!!!|ballast> |panic:"


def refused(env, cpu, sentence, efi=None, files=(), **options):
    """On a machine with that CPU, Ballast says the sentence and returns to the firmware."""
    with env.machine(env.image("", files, efi=efi), 180, cpu=cpu, **options) as machine:
        machine.expect(r"^Ballast \S+ cannot run on this machine: [^\n]*" + sentence + r"[^\n]*\.$", 90, CRASH)
        # On the firmware's own console too: an operator may sit at a screen.
        machine.expect(r"^Ballast \S+ cannot run on this machine: [^\n]*" + sentence + r"[^\n]*\.$", 60, CRASH)
        machine.expect(r"^BdsDxe: failed to start Boot", 60, CRASH)


@suite.test
def test_no_virtualization(env):
    cpu = "p4_prescott_celeron_336" if env.is_bochs() else "EPYC,-svm"
    refused(env, cpu, r"(VT-x|AMD-V)", cpus=1)


@suite.test
def test_no_ept(env):
    refused(env, "core2_penryn_t9600", r"EPT")


@suite.test
def test_no_unrestricted_guest(env):
    refused(env, "corei5_lynnfield_750", r"unrestricted guest")


@suite.test
def test_no_npt(env):
    refused(env, "turion64_tyler" if env.is_bochs() else "EPYC,+svm,-npt", r"(nested paging|NPT)")


@suite.test
def test_vmx_locked(env):
    """As many servers come: the firmware has locked VMX off, and its setup can switch it on."""
    ballast = os.path.join(env.build, "ballast.efi")
    lock = os.path.join(env.build, "test-efi", "lock_vmx.efi")
    refused(env, None, r"(VT-x|VMX)[^\n]*(firmware|BIOS)", efi=lock, files=[(ballast, "/ballast/ballast.efi")])
