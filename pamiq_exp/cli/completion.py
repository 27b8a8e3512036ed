"""`python -m pamiq_exp completion bash|zsh|fish`: a script that lets the shell complete commands, choices and keys.

The script asks `completion words -- WORD...` for each TAB. That reads file names for commands and choices; only keys
below a group need a config composed, and nothing ever needs torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise

from pamiq_exp.cli import command_names
from pamiq_exp.cli._catalogue import Entry, config_folders, groups
from pamiq_exp.cli.list import plural
from pamiq_exp.trust import PART_PACKAGES

USAGE = """\
python -m pamiq_exp completion bash|zsh|fish

prints what makes a shell complete commands, choices of config groups and config keys. Set it up once:
    bash    python -m pamiq_exp completion bash >> ~/.bashrc
    zsh     python -m pamiq_exp completion zsh >> ~/.zshrc      (after compinit)
    fish    python -m pamiq_exp completion fish > ~/.config/fish/completions/pamiq_exp.fish
"""

FLAGS = {
    "--allow": "let configs name classes of your own package",
    "--cfg": "print the config as composed: --cfg job",
    "--config-dir": "add your own configs",
    "--config-name": "another primary config",
    "--help": "all groups and options",
    "--info": "which file chose which: --info defaults-tree",
    "--multirun": "run a sweep",
    "--no-dry-run": "skip the dry run",
    "--online": "let W&B upload records of other people's configs",
    "--version": "print the version",
}

Found = Iterator[tuple[str, str]]

_BASH = """\
_pamiq_exp() {
    local line=${COMP_LINE:0:COMP_POINT} words program skip=1
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    program=("${words[0]}")
    if [[ ${words[0]##*/} == python* ]]; then
        [[ ${words[1]} == -m && ${words[2]} == pamiq_exp ]] || return
        program=("${words[0]}" -m pamiq_exp) skip=3
    fi
    local current=${words[-1]} IFS=$'\\n'
    COMPREPLY=($("${program[@]}" completion words -- "${words[@]:skip}" 2> /dev/null))
    # Readline takes what follows the last = for the word.
    [[ $current == *=* && $COMP_WORDBREAKS == *=* ]] && COMPREPLY=("${COMPREPLY[@]#"${current%"${current##*=}"}"}")
}
complete -o nospace -o default -F _pamiq_exp pamiq_exp
for _pamiq_exp_python in python python3; do
    complete -p $_pamiq_exp_python &> /dev/null || complete -o nospace -o default -F _pamiq_exp $_pamiq_exp_python
done
unset _pamiq_exp_python
"""

_ZSH = """\
_pamiq_exp() {
    local -a program found
    local skip=2
    program=("${words[1]}")
    if [[ ${words[1]:t} == python* ]]; then
        if [[ ${words[2]} != -m || ${words[3]} != pamiq_exp ]]; then
            (( $+functions[_python] )) && _python || _files
            return
        fi
        program=("${words[1]}" -m pamiq_exp) skip=4
    fi
    found=("${(@f)$("${program[@]}" completion words -- "${(@)words[skip,CURRENT]}" 2> /dev/null)}")
    if [[ -n $found ]]; then
        compadd -S '' -a found
    else
        _files
    fi
}
compdef _pamiq_exp pamiq_exp python python3
"""

_FISH = """\
function __pamiq_exp_words
    set -l words (commandline -opc) (commandline -ct)
    if string match -q '*python*' -- (basename $words[1])
        $words[1] -m pamiq_exp completion words --described -- $words[4..-1] 2> /dev/null
    else
        $words[1] completion words --described -- $words[2..-1] 2> /dev/null
    end
end
function __pamiq_exp_by_python
    set -l words (commandline -opc)
    test (count $words) -ge 3; and test "$words[2]" = -m; and test "$words[3]" = pamiq_exp
end
complete -c pamiq_exp -a '(__pamiq_exp_words)'
complete -c python -n __pamiq_exp_by_python -a '(__pamiq_exp_words)'
complete -c python3 -n __pamiq_exp_by_python -a '(__pamiq_exp_words)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def main(words: Sequence[str]) -> int:
    """Print a script, or what a command line can go on with. Returns 0, or 2 for another request."""
    if words and words[0] in SCRIPTS:
        print(SCRIPTS[words[0]], end="")
        return 0
    if words and words[0] == "words" and "--" in words:
        start = list(words).index("--") + 1
        for word, description in candidates(words[start:]):
            print(f"{word}\t{description}" if "--described" in words[:start] and description else word)
        return 0
    print(USAGE, end="", file=sys.stdout if list(words) == ["--help"] else sys.stderr)
    return 0 if list(words) == ["--help"] else 2


def candidates(words: Sequence[str]) -> list[tuple[str, str]]:
    """Return what the last of some words could become, each with a description; nothing where a file is wanted.

    Args:
        words: What was typed after the name of the program, the last one perhaps not to its end.
    """
    *before, typed = words or [""]
    if before and before[-1] in ("-o", "--output", "--config-dir", "-cd", "--allow", "--config-name", "-cn"):
        return []
    command = before[0] if before and before[0] in command_names() else None
    offers: Mapping[str | None, Callable[[], Found]] = {
        None: partial(_for_run, before, typed),
        "run": partial(_for_run, before[1:], typed),
        "check": partial(_for_run, before[1:], typed),
        "resume": partial(_for_resume, before[1:], typed),
        "list": partial(_for_list, before[1:]),
        "completion": lambda: ((shell, "") for shell in SCRIPTS),
    }
    found = offers[command]() if command in offers else iter(())
    # A name that would steer the terminal, or end the line, is not offered.
    return [(word, description) for word, description in found if word.startswith(typed) and word.isprintable()]


def _for_run(before: Sequence[str], typed: str) -> Found:
    if typed.startswith("-"):
        yield from FLAGS.items()
        return
    if not before and "=" not in typed:
        yield from ((name, "") for name in command_names())
    yield from _overrides(before, typed)


def _for_resume(before: Sequence[str], typed: str) -> Found:
    if before and "=" not in before[-1]:
        yield from (("resume.checkpoint=", "resume from this one"), ("resume.partial=true", "new parts start anew"))
    if before:
        yield from _overrides(before[1:], typed)


def _for_list(before: Sequence[str]) -> Found:
    if not before:
        yield from ((name, "") for name in sorted({*map(plural, groups(config_folders())), *PART_PACKAGES}))


def _overrides(before: Sequence[str], typed: str) -> Found:
    own = _config_dir(before)
    found = groups(config_folders(own))
    plus = "+" * (len(typed) - len(typed.lstrip("+")))
    key, equals, value = typed[len(plus) :].partition("=")
    if equals:
        yield from _options(plus + key, value, found.get(key, ()))
        return
    matching = [group for group in found if group.startswith(key) and "/" not in group]
    yield from ((f"{plus}{group}=", f"{len(found[group])} choices") for group in matching)
    if "." in key or not matching:
        yield from ((plus + name, "") for name in _keys(before, key, own))


def _options(key: str, value: str, options: Sequence[Entry]) -> Found:
    """The choices of a group; of a list for a sweep those of its last item."""
    head = value[: value.rfind(",") + 1]
    yield from ((f"{key}={head}{option.name}", option.description) for option in options)


def _keys(before: Sequence[str], key: str, own: str | None) -> list[str]:
    """The config keys beside the one being typed, in the config that the other words make."""
    from omegaconf import OmegaConf

    from pamiq_exp.config import ConfigError, Source, compose_config

    with suppress(ConfigError):
        chosen = [word for word in before if "=" in word and not word.startswith("-")]
        tree = OmegaConf.to_container(compose_config(chosen, Source(folder=own)), resolve=False, throw_on_missing=False)
        above, dot, _ = key.rpartition(".")
        node: object = tree
        for name in above.split(".") if above else ():
            node = node.get(name) if isinstance(node, dict) else None
        if isinstance(node, dict):
            names = [str(name) for name in node if above or name != "hydra"]
            return [f"{above}{dot}{name}{'.' if isinstance(node[name], dict) else '='}" for name in names]
    return []


def _config_dir(words: Sequence[str]) -> str | None:
    for flag, value in pairwise(words):
        if flag in ("--config-dir", "-cd"):
            return value
    return next((word.partition("=")[2] for word in words if word.startswith("--config-dir=")), None)
