/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the network have between themselves. */
#ifndef BALLAST_HOST_NET_PACKET_H
#define BALLAST_HOST_NET_PACKET_H

#include "host/net/net.h"

/* Packets may take `pages` more, or fewer. Boot CPU. */
void net_pool_resize(int pages);
/* Give the pages that are kept for later back to the machine. Any CPU. */
void net_pool_trim(void);

#endif
