/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ballast.conf: which guests there are. Plain text, `key = value` lines in a section [vm NAME] for
 * each guest:
 *
 *	# A comment; so is a line that starts with `;`.
 *	[vm debian]
 *	memory = 256M                   # 512K, 256M, 2G: powers of 1024; plain digits are bytes
 *	maxmem = 512M                   # memory may be set so high while it runs
 *	hotplug = no                    # yes: what is above memory is plugged in, by a virtio-mem
 *	min = 25%                       # of memory, or a size: guaranteed; 100%
 *	shares = normal                 # of memory that is short: low, high, 1 to 10000000
 *	group = web                     # shares equal pages with those of its group; none
 *	vcpus = 1                       # 1 to 64
 *	kernel = /ballast/vmlinuz       # on the boot volume; `/` or `\`, the leading one optional
 *	initrd = /ballast/initrd.gz
 *	module = /ballast/part words    # repeatable, for Multiboot and PVH kernels
 *	cmdline = console=ttyS0
 *	boot = auto                     # auto, linux, multiboot, pvh
 *	autostart = yes                 # yes, no
 *	debug-exit = no                 # yes: port 0xf4 ends the VM
 *	weight = 100                    # 1 to 10000: of the CPUs' time, against others'
 *	cap = 25%                       # of one CPU, for all vCPUs together; none, up to 6400%
 *	cpus = 0-3,6                    # where its vCPUs may run; all
 *	tsc = 2000MHz                   # of the guest's TSC; kHz, GHz; machine: the machine's
 *	disk = /images/debian.img, cow  # a virtio-blk, repeatable; see struct config_disk
 *	disk = nvme0p3
 *	net = lan0, rate=10M            # a virtio-net, repeatable; see struct config_net
 *	console                         # a virtio-console; as console = yes
 *	rng                             # a virtio-rng
 *	balloon = yes                   # a virtio-balloon; no: the guest keeps what it has
 *
 *	[net lan0]
 *	nic = nic0                      # the machine's NIC that leads outside; none
 *
 *	[ballast]
 *	load = /ballast/other           # repeatable: a file to keep in memory, for `vm create`
 *	mitigations = auto              # off; or those that are on: ibpb, ibrs, rsb, verw, l1d
 *	smt = auto                      # on, off: guests on sibling threads
 *	memory-tax = 75%                # on idle memory: 0% to 99%
 *	swap = nvme0p2                  # a disk for guests' memory; , erase; , trial; , limit=SIZE
 *
 * `#` or `;` after a blank begins a comment. A value in "..." or '...' is taken as it stands
 * between the quotes; nothing but a comment may follow, except after the quoted path of a module. A
 * section [ballast] is for Ballast itself. CRLF line ends and a UTF-8 byte order mark are accepted.
 *
 * A mistake costs only the guest in whose section it stands: it is listed, but may not be started.
 * Everything here is pure: no allocation, no hardware; of other parts of Ballast types alone.
 */
#ifndef BALLAST_MGMT_CONFIG_H
#define BALLAST_MGMT_CONFIG_H

#include "host/mitigation_plan.h"
#include "vcpu/sched.h"

#define CONFIG_MAX_VMS 256
#define CONFIG_MAX_MODULES 16        /* of one VM */
#define CONFIG_MAX_VCPUS 64
#define CONFIG_MAX_DISKS 8           /* of one VM */
#define CONFIG_MAX_NETS 4            /* of one VM */
#define CONFIG_MAX_NETWORKS 32       /* sections [net NAME] */
#define CONFIG_MAC_BYTES 6
#define CONFIG_NIC_BYTES 8           /* "nic0", with its end */
#define CONFIG_MAX_CAP 6400          /* percent of one CPU */
#define CONFIG_MIN_TSC_HZ 1000000ULL
#define CONFIG_MAX_TSC_HZ 10000000000ULL
#define CONFIG_MAX_LOADS 64
#define CONFIG_MAX_DIAGNOSTICS 64
#define CONFIG_DIAGNOSTIC_BYTES 240
#define CONFIG_NAME_BYTES 32         /* with its end */
#define CONFIG_PATH_BYTES 128        /* likewise */
#define CONFIG_LINE_BYTES 4096
#define CONFIG_FILE_BYTES KIB(64)    /* longest ballast.conf */
#define CONFIG_MIN_MEMORY MIB(1)
#define CONFIG_MAX_MEMORY GIB(16384)
#define CONFIG_DEFAULT_MEMORY MIB(256)
#define CONFIG_SHARES_NORMAL 10      /* for each MiB of memory; low is half of that, high twice */
#define CONFIG_MAX_SHARES 10000000
#define CONFIG_DEFAULT_TAX 75        /* percent */
#define CONFIG_MAX_TAX 99

