/* SPDX-License-Identifier: BSD-2-Clause */
/* Where Ballast's life goes on after everything is set up. */
#ifndef BALLAST_MGMT_MGMT_H
#define BALLAST_MGMT_MGMT_H

#include "lib/util.h"

/* The boot CPU's work from then on: VMs, console, and its share of running guests. */
void mgmt_main(void) __noreturn;

/* Stop all VMs, which takes a moment, and then switch the machine off or restart it. */
void mgmt_end(bool reboot);

#endif
