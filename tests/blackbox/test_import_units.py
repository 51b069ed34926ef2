# SPDX-License-Identifier: ISC
"""preforkctl import of .socket units and their services."""

import pwd
import re

import pytest
from daemon import exchange
from importing import DATAERR, NOINPUT, Import, Tree, imported, passes
from support import free_port


@pytest.fixture(name="tree")
def fixture_tree():
    with Tree() as tree:
        yield tree


def pair(tree, socket="", service="", name="web", accept=True, **drop_ins):
    """The import of a socket with its service; PROG in it is a program. With Accept=yes the client
    is the standard input of the service, unless `service` says otherwise."""
    if "Listen" not in socket:
        socket = f"ListenStream=7001\n{socket}"
    if accept and "StandardInput" not in service:
        service += "\nStandardInput=socket"
    if "ExecStart=" not in service:
        service += "\nExecStart=PROG"
    if not re.search(r"^User=", service, re.M):
        service += "\nUser=nobody"
    put(tree, f"{name}{'@' if accept else ''}.service", f"[Service]\n{service}\n")
    for file, text in drop_ins.items():
        put(tree, file, text)
    return put(tree, f"{name}.socket",
               f"[Socket]\nAccept={'yes' if accept else 'no'}\n{socket}\n")


def put(tree, name, text):
    return tree.put(name, text.replace("PROG", str(tree.program())))


def one(tree, socket="", service="", **options):
    return imported(pair(tree, socket, service, **options)).only


# Where it listens.


@pytest.mark.parametrize("setting, listen", [
    ("ListenStream=22", "tcp://*:ssh"),
    ("ListenStream=7001", "tcp://*:7001"),
    ("ListenStream=0.0.0.0:22", "tcp4://*:ssh"),
    ("ListenStream=127.0.0.1:22", "tcp://127.0.0.1:ssh"),
    ("ListenStream=[::]:22", "tcp://*:ssh"),
    ("ListenStream=[::1]:22", "tcp://[::1]:ssh"),
    ("ListenStream=[::1]:22%%lo", "tcp://[::1]:ssh"),
    ("ListenStream=[fe80::1]:22%%lo", "tcp://[fe80::1%lo]:ssh"),
    ("ListenStream=22\nBindIPv6Only=both", "tcp://*:ssh"),
    ("ListenStream=22\nBindIPv6Only=ipv6-only", "tcp6://*:ssh"),
    ("BindIPv6Only=ipv6-only\nListenStream=[::]:22", "tcp6://*:ssh"),
    ("BindIPv6Only=ipv6-only\nListenStream=127.0.0.1:22", "tcp://127.0.0.1:ssh"),
    ("ListenStream=/run/x.sock", "unix:///run/x.sock"),
    ("ListenStream=%t/%N.sock", "unix:///run/web.sock"),
    ("ListenStream=@x", "unix://@x"),
    ("ListenSequentialPacket=/run/x.sock", "unixpacket:///run/x.sock"),
    ("ListenSequentialPacket=@x", "unixpacket://@x"),
])
@pytest.mark.parametrize("accept", [True, False])
def test_addresses(tree, programs, tmp_path, is_root, setting, listen, accept):
    result = imported(pair(tree, setting, accept=accept))
    assert result.only.listen == [listen]
    passes(programs, tmp_path, result, services=1)


@pytest.mark.parametrize("setting, listen", [
    ("ListenDatagram=53", "udp://*:domain"),
    ("ListenDatagram=127.0.0.1:53", "udp://127.0.0.1:domain"),
    ("ListenDatagram=/run/x.sock", "unixgram:///run/x.sock"),
    ("ListenDatagram=@x", "unixgram://@x"),
])
def test_datagrams_are_for_an_acceptor(tree, programs, tmp_path, is_root, setting, listen):
    """Accept=yes is not for them."""
    path = pair(tree, f"Accept=yes\n{setting}", accept=False)
    result = imported(path)
    assert result.only.listen == [listen] and "acceptor" in result.only.keys
    passes(programs, tmp_path, result, services=1)


def test_several_addresses(tree, programs, tmp_path, is_root):
    result = imported(pair(tree, "ListenStream=7001\nListenStream=\nListenStream=7002\n"
                           "ListenStream=/run/x.sock\nListenDatagram=7003", accept=False))
    assert result.only.listen == ["tcp://*:7002", "unix:///run/x.sock", "udp://*:afs3-vlserver"] \
        or result.only.listen == ["tcp://*:7002", "unix:///run/x.sock", "udp://*:7003"]
    passes(programs, tmp_path, result, services=1)


@pytest.mark.parametrize("setting", [
    "ListenFIFO=/run/fifo", "ListenSpecial=/dev/x", "ListenNetlink=route 1361",
    "ListenMessageQueue=/x", "ListenUSBFunction=/x", "ListenStream=vsock::22",
    "ListenStream=vsock:2:22", "ListenSequentialPacket=22", "ListenStream=22\nSocketProtocol=sctp",
    "ListenStream=", "ListenStream=99999", "ListenStream=[::1]"])
