"""Third-party suites of environments, tried through the adapter: `python -m tests.environments.suites [FOLDER]`.

With a FOLDER, each suite is installed into a virtual environment there, which sees what is installed here, and tried in
it. Without one, the suites that are installed here are tried. Prints the table of docs/guides/environments.md.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

TURNS = 20
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Suite:
    """Some environments of a package.

    Attributes:
        package: Name under which it is installed.
        module: The module that registers the environments; None for those that are found without it.
        ids: What is tried.
        options: Further arguments of the adapter.
        refused: Part of the message if its environments are refused on purpose.
    """

    package: str
    module: str | None
    ids: tuple[str, ...]
    options: dict[str, Any] | None = None
    refused: str = ""


SUITES = (
    Suite("minigrid", None, ("MiniGrid-Empty-5x5-v0", "BabyAI-GoToRedBall-v0")),
    Suite("ale-py", None, ("ALE/Pong-v5", "ALE/MontezumaRevenge-v5")),
    Suite("vizdoom", None, ("VizdoomBasic-v1", "VizdoomMyWayHome-v1")),
    Suite("miniworld", None, ("MiniWorld-Hallway-v0",)),
    Suite("highway-env", "highway_env", ("highway-v0", "merge-v0", "parking-v0", "racetrack-v0")),
    Suite("flappy-bird-gymnasium", "flappy_bird_gymnasium", ("FlappyBird-v0",)),
    Suite("popgym", "popgym", ("popgym-PositionOnlyCartPoleEasy-v0", "popgym-RepeatFirstEasy-v0")),
    Suite("gymnasium-robotics", "gymnasium_robotics", ("PointMaze_UMaze-v3", "PointMaze_Medium-v3")),
    Suite("mo-gymnasium", "mo_gymnasium", ("deep-sea-treasure-v0", "resource-gathering-v0"), refused="LinearReward"),
    Suite("gym-anytrading", "gym_anytrading", ("forex-v0", "stocks-v0")),
    Suite("gym-pusht", "gym_pusht", ("gym_pusht/PushT-v0",)),
)


def try_one(suite: Suite, environment_id: str) -> None:
    """Act in an environment for a while. Raises what the adapter or the environment raises."""
    import numpy as np

    from pamiq_exp.environments import GymnasiumEnvironment
    from pamiq_exp.interaction import RandomActions
    from pamiq_exp.spaces import describe_action
    from pamiq_exp.trust import trusting

    with trusting([suite.module] if suite.module is not None else []):
        environment = GymnasiumEnvironment(environment_id, num_envs=2, **suite.options or {})
    actions = RandomActions(describe_action(environment.action_space), 2, seed=0)
    environment.setup()
    try:
        for _ in range(TURNS):
            environment.affect(actions.draw())
            for name, values in environment.observe().values.items():
                assert np.isfinite(values.astype(np.float64)).all(), name
            environment.ground_truth()
        environment.state()
    finally:
        environment.teardown()


def row(suite: Suite) -> str:
    """Try a suite and return its row of the table."""
    try:
        found = version(suite.package)
    except PackageNotFoundError:
        return f"| {suite.package} | | not installed |"
    results = []
    for environment_id in suite.ids:
        try:
            try_one(suite, environment_id)
            results.append(f"`{environment_id}` runs")
        except Exception as error:
            message = " ".join(str(error).split())
            outcome = "is refused, with what to do" if suite.refused and suite.refused in message else message[:300]
            results.append(f"`{environment_id}` {outcome}")
    typed = f"`--allow {suite.module}`" if suite.module is not None else "nothing more"
    return f"| {suite.package} {found} | {typed} | {'; '.join(results)} |"


def _install(suite: Suite, folder: Path) -> Path:
    """Make a virtual environment that sees what is installed here, and install a suite into it."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    purelib = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    paths = [str(REPOSITORY), sysconfig.get_path("purelib"), *(each for each in sys.path if "site-packages" in each)]
    Path(purelib.strip(), "here.pth").write_text("\n".join(dict.fromkeys(paths)), encoding="utf-8")
    subprocess.run([python, "-m", "pip", "install", "-q", suite.package], check=False)
    return python


def main(words: list[str]) -> None:
    """Print the table."""
    if words[:1] == ["--one"]:
        print(row(next(each for each in SUITES if each.package == words[1])))
        return
    print("| package | typed besides `environment.id=...` | tried |\n|---|---|---|")
    for suite in SUITES:
        python = _install(suite, Path(words[0]) / suite.package) if words else Path(sys.executable)
        command = [python, "-m", "tests.environments.suites", "--one", suite.package]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
        print(lines[-1] if lines else f"| {suite.package} | | {done.stderr.strip()[-300:]} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
