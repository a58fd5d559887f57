# SPDX-License-Identifier: BSD-2-Clause
ballast_unit_test(event SOURCES test/unit/test_event.c vcpu/event.c)
