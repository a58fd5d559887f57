# SPDX-License-Identifier: BSD-2-Clause
set(VCPU_SOURCES)
