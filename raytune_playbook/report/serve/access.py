"""Who may see the rounds: whoever has the token, and asks this server by its own name.

The printed URL holds the token. It is exchanged for a cookie at once, so that it stays in no history and goes to no
other site. A page of another site could have the browser ask this server under that site's name (DNS rebinding), which
the header Host tells.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import URL, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")

_HEADERS = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_COOKIE_AGE_S = 30 * 86400


def is_local(host: str) -> bool:
    """Whether only this machine can reach a server at this address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def own_names(host: str) -> frozenset[str]:
    """By which names a server at this address may be asked."""
    if is_local(host):
        return frozenset({*LOCAL_NAMES, host})
    return frozenset({*LOCAL_NAMES, host, socket.gethostname(), socket.getfqdn()})


@dataclass(frozen=True)
class Access:
    """The rule.

    Fields:
        token: None lets everybody in who can reach the server.
        names: by which it may be asked; an address is one in any case, for no site's name is.
        cookie: what the cookie is called, which the servers of one machine share but for their port.
    """

    token: str | None
    names: frozenset[str]
    cookie: str

    def refusal(self, request: Request) -> Response | None:
        """The answer to a request that is not let in, or that brings the token; None for one that is let in."""
        if not self._is_own(request.headers.get("host", "")):
            return PlainTextResponse("This server is asked by another name than its own.\n", 403)
        if self.token is None:
            return None
        if (given := request.query_params.get("token")) is not None:
            return self._with_cookie(request.url) if self._is_right(given) else _refused("This token is wrong.", 403)
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if self._is_right(bearer if scheme.lower() == "bearer" else request.cookies.get(self.cookie, "")):
            return None
        return _refused("A token is needed.", 401)

    def _is_own(self, host: str) -> bool:
        name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
        if name.lower() in {own.lower() for own in self.names}:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _is_right(self, given: str) -> bool:
        return self.token is not None and secrets.compare_digest(given.encode(), self.token.encode())

    def _with_cookie(self, url: URL) -> Response:
        rest = [(key, value) for key, value in parse_qsl(url.query) if key != "token"]
        response = RedirectResponse(url.path + (f"?{urlencode(rest)}" if rest else ""), 303)
        response.set_cookie(self.cookie, self.token or "", max_age=_COOKIE_AGE_S, httponly=True, samesite="strict")
        return response


def _refused(why: str, status: int) -> Response:
    return PlainTextResponse(f"{why} Open the URL that raytune-playbook serve has printed.\n", status)


class Guard:
    """Lets requests in by the rule, and gives every answer its headers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refusal = self._access.refusal(Request(scope))
        await (refusal or self._app)(scope, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
