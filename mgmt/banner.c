/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/banner.h"

#include "host/x86.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/console.h"
#include "mgmt/text.h"

#define CPUID_BRAND_FIRST 0x80000002
#define CPUID_BRAND_LAST 0x80000004

void banner_write(const struct banner *banner, void (*line)(const char *line))
{
	char words[256];

	snprintf(words, sizeof(words), "Ballast %s, a hypervisor on the bare machine",
		banner->version);
	line(words);
	line("");
	snprintf(words, sizeof(words), "%s, %u CPU%s at %llu MHz", banner->cpu, banner->cpu_count,
		banner->cpu_count == 1 ? "" : "s", (unsigned long long)(banner->tsc_hz / 1000000));
	text_wrap("  Machine  ", words, line);
	text_wrap("  Guests   ", banner->virtualization, line);
	snprintf(words, sizeof(words), "%s found, %s kept for guests",
		text_size(banner->found_bytes).chars, text_size(banner->kept_bytes).chars);
	text_wrap("  Memory   ", words, line);
	line("");
	line("help lists the commands; in a guest's console, " CONSOLE_KEY_NAME
	     " d brings you back.");
	line("");
}

void cpu_model_tidy(const char *brand, char model[CPU_MODEL_BYTES])
{
	size_t length = 0;

	for (; *brand && length < CPU_MODEL_BYTES - 1; brand++) {
		if (*brand == ' ' && (length == 0 || brand[1] == ' ' || !brand[1]))
			continue;
		model[length++] = *brand > ' ' && *brand <= '~' ? *brand : ' ';
	}
	model[length] = '\0';
	if (!length)
		snprintf(model, CPU_MODEL_BYTES, "a CPU without a name");
}

void cpu_model(char model[CPU_MODEL_BYTES])
{
	char brand[CPU_MODEL_BYTES] = "";

	if (cpuid(0x80000000, 0).eax >= CPUID_BRAND_LAST) {
		for (uint32_t leaf = CPUID_BRAND_FIRST; leaf <= CPUID_BRAND_LAST; leaf++) {
			struct cpuid_result part = cpuid(leaf, 0);

			memcpy(brand + (leaf - CPUID_BRAND_FIRST) * sizeof(part), &part,
				sizeof(part));
		}
	}
	cpu_model_tidy(brand, model);
}
