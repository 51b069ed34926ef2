# SPDX-License-Identifier: ISC
"""The servers that others wrote: Debian's packages, each in the foreground with a configuration of
its own in a temporary folder. Limits are lifted but for the kind `default`, which measures them.

A start function is as those in own.py; what it cannot do is no kind of its line in PEERS. One that
is not installed or does not start is left out, and the report says why."""
import glob
import os
import pwd
import shutil
import socket
import subprocess

from .common import BURST, WORKERS, Trouble, free_port
from .own import program_of
from .process import Server

HERE = os.path.dirname(os.path.abspath(__file__))


def found(options, program, package):
    """Its path: unpacked for us, or installed."""
    places = [os.path.join(options.peers, folder) for folder in ("usr/sbin", "usr/bin")]
    path = shutil.which(program, path=":".join([*places, os.environ.get("PATH", ""), "/usr/sbin",
                                                "/usr/local/sbin"]))
    if not path:
        raise Trouble(f"not installed (Debian's {package})")
    return path


def written(place, name, text):
    path = os.path.join(place, name)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


def user():
    return pwd.getpwuid(os.getuid()).pw_name


OWN_FILES = 'while [ "$1" != -- ]; do mount --bind "$1" "$2" && shift 2 || exit; done; shift; exec "$@"'


def with_own(place, name, files, argv):
    """The command, to which these files of /etc are what is said here: {path: text}."""
    pairs = []
    for path, text in files.items():
        pairs += [written(place, f"{name}.{os.path.basename(path)}", text), path]
    root = [] if os.getuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *root, "sh", "-c", OWN_FILES, "sh", *pairs, "--", *argv]


def listening(server, port, scheme="tcp"):
    server.address = f"{scheme}://127.0.0.1:{port}"
    server.wait_listening(port, scheme)
    return server


APACHE = """
ServerRoot {place}
ServerName localhost
PidFile {place}/{name}.pid
DefaultRuntimeDir {place}
ErrorLog /dev/stderr
LogLevel crit
{user}
LoadModule mpm_prefork_module {modules}/mod_mpm_prefork.so
LoadModule echo_module {modules}/mod_echo.so
Listen 127.0.0.1:{port}
ListenBackLog 4096
AcceptFilter http none
ProtocolEcho On
ServerLimit {most}
StartServers {first}
MinSpareServers {spare}
MaxSpareServers {most}
MaxRequestWorkers {most}
MaxConnectionsPerChild 0
"""


def start_apache(options, kind, name, place, cpus, workers=WORKERS):
    path = found(options, "apache2", "apache2-bin")
    modules = "/usr/lib/apache2/modules"
    first, most = (2, BURST) if kind == "burst" else (workers, workers)
    port = free_port()
    as_root = "User nobody\nGroup nogroup" if os.getuid() == 0 else ""
    conf = written(place, name + ".conf", APACHE.format(
        place=place, name=name, user=as_root, modules=modules, port=port, first=first, most=most,
        spare=2 if kind == "burst" else 1))
    server = Server(name, [path, "-D", "FOREGROUND", "-f", conf], place, cpus)
    listening(server, port)
    server.wait_workers(first)
    return server


def start_apache_256(*args):
    return start_apache(*args, workers=256)


def start_netserver(options, kind, name, place, cpus):
    path = found(options, "perl", "perl")
    if not glob.glob("/usr/share/perl5/Net/Server/PreFork.pm"):
        raise Trouble("not installed (Debian's libnet-server-perl)")
    first, most = (2, BURST) if kind == "burst" else (WORKERS, WORKERS)
    port = free_port()
    server = Server(name, [path, os.path.join(HERE, "netserver.pl"), str(port), str(first), str(most),
                           "daytime" if kind.startswith("daytime") else "echo"], place, cpus)
    listening(server, port)
    server.wait_workers(first)
    return server


# Without libwrap, which looks up the client's name: what that takes depends on the resolver.
XINETD = """
defaults
{{
    log_type = FILE {place}/xinetd.access
    {limits}
}}
service {service}
{{
    type = {type}
    flags = NOLIBWRAP
    socket_type = stream
    protocol = tcp
    bind = 127.0.0.1
    port = {port}
    wait = no
    user = {user}
{server}}}
"""
XINETD_LIFTED = "instances = UNLIMITED\n    per_source = UNLIMITED\n    cps = 1000000 1"


def start_xinetd(options, kind, name, place, cpus):
    path = found(options, "xinetd", "xinetd")
    program = program_of(options, kind)
    port = free_port()
    lines = ""
    if program:
        lines = f"    server = {program[0]}\n"
        if program[1:]:
            lines += "    server_args = " + " ".join(program[1:]) + "\n"
    service = "daytime" if kind.startswith("daytime") else "echo"
    conf = written(place, name + ".conf", XINETD.format(
        place=place, limits="" if kind == "default" else XINETD_LIFTED, port=port, user=user(),
        service="bench" if program else service, server=lines,
        type="UNLISTED" if program else "INTERNAL UNLISTED"))
    argv = [path, "-dontfork", "-f", conf, "-pidfile", f"{place}/xinetd.pid", "-filelog",
            f"{place}/xinetd.messages"]
    if not program:  # who serves echo looks up the client's name first: let that cost nothing
        hosts = "".join(f"127.0.0.{i} localhost\n" for i in range(1, 5))
        argv = with_own(place, name, {"/etc/hosts": hosts}, argv)
    server = Server(name, argv, place, cpus)
    return listening(server, port)


