"""Starts HAProxy in Serve's name, in its own way: `python haproxy.py BINARY DIRECTORY ARGUMENTS…`, run by its manager.

It needs the standard library alone, because it runs before every (re)start of HAProxy.
"""

import ctypes
import os
import re
import shutil
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
LOG = re.compile(r"^\s*log (?!-).*\n", re.MULTILINE)
NO_ROUTE = re.compile(r"^(backend default_backend\n\s+http-request return).*$", re.MULTILINE)
FRONTEND = re.compile(r"^(frontend http_frontend\n\s+bind .*\n)", re.MULTILINE)
DEFAULTS = re.compile(r"^(defaults\n\s+mode http\n)", re.MULTILINE)
HEAD_SECONDS = 10
IDLE_SECONDS = 300
METHODS = "GET HEAD POST PUT PATCH DELETE OPTIONS"
OWN_PORTS = re.compile(r"^((?=frontend prometheus\n|listen stats\n)\w+ (\w+))\n\s+bind .*$", re.MULTILINE)


def adapted(config: str, directory: Path) -> str:
    """Serve's configuration without a datagram to syslog for every request and without ports of HAProxy's own.

    Between being found free and being listened at, such a port may be taken; sockets in `directory` cannot. A service
    that is not there yet answers with the file `starting.http`, where Serve would say 404: clients then try again.
    A method that the replicas' server could not parse is answered here, with `method.http`, and Serve's list of routes
    is not shown, with `absent.http`. A client has ten seconds for a request's head, and is not told
    when an idle connection is closed.
    """
    awaited = NO_ROUTE.sub(rf"\1 status 503 errorfile {directory / 'starting.http'}", LOG.sub("", config))
    unknown_method = (
        f"http-request return status 405 errorfile {directory / 'method.http'} unless {{ method {METHODS} }}"
    )
    hidden = f"http-request return status 404 errorfile {directory / 'absent.http'} if {{ path,url_dec -i /-/routes }}"
    known = FRONTEND.sub(rf"\1    {unknown_method}\n    {hidden}\n", awaited)
    # Without a time of its own an idle connection has that of a head, and would be told 408 when it is over.
    times = f"timeout http-request {HEAD_SECONDS}s\n    timeout http-keep-alive {IDLE_SECONDS}s"
    prompt = DEFAULTS.sub(rf"\1    {times}\n    option http-ignore-probes\n", known)
    return OWN_PORTS.sub(rf"\1\n    bind unix@{directory}/\2.sock", prompt)


def main(binary: str, directory: str, *arguments: str) -> None:
    """Becomes HAProxy.

    Of `directory`, `lost.http` replaces Serve's bare "500 Internal Server Error", HAProxy's answer for a
    replica that went away, `starting.http` its 404 for a service that is not there yet.
    """
    config = Path(arguments[arguments.index("-f") + 1])
    config.write_text(adapted(config.read_text(), Path(directory)))
    shutil.copyfile(Path(directory, "lost.http"), config.with_name("500.http"))
    # Without this, HAProxy outlives a killed Ray and keeps the ports.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execv(binary, [binary, *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