def test_what_preforkd_does_not_listen_on(tree, programs, tmp_path, setting):
    result = imported(pair(tree, setting, accept=False))
    assert result.services == {}
    assert result.comments[0].splitlines()[-1] == "# nothing is left of it to listen on"
    key, value = setting.split("\n")[0].split("=", 1)
    assert not value or f"# {key}={value}: no equivalent" in result.comments[0]
    passes(programs, tmp_path, result, services=0)


def test_a_socket_that_is_lacking(tree, programs, tmp_path):
    result = imported(pair(tree, "ListenFIFO=/run/fifo\nListenStream=7001", accept=False))
    assert result.only.off == ["it would lack a socket, see below"]
    assert result.only.noted("ListenFIFO=/run/fifo: no equivalent")
    passes(programs, tmp_path, result, services=0)


# [Socket].


@pytest.mark.parametrize("setting, key, value", [
    ("Backlog=64", "backlog", "64"),
    ("KeepAlive=yes", "keepalive", "true"),
    ("KeepAlive=0", "keepalive", "false"),
    ("NoDelay=true", "nodelay", "true"),
    ("FreeBind=on", "free_bind", "true"),
    ("DeferAcceptSec=5", "defer_accept", "5s"),
    ("DeferAcceptSec=1min 30s", "defer_accept", "90s"),
    ("DeferAcceptSec=1.5h", "defer_accept", "90m"),
    ("BindToDevice=lo", "bind_device", '"lo"'),
    ("SocketUser=nobody", "socket_user", '"nobody"'),
    ("SocketGroup=nogroup", "socket_group", '"nogroup"'),
    ("SocketMode=0600", "socket_mode", "0600"),
    ("MaxConnections=3", "workers", "3"),
])
def test_settings_of_sockets_that_are_keys(tree, programs, tmp_path, is_root, setting, key, value):
    result = imported(pair(tree, setting))
    assert result.only.keys[key] == value and result.only.notes == []
    passes(programs, tmp_path, result, services=1)


@pytest.mark.parametrize("setting, key, value", [
    ("MaxConnections=64", "workers_max", "64"),
    ("MaxConnectionsPerSource=5", "per_source", "5"),
    ("TriggerLimitBurst=20", "rate", '"10/s"'),
    ("TriggerLimitIntervalSec=10s", "rate", '"20/s"'),
    ("TriggerLimitIntervalSec=1min\nTriggerLimitBurst=10", "rate", '"10/m"'),
    ("TriggerLimitIntervalSec=1h\nTriggerLimitBurst=1", "rate", '"1/h"'),
])
def test_settings_of_sockets_that_are_limits(tree, programs, tmp_path, is_root, setting, key,
                                             value):
    result = imported(pair(tree, setting))
    assert result.only.limits == {key: value}
    passes(programs, tmp_path, result, services=1)


def test_the_mode_of_a_file(tree):
    """systemd's is 0666, preforkd's is not."""
    assert one(tree, "ListenStream=/run/x.sock").keys["socket_mode"] == "0666"
    assert "socket_mode" not in one(tree, "ListenStream=@x").keys
    found = one(tree, "ListenStream=/run/x/y.sock\nSocketMode=0600")
    assert found.keys["socket_mode"] == "0600" and found.noted("/run/x: preforkd makes no folders")


NOTED_OF_SOCKETS = [
    "PollLimitBurst=10", "PollLimitIntervalSec=2s", "DirectoryMode=0700", "Symlinks=/run/y",
    "FlushPending=yes", "KeepAliveTimeSec=1h", "KeepAliveIntervalSec=1", "KeepAliveProbes=3",
    "Priority=6", "ReceiveBuffer=8M", "SendBuffer=8M", "IPTOS=low-delay", "IPTTL=3", "Mark=1",
    "ReusePort=yes", "SmackLabel=x", "SmackLabelIPIn=x", "SELinuxContextFromNet=yes",
    "Transparent=yes", "Broadcast=yes", "PassCredentials=yes", "PassSecurity=yes",
    "PassPacketInfo=yes", "Timestamping=us", "TCPCongestion=reno", "Writable=yes", "PipeSize=4K",
    "MessageQueueMaxMessages=3", "ExecStartPre=/bin/true", "ExecStopPost=/bin/true",
    "TimeoutSec=3", "RemoveOnStop=no", "FileDescriptorName=x", "TriggerLimitBurst=0",
    "TriggerLimitIntervalSec=often", "MaxConnections=0", "Backlog=0", "Backlog=4294967295",
    "DeferAcceptSec=2d", "SocketMode=4755", "BindToDevice=a-name-that-is-too-long", "Colour=red",
    "SocketProtocol=mptcp",
]


@pytest.mark.parametrize("setting", NOTED_OF_SOCKETS)
def test_settings_of_sockets_that_are_comments(tree, programs, tmp_path, is_root, setting):
    result = imported(pair(tree, setting))
    assert result.only.noted(setting)
    passes(programs, tmp_path, result, services=1)


@pytest.mark.parametrize("setting", [
    "MaxConnections=64", "MaxConnectionsPerSource=5", "TriggerLimitBurst=20"])
def test_limits_of_one_that_takes_its_clients_itself(tree, setting):
    found = one(tree, setting, accept=False)
    assert found.noted(setting) and not found.limits


