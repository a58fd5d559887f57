/* SPDX-License-Identifier: BSD-2-Clause */
/* Choosing the vendor. The two tables are registered by boot/, which alone knows both. */
#include "vcpu/hw.h"

#include "lib/printf.h"

const struct hw_ops *hw;

int hw_probe(const struct hw_ops *const *vendors, size_t count, char *why, size_t size)
{
	snprintf(why, size, "This CPU has neither Intel VT-x (VMX) nor AMD-V (SVM); Ballast needs "
			    "one of them, with EPT or nested paging.");
	for (size_t i = 0; i < count; i++) {
		int error = vendors[i]->probe(why, size);

		if (error == -ENODEV)
			continue;
		if (!error)
			hw = vendors[i];
		return error;
	}
	return -ENOTSUP;
}
