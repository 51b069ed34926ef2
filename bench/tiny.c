/* SPDX-License-Identifier: ISC */
/*
 * The least program: it writes one line and ends. Linked statically and without the C library's
 * start, which alone costs more than starting and ending the process, so that what is measured is
 * the server and not the program. Nothing has set up errno either: a write that fails ends in a
 * signal.
 */
#include <sys/syscall.h>
#include <unistd.h>

static const char line[] = "hello\n";

/* The name that the linker looks for. */
_Noreturn void _start(void); /* NOLINT(bugprone-reserved-identifier,cert-dcl*) */

_Noreturn void _start(void) /* NOLINT(bugprone-reserved-identifier,cert-dcl*) */
{
	syscall(SYS_write, STDOUT_FILENO, line, sizeof(line) - 1);
	for (;;)
		syscall(SYS_exit_group, 0);
}