@pytest.mark.parametrize("where", ["socket", "service"])
@pytest.mark.parametrize("settings, limits", [
    ("IPAddressDeny=any\nIPAddressAllow=localhost 10.0.0.0/8",
     {"allow": '{"127.0.0.0/8", "::1", "10.0.0.0/8"}'}),
    ("IPAddressAllow=10.0.0.1\nIPAddressAllow=link-local\nIPAddressDeny=any",
     {"allow": '{"10.0.0.1", "169.254.0.0/16", "fe80::/64"}'}),
    ("IPAddressDeny=10.0.0.0/8", {"deny": '{"10.0.0.0/8"}'}),
    ("IPAddressDeny=10.0.0.1/8 2001:db8::1/32 ::ffff:192.0.2.1 10.0.0.2/32",
     {"deny": '{"10.0.0.0/8", "2001:db8::/32", "::ffff:192.0.2.1", "10.0.0.2"}'}),
    ("IPAddressDeny=any", {"deny": '{"0.0.0.0/0", "::/0"}'}),
])
def test_addresses_of_clients(tree, programs, tmp_path, is_root, where, settings, limits):
    result = imported(pair(tree, **{where: settings}))
    assert result.only.limits == limits and not result.only.off
    passes(programs, tmp_path, result, services=1)


def test_what_is_no_address(tree, programs, tmp_path):
    result = imported(pair(tree, "IPAddressDeny=10.0.0.0/8 intranet"))
    assert result.only.off == ["deny lacks intranet"] and result.only.noted("intranet: no address")
    passes(programs, tmp_path, result, services=0)


def test_addresses_of_clients_that_a_program_takes_itself(tree, programs, tmp_path):
    result = imported(pair(tree, "IPAddressDeny=any\nIPAddressAllow=localhost", accept=False))
    assert result.only.limits == {} and result.only.off == [
        "it was for some clients only, see below"]
    assert result.only.noted("allow = 127.0.0.0/8 ::1: an acceptor takes its clients itself")
    passes(programs, tmp_path, result, services=0)


def test_addresses_of_clients_beside_a_unix_socket(tree, programs, tmp_path, is_root):
    """Who came by that was not asked for an address."""
    settings = "ListenStream=@x\nListenStream=7001\n"
    result = imported(pair(tree, settings, "IPAddressDeny=any\nIPAddressAllow=localhost"))
    assert result.only.off == [
        "allow is about addresses: its Unix sockets need a service of their own"]
    passes(programs, tmp_path, result, services=0)
    result = imported(pair(tree, settings, "IPAddressDeny=10.0.0.0/8"))
    assert result.only.limits == {"deny": '{"10.0.0.0/8"}'}
    passes(programs, tmp_path, result, services=1)


def test_addresses_of_clients_of_a_unix_socket(tree, programs, tmp_path, is_root):
    """They have none."""
    result = imported(pair(tree, "ListenStream=@x", "IPAddressDeny=any"))
    assert result.only.noted("IPAddressDeny=any") and not result.only.limits
    passes(programs, tmp_path, result, services=1)


# [Service].


@pytest.mark.parametrize("setting, key, value", [
    ("User=daemon", "user", '"daemon"'),
    ("Group=daemon", "group", '"daemon"'),
    ("WorkingDirectory=/tmp", "directory", '"/tmp"'),
    ("WorkingDirectory=~\nUser=daemon", "directory", f'"{pwd.getpwnam("daemon").pw_dir}"'),
    ("RootDirectory=/", "chroot", '"/"'),
    ("UMask=0027", "umask", "0027"),
    ("Nice=-5", "nice", "-5"),
    ("LimitNOFILE=1024", "limit_nofile", "1024"),
    ("LimitAS=1G", "limit_as", "1G"),
    ("LimitCORE=0", "limit_core", "0"),
    ("LimitCPU=20", "limit_cpu", "20"),
    ("LimitCPU=1min 30s", "limit_cpu", "90"),
    ("LimitNPROC=10", "limit_nproc", "10"),
    ("NoNewPrivileges=no", "sandbox", '"off"'),
    ("NoNewPrivileges=yes", "sandbox", '"basic"'),
    ("TimeoutStopSec=5min", "stop_timeout", "5m"),
    ("TimeoutStopSec=infinity", "stop_timeout", "0"),
    ("RuntimeMaxSec=1h", "connection_timeout", "1h"),
    ("Environment=A=B", "environment", '{"A=B"}'),
    ("StandardError=journal", "stderr", '"log"'),
    ("StandardError=inherit", "stderr", '"client"'),
    ("StandardError=socket", "stderr", '"client"'),
])
def test_settings_of_services_that_are_keys(tree, programs, tmp_path, is_root, setting, key, value):
    result = imported(pair(tree, service=setting))
    assert result.only.keys[key] == value and result.only.notes == []
    passes(programs, tmp_path, result, services=1)


@pytest.mark.parametrize("setting, key, value", [
    ("KillSignal=SIGQUIT", "stop_signal", '"QUIT"'),
    ("KillSignal=10", "stop_signal", '"USR1"'),
    ("TimeoutStartSec=10", "start_timeout", "10s"),
    ("TimeoutSec=10", "stop_timeout", "10s"),
    ("Type=notify", "ready", '"notify"'),
    ("Type=notify-reload", "ready", '"notify"'),
])
def test_settings_of_acceptors_that_are_keys(tree, programs, tmp_path, is_root, setting, key,
                                             value):
    result = imported(pair(tree, service=setting, accept=False))
    assert result.only.keys[key] == value
    passes(programs, tmp_path, result, services=1)


