/* SPDX-License-Identifier: BSD-2-Clause */
/* mem: the machine's memory, who has it, and one VM's part of it. */
#include "balloon/economy.h"
#include "balloon/pager.h"
#include "balloon/swap.h"
#include "host/clock.h"
#include "host/machine.h"
#include "host/memory.h"
#include "lib/printf.h"
#include "mgmt/commands.h"
#include "mgmt/console.h"
#include "mgmt/mem_view.h"
#include "mgmt/text.h"
#include "mgmt/vms.h"

static struct text pages_text(uint64_t pages)
{
	return text_size(pages * PAGE_SIZE);
}

static struct text short_pages(uint64_t pages)
{
	return text_short_size(pages * PAGE_SIZE);
}

static void mem_row(const char *what, uint64_t bytes)
{
	console_print("  %-44s %9s\n", what, text_size(bytes).chars);
}

/* A row that is there only where there is something to tell. */
static void mem_row_if(const char *what, uint64_t pages)
{
	if (pages)
		mem_row(what, pages * PAGE_SIZE);
}

static void show_ballast(const struct memory_stats *stats)
{
	uint64_t allocator = stats->total_frames * PAGE_SIZE, files = 0;

	for (size_t i = 0; i < machine.file_count; i++)
		files += ROUND_UP(machine.files[i].bytes, PAGE_SIZE);
	console_print("Memory of this machine: %s\n", text_size(machine.ram_bytes).chars);
	mem_row("firmware, Ballast's program and boot files",
		machine.ram_bytes - MIN(machine.ram_bytes, allocator) +
			stats->frames[FRAME_RESERVED] * PAGE_SIZE);
	mem_row("  of these the files of ballast.conf", files);
	mem_row("Ballast's own data", stats->frames[FRAME_HOST] * PAGE_SIZE);
	mem_row("Ballast's data about the VMs", stats->frames[FRAME_VM] * PAGE_SIZE);
}

/* What went to and fro since the start, and whether reading ahead was right. */
static void show_swapping(const struct swap_stats *stats)
{
	struct pager_stats pager;

	pager_get_stats(&pager);
	mem_row_if("  written there so far", stats->written);
	mem_row_if("  had back so far", stats->read);
	mem_row_if("  read ahead, and then wanted", pager.hits);
	mem_row_if("  read ahead, and not wanted so far", pager.ahead - pager.hits);
}

static void show_swap(void)
{
	struct swap_stats stats;
	char what[48];

	swap_get_stats(&stats);
	if (!stats.device)
		return;
	snprintf(what, sizeof(what), "guests' memory on disk %s", stats.device);
	mem_row(what, (stats.used - stats.bad) * PAGE_SIZE);
	mem_row("  which has room for", (stats.slots - stats.bad) * PAGE_SIZE);
	show_swapping(&stats);
	if (stats.failing)
		console_print("  it fails: nothing more is written to it\n");
}

static void show_guests(const struct memory_stats *stats, const struct memory_view *view)
{
	mem_row("guests' memory in use",
		(stats->frames[FRAME_GUEST] + stats->frames[FRAME_SHARED]) * PAGE_SIZE);
	mem_row_if("  of this shared by several of their pages", view->shared_pages);
	mem_row_if("  saved by sharing", view->saved_pages);
	mem_row_if("  pages of zeroes that take no memory", view->zero_pages);
	mem_row("guests' memory, compressed", stats->frames[FRAME_STORE] * PAGE_SIZE);
	mem_row_if("  before that it took", view->compressed_pages);
	show_swap();
	mem_row_if("in the guests' balloons", view->ballooned_pages);
}

/* How long each state was, where any but the best has been. */
static void show_states(const struct memory_view *view)
{
	if (!view->state_ns[POLICY_SOFT] && !view->state_ns[POLICY_HARD] &&
		!view->state_ns[POLICY_LOW])
		return;
	for (unsigned int i = 0; i < POLICY_STATES; i++)
		console_print("%s%s %llu s", i ? ", " : "    so far: ", policy_state_name(i),
			(unsigned long long)(view->state_ns[i] / NS_PER_SEC));
	console_print("\n");
}

