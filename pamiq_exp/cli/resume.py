"""`python -m pamiq_exp resume RUN [key=value ...]`: resume a run from its newest checkpoint.

The config is composed again from what the run has kept, as it was typed then, with what is typed now on top: values and
choices of groups. What is refused leaves the run as it was.

Two keys belong to this command alone: `resume.checkpoint=step_000012000` resumes from an earlier checkpoint, and
`resume.partial=true` lets parts that the checkpoint does not hold start anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pamiq_exp.cli._arguments import command_parser, existing_run
from pamiq_exp.config import ConfigError
from pamiq_exp.jobs.request import print_error, read_request
from pamiq_exp.jobs.resume import resume_run


def main(words: Sequence[str]) -> int:
    """Resume the run in the folder RUN with its own config. Returns the exit status."""
    arguments, others = _parser().parse_known_args(words)
    try:
        request = read_request(others)
        return resume_run(arguments.run, request.overrides, request)
    except ConfigError as error:
        print_error(error, heading="this run cannot be resumed")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "resume",
        "Resume a run from its newest checkpoint.",
        usage="RUN [key=value ...] [--allow PACKAGE]",
        epilog=(__doc__ or "").partition("\n\n")[2],
    )
    parser.add_argument("run", type=existing_run, metavar="RUN", help="a run folder, such as outputs/NAME/DATE")
    return parser