# All that systemd.service(5), systemd.exec(5), systemd.kill(5) and systemd.resource-control(5) of
# version 252 have and preforkd has not.
NOTED_OF_SERVICES = """ExecStartPre=/bin/true ExecStartPost=/bin/true ExecCondition=/bin/true
ExecReload=/bin/true ExecStop=/bin/true ExecStopPost=/bin/true ExitType=cgroup RemainAfterExit=yes
GuessMainPID=no PIDFile=/run/x BusName=x.y RestartSec=1 TimeoutStartSec=1 TimeoutAbortSec=1
TimeoutStartFailureMode=abort RuntimeRandomizedExtraSec=1 WatchdogSec=1 Restart=always
SuccessExitStatus=1 RestartPreventExitStatus=1 RestartForceExitStatus=1 RootDirectoryStartOnly=yes
NonBlocking=yes NotifyAccess=all Sockets=x.socket FileDescriptorStoreMax=1 OOMPolicy=stop
USBFunctionDescriptors=/x ExecSearchPath=/bin RootImage=/x RootHash=x RootVerity=/x MountAPIVFS=yes
ProtectProc=invisible ProcSubset=pid BindPaths=/x BindReadOnlyPaths=/x MountImages=/x
ExtensionImages=/x ExtensionDirectories=/x SupplementaryGroups=daemon PAMName=login
CapabilityBoundingSet=CAP_KILL AmbientCapabilities=CAP_KILL SecureBits=keep-caps SELinuxContext=x
AppArmorProfile=x SmackProcessLabel=x LimitFSIZE=1 LimitDATA=1 LimitSTACK=1 LimitRSS=1
LimitMEMLOCK=1 LimitLOCKS=1 LimitSIGPENDING=1 LimitMSGQUEUE=1 LimitNICE=1 LimitRTPRIO=1
LimitRTTIME=1 LimitNOFILE=infinity CoredumpFilter=private-anonymous KeyringMode=private
OOMScoreAdjust=1 TimerSlackNSec=1 Personality=x86 IgnoreSIGPIPE=no CPUSchedulingPolicy=idle
CPUSchedulingPriority=1 CPUSchedulingResetOnFork=yes CPUAffinity=0 NUMAPolicy=default NUMAMask=0
IOSchedulingClass=idle IOSchedulingPriority=1 ProtectSystem=full ProtectHome=yes RuntimeDirectory=x
StateDirectory=x CacheDirectory=x LogsDirectory=x ConfigurationDirectory=x RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes TimeoutCleanSec=1 ReadWritePaths=/x ReadOnlyPaths=/x
InaccessiblePaths=/x ExecPaths=/x NoExecPaths=/x TemporaryFileSystem=/x PrivateTmp=yes
PrivateDevices=yes PrivateNetwork=yes NetworkNamespacePath=/x PrivateIPC=yes IPCNamespacePath=/x
PrivateUsers=yes ProtectHostname=yes ProtectClock=yes ProtectKernelTunables=yes
ProtectKernelModules=yes ProtectKernelLogs=yes ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET RestrictFileSystems=ext4 RestrictNamespaces=yes LockPersonality=yes
MemoryDenyWriteExecute=yes RestrictRealtime=yes RestrictSUIDSGID=yes RemoveIPC=yes PrivateMounts=yes
MountFlags=slave SystemCallFilter=@system-service SystemCallErrorNumber=EPERM
SystemCallArchitectures=native SystemCallLog=@chown PassEnvironment=A UnsetEnvironment=A
LogLevelMax=info LogExtraFields=A=B LogRateLimitBurst=1 LogNamespace=x SyslogIdentifier=x
SyslogFacility=daemon SyslogLevel=info SyslogLevelPrefix=no TTYPath=/dev/tty TTYReset=yes
LoadCredential=x:/y SetCredential=x:y UtmpIdentifier=x UtmpMode=login KillMode=process
KillSignal=SIGQUIT RestartKillSignal=SIGQUIT SendSIGHUP=yes SendSIGKILL=no FinalKillSignal=SIGQUIT
WatchdogSignal=SIGABRT CPUAccounting=yes CPUWeight=1 StartupCPUWeight=1 CPUQuota=1%
CPUQuotaPeriodSec=1 AllowedCPUs=0 AllowedMemoryNodes=0 MemoryAccounting=yes MemoryMin=1 MemoryLow=1
MemoryHigh=1 MemoryMax=1 MemorySwapMax=1 TasksAccounting=yes TasksMax=1 IOAccounting=yes IOWeight=1
IODeviceWeight=/x IOReadBandwidthMax=/x IPAccounting=yes IPIngressFilterPath=/x
SocketBindAllow=tcp SocketBindDeny=any DeviceAllow=/x DevicePolicy=closed Slice=x.slice Delegate=yes
DisableControllers=cpu ManagedOOMSwap=kill StartLimitBurst=1 Colour=red DynamicUser=yes
RuntimeMaxSec=2y Nice=20 UMask=999 LimitCPU=x LimitNOFILE=1 WorkingDirectory=relative
WorkingDirectory=-/no/such Type=notify StandardError=null StandardError=append:/x""".split()


