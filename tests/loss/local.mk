# SPDX-License-Identifier: ISC
# preforkd with a wrong stop, which the loss test must catch.
check_PROGRAMS += tests/loss/preforkd-wrong
tests_loss_preforkd_wrong_SOURCES = src/master/main.c tests/loss/wrong_stop.c
tests_loss_preforkd_wrong_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
tests_loss_preforkd_wrong_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=slot_begin -Wl,--wrap=slot_end
tests_loss_preforkd_wrong_LDADD = $(preforkd_LDADD)
