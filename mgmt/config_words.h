/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Settings of a VM as the words of a command: key=value, the keys, values and quotes being those of
 * ballast.conf. Pure.
 */
#ifndef BALLAST_MGMT_CONFIG_WORDS_H
#define BALLAST_MGMT_CONFIG_WORDS_H

#include "mgmt/config.h"

#define CONFIG_WORDS_BYTES 1024 /* longest text, with its end */

/* Its strings lie inside it: it must not be moved or copied. */
struct config_words {
	struct vm_config vm; /* what there was before; afterwards what the words make of it */
	uint32_t given;      /* BIT(CONFIG_KEY_...) of each key among the words */
	bool like;           /* the word like=NAME may be there: it is passed over */
	char error[CONFIG_DIAGNOSTIC_BYTES];
	char strings[CONFIG_WORDS_BYTES];
};

/* `vm` and `like` are set. 0, or -EINVAL with a sentence in `error`. */
int config_words_parse(struct config_words *words, const char *text) __must_check;
/* One more of what may be given again: the text is its value. As config_words_parse(). */
int config_words_add(struct config_words *words, enum config_vm_key key, const char *text)
	__must_check;
/* What like= names; false: nothing. */
bool config_words_like(const char *text, char name[CONFIG_NAME_BYTES]);
/* May a VM be called so? 0, or -EINVAL with a sentence. */
int config_words_name(const char *name, char error[CONFIG_DIAGNOSTIC_BYTES]) __must_check;

/* A copy that stands by itself takes so many bytes at `copy`. */
size_t config_clone_bytes(const struct vm_config *vm);
void config_clone(const struct vm_config *vm, struct vm_config *copy);

#endif