@pytest.mark.parametrize("setting", NOTED_OF_SERVICES)
def test_settings_of_services_that_are_comments(tree, programs, tmp_path, is_root, setting):
    result = imported(pair(tree, service=setting))
    assert result.only.noted(setting), result.only.notes
    assert bool(result.only.noted("not known here")) == (setting == "Colour=red")
    passes(programs, tmp_path, result, services=1)


@pytest.mark.parametrize("setting", ["KillSignal=SIGRTMIN+3", "RuntimeMaxSec=1h", "Type=dbus",
                                     "StandardOutput=append:/x", "StandardOutput=null",
                                     "StandardError=null", "LimitNOFILE=99:100"])
def test_settings_of_acceptors_that_are_comments(tree, programs, tmp_path, is_root, setting):
    result = imported(pair(tree, service=setting, accept=False))
    told = [*result.only.notes, *result.only.remarks.values()]
    assert any(setting in note for note in told)
    passes(programs, tmp_path, result, services=1)


@pytest.mark.parametrize("setting, why", [
    ("Type=forking", "Type=forking: have the program stay in the foreground"),
    ("StandardInput=tty", "StandardInput=tty has no equivalent"),
    ("StandardInputText=hello", "its standard input is a text in the unit"),
    ("RestrictNetworkInterfaces=lo", "RestrictNetworkInterfaces= kept clients out, see below"),
    ("EnvironmentFile=/no/such", "/no/such is missing, without which it did not start"),
    ("ExecStart=PROG %i", "%i in web@.service has no equivalent"),
    ("ExecStart=PROG ${REMOTE_ADDR}", "$REMOTE_ADDR on its command line: here it is in the "
     "environment alone"),
    ("ExecStart=PROG ; PROG", "it is several commands, see below"),
    ("ExecStart=PROG\nExecStart=PROG -x", "it is several commands, see below"),
    ("WorkingDirectory=/no/such", None),
])
def test_what_keeps_it_off(tree, programs, tmp_path, is_root, setting, why):
    result = imported(pair(tree, service=setting))
    assert why in result.only.off or why is None and len(result.only.off) == 1
    passes(programs, tmp_path, result, services=0)


def test_a_user_that_is_made_for_it(tree, programs, tmp_path, is_root):
    path = pair(tree, service="DynamicUser=yes\nUser=")
    result = imported(path)
    assert result.only.off == ["it had a user made for it, and would be root now"]
    passes(programs, tmp_path, result, services=0)


def test_without_a_user_it_is_root(tree, programs, tmp_path, is_root):
    """Whatever user preforkd.conf has for services that have none; in a user's manager it is that
    user's."""
    result = imported(pair(tree, service="User="))
    assert result.only.keys["user"] == '"root"'
    passes(programs, tmp_path, result, services=1)
    put(tree, "systemd/user/a@.service", "[Service]\nExecStart=PROG\nStandardInput=socket\n")
    path = put(tree, "systemd/user/a.socket", "[Socket]\nListenStream=@x\nAccept=yes\n")
    assert "user" not in imported(path).only.keys


def test_conditions_and_order(tree):
    path = pair(tree)
    path.write_text(path.read_text() + "[Unit]\nDescription=It is\nDocumentation=man:web(8)\n"
                    "After=a.service\nConditionPathExists=/x\n[Install]\nWantedBy=b.target\n"
                    "[X-Mine]\nA=B\n")
    result = imported(path)
    for text in ["After=a.service", "WantedBy=b.target", "[X-Mine] A=B", "ConditionPathExists=/x"]:
        assert result.only.noted(text)
    assert result.origin["web"] == [str(path), f"{tree.root}/web@.service", "It is",
                                    "see man:web(8)"]


# ExecStart.


@pytest.mark.parametrize("command, arguments", [
    ("PROG", []),
    ("PROG -a  b\tc", ["-a", "b", "c"]),
    ("PROG 'a b' \"c d\" e'f g'h", ["a b", "c d", "ef gh"]),
    (r"PROG a\x20b \101 \u00e4 '\n' \s\t \\ \z", ["a b", "A", "ä", "\n", " \t", "\\", "\\z"]),
    (r"PROG \; 'a;b' \"q\"", [";", "a;b", '"q"']),
    ("PROG '' \"\"", ["", ""]),
    ("PROG 100%% %x %", ["100%", "%x", "%"]),
    ("PROG %N %p %j %t %S %C %L %E %T %V %U %h", [
        "web", "web", "web", "/run", "/var/lib", "/var/cache", "/var/log", "/etc", "/tmp",
        "/var/tmp", "0", pwd.getpwuid(0).pw_dir]),
    ("PROG $A ${A} x${A}y $$A $A$A $1 $ ${ ${A", [
        "b", "c", "b c", "xb cy", "$A", "$A$A", "$1", "$", "${", "${A"]),
    ("PROG $Q ${Q}", ["d e", "f", "'d e' f"]),
    ("PROG $EMPTY ${EMPTY} $UNSET ${UNSET}", ["", ""]),
    ("PROG $USER ${LOGNAME} $HOME", ["nobody", "nobody", pwd.getpwnam("nobody").pw_dir]),
    (":PROG $A ${A} $$", ["$A", "${A}", "$$"]),
    ("-PROG -a", ["-a"]),
    ("@PROG other -a", ["-a"]),
    ("-@:PROG other $A", ["$A"]),
])
def test_command_lines(tree, programs, tmp_path, is_root, command, arguments):
    """As systemd.service(5) has them."""
    environment = "Environment=\"A=b c\" \"Q='d e' f\" EMPTY=\n"
    # Accept=no: with Accept=yes some specifiers are of the connection.
    result = imported(pair(tree, service=f"{environment}ExecStart={command}", accept=False))
    assert result.only.list("acceptor") == [str(tree.program()), *arguments]
    passes(programs, tmp_path, result, services=1)


