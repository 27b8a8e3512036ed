"""What is logged, in a file, on a thread of its own."""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from pamiq_exp.run_folder.append_file import AppendFile
from pamiq_exp.run_folder.secrets import mask_text


@contextmanager
def logging_to(path: Path, hold: Callable[[], None], level: int = logging.INFO) -> Iterator[None]:
    """Append everything that is logged meanwhile to a file, with secrets masked.

    Lines pass through a queue and are written by a thread of their own: logging waits for no disk.

    Args:
        path: The file; it is created with its first line.
        hold: See `AppendFile`.
        level: The lowest level that is kept.
    """
    file = _LogFile(path, hold)
    file.setFormatter(_MaskingFormatter("%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s"))
    queue: SimpleQueue[Any] = SimpleQueue()
    handler = _LogQueue(queue)
    handler.setLevel(level)
    handler.addFilter(_is_kept)
    listener = logging.handlers.QueueListener(queue, file)
    root = logging.getLogger()
    level_before = root.level
    root.setLevel(min(level, level_before) if level_before else level)
    root.addHandler(handler)
    listener.start()
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level_before)
        listener.stop()
        file.close()


def _is_kept(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or not record.name.startswith("wandb")  # it keeps a log of its own


class _LogQueue(logging.handlers.QueueHandler):
    """Hands records on as they are; the standard one would format tracebacks on the thread that logs."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.message = record.getMessage()
        record.msg, record.args = record.message, None
        return record


class _LogFile(logging.Handler):
    """Appends to `log.txt`, which is created with its first line."""

    def __init__(self, path: Path, hold: Callable[[], None]) -> None:
        super().__init__()
        self._path = path
        self._hold = hold
        self._file: AppendFile | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
            if self._file is None:
                self._file = AppendFile(self._path, self._hold)
            self._file.look()
            while line:
                line = line[self._file.write(line) :]
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()


class _MaskingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return mask_text(super().format(record))
