"""Where runs have been, out of the checkpoints they left: which cells each of them has visited."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.files import open_file, parse_json
from pamiq_exp.run_folder import file_names
from pamiq_exp.run_folder.manifest import list_checkpoints
from pamiq_exp.run_folder.reader import mapping

_NAME = "visited"
_MOST_HEADER = 5_000_000
_MOST_CELLS = 100_000_000
_MOST_BYTES = 1 << 40  # only the header and one map of it are read


def read_visited(run: Path) -> NDArray[np.bool_] | None:
    """Return the cells that a run has visited, `(rows, columns)`; None if its newest checkpoint does not tell.

    A checkpoint has it if a metric such as `Coverage` keeps a map of cells, under the name `visited`.
    """
    try:
        checkpoints = list_checkpoints(run / file_names.CHECKPOINTS)
        files = sorted(checkpoints[-1].glob("*.safetensors")) if checkpoints else []
    except OSError:
        return None
    return next((found for file in files if (found := _find(file, run)) is not None), None)


def share_of_runs(maps: Iterable[NDArray[np.bool_] | None]) -> NDArray[np.float64] | None:
    """Return for each cell the share of runs that have visited it; None without maps of one shape."""
    known = [each for each in maps if each is not None]
    if not known or len({each.shape for each in known}) != 1:
        return None
    return np.asarray(np.mean(known, axis=0), dtype=np.float64)


def _find(file: Path, run: Path) -> NDArray[np.bool_] | None:
    """Return the first map of cells in a safetensors file: a header of JSON, then plain bytes."""
    try:
        with open_file(file, within=run, most=_MOST_BYTES) as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(_MOST_HEADER, os.fstat(stream.fileno()).st_size):
                return None
            for name, entry in mapping(parse_json(stream.read(length))).items():
                if name.rpartition(".")[2] == _NAME and entry["dtype"] == "BOOL" and len(entry["shape"]) == 2:
                    start, end = entry["data_offsets"]
                    if not 0 <= start <= end <= start + _MOST_CELLS:
                        return None
                    stream.seek(8 + length + start)
                    data = np.frombuffer(stream.read(end - start), dtype=np.bool_)
                    return data.reshape(entry["shape"]) if len(data) == math.prod(entry["shape"]) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return None
    return None
