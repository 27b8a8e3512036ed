"""The guard refuses requests without the token, for another host, or from another origin."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from pamiq_exp.dashboard.guard import Guard
from tests.dashboard.conftest import Site


async def _inner(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})
    else:
        await send({"type": "websocket.accept"})


def ask(
    *, host: str = "127.0.0.1:8080", kind: str = "http", listen: str = "127.0.0.1", method: str = "GET",
    query: str = "", **headers: str,
) -> list[dict[str, Any]]:  # fmt: skip
    """Send one request through a guard and return what it answers."""
    guard = Guard(_inner, "secret", listen, 8080)
    given = [(b"host", host.encode())] + [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": kind, "method": method, "path": "/run", "query_string": query.encode(), "headers": given}
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    asyncio.run(guard(scope, receive, send))
    return sent


def status(**request: Any) -> int:
    return int(ask(**request)[0]["status"])


COOKIE = "pamiq_exp_8080=secret"
ORIGIN = "http://127.0.0.1:8080"


def test_guard_requires_the_token_once_and_then_keeps_it_in_a_cookie() -> None:
    assert status() == 403
    assert status(query="token=wrong") == 403
    assert status(cookie="pamiq_exp_8080=wrong") == 403
    (begin, _) = ask(query="token=secret&key=a%20b")
    headers = dict(begin["headers"])
    assert begin["status"] == 303
    assert headers[b"location"] == b"/run?key=a+b"
    assert b"HttpOnly" in headers[b"set-cookie"]
    assert b"SameSite=Strict" in headers[b"set-cookie"]
    assert status(cookie=COOKIE) == 200


def test_guard_refuses_another_host_even_with_the_token() -> None:
    for host in ("evil.example:8080", "evil.example", "", "127.0.0.1.evil.example:8080", "10.0.0.5", "["):
        assert status(host=host, cookie=COOKIE) == 403, host
        assert status(host=host, query="token=secret") == 403, host


def test_guard_accepts_names_of_this_machine_on_any_port() -> None:
    for host in ("127.0.0.1:8080", "localhost:8080", "[::1]:8080", "localhost:9000"):
        assert status(host=host, cookie=COOKIE) == 200, host


def test_guard_refuses_another_origin() -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999", "https://localhost:8080"):
        assert status(origin=origin, cookie=COOKIE) == 403, origin
        assert ask(kind="websocket", origin=origin, cookie=COOKIE)[0]["type"] == "websocket.close", origin


def test_guard_requires_token_and_origin_for_web_sockets() -> None:
    assert ask(kind="websocket", origin=ORIGIN)[0]["type"] == "websocket.close"
    assert ask(kind="websocket", cookie=COOKIE)[0]["type"] == "websocket.close"
    assert ask(kind="websocket", origin=ORIGIN, cookie=COOKIE)[0]["type"] == "websocket.accept"


def test_guard_requires_an_origin_for_post_requests() -> None:
    assert status(method="POST", cookie=COOKIE) == 403
    assert status(method="POST", cookie=COOKIE, origin=ORIGIN) == 200


def test_guard_on_all_interfaces_accepts_only_addresses_and_its_own_names() -> None:
    for host in ("192.168.0.7:8080", socket.gethostname()):
        assert status(listen="0.0.0.0", host=host, cookie=COOKIE) == 200
    assert status(listen="0.0.0.0", host="evil.example", cookie=COOKIE) == 403


def test_guard_forbids_foreign_scripts_and_frames_in_its_answers() -> None:
    headers = dict(ask(cookie=COOKIE)[0]["headers"])
    policy = headers[b"content-security-policy"].decode()
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers[b"x-content-type-options"] == b"nosniff"


def test_guard_of_the_served_page_answers_403_without_the_token(site: Site) -> None:
    for path in (
        "/",
        "/run?key=.",
        "/media?key=.&name=x.png",
        "/reports/x",
        "/_nicegui_ws/socket.io/?EIO=4&transport=polling",
    ):
        assert site.get(path, known=False).status == 403, path
        assert site.get(path, known=False, Cookie=f"pamiq_exp_{site.port}=guess").status == 403, path
    assert "it holds a token" in site.get("/", known=False).text
    assert site.get("/", Host="evil.example").status == 403
    assert site.get("/", Origin="http://evil.example").status == 403
    assert site.get("/").status == 200


def test_guard_of_the_served_web_socket_answers_403_without_the_token(site: Site) -> None:
    def upgrade(cookie: str, origin: str) -> int:
        answer = site.get(
            "/_nicegui_ws/socket.io/?EIO=4&transport=websocket", known=False, Cookie=cookie, Origin=origin,
            Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Version="13",
            Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        )  # fmt: skip
        return answer.status

    assert upgrade("a=b", site.base) == 403
    assert upgrade(site.cookie, "http://evil.example") == 403
