"""Serves the page on this machine."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pamiq_exp.dashboard.watched import Watched
from pamiq_exp.extras import install_hint

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

FIRST_PORT, PORTS_TRIED = 8080, 100
_NICE = 5
"""Runs on the same machine come first."""
MOST_REPORTS = 20
_SHARED = "style.css"


class DashboardError(Exception):
    """The page cannot be served; the message says what to do."""


@dataclass(frozen=True)
class Settings:
    """How the page is served.

    Attributes:
        root: A run, a sweep, or a folder with some below it.
        host: What to listen on; `127.0.0.1` is this machine alone.
        port: Where; if it is in use, the next free one.
        control: Whether the page may pause, resume, save and stop runs.
        browser: Whether to open a browser.
        with_parent: End when standard input is closed: as the process that began this one ends.
    """

    root: Path
    host: str = "127.0.0.1"
    port: int = FIRST_PORT
    control: bool = False
    browser: bool = True
    with_parent: bool = False


def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Serve the page until it is interrupted. The first line that is said is its address.

    Raises:
        DashboardError: There is no such folder, no free port, or a package is missing.
    """
    if not settings.root.is_dir():
        raise DashboardError(f"{settings.root} is no folder: give a run, a sweep, or a folder with runs (outputs)")
    listener = listen(settings.host, settings.port)
    port = listener.getsockname()[1]
    token = secrets.token_urlsafe(24)
    name = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{name}:{port}/?token={token}"
    say(address)
    if port != settings.port and settings.port:
        say(f"port {settings.port} is in use, so this is {port}")
    server = make_server(settings, token, port)
    if settings.with_parent:
        threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    if settings.browser:
        threading.Timer(1.0, webbrowser.open, (address,)).start()
    os.nice(_NICE)
    server.run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at a port, or at the next free one. Raises DashboardError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, port + PORTS_TRIED) if port else [0]:
        if candidate > 65_535:
            break
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen()
            return listener
        except PermissionError as error:
            listener.close()
            raise DashboardError(f"port {candidate} may not be used: choose one from 1024 on (--port N)") from error
        except socket.gaierror as error:
            listener.close()
            raise DashboardError(f"'{host}' is no address of this machine: {error.strerror}") from error
        except OSError as error:
            listener.close()
            if error.errno not in (48, 98):  # in use, on macOS and Linux
                raise DashboardError(f"{host} cannot be listened on: {error.strerror or error}") from error
    raise DashboardError(f"the ports {port} to {port + PORTS_TRIED - 1} are in use: choose another one (--port N)")


def make_server(settings: Settings, token: str, port: int) -> uvicorn.Server:
    """Return the server of the page, ready to run."""
    os.environ.setdefault("NICEGUI_STORAGE_PATH", os.devnull)  # nothing is stored: no folder appears anywhere
    try:
        import uvicorn
        from fastapi import FastAPI
        from nicegui import ui
    except ImportError as error:
        raise DashboardError(f"the dashboard needs the package nicegui: {install_hint('nicegui')}") from error
    from pamiq_exp.dashboard.guard import Guard

    logging.getLogger("nicegui").setLevel(logging.WARNING)
    watched = Watched(settings.root, control=settings.control)
    application = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    add_pages(application, watched, OrderedDict())
    ui.run_with(
        application,
        title="pamiq_exp",
        dark=None,
        language="en-US",
        tailwind=False,  # its compiler in the browser would double the time to the first paint
        gzip_middleware_factory=None,  # on one machine, packing costs more time than it saves
        binding_refresh_interval=None,
        reconnect_timeout=5.0,
        show_welcome_message=False,
    )
    guarded = Guard(application, token, settings.host, port)
    config = uvicorn.Config(guarded, log_level="warning", ws_max_size=1_000_000, timeout_graceful_shutdown=1)
    return uvicorn.Server(config)


def add_pages(application: FastAPI, watched: Watched, reports: OrderedDict[str, bytes]) -> None:
    """Add the addresses of the page."""
    from fastapi import Response
    from nicegui import ui

    from pamiq_exp.dashboard import routes, shell

    pages = routes.Pages(watched, shell.Appearance(), reports)
    style = (Path(__file__).parent / _SHARED).read_text(encoding="utf-8")
    ui.add_css(style, shared=True)
    ui.page("/")(pages.root)
    ui.page("/run")(pages.run)
    ui.page("/sweep")(pages.sweep)
    ui.page("/compare")(pages.compare)
    ui.page("/report")(pages.report)
    application.add_api_route("/media", pages.media, response_class=Response)
    application.add_api_route("/reports/{name}", pages.finished_report, response_class=Response)


def _end_with_parent(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = True
