# SPDX-License-Identifier: BSD-2-Clause
ballast_unit_test(frame SOURCES test/unit/test_frame.c host/frame.c host/heap.c host/page.c)
ballast_unit_test(timer SOURCES test/unit/test_timer.c host/timer.c)
ballast_unit_test(host_acpi SOURCES test/unit/test_acpi.c host/acpi.c)
