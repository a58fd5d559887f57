/* SPDX-License-Identifier: BSD-2-Clause */
/* The order in which the machine's disks are looked for. */
#include "host/block/block.h"

void block_init(void)
{
}
