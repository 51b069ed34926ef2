#!/bin/sh
# SPDX-License-Identifier: ISC
# Runs the machine tests: a Debian that boots systemd, with what is in BUILDDIR installed in it
# (build-machine/ when it is not set; configured with --prefix=/usr --sysconfdir=/etc
# --localstatedir=/var). Arguments go to pytest in place of the whole folder:
# tests/machine.sh tests/machine/test_basic.py -k reload
# Exits 77 (skipped) with a reason where no machine can be booted.
set -eu

# Debian's own interpreter, which python3-pytest belongs to; another one may come first in PATH.
python=/usr/bin/python3

SRCDIR=${SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}
BUILDDIR=${BUILDDIR:-$SRCDIR/build-machine}
export SRCDIR BUILDDIR

if ! "$python" -c 'import pytest' 2>/dev/null; then
	echo "machine: skipped: $python has no pytest (Debian: python3-pytest)"
	exit 77
fi
"$python" -B "$SRCDIR/tests/machine/root.py"
# As arguments of pytest there may be options alone.
case " $* " in
*tests/machine*) ;;
*) set -- "$SRCDIR/tests/machine" "$@" ;;
esac
exec "$python" -B -m pytest -p no:cacheprovider -ra "$@"
