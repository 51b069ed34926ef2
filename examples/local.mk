# SPDX-License-Identifier: ISC
exampledir = $(docdir)/examples
dist_example_DATA = \
	examples/count.c \
	examples/hello.c \
	examples/upper.c