enum config_boot {
	CONFIG_BOOT_AUTO,
	CONFIG_BOOT_LINUX,
	CONFIG_BOOT_MULTIBOOT,
	CONFIG_BOOT_PVH,
};
#define CONFIG_BOOTS (CONFIG_BOOT_PVH + 1)
extern const char *const config_boot_names[CONFIG_BOOTS];

/* The keys of a VM. */
enum config_vm_key {
	CONFIG_KEY_MEMORY,
	CONFIG_KEY_MAXMEM,
	CONFIG_KEY_MIN,
	CONFIG_KEY_SHARES,
	CONFIG_KEY_GROUP,
	CONFIG_KEY_VCPUS,
	CONFIG_KEY_KERNEL,
	CONFIG_KEY_INITRD,
	CONFIG_KEY_MODULE,
	CONFIG_KEY_CMDLINE,
	CONFIG_KEY_BOOT,
	CONFIG_KEY_AUTOSTART,
	CONFIG_KEY_DEBUG_EXIT,
	CONFIG_KEY_WEIGHT,
	CONFIG_KEY_CAP,
	CONFIG_KEY_CPUS,
	CONFIG_KEY_TSC,
	CONFIG_KEY_DISK,
	CONFIG_KEY_NET,
	CONFIG_KEY_CONSOLE,
	CONFIG_KEY_RNG,
	CONFIG_KEY_BALLOON,
	CONFIG_KEY_HOTPLUG,
	CONFIG_VM_KEYS
};

/* Paths are normalised: backslashes, one leading, none doubled: \ballast\vmlinuz. */
struct config_module {
	const char *path;
	const char *words; /* all of the line after the path; "" when there is nothing */
};

struct config_disk {
	/* A normalised path of the boot volume (it begins with a backslash): an image, which is
	 * kept in memory; or the name of a disk of the machine. */
	const char *source;
	bool cow;                    /* writes are the VM's own, and go to memory */
	bool read_only;
	uint64_t limit_bytes;        /* of what cow keeps; 0: as much as there is */
};

struct config_net {
	char name[CONFIG_NAME_BYTES];
	uint8_t mac[CONFIG_MAC_BYTES];
	bool has_mac;                /* else it gets one that nobody has */
	uint64_t rate_bytes;         /* a second, that the guest may send; 0: no limit */
};

struct vm_config {
	char name[CONFIG_NAME_BYTES];
	uint64_t memory_bytes;       /* page aligned, as all of these; that it may use now */
	uint64_t maxmem_bytes;       /* that it may be given later; 0: memory_bytes */
	bool hotplug;                /* it sees what is above memory only when it is plugged in */
	uint64_t min_bytes;          /* guaranteed; 0: min_percent of memory_bytes */
	uint32_t min_percent;
	uint32_t shares;             /* 0: shares_per_mib of memory_bytes */
	uint32_t shares_per_mib;
	char group[CONFIG_NAME_BYTES]; /* "": none */
	unsigned int vcpus;
	const char *kernel;
	const char *initrd;          /* NULL: none */
	const char *cmdline;         /* "" when there is none */
	struct config_module modules[CONFIG_MAX_MODULES];
	size_t module_count;
	struct config_disk disks[CONFIG_MAX_DISKS];
	size_t disk_count;
	struct config_net nets[CONFIG_MAX_NETS];
	size_t net_count;
	bool console, rng, balloon;  /* the virtio ones */
	enum config_boot boot;
	bool autostart;
	bool debug_exit;
	struct sched_params sched;
	uint64_t tsc_hz;             /* 0: the machine's */
	unsigned int line;           /* of its [vm NAME] */
	/* NULL: may be started. Else the first diagnostic about it; no other field but the name
	 * and the line can be relied upon, though all pointers but kernel and initrd are there. */
	const char *error;
};

