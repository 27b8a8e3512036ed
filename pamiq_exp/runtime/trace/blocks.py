"""Files of a trace: blocks, each compressed without loss and with a checksum.

A crash costs at most the last block: whatever is not whole at the end of a file is left out when it is read.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.files import open_file, open_own, parse_json

MAGIC = b"pamiq_exp trace\n"
_HEAD = struct.Struct("<cBIII")
"""Kind, whether it is compressed, bytes in the file, bytes of content, checksum of the bytes in the file."""
_JSON, _ARRAYS = b"J", b"A"
_LARGEST_BLOCK = 1 << 28
_LARGEST_FILE = 1 << 42

Arrays = dict[str, NDArray[Any]]


class TraceError(Exception):
    """A trace cannot be used; the message names the reason and what to do."""


class BlockFile:
    """Writes blocks to a file of its own.

    Args:
        path: The file; its folder exists.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.bytes_written = 0
        self._file = open(open_own(path), "wb", buffering=0)  # noqa: SIM115 - closed by `close`
        self._write(MAGIC)

    def write_json(self, value: object) -> None:
        """Write a block of plain data. Raises OSError if the disk is full."""
        self._write_block(_JSON, json.dumps(value, separators=(",", ":")).encode())

    def write_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write a block of arrays by name, in this order. Raises OSError if the disk is full."""
        import safetensors.numpy  # not every Python has a wheel of it

        # safetensors copies memory as it lies, without a word about arrays whose rows are not one after another, and
        # forgets the order of names.
        named = {f"{at:06d} {name}": np.asarray(value, order="C") for at, (name, value) in enumerate(arrays.items())}
        self._write_block(_ARRAYS, safetensors.numpy.save(named))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write_block(self, kind: bytes, content: bytes) -> None:
        packed = zlib.compress(content, 6)  # a few percent smaller than with 1, on a thread that has time
        compressed = len(packed) < len(content)
        data = packed if compressed else content
        self._write(_HEAD.pack(kind, compressed, len(data), len(content), zlib.crc32(data)) + data)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while len(rest):
            rest = rest[self._file.write(rest) :]
        self.bytes_written += len(data)


def read_blocks(path: Path, within: Path) -> Iterator[object]:
    """Yield what the blocks of a file hold: plain data, or arrays by name.

    Raises:
        TraceError: A block is damaged, or it is no such file.
    """
    try:
        with open_file(path, within=within, most=_LARGEST_FILE) as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise TraceError(f"{path} is no trace of this version of pamiq_exp")
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                kind, compressed, size, full, checksum = _HEAD.unpack(head)
                if max(size, full) > _LARGEST_BLOCK:
                    raise TraceError(f"{path} is damaged: a block of {max(size, full)} bytes")
                data = file.read(size)
                if len(data) < size:
                    return  # the run was killed while it wrote this one
                if zlib.crc32(data) != checksum:
                    raise TraceError(f"{path} is damaged: a block is not what was written (checksum differs)")
                yield _content(kind, _unpacked(data, full) if compressed else data, path)
    except (OSError, zlib.error) as error:
        raise TraceError(f"{path} cannot be read: {error}") from error


def _unpacked(data: bytes, full: int) -> bytes:
    """Decompress to exactly `full` bytes, and never to more, whatever the data say."""
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(data, full)
    if len(content) != full or (unpacker.unconsumed_tail and unpacker.decompress(unpacker.unconsumed_tail, 1)):
        raise zlib.error("a block is not as long as it says")
    return content


def _content(kind: bytes, content: bytes, path: Path) -> object:
    import safetensors.numpy

    try:
        if kind == _JSON:
            return parse_json(content)
        if kind == _ARRAYS:
            return {name.partition(" ")[2]: value for name, value in sorted(safetensors.numpy.load(content).items())}
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise TraceError(f"{path} is damaged: {error}") from error
    raise TraceError(f"{path} is damaged: a block of an unknown kind {kind!r}")
