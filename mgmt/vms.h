/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VMs, of ballast.conf and created at the prompt, and their lives. Each change of a VM's state
 * is one line on the console, `vm NAME: ...`, and in the log. All of it belongs to the boot CPU.
 */
#ifndef BALLAST_MGMT_VMS_H
#define BALLAST_MGMT_VMS_H

#include "devices/virtio/console.h"
#include "mgmt/config.h"
#include "mgmt/console.h"
#include "mgmt/mem_history.h"
#include "vcpu/vm.h"

struct platform;

/* What the operator wants of a running VM; takes effect when all its vCPUs have stopped. */
enum vm_wish { WISH_NONE, WISH_STOP, WISH_RESET, WISH_DESTROY };

#define VMS_MAX 1024

/* What top knows of a VM's past: counters at its last refresh. */
struct vm_sample {
	uint64_t at_ns;
	uint64_t run_ns, steal_ns;
	uint64_t started_ns;          /* of the run they belong to */
	uint64_t exits[EXIT_KINDS];
};

struct virtio_blk;
struct virtio_net;

/* A disk of a VM; mgmt/vm_disks.h. */
struct managed_disk {
	struct block_device *base;    /* NULL: not open */
	enum block_open how;
	struct block_device *overlay; /* NULL: none */
	struct virtio_blk *blk;       /* NULL: the VM is not built */
	struct managed_vm *owner;     /* while it is being written back */
	uint64_t committed_bytes;     /* likewise */
	bool committing;
};

struct managed_nic {
	struct virtio_net *device;    /* NULL: the VM is not built */
	uint8_t mac[CONFIG_MAC_BYTES];
	bool has_mac;
	bool given;                   /* by the configuration */
};

/* Lines that a guest writes to the log. */
struct guest_log {
	char line[120];               /* [vm.lock] as all of it */
	size_t length;
	uint64_t refilled_ns;
	unsigned int used, left_out;
};

/* A VM's virtio console; mgmt/vm_console.h. */
struct hvc {
	struct virtio_console *device; /* NULL: none */
	struct virtio_console_port ports[VIRTIO_CONSOLE_PORTS];
	struct console_port port;      /* hvc0's */
	char name[CONFIG_NAME_BYTES + 8];
	struct guest_log log;
};

struct managed_vm {
	const struct vm_config *config; /* the name never changes */
	bool own_config;              /* it is on the heap */
	bool created;                 /* by `vm create`: `vm destroy` takes it out of the list */
	struct vm *vm;             /* NULL: not created, or destroyed */
	struct platform *platform;
	struct virtio_mem *hotplug;   /* NULL: it has none */
	struct console_port port;     /* COM1's */
	struct hvc hvc;
	struct managed_disk disks[CONFIG_MAX_DISKS]; /* as in the configuration */
	struct managed_nic nics[CONFIG_MAX_NETS];    /* likewise */
	enum vm_wish wish;
	bool trace;
	enum vm_stop last_stop;    /* why it stopped last */
	char last_words[224];      /* the state line's text, without `vm NAME: ` */
	uint64_t stopped_ns;       /* when; its uptime ends there */
	char *dump;                /* after VM_STOP_FAULT: text of several lines */
	uint64_t overhead_bytes;   /* host memory taken by creating it */
	uint64_t table_pages;      /* of these, second-level page tables then */
	unsigned int quick_resets; /* in a row, by the guest, soon after its start */
	uint64_t restart_ns;       /* it starts again then; 0: not waiting */
	uint64_t room_since_ns;    /* it waits for memory to start with, and that was told; 0: no */
	struct vm_sample sample;
	struct mem_history memory_history;
};

/* The VMs of the configuration, which stays. -ENOMEM. */
int vms_init(const struct config *config) __must_check;
#ifdef BALLAST_UNIT_TEST
/* As if never initialised. */
void vms_test_reset(void);
#endif
size_t vms_count(void);
struct managed_vm *vms_at(size_t index);
struct managed_vm *vms_find(const char *name);
bool vms_any_running(void);

/* Start those that the configuration says; the console of a single one is attached. */
void vms_autostart(void);
/* The VM does not run. 0, or -E... after its state line; -EAGAIN: it starts when it has memory. */
int vms_start(struct managed_vm *managed);
/* The VM runs or waits to start again. The state line follows when it has stopped. */
void vms_stop(struct managed_vm *managed);
void vms_reset(struct managed_vm *managed);
/*
 * All that the VM holds is given back. One of the configuration stays in the list; a created one is
 * gone for good, at once if it does not run.
 */
void vms_destroy(struct managed_vm *managed);
/* The VM runs and is not about to stop, and is not paused. */
void vms_pause(struct managed_vm *managed);
/* It is paused. */
void vms_resume(struct managed_vm *managed);

/*
 * A new VM, from words as config_words.h has them. 0, or -E... with a sentence; -E... after its
 * state line, and the VM is there, when it should start at once and could not: `why` is "" then.
 */
int vms_create(const char *name, const char *settings, char *why, size_t size) __must_check;
/*
 * Change a VM's settings: what concerns its share of the machine at once, the rest when it does not
 * run, for its next start. 0, or -E... with a sentence, and nothing has changed.
 */
int vms_set(struct managed_vm *managed, const char *settings, char *why, size_t size) __must_check;
/*
 * One more disk (CONFIG_KEY_DISK) or network (CONFIG_KEY_NET), as in ballast.conf: at once, also if
 * it runs. As vms_set().
 */
int vms_add(struct managed_vm *managed, enum config_vm_key key, const char *text, char *why,
	size_t size) __must_check;
void vms_set_trace(struct managed_vm *managed, bool on);

/* Serve VMs that have stopped. Returns when to call again at the latest; 0: no need. */
uint64_t vms_poll(void);

static inline bool managed_is_running(const struct managed_vm *managed)
{
	return managed->vm && managed->vm->state == VM_RUNNING;
}

/* It runs and is not about to stop, but the operator keeps it off the CPUs. */
static inline bool managed_is_paused(const struct managed_vm *managed)
{
	return managed_is_running(managed) && managed->vm->paused &&
		__atomic_load_n(&managed->vm->stop, __ATOMIC_RELAXED) == VM_STOP_NONE;
}

/* "running", "not started", "powered off", ... */
const char *vms_state_name(const struct managed_vm *managed);
/* Host memory of the VM beyond its own. */
uint64_t vms_overhead_bytes(const struct managed_vm *managed);
/* Guest memory that running VMs have been promised and do not use yet. */
uint64_t vms_promised_bytes(void);
uint64_t vms_uptime_ns(const struct managed_vm *managed);

#endif
