#!/usr/bin/env bash
# Checks that what is generated from something else agrees with it: go.mod and go.sum with the imports,
# generated files with `go generate`. Works on a dirty tree too: it compares before and after.
set -uo pipefail
cd "$(dirname "$0")/.."
status=0

for module in . bench tools; do
	[ -f "$module/go.mod" ] || continue
	(cd "$module" && go mod verify >/dev/null && go mod tidy -diff) || { echo "verify: $module/go.mod is not tidy" >&2; status=1; }
done

tree() { git status --porcelain; git diff; }
before=$(tree) || exit 1
go generate ./... || { echo "verify: go generate failed" >&2; status=1; }
if ! changes=$(diff <(echo "$before") <(tree)); then
	printf 'verify: go generate changed the tree; commit the result:\n%s\n' "$changes" >&2
	status=1
fi
[ $status -eq 0 ] && echo "verify: ok"
exit $status
