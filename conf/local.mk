# SPDX-License-Identifier: ISC
# The shipped configuration: always among the examples, as is that of an instance beside it, and as
# the configuration itself only where there is none yet. Uninstalling takes it away again only if
# nobody changed it.
confexampledir = $(docdir)/examples
dist_confexample_DATA = conf/preforkd.conf conf/web.conf conf/agent.conf
confdir = $(sysconfdir)/preforkd

install-data-local: install-conf
uninstall-local: uninstall-conf
.PHONY: install-conf uninstall-conf

install-conf:
	@$(NORMAL_INSTALL)
	$(MKDIR_P) '$(DESTDIR)$(confdir)/conf.d'
	@if test -e '$(DESTDIR)$(confdir)/preforkd.conf'; then \
	  echo 'kept: $(DESTDIR)$(confdir)/preforkd.conf'; \
	else \
	  $(INSTALL_DATA) '$(srcdir)/conf/preforkd.conf' '$(DESTDIR)$(confdir)/preforkd.conf'; \
	fi

uninstall-conf:
	@$(NORMAL_UNINSTALL)
	@if cmp -s '$(srcdir)/conf/preforkd.conf' '$(DESTDIR)$(confdir)/preforkd.conf'; then \
	  rm -f '$(DESTDIR)$(confdir)/preforkd.conf'; \
	elif test -e '$(DESTDIR)$(confdir)/preforkd.conf'; then \
	  echo 'left, because it was changed: $(DESTDIR)$(confdir)/preforkd.conf'; \
	fi
	@rmdir '$(DESTDIR)$(confdir)/conf.d' '$(DESTDIR)$(confdir)' 2>/dev/null || :
