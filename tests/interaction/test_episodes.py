"""Playing whole episodes: which are counted, in which environment, and episodes that never end."""

from __future__ import annotations

import numpy as np
import pytest

from pamiq_exp.interaction import EndlessEpisodeError, EpisodePlayer, Interaction, play_steps
from tests.agents.worlds import ClockWorld
from tests.interaction.worlds import Counter, Diary


def player(world: ClockWorld | Diary, most_turns: int = 50) -> EpisodePlayer:
    return EpisodePlayer(Interaction(Counter(world.num_envs), world), most_turns)


def test_episode_player_plays_an_equal_share_in_each_environment() -> None:
    # Episode k of an environment that ends at every multiple of n shows the steps (k-1)n+1 ... kn, the first also 0.
    played = player(ClockWorld((4, 6))).play(4)
    pays = lambda first, last: float(sum(range(first, last)))  # noqa: E731 - the transition out of step t pays t
    assert played.returns.tolist() == [pays(0, 4), pays(5, 8), pays(0, 6), pays(7, 12)]
    assert played.lengths.tolist() == [4, 3, 6, 5]


def test_episode_player_plays_episode_counts_not_divisible_by_num_envs() -> None:
    assert len(player(ClockWorld((4, 6, 5))).play(7).returns) == 7
    assert len(player(ClockWorld((4, 6, 5))).play(1).returns) == 1


def test_episode_player_skips_episodes_already_in_progress() -> None:
    each = player(ClockWorld((4, 6)))
    each.play(2)  # ends with step 6: environment 0 is in the middle of its second episode, which ends at 8
    played = each.play(2)
    assert played.returns.tolist() == [float(sum(range(9, 12))), float(sum(range(7, 12)))]


def test_episode_player_continues_identically_after_a_restore() -> None:
    one, other = player(ClockWorld((4, 6))), player(ClockWorld((4, 6)))
    one.play(2)
    counter, restored = (next(iter(each.interaction.observers.values())) for each in (one, other))
    world = other.interaction.environment
    assert isinstance(world, ClockWorld)
    world.now = one.interaction.environment.now  # type: ignore[attr-defined]
    restored.load_state(counter.state())
    assert np.array_equal(one.play(3).returns, other.play(3).returns)


def test_episode_player_raises_an_error_if_no_episode_ends() -> None:
    with pytest.raises(EndlessEpisodeError, match="no episode has ended within 50 turns"):
        player(Diary(2)).play(1)
    assert player(Diary(2, episode=49)).play(4).lengths.tolist() == [49] * 4


def test_episode_player_refuses_zero_episodes() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        player(Diary(episode=3)).play(0)


def test_play_steps_rounds_up_to_whole_turns_and_counts_each_reward_once() -> None:
    world = ClockWorld((1000, 1000))
    played = play_steps(Interaction(Counter(2), world), 5)
    assert played.steps == 6
    assert played.reward == pytest.approx((0 + 1 + 2) / 3)  # the transition out of step t pays t
    assert played.metrics == {}
    with pytest.raises(ValueError, match="at least 1"):
        play_steps(Interaction(Counter(2), world), 0)