def test_a_name_of_a_program(tree):
    """It is looked for where systemd does."""
    found = one(tree, service="ExecStart=@sh name -c x").list("exec")
    assert found in (["/usr/bin/sh", "-c", "x"], ["/bin/sh", "-c", "x"])


def test_prefixes(tree):
    assert one(tree, service="ExecStart=-PROG").noted("ExecStart=-: a program that fails")
    assert one(tree, service="ExecStart=@PROG x").noted('it was started under the name "x"')
    assert one(tree, service="ExecStart=!PROG").noted("ExecStart=!")
    found = one(tree, service="ExecStart=+PROG")
    assert (found.keys["user"], found.keys["sandbox"]) == ('"root"', '"off"')


def test_lines_that_go_on(tree):
    found = one(tree, service="ExecStart=PROG a \\\n  b \\\n# comment \\\n; comment\n  'c \\\n d'\n"
                "ExecStartPost=")
    assert found.list("exec")[1:] == ["a", "b", "c   d"]


# The environment.


@pytest.mark.parametrize("lines, values", [
    ('A=1 "B=2 3" C=\'4\'', ["A=1", "B=2 3", "C=4"]),
    ("A=1\nEnvironment=A=2 B=3", ["A=2", "B=3"]),
    ("A=1\nEnvironment=\nEnvironment=B=3", ["B=3"]),
    ("A=%N B=$x 'C=a\\nb'", ["A=web", "B=$x", "C=a\nb"]),
])
def test_environment(tree, programs, tmp_path, is_root, lines, values):
    result = imported(pair(tree, service=f"Environment={lines}", accept=False))
    assert result.only.list("environment") == values
    passes(programs, tmp_path, result, services=1)


def test_what_is_no_variable(tree):
    found = one(tree, service="Environment=A 1B=2 =3 C-D=4 E=5")
    assert found.list("environment") == ["E=5"]
    assert len([n for n in found.notes if n.strip() in ("A", "1B=2", "=3", "C-D=4")]) == 4


FILE = """# comment
; comment
A=1
B = two words\t
C='single $x \\n'
D="double \\"q\\" \\$x \\n \\
joined"
E='two
lines'
F=a\\
b
G=\\ x\\y
 H=8
no assignment
1I=9
J=
K="a" b
"""
VALUES = ["A=1", "B=two words", "C=single $x \\n", 'D=double "q" $x \\n joined', "E=two\nlines",
          "F=ab", "G= xy", "H=8", "J=", "K=a"]


def test_files_of_variables(tree, programs, tmp_path, is_root):
    """After Environment, whatever the order in the unit, and where they are missing and may be."""
    path = tree.put("default", FILE)
    result = imported(pair(
        tree, service=f"EnvironmentFile={path}\nEnvironment=A=0 Z=1\nEnvironmentFile=-/no/such"))
    found = result.only
    assert sorted(found.list("environment")) == sorted([*VALUES, "Z=1"])
    assert found.noted(f"EnvironmentFile={path}: its variables are in here")
    assert found.noted("EnvironmentFile=-/no/such: there is no such file")
    passes(programs, tmp_path, result, services=1)


def test_patterns_of_files_of_variables(tree):
    tree.put("env/a", "A=1\n")
    tree.put("env/b", "B=$A\n")
    found = one(tree, service=f"EnvironmentFile={tree.root}/env/*\nExecStart=PROG ${{B}}")
    assert found.list("environment") == ["A=1", "B=$A"] and found.list("exec")[1:] == ["$A"]


# The standard streams.

DESCRIPTOR = "export LISTEN_FDS=1"


@pytest.mark.parametrize("settings, script", [
    ("StandardInput=socket", None),
    ("StandardInput=socket\nStandardOutput=socket", None),
    ("StandardInput=socket\nStandardOutput=inherit", None),
    ("StandardInput=socket\nStandardOutput=journal", 'exec "$0" "$@" >&2'),
    ("StandardInput=socket\nStandardOutput=null", 'exec "$0" "$@" >/dev/null'),
    ("StandardInput=null\nStandardOutput=socket", 'exec "$0" "$@" </dev/null'),
    ("StandardInput=null", f'{DESCRIPTOR} LISTEN_FDNAMES=connection LISTEN_PID=$$; '
     'exec "$0" "$@" 3<&0 </dev/null >&2'),
    ("StandardInput=null\nStandardOutput=null", f'{DESCRIPTOR} LISTEN_FDNAMES=connection '
     'LISTEN_PID=$$; exec "$0" "$@" 3<&0 </dev/null >/dev/null'),
])
def test_streams(tree, programs, tmp_path, is_root, settings, script):
    """What exec does not do itself a shell does, which then becomes the program."""
    result = imported(pair(tree, service=f"{settings}\nExecStart=PROG -a"))
    command = [str(tree.program()), "-a"]
    assert result.only.list("exec") == (["/bin/sh", "-c", script, *command] if script else command)
    passes(programs, tmp_path, result, services=1)


