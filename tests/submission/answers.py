"""A server of HTTP that says what a test wants, in the place of a dashboard."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def answering(pages: Mapping[str, str], *, otherwise: int = 404) -> Iterator[str]:
    """Its URL, while it runs.

    Args:
        pages: what it answers, by path.
        otherwise: the status with which it refuses any other request.
    """

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            self.send_response(otherwise if page is None else 200)
            self.end_headers()
            self.wfile.write(b"No such page." if page is None else page.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
