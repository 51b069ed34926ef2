# SPDX-License-Identifier: ISC
"""What is in the sources of the manuals."""


def unescaped(line):
    """A line of a literal block as a reader sees it."""
    line = line.removeprefix("\\&").replace("\\(dq", '"').replace("\\-", "-").replace("\\&", "")
    return line.replace("\\e", "\\")
