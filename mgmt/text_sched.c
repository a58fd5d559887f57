/* SPDX-License-Identifier: BSD-2-Clause */
/* How a VM shares the machine, in words. */
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/text.h"
#include "vcpu/sched.h"

static void add(struct text_line *line, const char *format, unsigned int a, unsigned int b)
	__printf(2, 0);
static void add(struct text_line *line, const char *format, unsigned int a, unsigned int b)
{
	size_t used = strlen(line->chars);

	snprintf(line->chars + used, sizeof(line->chars) - used, format, a, b);
}

/* Runs of CPUs: "0-3,6". */
static void add_cpus(struct text_line *line, const struct cpu_set *cpus)
{
	const char *before = "";

	for (unsigned int id = 0; id < CPU_MAX; id++) {
		unsigned int first = id;

		if (!cpu_set_has(cpus, id))
			continue;
		while (cpu_set_has(cpus, id + 1))
			id++;
		add(line, before, 0, 0);
		add(line, id > first ? "%u-%u" : "%u", first, id);
		before = ",";
	}
}

struct text_line text_sched(const struct sched_params *sched)
{
	static const struct cpu_set all = CPU_SET_ALL;
	struct text_line line = {""};

	add(&line, "weight %u", sched->weight, 0);
	add(&line, sched->cap_percent ? ", cap %u%%" : ", cap none", sched->cap_percent, 0);
	if (memcmp(&sched->cpus, &all, sizeof(all)) == 0) {
		add(&line, ", cpus all", 0, 0);
	} else {
		add(&line, ", cpus ", 0, 0);
		add_cpus(&line, &sched->cpus);
	}
	return line;
}
