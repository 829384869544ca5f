#!/usr/bin/env bash
# Finds what the tests need on this machine, or installs it where it may: as root, with apt-get.
# With the argument bench: what the comparisons with other caches need, too.
# SKIP="otp nginx" leaves parts out; interop/parts has the same list and skips their tests.
set -euo pipefail
for=${1:-test}

parts='curl nginx openssl otp prometheus redis valkey'
read -ra skip <<<"$(tr ',\n\t' '   ' <<<"${SKIP:-}")"
for part in "${skip[@]}"; do
	case " $parts " in
	*" $part "*) ;;
	*)
		echo "tools: SKIP names \"$part\"; the parts are ${parts// /, }" >&2
		exit 1
		;;
	esac
done
[ ${#skip[@]} -eq 0 ] || echo "skipped  ${skip[*]} (SKIP): their tests do not run"

missing=() # Debian packages

# need [PART:]WHAT PACKAGE... -- PROBE...: PROBE succeeds where WHAT is usable.
need() {
	local what=${1#*:} part=${1%%:*} packages=()
	case " ${skip[*]} " in *" $part "*) return ;; esac
	shift
	while [ "$1" != -- ]; do
		packages+=("$1")
		shift
	done
	shift
	if "$@" >/dev/null 2>&1; then
		echo "found    $what"
	else
		echo "missing  $what (Debian: ${packages[*]})"
		missing+=("${packages[@]}")
	fi
}

# known reports whether apt-get knows a package.
known() { apt-cache policy "$1" 2>/dev/null | grep 'Candidate: [0-9]' >/dev/null; } # grep -q would leave apt-cache with a broken pipe

# find_backport makes a package known that Debian has from 13 on and 12 in its backports. The line for these is that of the
# archive that 12 is installed from, with another suite.
find_backport() {
	local list=/etc/apt/sources.list.d/sessioncache-backports.list from
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || known "$1"; then return; fi
	apt-get update -q
	if known "$1" || ! grep -q '^VERSION_CODENAME=bookworm' /etc/os-release; then return; fi
	from=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)
	if [ -z "$from" ]; then return; fi
	echo "tools: $list adds Debian's backports, for $1"
	echo "deb $from bookworm-backports main" >"$list"
	apt-get update -q || rm -f "$list"
}

# offered is need where apt-get knows the package, or the program is there. Its tests skip where neither is so.
offered() {
	if "${@:4}" >/dev/null 2>&1 || { [ "$(id -u)" = 0 ] && known "$2"; }; then
		need "$@"
		return
	fi
	case " ${skip[*]} " in *" ${1%%:*} "*) ;; *) echo "without  ${1#*:}: its tests skip (Debian: $2)" ;; esac
}

# gcc alone is not enough for cgo: Debian's gcc does without the C library's headers.
compiles_c() { echo '#include <stdlib.h>' | gcc -E -; }

# The test certificates need crypto that works, not only its module.
runs_erlang() { erl -noshell -eval "{ok, _} = application:ensure_all_started($1), halt()."; }
has_eunit() { erl -noshell -eval 'halt(case file:path_open(code:get_path(), "../include/eunit.hrl", [read]) of {ok, _, _} -> 0; _ -> 1 end).'; }

check() {
	missing=()
	need go golang-go -- command -v go
	need make make -- command -v make
	need 'gcc with libc headers, for the race detector' gcc libc6-dev -- compiles_c
	need 'openssl:openssl, for interop' openssl -- command -v openssl
	need 'curl:curl, for interop' curl -- command -v curl
	need 'nginx:nginx, for interop' nginx-light -- env PATH="$PATH:/usr/sbin" nginx -v
	need 'otp:Erlang/OTP with ssl' erlang-base erlang-ssl -- runs_erlang ssl
	need otp:EUnit erlang-eunit erlang-dev -- has_eunit
	if [ "$for" = bench ]; then
		need 'escript, for the session store of Erlang/OTP' erlang-base erlang-ssl -- erl -noshell -eval '{module, _} = code:load_file(ssl_client_session_cache_db), halt().'
		need valgrind valgrind -- command -v valgrind
	fi
	need 'prometheus:prometheus and promtool, for promcollector (23 MB to fetch, 330 MB on disk)' prometheus -- command -v promtool
	need 'redis:redis-server, for redisstore' redis-server -- command -v redis-server
	offered 'valkey:valkey-server, for redisstore' valkey-server -- command -v valkey-server
}

# announce says what apt-get is about to install, and how much that is.
announce() {
	LC_ALL=C apt-get install --assume-no --no-install-recommends "$@" 2>/dev/null |
		awk '/^The following/ { list = /NEW packages|upgraded/; if (list) print "tools: " $0; next }
			/^ / { if (list) print "tools:" $0; next }
			{ list = 0 }
			/^(Need to get|After this operation)/ { print "tools: " $0 }' || true # it was told to answer no
	echo 'tools: SKIP="PART …" leaves out parts:' "${parts// /, }"
}

case " ${skip[*]} " in
	*' valkey '*) ;;
	*) command -v valkey-server >/dev/null || find_backport valkey-server ;;
esac
check
if [ ${#missing[@]} -gt 0 ]; then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "tools: install these first: ${missing[*]}" >&2
		exit 1
	fi
	apt-get update -q
	announce "${missing[@]}"
	# No test uses the service that a package brings. Debian asks this file before it starts one.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
		chmod 755 /usr/sbin/policy-rc.d
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
	check
	if [ ${#missing[@]} -gt 0 ]; then
		echo "tools: still missing after apt-get: ${missing[*]}" >&2
		exit 1
	fi
fi
go version # a Go older than go.mod wants says so itself
