/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What makes a guest exit: the intercepts, and the two permission maps, which all guests share
 * (AMD APM vol. 2, "Intercept Operation", "IOIO Intercepts", "MSR Intercepts").
 */
#include "host/lock.h"
#include "host/memory.h"
#include "lib/string.h"
#include "svm/svm.h"
#include "vcpu/msr.h"

/*
 * Beyond what needs serving: INIT, SMM and FERR_FREEZE belong to the host, the SVM instructions do
 * not exist for a guest. VMRUN must be intercepted, the hardware insists. Control and debug
 * registers, page-table changes and the TSC are the guest's own, and cost no exit.
 */
#define INTERCEPT3                                                                                 \
	(INTERCEPT3_INTR | INTERCEPT3_NMI | INTERCEPT3_INIT | INTERCEPT3_RDPMC |                   \
		INTERCEPT3_CPUID | INTERCEPT3_RSM | INTERCEPT3_INVD | INTERCEPT3_HLT |             \
		INTERCEPT3_INVLPGA | INTERCEPT3_IOIO | INTERCEPT3_MSR | INTERCEPT3_FERR_FREEZE |   \
		INTERCEPT3_SHUTDOWN)
#define INTERCEPT4                                                                                 \
	(INTERCEPT4_VMRUN | INTERCEPT4_VMMCALL | INTERCEPT4_VMLOAD | INTERCEPT4_VMSAVE |           \
		INTERCEPT4_STGI | INTERCEPT4_CLGI | INTERCEPT4_SKINIT | INTERCEPT4_WBINVD |        \
		INTERCEPT4_MONITOR | INTERCEPT4_MWAIT | INTERCEPT4_MWAIT_ARMED | INTERCEPT4_XSETBV)

#define MSRPM_ORDER 1 /* 8 KiB */
#define IOPM_ORDER 2  /* 12 KiB, rounded up */

static struct spinlock maps_lock;
static hpa_t iopm = HPA_NONE;  /* [maps_lock] then [I] */
static hpa_t msrpm = HPA_NONE; /* [maps_lock] then [I] */

bool svm_msrpm_allow(uint8_t *map, uint32_t msr)
{
	static const uint32_t first[] = { 0, 0xc0000000, 0xc0010000 };

	for (unsigned int i = 0; i < ARRAY_SIZE(first); i++) {
		uint32_t bit = (msr - first[i]) * 2;

		if (msr - first[i] > 0x1fff)
			continue;
		/* Two bits an MSR, read and write, never across a byte. */
		map[i * 2048 + bit / 8] &= (uint8_t)~(3U << bit % 8);
		return true;
	}
	return false;
}

void svm_fill_msrpm(uint8_t *map)
{
	memset(map, 0xff, SVM_MSRPM_BYTES);
	for (size_t i = 0; i < msr_passthrough_count; i++) {
		if (msr_passthrough[i] == MSR_TSC_AUX && !svm_features.tsc_aux)
			continue;
		svm_msrpm_allow(map, msr_passthrough[i]);
	}
}

int svm_prepare_maps(void)
{
	int error = 0;

	spin_lock(&maps_lock);
	if (iopm == HPA_NONE) {
		iopm = frame_alloc(IOPM_ORDER, FRAME_HOST);
		if (iopm != HPA_NONE)
			memset(host_ptr(iopm), 0xff, SVM_IOPM_BYTES);
	}
	if (msrpm == HPA_NONE) {
		msrpm = frame_alloc(MSRPM_ORDER, FRAME_HOST);
		if (msrpm != HPA_NONE)
			svm_fill_msrpm(host_ptr(msrpm));
	}
	if (iopm == HPA_NONE || msrpm == HPA_NONE)
		error = -ENOMEM;
	spin_unlock(&maps_lock);
	return error;
}

void svm_init_controls(struct vmcb *vmcb)
{
	struct vmcb_control *control = &vmcb->control;

	control->intercept_exceptions = EXCEPTIONS_INTERCEPTED;
	control->intercept3 = INTERCEPT3;
	control->intercept4 = INTERCEPT4 | (svm_features.rdpru ? INTERCEPT4_RDPRU : 0);
	control->iopm_base = iopm;
	control->msrpm_base = msrpm;
	control->int_ctl = INT_CTL_V_INTR_MASKING;
	control->nested_ctl = NESTED_CTL_NPT;
}

/* PAUSEs less than so many cycles apart are one loop; after so many of them one exits. */
#define PAUSE_THRESHOLD 160
#define PAUSE_COUNT 1024

bool svm_pause_exits(struct vcpu *vcpu, bool every)
{
	struct vmcb_control *control = &svm_of(vcpu)->vmcb->control;
	bool filter = svm_features.pause_filter;

	control->intercept3 &= ~INTERCEPT3_PAUSE;
	if (every || filter)
		control->intercept3 |= INTERCEPT3_PAUSE;
	control->pause_filter_count = filter ? PAUSE_COUNT : 0;
	control->pause_filter_threshold = svm_features.pause_threshold ? PAUSE_THRESHOLD : 0;
	control->clean &= ~CLEAN_INTERCEPTS;
	return !filter;
}
