"""CUDA streams: the agent's kernels go first, and no thread waits for the whole device.

On a GPU a thread's work is only queued when Python has gone on, so moving a reference does not mean that the
copy behind it is done. Events do: the step waits, on the device, for the copy of the snapshot that it uses,
and the next copy waits, on the device, for the last step that read what it overwrites.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class StreamOrder:
    """Orders reads and writes of inference copies between the streams of the two threads.

    `before_read` and `after_read` belong to the inference thread, the others to the training thread.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._last_read = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._awaited: torch.cuda.Event | None = None

    def before_write(self) -> None:
        """Queue a wait for all reads so far."""
        torch.cuda.current_stream(self._device).wait_event(self._last_read)

    def written(self) -> torch.cuda.Event:
        """Return an event that happens when the copies queued so far are done."""
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event

    def before_read(self, written: torch.cuda.Event | None) -> None:
        """Queue a wait for a publication, the first time that a step uses it."""
        if written is not None and written is not self._awaited:
            torch.cuda.current_stream(self._device).wait_event(written)
            self._awaited = written

    def after_read(self) -> None:
        """Remember that the step's reads are queued."""
        self._last_read.record(torch.cuda.current_stream(self._device))


@contextmanager
def own_stream(device: torch.device, first: bool, separate: bool = True) -> Iterator[None]:
    """Let the calling thread work on a stream of its own; on the CPU this does nothing.

    Args:
        device: Where the models are.
        first: Whether the device should prefer this stream's kernels: inference.
        separate: False keeps the device's default stream, which both threads then share.
    """
    if device.type != "cuda" or not separate:
        yield
        return
    # Lower numbers go first, and 0 is what everything else has.
    stream = torch.cuda.Stream(device, priority=-1 if first else 0)  # type: ignore[no-untyped-call]
    # What was set up before on the default stream must be there: streams of torch do not wait for it.
    stream.wait_stream(torch.cuda.default_stream(device))
    with torch.cuda.stream(stream):
        yield
    # The watching thread reads models and buffers on the default stream afterwards.
    torch.cuda.default_stream(device).wait_stream(stream)
