/* SPDX-License-Identifier: BSD-2-Clause */
/* The vendor table of AMD-V. */
#include "svm/svm.h"

const struct hw_ops svm_ops = {
	.name = "SVM",
	.probe = svm_probe,
	.cpu_enable = svm_cpu_enable,
	.cpu_disable = svm_cpu_disable,
	.vcpu_create = svm_vcpu_create,
	.vcpu_destroy = svm_vcpu_destroy,
	.vcpu_load = svm_vcpu_load,
	.vcpu_put = svm_vcpu_put,
	.enter = svm_enter,
	.pull = svm_pull,
	.inject = svm_inject,
	.want_window = svm_want_window,
	.flush_tlb = svm_flush_tlb,
	.tlb_by_tag = true,
	.pause_exits = svm_pause_exits,
	.s2_format = &svm_npt_format,
	.tsc_format = &svm_tsc_format,
	.describe = svm_describe,
	.summary = svm_summary,
	.dump = svm_dump,
};
