"""Starts HAProxy in Serve's name, in its own way: `python haproxy.py BINARY FAULT ARGUMENTS…`, run by Serve's manager.

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
OWN_PORTS = re.compile(r"^((?:frontend prometheus|listen stats)\n\s+bind) \*?:(\d+)$", re.MULTILINE)


def adapted(config: str) -> str:
    """Serve's configuration without a datagram to syslog for every request, and with its own two ports on loopback."""
    return OWN_PORTS.sub(r"\1 127.0.0.1:\2", LOG.sub("", config))


def main(binary: str, fault: str, *arguments: str) -> None:
    """Becomes HAProxy.

    The file `fault` replaces Serve's bare "500 Internal Server Error", HAProxy's answer for a replica that went away.
    """
    config = Path(arguments[arguments.index("-f") + 1])
    config.write_text(adapted(config.read_text()))
    shutil.copyfile(fault, config.with_name("500.http"))
    # Without this, HAProxy outlives a killed Ray and keeps the ports.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execv(binary, [binary, *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