def test_a_program_behind_a_shell_is_looked_for_too(tree, programs, tmp_path):
    result = imported(pair(tree, service="StandardInput=null\nExecStart=/no/such"))
    assert result.only.off == [
        "on this machine it cannot be started: /no/such: No such file or directory"]
    passes(programs, tmp_path, result, services=0)


@pytest.mark.parametrize("settings, pass_as", [("", "systemd"), ("StandardInput=null", "systemd"),
                                               ("StandardInput=socket", "stdin")])
def test_how_an_acceptor_gets_its_socket(tree, programs, tmp_path, is_root, settings, pass_as):
    result = imported(pair(tree, service=settings, accept=False))
    found = result.only
    assert found.keys["pass_as"] == f'"{pass_as}"' and found.keys["workers"] == "1"
    assert "stderr" not in found.keys
    passes(programs, tmp_path, result, services=1)


# Which belong together.


@pytest.mark.parametrize("accept", [True, False])
@pytest.mark.parametrize("given", [["web.socket"], ["web.service"], ["web.socket", "web.service"],
                                   ["web.service", "web.socket"]])
def test_one_of_the_two_is_enough(tree, accept, given):
    pair(tree, accept=accept)
    names = [name.replace(".service", "@.service") if accept else name for name in given]
    result = imported(*(tree.root / name for name in names))
    assert list(result.services) == ["web"]


def test_files_in_two_folders(tree):
    """The service that was given is the one of the socket."""
    socket = pair(tree, accept=False)
    other = put(tree, "other/web.service", "[Service]\nExecStart=PROG --other\n")
    assert imported(socket, other).only.list("acceptor")[1:] == ["--other"]


def test_another_service(tree):
    put(tree, "app.service", "[Service]\nExecStart=PROG\n")
    path = put(tree, "web.socket", "[Socket]\nListenStream=7001\nService=app.service\n")
    assert list(imported(path).services) == ["app"]


def test_several_sockets_of_a_service(tree, programs, tmp_path, is_root):
    """The program gets all of them, so there is one service."""
    put(tree, "app.service", "[Service]\nExecStart=PROG\nSockets=a.socket b.socket\n")
    paths = [put(tree, f"{name}.socket", f"[Socket]\nListenStream=/run/{name}\nBacklog={backlog}\n"
                 f"FileDescriptorName={name}\nService=app.service\n")
             for name, backlog in [("a", 1), ("b", 2)]]
    result = imported(*paths)
    assert result.only.listen == ["unix:///run/a", "unix:///run/b"]
    assert result.only.keys["backlog"] == "1"
    assert result.only.noted("Backlog=2: for this socket alone")
    assert result.only.noted("FileDescriptorName=b: no equivalent")
    assert result.only.noted("Sockets=a.socket b.socket: import these")
    passes(programs, tmp_path, result, services=1)


def test_the_name_of_the_descriptor_is_that_of_the_service(tree):
    """LISTEN_FDNAMES has it."""
    assert one(tree, "FileDescriptorName=http", accept=False).name == "http"


def test_instances(tree, programs, tmp_path, is_root):
    """web@front.socket is made of web@.socket, and starts web@front.service."""
    put(tree, "web@.service", "[Service]\nExecStart=PROG %i %I %p %n %f\n")
    template = put(tree, "web@.socket", "[Socket]\nListenStream=/run/%i.sock\n")
    result = imported(tree.root / "web@front-end.socket")
    assert result.only.name == "web-front-end"
    assert result.only.listen == ["unix:///run/front-end.sock"]
    assert result.only.list("acceptor")[1:] == ["front-end", "front/end", "web",
                                                "web@front-end.service", "/front/end"]
    passes(programs, tmp_path, result, services=1)
    result = imported(template)
    assert result.services == {}
    assert "# a template: import one of its instances, as web@NAME.socket beside it" \
        in result.comments[0]


def test_drop_ins(tree):
    """Sorted by their names; that of a unit before that of its type; empty values take back."""
    pair(tree, "Backlog=1", "Nice=1")
    for name, text in [
            ("web.socket.d/20.conf", "[Socket]\nBacklog=3\n"),
            ("web.socket.d/10.conf", "[Socket]\nBacklog=2\nListenStream=\nListenStream=7009\n"),
            ("web.socket.d/30.txt", "[Socket]\nBacklog=4\n"),
            ("socket.d/15.conf", "[Socket]\nNoDelay=yes\nBacklog=9\n"),
            ("web@.service.d/a.conf", "[Service]\nExecStart=\nExecStart=PROG --dropped\n"),
            ("service.d/a.conf", "[Service]\nNice=9\n"),
            ("service.d/b.conf", "[Service]\nUMask=0077\n")]:
        put(tree, name, text)
    result = imported(tree.root / "web.socket")
    found = result.only
    assert (found.keys["backlog"], found.keys["nodelay"]) == ("3", "true")
    assert found.listen == ["tcp://*:7009"]
    assert found.list("exec")[1:] == ["--dropped"]
    assert (found.keys["nice"], found.keys["umask"]) == ("1", "0077")
    assert f"#   {tree.root}/web.socket.d/20.conf" in result.head


