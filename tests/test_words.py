"""Words that have a plainer equivalent stay out of code, configs and pages."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.conftest import REPOSITORY

INSTEAD = {
    r"foresee\w*|foresaw|foretell\w*|foretold": "predict",
    r"somebody|anybody|whoever": "a user, someone, anyone who",
    r"nobody": "no one, never, unpredictable",
    r"in vain": "failed",
    r"lanes?": "num_envs, environments",
    r"mend(s|ed|ing)?": "fix, correct, repair",
    r"remed(y|ies)": "hint",
    r"stares?|stared|staring": "dwell time",
    r"for ever": "indefinitely",
    r"lineage": "legacy",
    r"rehears\w*": "dry run",
    r"not to be had": "not available",
    r"stands? for nothing": "matches nothing",
    r"goes free|stuck late|spreads late": "the measured effect with its interval",
}
OLD_NAMES = {"pamiq_exp/config/renamed.py", "tests/config/test_renamed.py", "tests/test_words.py"}
"""Files with former names."""

PLACES = (
    "pamiq_exp",
    "hydra_plugins",
    "conf",
    "docs",
    "experiments",
    "tests",
    *(path.name for path in REPOSITORY.glob("*.md")),
)
FILES = sorted(
    path
    for place in PLACES
    for path in ([REPOSITORY / place] if place.endswith(".md") else (REPOSITORY / place).rglob("*"))
    if path.suffix in (".py", ".yaml", ".md") and str(path.relative_to(REPOSITORY)) not in OLD_NAMES
)


def words_in(text: str, pattern: str) -> Iterator[tuple[int, str]]:
    """Yield `(line, word)`, also for words within an identifier and for phrases that continue on the next line."""
    for match in re.finditer(rf"(?<![a-z])(?:{pattern})(?![a-z])".replace(" ", r"[\s#]+"), text, re.IGNORECASE):
        yield text.count("\n", 0, match.start()) + 1, match[0]


def test_words_with_a_plainer_equivalent_are_not_used() -> None:
    found = []
    for path in FILES:
        text = path.read_text()
        for pattern, instead in INSTEAD.items():
            words = [*words_in(text, pattern), *((0, word) for _, word in words_in(path.stem, pattern))]
            found += [f"{path.relative_to(REPOSITORY)}:{line}: {word!r}, write {instead!r}" for line, word in words]
    assert not found, "\n".join(found)


def test_words_in_finds_identifiers_and_broken_phrases() -> None:
    assert list(words_in("def was_foreseen():\n    # it waits for\n    # ever", "foresee\\w*|for ever")) == [
        (1, "foreseen"),
        (2, "for\n    # ever"),
    ]
    assert not list(words_in("for every step", "for ever"))
