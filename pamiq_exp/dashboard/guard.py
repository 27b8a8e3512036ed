"""Who may see the page: a token, the right Host and the right Origin, on requests and on web sockets alike."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)

HEADERS = {
    # The front end compiles its templates in the browser, hence 'unsafe-eval'; nothing is fetched from elsewhere.
    "content-security-policy": "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""Headers of every answer that does not set them itself."""


class Guard:
    """Lets through who knows the token and comes from the page itself.

    The token comes in the address once and is then kept in a cookie. Host must name this machine, so that no foreign
    name can be pointed here (DNS rebinding); Origin, where a browser sends one, must be the page itself. The port of
    Host is not looked at, so that a tunnel may end at another one.

    Args:
        application: What is guarded.
        token: What visitors must know.
        host: What the server listens on.
        port: Where it listens.
    """

    def __init__(self, application: Application, token: str, host: str, port: int) -> None:
        self._application, self._token = application, token
        self._names = {"localhost", host.lower().strip("[]")}
        if not _is_loopback(host):
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        self._any_address = not _is_loopback(host)
        self._cookie = f"pamiq_exp_{port}"  # cookies are shared by all ports of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._application(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"))
        if (reason := self._refusal(scope, headers, query)) is not None:
            await _refuse(scope, receive, send, reason)
        elif scope["type"] == "http" and any(name == "token" for name, _ in query):
            await self._keep_token(scope, query, send)
        else:
            await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through. What fails because the client has vanished meanwhile is no fault of ours."""
        vanished = False

        async def listen() -> Message:
            nonlocal vanished
            message = await receive()
            vanished = vanished or message["type"].endswith(".disconnect")
            return message

        try:
            await self._application(scope, listen, _with_headers(send))
        except Exception as error:
            if not vanished:
                raise
            logger.debug("a client vanished: %s", error)

    def _refusal(self, scope: Scope, headers: dict[str, str], query: list[tuple[str, str]]) -> str | None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            return f"this page is not known as '{host[:100]}'"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "requests from other pages are refused"
        if origin is None and (scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")):
            return "this request does not say where it comes from (Origin)"
        given = [value for name, value in query if name == "token"] or [_cookie(headers, self._cookie)]
        if not any(hmac.compare_digest(value.encode(), self._token.encode()) for value in given):
            return "open the address that the command has printed: it holds a token"
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return self._any_address or address.is_loopback

    async def _keep_token(self, scope: Scope, query: list[tuple[str, str]], send: Send) -> None:
        """Put the token into a cookie and take it out of the address."""
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        target = quote(scope["path"]) + (f"?{rest}" if rest else "")
        cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
        location = "/" + target.lstrip("/")  # `//elsewhere` would be another machine
        headers = [(b"location", location.encode()), (b"set-cookie", cookie.encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _cookie(headers: dict[str, str], name: str) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""


def _with_headers(send: Send) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", []))
            names = {name.decode("latin-1").lower() for name, _ in given}
            ours = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name not in names]
            message["headers"] = [*given, *ours]
        await send(message)

    return answer


async def _refuse(scope: Scope, receive: Receive, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4403})  # before it was accepted: the answer is 403
        return
    body = f"403: {reason}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
