#!/bin/sh
# SPDX-License-Identifier: ISC
# Runs the black-box tests on the programs in BUILDDIR (build/ when it is not set). Arguments go to
# pytest in place of the whole folder: tests/blackbox.sh tests/blackbox/test_loss.py -k reload
# Exits 77 (skipped, for make check) where there is no pytest.
set -eu

# Debian's own interpreter, which python3-pytest belongs to; another one may come first in PATH.
python=/usr/bin/python3

SRCDIR=${SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}
BUILDDIR=${BUILDDIR:-$SRCDIR/build}
export SRCDIR BUILDDIR

if ! "$python" -c 'import pytest' 2>/dev/null; then
	echo "skipped: $python has no pytest (Debian: python3-pytest)"
	exit 77
fi
[ $# -gt 0 ] || set -- "$SRCDIR/tests/blackbox"
# The sources may be read-only: neither byte code nor a cache beside them.
exec "$python" -B -m pytest -p no:cacheprovider -ra "$@"