def start_inetd(options, kind, name, place, cpus):
    path = found(options, "inetd", "openbsd-inetd")
    program = program_of(options, kind)
    port = free_port()
    if program:
        what = " ".join([program[0], os.path.basename(program[0]), *program[1:]])
        service = str(port)
    else:
        service = "daytime" if kind.startswith("daytime") else "echo"
        what = "internal"
    conf = written(place, name + ".conf",
                   f"127.0.0.1:{service} stream tcp nowait {user()} {what}\n")
    lifted = [] if kind == "default" else ["-R", "1000000000"]
    argv = [path, "-i", *lifted, conf]
    if not program:  # a service's own name tells its port, and nothing else does
        argv = with_own(place, name, {"/etc/services": f"{service} {port}/tcp\n"}, argv)
    server = Server(name, argv, place, cpus)
    return listening(server, port)


def start_tcpserver(options, kind, name, place, cpus):
    path, program = found(options, "tcpserver", "ucspi-tcp"), program_of(options, kind)
    lifted = [] if kind == "default" else ["-c", "1000", "-b", "1024"]
    server = Server(name, [path, "-1", "-H", "-R", "-l", "localhost", *lifted, "127.0.0.1", "0",
                           *program], place, cpus)
    server.address = "tcp://127.0.0.1:" + server.said(r"(?m)^(\d+)\n")
    return server


def start_socat(options, kind, name, place, cpus):
    path, program = found(options, "socat", "socat"), program_of(options, kind)
    udp = kind == "udp"
    port = free_port(kind=socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    where = f"UDP4-RECVFROM:{port},bind=127.0.0.1,fork" if udp else \
        f"TCP4-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,backlog=4096"
    # nofork: the program has the client itself, as with all others.
    what = "PIPE" if not program else "EXEC:" + " ".join(program) + ",nofork"
    return listening(Server(name, [path, where, what], place, cpus), port, "udp" if udp else "tcp")


NGINX = """
daemon off;
load_module {module};
worker_processes {workers};
pid {place}/{name}.pid;
error_log stderr;
{user}
events {{ worker_connections 4096; }}
stream {{ server {{ listen 127.0.0.1:{port} backlog=4096; return "$time_iso8601\\r\\n"; }} }}
"""


def start_nginx(options, kind, name, place, cpus):
    path = found(options, "nginx", "nginx")
    module = "/usr/lib/nginx/modules/ngx_stream_module.so"
    if not os.path.exists(module):
        raise Trouble("not installed (Debian's libnginx-mod-stream)")
    port, workers = free_port(), len(cpus)
    conf = written(place, name + ".conf", NGINX.format(
        module=module, workers=workers, place=place, name=name, port=port,
        user="user nobody nogroup;" if os.getuid() == 0 else ""))
    server = Server(name, [path, "-c", conf, "-p", place, "-e", "stderr"], place, cpus)
    listening(server, port)
    server.wait_workers(workers)
    return server


def start_activate(options, kind, name, place, cpus):
    path, program = found(options, "systemd-socket-activate", "systemd"), program_of(options, kind)
    port = free_port()
    server = Server(name, [path, "--accept", "--inetd", "-l", f"127.0.0.1:{port}", *program], place,
                    cpus, {**os.environ, "SYSTEMD_LOG_LEVEL": "err"})
    return listening(server, port)


PROGRAMS = ("program", "program-1", "program-64", "prestart")
STREAMS = ("echo", "keep", "burst")
DAYTIME = ("daytime", "daytime-2")
# name: (how it starts, the kinds that it can do, package, as the report calls it)
PEERS = {
    "apache": (start_apache, (*STREAMS, "memory"), "apache2-bin", "Apache prefork"),
    "apache-256": (start_apache_256, ("max", "thousand"), "apache2-bin", "Apache prefork 256"),
    "netserver": (start_netserver, (*STREAMS, *DAYTIME, "memory"), "libnet-server-perl",
                  "Net::Server::PreFork"),
    "xinetd": (start_xinetd, (*STREAMS, *DAYTIME, *PROGRAMS, "default"), "xinetd", "xinetd"),
    "inetd": (start_inetd, (*STREAMS, *DAYTIME, *PROGRAMS, "default"), "openbsd-inetd",
              "openbsd-inetd"),
    "tcpserver": (start_tcpserver, (*PROGRAMS, "default"), "ucspi-tcp", "tcpserver"),
    "socat": (start_socat, (*STREAMS, *PROGRAMS, "udp"), "socat", "socat"),
    "nginx": (start_nginx, DAYTIME, "nginx", "nginx"),
    "activate": (start_activate, (*PROGRAMS, "default"), "systemd",
                 "systemd-socket-activate"),
}
STEADY = ("apache", "apache-256", "netserver", "nginx")  # whose processes stay


def can(name, kind):
    return kind in PEERS[name][1]


def versions(options):
    """{package: version} of those that are there; unpacked ones by their archives' names."""
    there = {}
    for package in sorted({line[2] for line in PEERS.values()}):
        for archive in glob.glob(os.path.join(glob.escape(options.peers), f"{package}_*.deb")):
            there[package] = os.path.basename(archive).split("_")[1].replace("%3a", ":")
        if package in there:
            continue
        asked = subprocess.run(["dpkg-query", "-W", "-f=${Version}", package], check=False,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if asked.returncode == 0 and asked.stdout:
            there[package] = asked.stdout
    return there
