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
"""How long a request's head may take; as long, a client that sends none holds a connection."""
BODY_SECONDS = 20
"""How long a request's body may take; as long, one that never ends holds its part of the memory for bodies."""
BUFFER_BYTES = 32 << 10
"""HAProxy's buffer, of which a connection takes two at most; a question must fit one to be asked again.

Half of it is too little for an image of 784 numbers with all their digits.
"""
RESERVED_BYTES = 1 << 10
"""What HAProxy keeps free of each buffer for headers that it adds: its `tune.maxrewrite`."""
METHODS = "GET HEAD POST PUT PATCH DELETE OPTIONS"
ASKING = "{ path_end /predict /infer /explain }"
"""Requests with a body of which a second answer does no harm."""
LONGEST_REQUEST_ID = 128
ERRORS = {408: "slow", 500: "failed"}
"""The files of HAProxy's own refusals; for 502, 503 and 504 it has Serve's, which `main` replaces by `lost.http`."""
OWN_PORTS = re.compile(r"^((?=frontend prometheus\n|listen stats\n)\w+ (\w+))\n\s+bind .*$", re.MULTILINE)


class UnknownConfiguration(Exception):
    """Serve's configuration has not the places that this module writes at: so HAProxy would give orders twice."""


def adapted(config: str, directory: Path) -> str:
    """Serve's configuration without a datagram to syslog for every request and without ports of HAProxy's own.

    Between being found free and being listened at, such a port may be taken; sockets in `directory` cannot. A service
    that is not there yet answers with the file `starting.http`, where Serve would say 404: clients then try again.

    Raises:
        UnknownConfiguration: a place is missing, or there is another like it.
    """
    awaiting = rf"\1 status 503 errorfile {directory / 'starting.http'}"
    awaited = _written("the default backend", NO_ROUTE, awaiting, LOG.sub("", config))
    ruled = _written("the frontend", FRONTEND, rf"\1{_lines(_rules(directory))}", awaited)
    bounded = _written("the defaults", DEFAULTS, rf"\1{_lines(_defaults(directory))}", ruled)
    return _written("HAProxy's own ports", OWN_PORTS, rf"\1\n    bind unix@{directory}/\2.sock", bounded, times=2)


def _written(name: str, place: re.Pattern[str], text: str, config: str, times: int = 1) -> str:
    written, found = place.subn(text, config)
    if found != times:
        raise UnknownConfiguration(f"Serve's configuration of HAProxy names {name} {found} times: {times} expected")
    return written


def _rules(directory: Path) -> list[str]:
    """What the frontend says before Serve's own rules.

    A method that the replicas' server could not parse is answered here, and so is what names no path or Serve's list
    of routes. A question that a dead replica took along goes to another one; of those with a body HAProxy can repeat
    what it had whole before it passed it on, and fits its buffer. Serve logs the ids of requests, so those that could
    pass for more are taken away.
    """
    return [
        f"http-request return status 405 errorfile {directory / 'method.http'} unless {{ method {METHODS} }}",
        f"http-request return status 404 errorfile {directory / 'absent.http'}"
        " if { path,url_dec -i /-/routes } or !{ path_beg / }",
        f"http-request disable-l7-retry unless {{ method GET HEAD }} or {ASKING}",
        f"http-request wait-for-body time {BODY_SECONDS}s"
        f" if {ASKING} {{ req.hdr_val(content-length) le {BUFFER_BYTES - RESERVED_BYTES} }}",
        "http-request del-header x-request-id if { req.fhdr(x-request-id) -m reg [^!-~] }"
        f" or {{ req.fhdr(x-request-id),length gt {LONGEST_REQUEST_ID} }}",
    ]


def _defaults(directory: Path) -> list[str]:
    """A client has ten seconds for a request's head, and is not told when an idle connection is closed."""
    return [
        f"timeout http-request {HEAD_SECONDS}s",
        "option http-ignore-probes",
        *(f"errorfile {status} {directory / f'{name}.http'}" for status, name in ERRORS.items()),
    ]


def _lines(directives: list[str]) -> str:
    return "".join(f"    {directive}\n" for directive in directives)


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
