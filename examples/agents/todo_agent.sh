#!/bin/sh
# An agent in shell: find TODO comments in the file that an assignment names.
# Reads one assignment as JSON from standard input, and writes the result as JSON to standard output.
set -eu
path=$(sed -n 's/.*"path": "\([^"\\]*\)".*/\1/p')
# An exit code other than 0 means that the assignment has failed; standard error says why.
[ -r "$path" ] || { echo "cannot read the file '$path'" >&2; exit 1; }
lines=$(grep -n TODO "$path" | cut -d: -f1 | paste -sd, -)
printf '{"todos": %s, "lines": [%s]}\n' "$(grep -c TODO "$path" || true)" "$lines"