static void show_free(const struct memory_stats *stats, const struct memory_view *view)
{
	mem_row("written to copy-on-write disks", stats->frames[FRAME_DISK] * PAGE_SIZE);
	mem_row("free", stats->frames[FRAME_FREE] * PAGE_SIZE);
	console_print("  %-44s %9llu\n", "  in pages of 4 KiB",
		(unsigned long long)stats->frames[FRAME_FREE]);
	mem_row_if("  of these to be erased yet", stats->stale_frames);
	mem_row("  of these promised to running guests", vms_promised_bytes());
	mem_row("  of these in one piece, at most",
		stats->frames[FRAME_FREE] ? PAGE_SIZE << stats->largest_free_order : 0);
	console_print("  %-44s %9s\n", "  which is the state", policy_state_name(view->state));
	show_states(view);
}

static void list_vm(const struct managed_vm *managed)
{
	struct vm_memory_view view;

	mem_view_vm(managed, &view);
	console_print("%-12.12s %6s %6s %8u %8s %6s %6s %7s %5s %5s\n", managed->config->name,
		short_pages(view.memory_pages).chars, short_pages(view.min_pages).chars,
		view.shares, short_pages(view.entitled_pages).chars,
		short_pages(view.resident_pages).chars, short_pages(view.active_pages).chars,
		short_pages(view.balloon_pages).chars, short_pages(view.saved_pages).chars,
		short_pages(view.compressed_pages + view.swapped_pages).chars);
}

static void list_vms(void)
{
	if (!vms_any_running())
		return;
	console_print("%-12s %6s %6s %8s %8s %6s %6s %7s %5s %5s\n", "NAME", "MEMORY", "MIN",
		"SHARES", "ENTITLED", "IN USE", "ACTIVE", "BALLOON", "SAVED", "AWAY");
	for (size_t i = 0; i < vms_count(); i++)
		if (managed_is_running(vms_at(i)))
			list_vm(vms_at(i));
}

static void show_price(uint64_t price)
{
	console_print("  price       %llu.%03llu shares for a MiB of it, idle memory taxed\n",
		(unsigned long long)(price / 1000), (unsigned long long)(price % 1000));
}

static void show_away(const struct vm_memory_view *view)
{
	console_print("  shared      %s, which saves %s; %s of zeroes take none\n",
		pages_text(view->shared_pages).chars, pages_text(view->saved_pages).chars,
		pages_text(view->zero_pages).chars);
	console_print("  away        %s compressed, %s on disk; %llu a second are wanted back\n",
		pages_text(view->compressed_pages).chars, pages_text(view->swapped_pages).chars,
		(unsigned long long)view->faults_per_second);
	console_print("  pinned      %s, which Ballast itself uses\n",
		pages_text(view->pinned_pages).chars);
}

static void show_vm(const struct managed_vm *managed)
{
	struct vm_memory_view view;

	console_print("vm %s: %s\n", managed->config->name, text_memory(managed->config).chars);
	if (!managed_is_running(managed)) {
		console_print("  it is %s\n", vms_state_name(managed));
		return;
	}
	mem_view_vm(managed, &view);
	console_print("  entitled    to %s; its target now is %s\n",
		pages_text(view.entitled_pages).chars, pages_text(view.target_pages).chars);
	console_print("  in use      %s: %s active, %s idle\n",
		pages_text(view.resident_pages).chars, pages_text(view.active_pages).chars,
		pages_text(view.resident_pages - MIN(view.resident_pages,
			view.active_pages)).chars);
	show_price(view.price);
	console_print("  balloon     %s of %s wanted%s\n", pages_text(view.balloon_pages).chars,
		pages_text(view.balloon_target_pages).chars,
		view.has_balloon ? "" : "; the guest has no driver for it");
	show_away(&view);
	mem_view_print_cost("  sampling    ", &view.sampling);
	if (view.waiting_since_ns)
		console_print("  waits       for memory since %s\n",
			text_duration(clock_now_ns() - view.waiting_since_ns).chars);
}

void cmd_mem(const struct shell_call *call)
{
	struct memory_stats stats;
	struct memory_view view;

	if (call->vm && call->vm->config->error) {
		console_print("mem: '%s' is misconfigured: %s\n", call->vm->config->name,
			call->vm->config->error);
		return;
	}
	if (call->vm) {
		show_vm(call->vm);
		return;
	}
	frame_get_stats(&stats);
	economy_view(&view);
	show_ballast(&stats);
	show_guests(&stats, &view);
	show_free(&stats, &view);
	list_vms();
}
