# SPDX-License-Identifier: ISC
dist_man_MANS += \
	man/preforkctl.1 \
	man/preforkd-board.7 \
	man/preforkd-handler.3 \
	man/preforkd-programs.7 \
	man/preforkd-systemd.7 \
	man/preforkd.conf.5 \
	man/preforkd.8
