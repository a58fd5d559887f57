/* SPDX-License-Identifier: BSD-2-Clause */
/* The keys of a VM that are its virtio devices: disks, networks, console, randomness. */
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/config_parser.h"
#include "mgmt/suggest.h"

/* Behind what stands first, separated by commas: words, and names with values. */
struct option {
	const char *name;
	/* NULL: a word by itself, of which it is enough that it is there. */
	void (*set)(struct config_parser *p, void *device, struct span value);
};

#define MAX_OPTIONS 4

struct options {
	const char *key;      /* whose they are */
	const char *expected; /* "cow, ro or limit=SIZE" */
	struct option known[MAX_OPTIONS];
	size_t count;
};

static void diagnose_option(struct config_parser *p, const struct options *options,
	struct span item)
{
	const char *names[MAX_OPTIONS], *near;
	char word[CONFIG_WORD_BYTES];

	for (size_t i = 0; i < options->count; i++)
		names[i] = options->known[i].name;
	near = suggest_word(item.start, item.length, names, options->count);
	config_show(item, word);
	if (near)
		config_diagnose(p, "%s: the option '%s' is not known; did you mean '%s'?",
			options->key, word, near);
	else
		config_diagnose(p, "%s: the option '%s' is not known; expected %s", options->key,
			word, options->expected);
}

/* "limit=1G" into its parts; false when there is no '='. */
static bool split_option(struct span item, struct span *name, struct span *value)
{
	const char *equals = memchr(item.start, '=', item.length);
	size_t length = equals ? (size_t)(equals - item.start) : item.length;

	*name = span_trim((struct span){ item.start, length });
	length += equals != NULL;
	*value = span_trim((struct span){ item.start + length, item.length - length });
	return equals;
}

static void parse_option(struct config_parser *p, const struct options *options, void *device,
	struct span item, uint32_t *given)
{
	const struct option *known = options->known;
	struct span name, value;
	bool has_value = split_option(item, &name, &value);
	size_t i = 0;

	while (i < options->count && !span_equals(name, known[i].name))
		i++;
	if (i == options->count)
		diagnose_option(p, options, name);
	else if (*given & BIT(i))
		config_diagnose(p, "%s: %s is given again; expected it once", options->key,
			known[i].name);
	else if (has_value != (known[i].set != NULL))
		config_diagnose(p, "%s: %s stands %s a value; expected %s", options->key,
			known[i].name, has_value ? "with" : "without", options->expected);
	else if (has_value)
		known[i].set(p, device, value);
	if (i < options->count)
		*given |= (uint32_t)BIT(i);
}

/* Which options were given, by their places in the table. */
static uint32_t parse_options(struct config_parser *p, const struct options *options, void *device,
	struct span list)
{
	struct span item;
	uint32_t given = 0;

	while (config_next_item(&list, &item))
		parse_option(p, options, device, item, &given);
	return given;
}

/* --- Disks --- */

static void set_limit(struct config_parser *p, void *device, struct span value)
{
	struct config_disk *disk = device;

	config_check_size(p, "limit", value, &disk->limit_bytes);
}

enum { DISK_COW, DISK_RO, DISK_LIMIT };
static const struct options disk_options = {
	"disk", "cow, ro or limit=SIZE",
	{ [DISK_COW] = { "cow", NULL }, [DISK_RO] = { "ro", NULL },
		[DISK_LIMIT] = { "limit", set_limit } }, 3
};

