"""The application: a list of rounds, their pages, what they link to, and whether they have changed."""

from __future__ import annotations

import secrets
import time
from functools import cache
from html import escape
from importlib.resources import files
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from raytune_playbook.errors import PlaybookError, StorageError
from raytune_playbook.records.storage import Storage, first_line
from raytune_playbook.report.page.page import FOLDER
from raytune_playbook.report.serve.access import Access, Guard
from raytune_playbook.report.serve.files import media_type, read_linked
from raytune_playbook.report.serve.listing import age_text
from raytune_playbook.report.serve.pages import Page, Pages

POLL_S = 5
"""A page looks so often whether its records have changed."""

_PACKAGE = "raytune_playbook.report.serve"

_POLICY = "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'; {1}"
_NO_FRAMES = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def application(storage: Storage, access: Access, *, poll_s: float = POLL_S) -> ASGIApp:
    """What answers requests.

    Args:
        storage: whose rounds are served.
        access: who may see them.
        poll_s: how often a page looks whether its records have changed.
    """
    pages = Pages(storage)

    async def rounds(_: Request) -> Response:
        version, rows = await run_in_threadpool(pages.listed)
        nonce, now_s = secrets.token_urlsafe(16), time.time()
        html = (
            _templates()
            .get_template("rounds.html.j2")
            .render(
                storage=storage.uri,
                rows=[(row, age_text(row.created_at_s and now_s - row.created_at_s)) for row in rows],
                version=version,
                seconds=poll_s,
                nonce=nonce,
                live=_live(),
            )
        )
        return HTMLResponse(html, headers={"Content-Security-Policy": _POLICY.format(nonce, _NO_FRAMES)})

    async def page(request: Request) -> Response:
        path = f"{FOLDER}/{request.path_params['page']}.html"
        made = await run_in_threadpool(pages.page, request.path_params["name"], path)
        headers = {"ETag": f'"{made.version}"', "Content-Security-Policy": _NO_FRAMES}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        name = quote(request.path_params["name"])
        return HTMLResponse(
            refreshing(made, f"/version/{name}", poll_s) if made.is_live else made.html, headers=headers
        )

    async def version(request: Request) -> Response:
        return JSONResponse({"version": await run_in_threadpool(pages.version, request.path_params["name"])})

    async def versions(_: Request) -> Response:
        return JSONResponse({"version": await run_in_threadpool(pages.list_version)})

    async def file(request: Request) -> Response:
        name, path = request.path_params["name"], request.path_params["path"]
        content = await run_in_threadpool(read_linked, storage, name, path)
        if content is None:
            return PlainTextResponse("There is no such file.\n", 404)
        return Response(content, media_type=media_type(path), headers={"Content-Security-Policy": "sandbox"})

    async def to_page(request: Request) -> Response:
        return RedirectResponse(f"/rounds/{quote(request.path_params['name'])}/report/index.html", 307)

    routes = [
        Route("/", rounds),
        Route("/version", versions),
        Route("/version/{name}", version),
        Route("/rounds/{name}", to_page),
        Route("/rounds/{name}/report/{page}.html", page),
        Route("/rounds/{name}/{path:path}", file),
    ]
    return Guard(
        Starlette(routes=routes, exception_handlers=dict.fromkeys((PlaybookError, OSError, ValueError), _said)), access
    )


def _said(_: Request, error: Exception) -> Response:
    """What is wrong, in a sentence."""
    return PlainTextResponse(f"{first_line(error)}\n", 404 if isinstance(error, StorageError) else 500)


def refreshing(page: Page, url: str, poll_s: float) -> str:
    """A page that reloads itself when its records have changed; it may ask this server and nobody else for that."""
    html = page.html.replace("default-src 'none';", "default-src 'none'; connect-src 'self';", 1)
    head, end, tail = html.rpartition("</body>")
    data = f'data-version="{escape(page.version)}" data-url="{escape(url)}" data-seconds="{poll_s:g}"'
    return f"{head}<script {data}>{_live()}</script>\n{end}{tail}"


@cache
def _live() -> Markup:
    return Markup(files(_PACKAGE).joinpath("live.js").read_text(encoding="utf-8"))


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader(_PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
