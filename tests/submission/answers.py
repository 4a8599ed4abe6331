"""A server of HTTP that says what a test wants, in the place of a dashboard."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def answering(
    page_of: Callable[[str], str | bytes | None], *, otherwise: int = 404, refusal: str = "No such page."
) -> Iterator[str]:
    """Its URL, while it runs.

    Args:
        page_of: what it answers, by path; None where it refuses.
        otherwise, refusal: the status and the words with which it does.
    """

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = page_of(self.path)
            self.send_response(otherwise if page is None else 200)
            self.end_headers()
            self.wfile.write(page if isinstance(page, bytes) else (page or refusal).encode())

        do_POST = do_GET  # noqa: N815 - the name that the library looks for

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
