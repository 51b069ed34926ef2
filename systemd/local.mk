# SPDX-License-Identifier: ISC
# Where each goes is configure's choice; a folder that --without-... emptied gets nothing.
# Drop-ins are active only where an administrator links them.
dropindir = $(datadir)/preforkd/dropins

units_made = \
	systemd/preforkd.service \
	systemd/preforkd@.service
user_units_made = \
	systemd/user/preforkd.service \
	systemd/user/preforkd@.service
tmpfiles_made = systemd/tmpfiles.d/preforkd.conf
dropins_made = \
	systemd/dropins/50-builtin-only.conf \
	systemd/dropins/50-programs.conf \
	systemd/dropins/60-sealed.conf
socket_units = \
	systemd/preforkd@.socket \
	systemd/preforkd-listen@.socket

nodist_systemdsystemunit_DATA = $(units_made)
dist_systemdsystemunit_DATA = $(socket_units)
nodist_systemduserunit_DATA = $(user_units_made)
dist_systemduserunit_DATA = $(socket_units)
dist_systemdsystempreset_DATA = systemd/90-preforkd.preset
dist_systemduserpreset_DATA = systemd/90-preforkd.preset
dist_sysusers_DATA = systemd/sysusers.d/preforkd.conf
nodist_tmpfiles_DATA = $(tmpfiles_made)
nodist_dropin_DATA = $(dropins_made)
dist_catalog_DATA = systemd/preforkd.catalog

systemd_made = $(units_made) $(user_units_made) $(tmpfiles_made) $(dropins_made)
EXTRA_DIST += $(systemd_made:=.in)
CLEANFILES += $(systemd_made)

# By make and not by configure, whose folders still hold $${prefix}.
SUFFIXES = .service.in .service .conf.in .conf
substitute = $(AM_V_GEN)$(MKDIR_P) $(@D) && $(SED) \
	-e 's|@bindir''@|$(bindir)|g' \
	-e 's|@dropindir''@|$(dropindir)|g' \
	-e 's|@libdir''@|$(libdir)|g' \
	-e 's|@runtimedir''@|$(runtimedir)|g' \
	-e 's|@sbindir''@|$(sbindir)|g' \
	-e 's|@sysconfdir''@|$(sysconfdir)|g' \
	$< >$@.tmp && mv $@.tmp $@
.service.in.service:
	$(substitute)
.conf.in.conf:
	$(substitute)
$(systemd_made): Makefile

units: $(systemd_made)
.PHONY: units
