"""Reading safetensors files: by the library, or here where a Python has no wheel of it."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import torch

try:
    import safetensors.torch
    from safetensors import SafetensorError

    HAS_SAFETENSORS = True
except ImportError:
    HAS_SAFETENSORS = False

DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.uint16: "U16",
    torch.uint32: "U32",
    torch.uint64: "U64",
    torch.bool: "BOOL",
}
"""Of the format, for the types of tensors that a checkpoint takes."""

_MOST_HEADER_BYTES = 100_000_000


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors in a safetensors file, on the CPU. Raises ValueError for what is no such file."""
    if not HAS_SAFETENSORS:
        return parse_tensors(path.read_bytes())
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def parse_tensors(content: bytes) -> dict[str, torch.Tensor]:
    """Return the tensors in the content of a safetensors file: the length of a header, the header in JSON, then data.

    Raises ValueError for what is no such content.
    """
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 + length or length > _MOST_HEADER_BYTES:
        raise ValueError("the header of the tensors is longer than the file")
    header = json.loads(content[8 : 8 + length])
    data = bytearray(content[8 + length :])
    if not isinstance(header, dict):
        raise ValueError("the header of the tensors holds no names")
    header.pop("__metadata__", None)
    tensors = {name: _tensor(name, entry, data) for name, entry in header.items()}
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) != len(data):
        raise ValueError("the tensors do not fill the file exactly")
    return tensors


def _tensor(name: str, entry: Any, data: bytearray) -> torch.Tensor:
    types = {text: dtype for dtype, text in DTYPE_NAMES.items()}
    try:
        dtype, shape, (start, end) = types[entry["dtype"]], entry["shape"], entry["data_offsets"]
        fits = 0 <= start <= end <= len(data) and all(size >= 0 for size in shape)
        if not fits or end - start != prod(shape) * dtype.itemsize:
            raise ValueError("its size does not match its shape")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the header describes the tensor {name!r} wrongly: {error}") from error
    if start == end:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(data, dtype=dtype, count=prod(shape), offset=start).reshape(shape)
