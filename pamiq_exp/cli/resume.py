"""`python -m pamiq_exp resume RUN [key=value ...]`: go on with a run from its newest checkpoint.

The config is composed again from what the run has kept, as it was typed then, with what is typed now on top: values and
choices of groups. What is refused leaves the run as it was.

Two keys belong to this command alone: `resume.checkpoint=step_000012000` goes on from an earlier checkpoint, and
`resume.partial=true` lets parts that the checkpoint does not hold start anew.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from pamiq_exp.config import ConfigError
from pamiq_exp.jobs.paths import typed_path
from pamiq_exp.jobs.request import print_error, read_request
from pamiq_exp.jobs.resume import resume_run

USAGE = "python -m pamiq_exp resume RUN [key=value ...]"


def main(words: Sequence[str]) -> int:
    """Resume the run in the folder RUN with its own config. Returns the exit status."""
    if words[:1] in (["-h"], ["--help"]):
        print((__doc__ or "").partition("\n\n")[2], end="")
        return 0
    if not words or words[0].startswith("-") or not os.path.isdir(typed_path(words[0])):
        named = f"{words[0]} is no run folder" if words else "which run?"
        print(f"{named}\n    {USAGE}, where RUN is a folder such as outputs/NAME/DATE", file=sys.stderr)
        return 2
    try:
        request = read_request(words[1:])
        return resume_run(typed_path(words[0]).absolute(), request.overrides, request)
    except ConfigError as error:
        print_error(error, heading="this run cannot be resumed")
        return 2
