"""Runs on a Ray cluster: records, checkpoints, and lost processes and machines."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pamiq_exp.interaction import Interaction
from pamiq_exp.ray_cluster import ClusterError
from pamiq_exp.run_folder import list_checkpoints
from pamiq_exp.runtime import CheckpointConfig, CheckpointError, LaunchConfig, RunHandle
from pamiq_exp.runtime.checkpoints import read_checkpoint
from pamiq_exp.runtime.cluster.actor_site import ActorSite
from pamiq_exp.runtime.cluster.blueprint import versions
from pamiq_exp.runtime.cluster.driver import on_cluster
from pamiq_exp.runtime.parts import Parts
from tests.runtime.cluster_parts import SmallBlueprint, launch_on_cluster

pytest.importorskip("ray", reason="Ray is not installed: pip install 'pamiq_exp[ray]'")


STORE_BYTES = 100_000_000


def records(folder: Path, source: str) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["source"] == source]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Afterwards no process and no shared memory of Ray is left."""
    before, memory = rays_children(), set(os.listdir("/dev/shm"))
    yield
    deadline = time.monotonic() + 10.0
    while (left := workers(before)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == {}
    assert {name for name in os.listdir("/dev/shm") if name.startswith("plasma")} <= memory


def workers(before: Mapping[int, str]) -> dict[int, str]:
    """What has begun since; a cluster that was there before keeps idle workers for a while, but none of ours."""
    left = {number: line for number, line in rays_children().items() if number not in before}
    return {number: line for number, line in left.items() if not before or ("ray::" in line and "IDLE" not in line)}


def rays_children() -> dict[int, str]:
    """The command lines of this process's descendants that belong to Ray, by number."""
    parents, lines = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            lines[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")

    def is_ours(number: int) -> bool:
        parent = parents.get(number, 0)
        return parent == os.getpid() or (parent > 1 and is_ours(parent))

    return {number: line for number, line in lines.items() if "ray" in line and is_ours(number)}


def test_cluster_actors_feed_a_learner_and_no_turn_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = LaunchConfig(learner="ray", cluster="local", actors=2, max_steps=400, record_every_steps=50)
    summary = launch_on_cluster(SmallBlueprint(config), folder)
    assert 400 <= float(summary["steps"]) < 800
    assert float(summary["model_version"]) > 1
    assert summary["restarts"] == 0
    assert summary["dropped"] == 0
    found = records(folder, "interaction")
    assert {record["actor"] for record in found} == {0, 1}
    assert all(record["staleness"] >= 0 for record in found)
    assert len({record["model_version"] for record in found}) > 1
    learned = records(folder, "linear")
    assert [record["training_step"] for record in learned] == [3 * index for index in range(1, len(learned) + 1)]
    (checkpoint,) = list_checkpoints(folder / "checkpoints")
    groups = read_checkpoint(checkpoint)
    steps = [groups["interaction"][f"environment.actors.{index}"]["runtime"]["steps"] for index in (0, 1)]
    assert sum(steps) == summary["steps"] == groups["runtime"]["steps"]
    added = [groups["buffers"][f"buffers.experience.users.{index}"]["count_added"] for index in (0, 1)]
    assert added == steps  # no turn was lost on its way


# --- what is lost


@pytest.fixture(scope="module")
def two_machines() -> Iterator[Any]:
    """A Ray cluster of two nodes on this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3, "object_store_memory": STORE_BYTES})
    cluster.add_node(num_cpus=3, object_store_memory=STORE_BYTES)
    yield cluster
    cluster.shutdown()


def ray_config(**settings: Any) -> LaunchConfig:
    return LaunchConfig(learner="ray", record_every_steps=50, **settings)


@contextmanager
def watching(action: Callable[[RunHandle], None], handle: RunHandle) -> Iterator[None]:
    """Run an action on a live run, on a separate thread."""
    thread = threading.Thread(target=action, args=(handle,))
    thread.start()
    yield
    thread.join()


def on(cluster: Any, **settings: Any) -> LaunchConfig:
    return ray_config(cluster=cluster.address, **settings)


@pytest.mark.slow
def test_cluster_restarts_an_actor_that_died_and_loses_no_turn_of_the_others(
    two_machines: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def die(name: str, step: int) -> None:
        if name == "actors.1" and step == 60:
            os.kill(os.getpid(), signal.SIGKILL)

    def of_the_second() -> int:
        return len([record for record in records(tmp_path / "run", "interaction") if record["actor"] == 1])

    def wait_for_its_return(handle: RunHandle) -> None:
        while not handle.status().get("restarts"):
            time.sleep(0.1)
        before = of_the_second()
        while of_the_second() <= before + 1:
            time.sleep(0.1)
        handle.stop()

    summary = launch_on_cluster(
        SmallBlueprint(on(two_machines, actors=2), hook=die),
        tmp_path / "run",
        watch=partial(watching, wait_for_its_return),
    )
    assert "the actor 1 has died: its process was killed or crashed" in caplog.text
    assert summary["restarts"] == 1
    (checkpoint,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    groups = read_checkpoint(checkpoint)
    first, again = (groups["interaction"][f"environment.actors.{index}"]["runtime"]["steps"] for index in (0, 1))
    assert first > 0
    assert again > 0
    buffers = groups["buffers"]
    assert buffers["buffers.experience.users.0"]["count_added"] == first
    arrived = buffers["buffers.experience.users.1"]["count_added"] - again
    counted = int(summary["steps"]) - first - again
    assert 0 < arrived <= counted <= 60


@pytest.mark.slow
def test_cluster_run_fails_if_the_learner_dies(two_machines: Any, tmp_path: Path) -> None:
    def die(number: int) -> None:
        if number == 30:
            os.kill(os.getpid(), signal.SIGKILL)

    config = on(two_machines, actors=2, checkpoint=CheckpointConfig(every_steps=50))
    with pytest.raises(RuntimeError) as raised:
        launch_on_cluster(SmallBlueprint(config, batch_hook=die), tmp_path / "run")
    assert re.match("the learner has died: its process was killed or crashed; .*: make buffers", str(raised.value))
    for checkpoint in list_checkpoints(tmp_path / "run" / "checkpoints"):
        read_checkpoint(checkpoint)
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["state"] == "failed"


@pytest.mark.slow
def test_cluster_run_continues_without_a_lost_machine(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": STORE_BYTES})
    leaving = cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)

    def leave(handle: RunHandle) -> None:
        while len({record["actor"] for record in records(tmp_path / "run", "interaction")}) < 2:
            time.sleep(0.1)
        cluster.remove_node(leaving, allow_graceful=False)
        while not handle.status().get("restarts"):
            time.sleep(0.1)
        steps = int(handle.status()["steps"] or 0)
        while int(handle.status()["steps"] or 0) < steps + 500:
            time.sleep(0.1)
        assert handle.save() is not None
        handle.stop()

    try:
        summary = launch_on_cluster(
            SmallBlueprint(on(cluster, actors=2)), tmp_path / "run", watch=partial(watching, leave)
        )
    finally:
        cluster.shutdown()
    assert summary["restarts"] == 1
    assert summary["state"] == "stopped"
    groups = read_checkpoint(list_checkpoints(tmp_path / "run" / "checkpoints")[-1])
    assert len([name for name in groups["interaction"] if name.startswith("environment.actors.")]) == 1


@pytest.mark.slow
def test_cluster_run_resumes_all_actors(two_machines: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    launch_on_cluster(SmallBlueprint(on(two_machines, actors=2, max_steps=200)), folder)
    (checkpoint,) = list_checkpoints(folder / "checkpoints")
    before = read_checkpoint(checkpoint)
    more = SmallBlueprint(on(two_machines, actors=2, max_steps=600))
    summary = launch_on_cluster(more, folder, resume_from=checkpoint)
    assert float(summary["steps"]) >= 600
    after = read_checkpoint(list_checkpoints(folder / "checkpoints")[-1])
    assert after["publication"]["version"] > before["publication"]["version"]
    for index in (0, 1):
        actor, user = f"environment.actors.{index}", f"buffers.experience.users.{index}"
        steps = after["interaction"][actor]["runtime"]["steps"]
        assert steps > before["interaction"][actor]["runtime"]["steps"]
        assert steps == after["interaction"][actor]["interaction"]["environment"]["step_number"]
        assert steps == after["buffers"][user]["count_added"]
    fewer = SmallBlueprint(on(two_machines, actors=1, max_steps=700))
    with pytest.raises(CheckpointError, match=r"environment.actors.1 is only in the checkpoint"):
        launch_on_cluster(fewer, folder, resume_from=list_checkpoints(folder / "checkpoints")[-1])


# --- what is refused


def test_cluster_refuses_an_address_where_nothing_answers() -> None:
    for address, words in (("127.0.0.1:1", "nothing answers at"), ("head", "no address"), ("ray://a:1", "no address")):
        with pytest.raises(ClusterError, match=words), on_cluster(SmallBlueprint(ray_config(cluster=address))):
            pass


def test_cluster_names_a_package_of_another_version() -> None:
    outcome, error, _ = ActorSite("actors.0", os.getcwd()).build(
        SmallBlueprint(ray_config()), versions() | {"torch": "1.0"}
    )
    assert outcome is None
    assert re.search(r"has torch [\d.]+ instead of 1.0: install the same versions", str(error))


def test_cluster_reports_an_environment_that_cannot_be_built() -> None:
    class Failing(SmallBlueprint):
        def build_actor(self, name: str) -> Parts:
            raise OSError("there is no display")

    _, error, trace = ActorSite("actors.0", os.getcwd()).build(Failing(ray_config()), versions())
    assert str(error) == "there is no display"
    assert "build_actor" in trace


@pytest.mark.slow
def test_cluster_names_a_model_that_cannot_be_sent(two_machines: Any, tmp_path: Path) -> None:
    class Sparse(SmallBlueprint):
        def _parts(self, interaction: Interaction) -> Parts:
            parts = super()._parts(interaction)
            model = parts.models["linear"]
            model.register_buffer("mask", model.mean.to_sparse())
            return parts

    with pytest.raises(TypeError, match=r"the model 'linear' .* 'mask' is a sparse_coo tensor"):
        launch_on_cluster(Sparse(on(two_machines, actors=1)), tmp_path / "run")


@pytest.mark.slow
def test_cluster_refuses_too_few_cpus(two_machines: Any, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="100 actors and the learner take 101 CPUs, and the cluster has 6"):
        launch_on_cluster(SmallBlueprint(on(two_machines, actors=100)), tmp_path / "run")


@pytest.mark.slow
def test_cluster_run_ends_on_an_exception_in_an_environment(two_machines: Any, tmp_path: Path) -> None:
    def fail(name: str, step: int) -> None:
        if name == "actors.1" and step == 20:
            raise ArithmeticError("the pole broke")

    with pytest.raises(ArithmeticError, match="the pole broke") as raised:
        launch_on_cluster(SmallBlueprint(on(two_machines, actors=2), hook=fail), tmp_path / "run")
    notes = " ".join(raised.value.__notes__)
    assert "(in environment)" in notes
    assert "(in the actor 1)" in notes


@pytest.mark.slow
def test_cluster_pauses_actors_and_learner_and_saves_meanwhile(two_machines: Any, tmp_path: Path) -> None:
    moments: list[tuple[float, float]] = []

    def act(handle: RunHandle) -> None:
        while int(handle.status()["model_version"] or 0) < 2:
            time.sleep(0.05)
        assert handle.pause()
        time.sleep(0.3)  # until what had happened before has been reported
        saved = handle.save()
        assert saved is not None
        groups = read_checkpoint(saved)
        steps = [groups["interaction"][f"environment.actors.{index}"]["runtime"]["steps"] for index in (0, 1)]
        added = [groups["buffers"][f"buffers.experience.users.{index}"]["count_added"] for index in (0, 1)]
        assert added == steps
        before = groups["trainers"]["trainers.linear"]["batches"]
        time.sleep(0.5)
        again = handle.save()
        assert again is not None
        later = read_checkpoint(again)
        moments.append((before, later["trainers"]["trainers.linear"]["batches"]))
        moments.append((sum(steps), later["runtime"]["steps"]))
        handle.resume()
        while float(handle.status()["steps"] or 0) <= sum(steps):
            time.sleep(0.05)
        handle.stop()

    config = on(two_machines, actors=2)
    launch_on_cluster(SmallBlueprint(config), tmp_path / "run", watch=partial(watching, act))
    assert [after for _, after in moments] == [before for before, _ in moments]
    assert len(moments) == 2
