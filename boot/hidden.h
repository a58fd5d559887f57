/* SPDX-License-Identifier: BSD-2-Clause */
/* Included first into every C file of ballast.efi: no symbol is reached through a global table. */
#pragma GCC visibility push(hidden)
