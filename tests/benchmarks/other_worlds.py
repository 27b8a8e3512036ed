"""The noise world beside MiniWorld and VizDoom: frames per CPU-second at 64 x 64, taken in turn."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pamiq_exp.environments import GymnasiumEnvironment, NoiseWorld
from pamiq_exp.interaction import Environment
from pamiq_exp.spaces import describe_spaces
from tests.benchmarks.table import Row

SECONDS = 1.0
ROUNDS = 5

MINIWORLD = "MiniWorld, four rooms"
DOOM = "VizDoom, my way home, 160 x 120 as it comes"
SMALL_DOOM = "VizDoom, my way home, 160 x 120 resized"
PACKAGES = {MINIWORLD: "miniworld", DOOM: "vizdoom", SMALL_DOOM: "vizdoom"}


def make(name: str, folder: Path) -> Environment:
    """Make one of the other worlds; Doom draws 160 x 120 pixels at least, for which it needs a file in `folder`."""
    if find_spec(PACKAGES[name]) is None:
        raise ValueError(f"the package {PACKAGES[name]} is not installed")
    if name == MINIWORLD:
        return GymnasiumEnvironment("MiniWorld-FourRooms-v0", kwargs={"obs_width": 64, "obs_height": 64})
    import vizdoom

    scenarios = Path(vizdoom.scenarios_path)
    shutil.copy(scenarios / "my_way_home.wad", folder)
    text = (scenarios / "my_way_home.cfg").read_text().replace("RES_320X240", "RES_160X120")
    settings = folder / "my_way_home.cfg"
    settings.write_text(f"{text}\ndoom_config_path = doom.ini\n")
    size = 64 if name == SMALL_DOOM else None
    return GymnasiumEnvironment("VizdoomMyWayHome-v1", kwargs={"scenario_config_file": str(settings)}, image_size=size)


def cpu_seconds() -> float:
    """Processor time of this process and its children, such as the engine of Doom (Linux)."""
    total = time.process_time()
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def turns(world: Environment) -> Callable[[], int]:
    """Return a function that takes random steps for a while and returns the number of frames."""
    world.setup()
    space = describe_spaces(world.observation_space, world.action_space, world.num_envs)["action"]
    generator = np.random.default_rng(0)

    def run() -> int:
        actions = generator.integers(0, space["nvec"], (10_000, world.num_envs, len(space["nvec"])))
        end = time.perf_counter() + SECONDS
        for count, action in enumerate(actions):
            world.observe()
            world.affect(action)
            if time.perf_counter() > end:
                return (count + 1) * world.num_envs
        return len(actions) * world.num_envs

    run()
    return run


def speeds(programs: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Frames a CPU-second of several programs, measured in turn: the median of several rounds."""
    found: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, run in programs.items():
            begin = cpu_seconds()
            frames = run()
            found[name].append(frames / (cpu_seconds() - begin))
    return {name: sorted(values)[ROUNDS // 2] for name, values in found.items()}


def rows() -> list[Row]:
    """The rows; a world that is not available on this machine is left out, with a message."""
    ours = {"1 environment": NoiseWorld(start="random"), "16 environments": NoiseWorld(start="random", num_envs=16)}
    worlds: dict[str, Environment] = {**ours}
    with TemporaryDirectory() as folder:
        for name in PACKAGES:
            try:
                worlds[name] = make(name, Path(folder))
            except ValueError as error:
                print(f"left out: {name}: {error}")
        measured = speeds({name: turns(world) for name, world in worlds.items()})
        for world in worlds.values():
            world.teardown()
    return [
        Row(
            f"frames per CPU-second of the noise world, 64 x 64, {num_envs} / of {name}",
            measured[num_envs] / measured[name],
            ">= 1",
            detail=f"{measured[num_envs]:,.0f} and {measured[name]:,.0f}",
        )
        for name in PACKAGES
        if name in measured
        for num_envs in ours
    ]
