"""Starts HAProxy in Serve's name, in its own way: `python haproxy.py BINARY ANSWERS ARGUMENTS…`, run by its manager.

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
OWN_PORTS = re.compile(r"^((?:frontend prometheus|listen stats)\n\s+bind) \*?:(\d+)$", re.MULTILINE)


def adapted(config: str, starting: Path) -> str:
    """Serve's configuration with its own two ports on loopback and no datagram to syslog for every request.

    A service that is not there yet answers with the file `starting`, where Serve would say 404: clients then try again.
    """
    awaited = NO_ROUTE.sub(rf"\1 status 503 errorfile {starting}", config)
    return OWN_PORTS.sub(r"\1 127.0.0.1:\2", LOG.sub("", awaited))


def main(binary: str, answers: str, *arguments: str) -> None:
    """Becomes HAProxy.

    Of the directory `answers`, `lost.http` replaces Serve's bare "500 Internal Server Error", HAProxy's answer for a
    replica that went away, and `starting.http` its 404 for a service that is not there yet.
    """
    config = Path(arguments[arguments.index("-f") + 1])
    config.write_text(adapted(config.read_text(), Path(answers, "starting.http")))
    shutil.copyfile(Path(answers, "lost.http"), config.with_name("500.http"))
    # Without this, HAProxy outlives a killed Ray and keeps the ports.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execv(binary, [binary, *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
