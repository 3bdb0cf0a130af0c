#!/usr/bin/env bash
# Fuzzes every target of the module, one after another, each for FUZZTIME (20s). `make test` runs the same
# targets on their saved inputs only. A failing input is written to the package's testdata/fuzz: commit it.
#
#   scripts/fuzz.sh [PACKAGE...]     default ./...
set -uo pipefail
cd "$(dirname "$0")/.."
fuzztime=${FUZZTIME:-20s}
[ $# -gt 0 ] || set -- ./...

# `go test -list` prints the targets of a package, then a line "ok  package  time".
targets=$(go test -list '^Fuzz' "$@") || { echo "fuzz: cannot list the targets:"; echo "$targets"; exit 1; } >&2
failed=() count=0 names=()
while read -r first package _; do
	case $first in
	Fuzz*) names+=("$first") ;;
	ok)
		for name in "${names[@]}"; do
			echo "== $package $name for $fuzztime"
			go test -run='^$' -fuzz="^$name\$" -fuzztime="$fuzztime" "$package" </dev/null || failed+=("$package.$name")
			count=$((count + 1))
		done
		names=()
		;;
	esac
done <<<"$targets"

[ $count -gt 0 ] || { echo "fuzz: found no target" >&2; exit 1; }
[ ${#failed[@]} -eq 0 ] || { printf 'fuzz: failed: %s\n' "${failed[*]}" >&2; exit 1; }
echo "fuzz: $count targets, $fuzztime each, no failure"