enum config_smt { CONFIG_SMT_AUTO, CONFIG_SMT_ON, CONFIG_SMT_OFF };

struct config_swap {
	/* Of the machine, or a partition, or a path of the boot volume; NULL: there is no swap. */
	const char *disk;
	bool erase;                  /* whatever is on it is not needed */
	bool trial;                  /* it may be a file, which lies in memory */
	uint64_t limit_bytes;        /* that are used of it; 0: what is good for the machine */
};

/* What [ballast] says. */
struct ballast_config {
	enum mitigation_mode mitigations[MITIGATIONS];
	enum config_smt smt;                 /* guests on sibling threads */
	uint32_t memory_tax_percent;         /* on guests' idle memory */
	struct config_swap swap;
	const char *loads[CONFIG_MAX_LOADS]; /* normalised paths */
	size_t load_count;
};

/* What a [net NAME] says of a switch. */
struct config_network {
	char name[CONFIG_NAME_BYTES];
	char nic[CONFIG_NIC_BYTES];  /* of the machine, that is plugged in; "": none */
	unsigned int line;
};

/* "ballast.conf:LINE: what was wrong; what was expected", printable ASCII. */
struct config_diagnostic {
	unsigned int line;
	char text[CONFIG_DIAGNOSTIC_BYTES];
};

/* Its strings lie inside it: it must not be moved or copied. About 270 KiB. */
struct config {
	struct ballast_config ballast;
	struct config_network networks[CONFIG_MAX_NETWORKS];
	size_t network_count;
	struct vm_config vms[CONFIG_MAX_VMS]; /* in the order of the file */
	size_t vm_count;
	struct config_diagnostic diagnostics[CONFIG_MAX_DIAGNOSTICS];
	size_t diagnostic_count;
	size_t diagnostics_lost;              /* beyond the list */
	char strings[CONFIG_FILE_BYTES];
	size_t string_bytes;
};

/*
 * Fill all of *out from `bytes` bytes of text, which need no end and are not kept. Mistakes are
 * diagnostics; a file of nothing but mistakes gives a config without VMs.
 */
void config_parse(const char *text, size_t bytes, struct config *out);

/* What a VM is without any key; no name. */
void config_vm_init(struct vm_config *vm);
/* What the keys about memory come to. */
static inline uint64_t config_max_memory(const struct vm_config *vm)
{
	return MAX(vm->memory_bytes, vm->maxmem_bytes);
}
uint64_t config_min_memory(const struct vm_config *vm); /* bytes */
uint32_t config_shares(const struct vm_config *vm);
/* The index-th key of a VM, for the shell; NULL after the last. */
const char *config_key_name(size_t index);

/* A path as operators and kernels write it: with slashes. */
void config_path_slashes(const char *path, char slashes[CONFIG_PATH_BYTES]);

/* NULL when there is none of this name. */
const struct vm_config *config_find_vm(const struct config *config, const char *name);

/* NULL when no section is about it. */
const struct config_network *config_find_network(const struct config *config, const char *name);

/*
 * Call each() with the normalised path of every kernel, initrd, module and disk image of a [vm ...]
 * section and every file to load of [ballast], in the order of the file; one named twice is
 * reported twice. Lines with mistakes are passed over: config_parse() reports them. Needs a few
 * hundred bytes of stack and nothing else.
 */
void config_each_file(const char *text, size_t bytes,
	void (*each)(const char *path, void *argument), void *argument);

#endif
