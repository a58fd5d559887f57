/* SPDX-License-Identifier: BSD-2-Clause */
/* What the line editor and its completion share; nobody else needs it. */
#ifndef BALLAST_MGMT_LINEEDIT_COMPLETE_H
#define BALLAST_MGMT_LINEEDIT_COMPLETE_H

#include "mgmt/lineedit.h"

/* Collected until the key has been served. */
void lineedit_put(struct lineedit *edit, const char *bytes, size_t count);
void lineedit_ring(struct lineedit *edit);
/* At the cursor; what is too much is left out, with a bell. */
void lineedit_insert(struct lineedit *edit, const char *bytes, size_t count);
/* Prompt and line on an empty row. */
void lineedit_show(struct lineedit *edit);

/* The Tab key: extend the word before the cursor, or list what it may become. */
void lineedit_complete(struct lineedit *edit);

#endif
