# SPDX-License-Identifier: BSD-2-Clause
#
# What the tools in sh share: where the cache is, how they speak, how they take turns, how they fetch
# Debian packages of other suites and architectures without touching the machine's own apt.
# To be sourced; the sourcing script has set -eu and $tools (this folder).

ballast_cache=${BALLAST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ballast}

say() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
	say "$*"
	exit 1
}

# lock NAME: holds a lock of the cache until this script ends, so that two runs do not build the same thing.
lock() {
	mkdir -p "$ballast_cache"
	exec 9>"$ballast_cache/$1.lock"
	flock -n 9 || {
		say "waiting for another run that holds $1"
		flock -w 1500 9 || die "another run still holds $1; giving up"
	}
}

# retry N COMMAND...: mirrors fail now and then.
retry() {
	retry_left=$1
	shift
	until "$@"; do
		retry_left=$((retry_left - 1))
		[ "$retry_left" -gt 0 ] || return 1
		say "failed, trying again: $*"
		sleep 3
	done
}

# The lines of a sources.list for the suites $1..., on the mirror that this machine itself uses.
mirror_lines() {
	mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
		awk '$2 !~ /[-\/]/ && $1 !~ /security/ { print $1; exit }')
	[ -n "$mirror" ] || die "cannot tell the Debian mirror from this machine's apt sources (has apt-get update run?)"
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	signed=
	[ ! -e "$keyring" ] || signed=" signed-by=$keyring"
	for suite in "$@"; do
		echo "deb [arch=amd64,i386$signed] $mirror $suite main"
		[ "$suite" != trixie ] || echo "deb-src [arch=amd64$signed] $mirror $suite main"
	done
}

# archive_open: exports APT_CONFIG, with which apt-get sees Debian 12 and 13, amd64 and i386, and sources.
archive_open() {
	apt_dir=$ballast_cache/apt
	mkdir -p "$apt_dir/none" "$apt_dir/state/lists/partial" "$apt_dir/cache/archives/partial"
	: >"$apt_dir/state/status"
	unset APT_CONFIG
	mirror_lines bookworm trixie >"$apt_dir/sources.list.new"
	cmp -s "$apt_dir/sources.list.new" "$apt_dir/sources.list" || rm -f "$apt_dir/updated"
	mv "$apt_dir/sources.list.new" "$apt_dir/sources.list"
	cat >"$apt_dir/apt.conf" <<-END
		Dir::Etc::sourcelist "$apt_dir/sources.list";
		Dir::Etc::sourceparts "-";
		Dir::Etc::preferencesparts "$apt_dir/none";
		Dir::State "$apt_dir/state";
		Dir::State::status "$apt_dir/state/status";
		Dir::Cache "$apt_dir/cache";
		APT::Architecture "amd64";
		APT::Architectures { "amd64"; "i386"; };
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Acquire::Retries "3";
	END
	APT_CONFIG=$apt_dir/apt.conf
	export APT_CONFIG
	[ -n "$(find "$apt_dir/updated" -mmin -720 2>/dev/null)" ] || archive_refresh
}

archive_refresh() {
	say "reading the package lists of Debian 12 and 13"
	retry 3 apt-get -qq -o Dpkg::Use-Pty=0 update >&2 || die "cannot read the package lists of the Debian mirror"
	: >"$apt_dir/updated"
}
