# SPDX-License-Identifier: ISC
# The programs with a board of another layout, as another version's are, and a master that does
# nothing but upgrade.
check_PROGRAMS += \
	tests/upgrade/board-master \
	tests/upgrade/board-master-other \
	tests/upgrade/preforkctl-other \
	tests/upgrade/preforkd-other

other_layout = -Wl,--wrap=board_layout_hash

tests_upgrade_board_master_SOURCES = tests/upgrade/board_master.c
tests_upgrade_board_master_LDADD = libboard.la libbase.la

tests_upgrade_board_master_other_SOURCES = \
	tests/upgrade/board_master.c tests/upgrade/other_layout.c
tests_upgrade_board_master_other_CFLAGS = $(AM_CFLAGS)
tests_upgrade_board_master_other_LDFLAGS = $(AM_LDFLAGS) $(other_layout)
tests_upgrade_board_master_other_LDADD = libboard.la libbase.la

tests_upgrade_preforkctl_other_SOURCES = $(preforkctl_SOURCES) tests/upgrade/other_layout.c
tests_upgrade_preforkctl_other_CFLAGS = $(preforkctl_CFLAGS)
tests_upgrade_preforkctl_other_LDFLAGS = $(AM_LDFLAGS) $(other_layout)
tests_upgrade_preforkctl_other_LDADD = $(preforkctl_LDADD)

tests_upgrade_preforkd_other_SOURCES = $(preforkd_SOURCES) tests/upgrade/other_layout.c
tests_upgrade_preforkd_other_CFLAGS = $(preforkd_CFLAGS)
tests_upgrade_preforkd_other_LDFLAGS = $(AM_LDFLAGS) $(other_layout)
tests_upgrade_preforkd_other_LDADD = $(preforkd_LDADD)
