"""A small HTTP proxy before a server that speaks S3: it delays, refuses and drops requests, by a seed.

``python faulty_proxy.py TARGET LISTEN SEED SHARE`` runs one until it is killed: ``host:port`` twice, and the share of
requests that something happens to.
"""

from __future__ import annotations

import http.client
import random
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
MOST_DELAY_S = 1.0

Fault = str | float | None
"""What happens to a request: ``"refuse"`` (503 SlowDown), ``"drop"``, ``"lose"`` (it is done, but its answer is lost),
a delay in seconds, or nothing."""


class FaultyProxy:
    """Passes requests on to a server; ``with FaultyProxy("127.0.0.1:5000") as proxy:``.

    Args:
        target, listen: ``host:port``; of the latter port 0 is any that is free.

    Fields:
        fault: says of each request's method and path what happens to it.
        asked: what was asked for, and what happened to it, in order.
    """

    def __init__(self, target: str, listen: str = "127.0.0.1:0") -> None:
        self.fault: Callable[[str, str], Fault] = lambda *_: None
        self.asked: list[tuple[str, str, Fault]] = []
        host, port = listen.split(":")
        self._server = ThreadingHTTPServer((host, int(port)), _handler(self, target))
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def by_share(seed: int, share: float) -> Callable[[str, str], Fault]:
    """Faults of all kinds that happen to a share of requests, each to equally many."""
    rng, lock = random.Random(seed), threading.Lock()

    def fault(_: str, __: str) -> Fault:
        with lock:
            if rng.random() >= share:
                return None
            return rng.choice(["refuse", "drop", "lose", rng.uniform(0.0, MOST_DELAY_S)])

    return fault


def _handler(proxy: FaultyProxy, target: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def pass_on(self) -> None:
            content = self._content()
            fault = proxy.fault(self.command, self.path)
            proxy.asked.append((self.command, self.path, fault))
            if isinstance(fault, float):
                time.sleep(fault)
            if fault == "refuse":
                return self._answer(503, {"Content-Type": "application/xml"}, SLOW_DOWN)
            status, headers, answer = self._ask(content) if fault != "drop" else (0, {}, b"")
            if fault in ("drop", "lose"):
                self.close_connection = True
                return None
            return self._answer(status, headers, answer)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on  # noqa: N815 - the base class has them so

        def _content(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return found

        def _ask(self, content: bytes) -> tuple[int, dict[str, str], bytes]:
            kept = {name: value for name, value in self.headers.items() if name.lower() not in _OF_CONNECTION}
            connection = http.client.HTTPConnection(target, timeout=60)
            connection.request(self.command, self.path, content, kept)
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _OF_CONNECTION}
            if self.command == "HEAD" and (size := answer.getheader("Content-Length")):
                headers["Content-Length"] = size
            found = answer.status, headers, answer.read()
            connection.close()
            return found

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    return Handler


_OF_CONNECTION = frozenset({"connection", "content-length", "expect", "transfer-encoding"})

if __name__ == "__main__":
    to, at, seed, share = sys.argv[1:]
    with FaultyProxy(to, at) as running:
        running.fault = by_share(int(seed), float(share))
        threading.Event().wait()