def test_drop_ins_of_names_with_dashes(tree):
    pair(tree, name="web-front-end")
    put(tree, "web-.socket.d/a.conf", "[Socket]\nBacklog=1\nNoDelay=yes\n")
    put(tree, "web-front-.socket.d/b.conf", "[Socket]\nBacklog=2\n")
    put(tree, "web-front-end.socket.d/a.conf", "[Socket]\nKeepAlive=yes\n")
    keys = imported(tree.root / "web-front-end.socket").only.keys
    assert keys["backlog"] == "2" and keys["keepalive"] == "true" and "nodelay" not in keys


# Mistakes.


def test_a_service_without_a_socket(tree):
    path = put(tree, "web.service", "[Service]\nExecStart=PROG\n")
    result = Import(path)
    assert (result.code, result.errors) == (NOINPUT, [
        f"{path}: no web.socket beside it: give the .socket unit that starts it"])


def test_a_socket_without_a_service(tree):
    path = put(tree, "web.socket", "[Socket]\nListenStream=7001\nAccept=yes\n")
    result = Import(path)
    assert (result.code, result.errors) == (NOINPUT, [f"{path}: its web@.service was not found"])
    assert "left out: its web@.service was not found" in result.comments[0]


@pytest.mark.parametrize("masked", ["web.socket", "web@.service"])
def test_units_that_are_masked(tree, masked):
    pair(tree)
    (tree.root / masked).unlink()
    (tree.root / masked).symlink_to("/dev/null")
    result = Import(tree.root / "web.socket")
    assert (result.code, result.errors) == (DATAERR, [f"{tree.root}/{masked}: is masked"])
    assert result.services == {}


def test_a_unit_that_is_not_there(tree):
    for name in ["web.socket", "web@front.socket"]:
        result = Import(tree.root / name)
        assert result.code == NOINPUT and len(result.errors) == 1


@pytest.mark.parametrize("service, line, error", [
    ("ExecStart=PROG 'a", 2, "ExecStart: not a command line"),
    ("ExecStart=@PROG", 2, "ExecStart: not a command line"),
    ("Environment='A=1\nExecStart=PROG", 2, "Environment: a quote that is never closed"),
    ("ExecStart=PROG\nhello", 3, "expected [SECTION], and KEY=VALUE in it"),
])
def test_mistakes(tree, service, line, error):
    path = pair(tree, service=service)
    result = Import(path)
    assert (result.code, result.errors) == (DATAERR, [f"{tree.root}/web@.service:{line}: {error}"])


def test_a_service_without_a_program(tree, programs, tmp_path):
    put(tree, "web.service", "[Service]\nType=oneshot\n")
    result = imported(put(tree, "web.socket", "[Socket]\nListenStream=7001\n"))
    assert f"# left out: {tree.root}/web.service has no ExecStart" in result.comments[0]
    passes(programs, tmp_path, result, services=0)


def test_a_unit_of_another_name(tree):
    path = put(tree, "web.conf", "[Socket]\nListenStream=7001\n")
    result = Import(path)
    assert (result.code, result.errors) == (DATAERR,
                                            [f"{path}: a unit's name ends in .socket or .service"])


# It runs.

STREAMS = """#!/usr/bin/python3
import os, socket, sys
if os.environ.get("LISTEN_FDS") == "1" and os.environ["LISTEN_PID"] == str(os.getpid()):
    client = socket.socket(fileno=3)
    print("to the log")
else:
    client = socket.socket(fileno=0)
client.sendall(b"%s %s" % (client.recv(100), os.environ["A"].encode()))
"""
ACCEPTOR = """#!/usr/bin/python3
import os, socket
assert os.environ["LISTEN_PID"] == str(os.getpid())
names = os.environ["LISTEN_FDNAMES"].split(":")
listener = socket.socket(fileno=3)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
while True:
    client, _ = listener.accept()
    client.sendall(client.recv(100) + names[0].encode())
    client.close()
"""


@pytest.mark.parametrize("streams", ["StandardInput=socket", "StandardInput=null"])
def test_what_was_imported_serves_each_client(tree, daemon, is_root, streams):
    port, script = free_port(), tree.program("/usr/bin/streams", STREAMS)
    path = pair(tree, f"ListenStream=127.0.0.1:{port}",
                f"{streams}\nExecStart={script}\nEnvironment=A=B")
    d = daemon(imported(path).out)
    assert exchange(f"tcp://127.0.0.1:{port}", b"hello") == b"hello B"
    if streams == "StandardInput=null":
        d.wait_log(re.escape("to the log"))


def test_what_was_imported_accepts_for_itself(tree, daemon, is_root):
    port, script = free_port(), tree.program("/usr/bin/acceptor", ACCEPTOR)
    path = pair(tree, f"ListenStream=127.0.0.1:{port}\nFileDescriptorName=http",
                f"ExecStart={script}\nType=notify", accept=False)
    daemon(imported(path).out)
    assert exchange(f"tcp://127.0.0.1:{port}", b"hello ") == b"hello http"