/* "nvme0p3" */
static bool is_disk_name(struct span name)
{
	for (size_t i = 0; i < name.length; i++) {
		char c = name.start[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9'))
			return false;
	}
	return name.length > 0 && name.length < CONFIG_NAME_BYTES;
}

bool config_is_path(struct span text)
{
	return memchr(text.start, '/', text.length) || memchr(text.start, '\\', text.length);
}

static const char *take_source(struct config_parser *p, const char *key, struct span source)
{
	char word[CONFIG_WORD_BYTES];

	if (config_is_path(source))
		return config_keep_path(p, key, source);
	if (is_disk_name(source))
		return config_keep(p, source);
	if (source.length)
		config_diagnose(p, "%s '%s' is neither a path nor a disk; expected one such as"
			" /images/debian.img or nvme0p3", key, config_show(source, word));
	else
		config_diagnose(p, "%s names nothing; expected a path of the boot volume or a disk"
			" of the machine, such as nvme0p3", key);
	return NULL;
}

static void check_disk(struct config_parser *p, const struct config_disk *disk)
{
	if (disk->cow && disk->read_only)
		config_diagnose(p, "disk: cow and ro exclude each other; expected one of them");
	else if (disk->limit_bytes && !disk->cow)
		config_diagnose(p, "disk: limit is for what cow keeps in memory; expected cow,"
			" too");
}

void config_set_disk(struct config_parser *p, const char *key, struct span raw)
{
	struct config_disk disk = { .source = NULL };
	struct span value, source = { "", 0 };
	uint32_t given;

	if (!config_take_value(p, key, raw, &value))
		return;
	config_next_item(&value, &source);
	disk.source = take_source(p, key, source);
	if (!disk.source)
		return;
	given = parse_options(p, &disk_options, &disk, value);
	disk.cow = given & BIT(DISK_COW);
	disk.read_only = given & BIT(DISK_RO);
	check_disk(p, &disk);
	if (p->vm->disk_count == CONFIG_MAX_DISKS)
		config_diagnose(p, "one disk too many; expected at most %d", CONFIG_MAX_DISKS);
	else
		p->vm->disks[p->vm->disk_count++] = disk;
}

/* --- Swap --- */

static void set_swap_limit(struct config_parser *p, void *device, struct span value)
{
	struct config_swap *swap = device;

	config_check_size(p, "limit", value, &swap->limit_bytes);
}

enum { SWAP_ERASE, SWAP_TRIAL, SWAP_LIMIT };
static const struct options swap_options = {
	"swap", "erase, trial or limit=SIZE",
	{ [SWAP_ERASE] = { "erase", NULL }, [SWAP_TRIAL] = { "trial", NULL },
		[SWAP_LIMIT] = { "limit", set_swap_limit } }, 3
};

static void check_swap(struct config_parser *p, const struct config_swap *swap, bool is_file)
{
	if (is_file && !swap->trial)
		config_diagnose(p, "swap: a file of the boot volume lies in memory itself; expected"
			" a disk of the machine, such as nvme0p2, or trial, to see how it goes");
	else if (!is_file && swap->trial)
		config_diagnose(p, "swap: trial is for a file of the boot volume; expected one,"
			" such as /images/swap.img, or no trial");
}

void config_set_swap(struct config_parser *p, const char *key, struct span raw)
{
	struct config_swap *swap = &p->out->ballast.swap;
	struct span value, disk = { "", 0 };
	uint32_t given;

	if (!config_take_value(p, key, raw, &value))
		return;
	config_next_item(&value, &disk);
	*swap = (struct config_swap){ .disk = take_source(p, key, disk) };
	if (!swap->disk)
		return;
	given = parse_options(p, &swap_options, swap, value);
	swap->erase = given & BIT(SWAP_ERASE);
	swap->trial = given & BIT(SWAP_TRIAL);
	check_swap(p, swap, config_is_path(disk));
}

/* --- Networks --- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "02:00:00:00:00:01"; neither a group's nor nobody's. */
static bool read_mac(struct span text, uint8_t mac[CONFIG_MAC_BYTES])
{
	unsigned int any = 0;

	if (text.length != 3 * CONFIG_MAC_BYTES - 1)
		return false;
	for (size_t i = 0; i < CONFIG_MAC_BYTES; i++) {
		int high = hex_digit(text.start[3 * i]), low = hex_digit(text.start[3 * i + 1]);

		if (high < 0 || low < 0 || (i && text.start[3 * i - 1] != ':'))
			return false;
		mac[i] = (uint8_t)(high << 4 | low);
		any |= mac[i];
	}
	return any && !(mac[0] & 1);
}

static void set_mac(struct config_parser *p, void *device, struct span value)
{
	struct config_net *net = device;
	char word[CONFIG_WORD_BYTES];

	net->has_mac = read_mac(value, net->mac);
	if (!net->has_mac)
		config_diagnose(p, "mac '%s' is no address of one NIC; expected six pairs of hex"
			" digits, the first pair even, such as 02:00:00:00:00:01",
			config_show(value, word));
}

static void set_rate(struct config_parser *p, void *device, struct span value)
{
	struct config_net *net = device;
	char word[CONFIG_WORD_BYTES];
	bool has_unit;

	if (!config_read_size(value, &net->rate_bytes, &has_unit) || net->rate_bytes < KIB(1) ||
		net->rate_bytes > GIB(1024))
		config_diagnose(p, "rate '%s' is no number of bytes a second; expected 1K to 1T,"
			" such as 10M", config_show(value, word));
}

static const struct options net_options = {
	"net", "mac=ADDRESS or rate=BYTES", { { "mac", set_mac }, { "rate", set_rate } }, 2
};

void config_set_net(struct config_parser *p, const char *key, struct span raw)
{
	struct config_net net = { .rate_bytes = 0 };
	char word[CONFIG_WORD_BYTES];
	struct span value, name = { "", 0 };
	const char *fault;

	if (!config_take_value(p, key, raw, &value))
		return;
	config_next_item(&value, &name);
	fault = name.length ? config_name_fault(name) : "is empty";
	if (fault) {
		config_diagnose(p, "the network '%s' %s; expected " CONFIG_NAME_RULE ", such as"
			" lan0", config_show(name, word), fault, CONFIG_NAME_BYTES - 1);
		return;
	}
	memcpy(net.name, name.start, name.length);
	parse_options(p, &net_options, &net, value);
	if (p->vm->net_count == CONFIG_MAX_NETS)
		config_diagnose(p, "one net too many; expected at most %d", CONFIG_MAX_NETS);
	else
		p->vm->nets[p->vm->net_count++] = net;
}

void config_set_console(struct config_parser *p, const char *key, struct span raw)
{
	config_take_switch(p, key, raw, &p->vm->console);
}

void config_set_rng(struct config_parser *p, const char *key, struct span raw)
{
	config_take_switch(p, key, raw, &p->vm->rng);
}

void config_set_balloon(struct config_parser *p, const char *key, struct span raw)
{
	config_take_switch(p, key, raw, &p->vm->balloon);
}

/* --- [net NAME] --- */

/* "nic0" */
static bool is_nic_name(struct span name)
{
	struct span digits = { name.start + 3, name.length - 3 }, rest;
	uint64_t number;

	return name.length > 3 && name.length < CONFIG_NIC_BYTES &&
		memcmp(name.start, "nic", 3) == 0 && config_number(digits, &number, &rest) &&
		!rest.length;
}

static const struct config_network *who_has(const struct config *config, struct span nic)
{
	for (size_t i = 0; i < config->network_count; i++)
		if (span_equals(nic, config->networks[i].nic))
			return &config->networks[i];
	return NULL;
}

static void set_nic(struct config_parser *p, const char *key, struct span raw)
{
	const struct config_network *other;
	char word[CONFIG_WORD_BYTES];
	struct span value;

	if (!config_take_value(p, key, raw, &value) || span_equals(value, "none"))
		return;
	other = who_has(p->out, value);
	config_show(value, word);
	if (!is_nic_name(value))
		config_diagnose(p, "%s '%s' is not the name of one; expected nic0 and so on, or"
			" none", key, word);
	else if (other)
		config_diagnose(p, "%s is at net '%s' already; expected another, or none", word,
			other->name);
	else
		memcpy(p->network->nic, value.start, value.length);
}

static const struct config_key network_keys[] = { { .name = "nic", .set = set_nic } };

const struct config_keys config_network_keys = {
	network_keys, ARRAY_SIZE(network_keys), " in [net NAME]"
};
