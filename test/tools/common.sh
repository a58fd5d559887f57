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

# The Debian packages behind each thing that run and check do.
packages_build='gcc libc6-dev linux-libc-dev binutils nasm cmake ninja-build gnu-efi acpica-tools libxxhash-dev'
packages_image='gdisk mtools python3'
packages_guests='dpkg e2fsprogs gcc libc6-dev lz4 zstd python3'
packages_qemu='qemu-system-x86 ovmf'
packages_bochs='g++ make patch xz-utils ovmf vgabios'
packages_tests='libcmocka-dev liblz4-dev libssl-dev libzydis-dev libunicorn-dev clang llvm libclang-rt-14-dev python3 dosfstools mtools'

# need_packages NAME...: installs those of the Debian packages which are missing.
need_packages() {
	absent=
	for package in "$@"; do
		case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
		installed) ;;
		*) absent="$absent $package" ;;
		esac
	done
	[ -n "$absent" ] || return 0
	as_root=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || die "these Debian packages are missing, and there is no sudo to install them:$absent"
		as_root=sudo
	fi
	say "installing Debian packages:$absent"
	(
		unset APT_CONFIG
		log=$(mktemp)
		trap 'rm -f "$log"' EXIT
		export DEBIAN_FRONTEND=noninteractive
		install="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300"
		# The lists may be absent or old; a failed update matters only if the install then fails too.
		$install install --no-install-recommends $absent >"$log" 2>&1 || {
			retry 3 $install update >"$log" 2>&1 || :
			retry 3 $install install --no-install-recommends $absent >"$log" 2>&1 || {
				tail -20 "$log" >&2
				exit 1
			}
		}
	) || die "cannot install these Debian packages:$absent"
}

# build TARGET...: builds these in release form, or everything, in build/ of the tree; $root is the tree.
build() {
	build=$root/build
	mkdir -p "$build"
	exec 8>"$build/.lock"
	flock -w 1500 8 || die "another run still builds in $build; giving up"
	cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release >"$build/cmake.log" 2>&1 || {
		cat "$build/cmake.log" >&2
		die "cmake fails"
	}
	say "building ${*:-everything}"
	ninja -C "$build" "$@" >"$build/ninja.log" 2>&1 || {
		tail -60 "$build/ninja.log" >&2
		die "the build fails; its whole log is $build/ninja.log"
	}
	exec 8>&-
}
