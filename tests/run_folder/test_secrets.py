"""No secret is ever written."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.run_folder import mask_secrets, mask_text, mask_yaml, note_secrets
from pamiq_exp.run_folder.secrets import MASK

MARKER = "marker-4711-secret"
ENVIRONMENT = {"WANDB_API_KEY": MARKER, "MY_TOKEN": "tok-12345678", "HOME": "/home/someone", "SHORT_KEY": "1"}

trees = st.recursive(
    st.one_of(st.just(MARKER), st.text(max_size=5), st.integers(), st.none(), st.just(f"https://{MARKER}@host")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=10,
)


@given(trees)
def test_mask_secrets_masks_a_secret_of_the_environment_anywhere(tree: object) -> None:
    assert MARKER not in json.dumps(mask_secrets(tree, ENVIRONMENT))


def test_secrets_values_under_secret_names_are_masked() -> None:
    keys = ("api_key", "apikey", "WANDB_API_KEY", "auth_token", "token", "db.password", "client_secret", "HF_TOKEN")
    for key in keys:
        assert mask_secrets({"a": [{key: "anything"}]}, {}) == {"a": [{key: MASK}]}
        typed = [f"tracking.x.{key}=anything", f"+{key}=a=b"]
        assert mask_secrets(typed, {}) == [f"tracking.x.{key}={MASK}", f"+{key}={MASK}"]


def test_mask_secrets_keeps_ordinary_keys_and_values() -> None:
    config = {
        "observation_key": "image",
        "token_dim": 64,
        "keyboard": "qwerty",
        "monkey": "yes",
        "tokenizer": "patches",
        "api_key": None,
        "steps": [1, 2.5, True, None],
        "home": "/home/someone",
        "num_envs": "1",
    }
    assert mask_secrets(config, ENVIRONMENT) == config


def test_mask_secrets_keeps_special_tokens_references_and_paths() -> None:
    cases = [
        ("pad_token", "<pad>"),
        ("eos_token", "</s>"),
        ("mask_token", "mask"),
        ("token", "[MASK]"),
        ("PAD_TOKEN", "<|pad|>"),
        ("private_key", "."),
        ("api_key", "${oc.env:WANDB_API_KEY}"),
        ("api_key", "/etc"),
    ]
    for key, value in cases:
        assert mask_secrets({key: value}, {}) == {key: value}
        assert mask_secrets([f"model.{key}={value}"], {}) == [f"model.{key}={value}"]


def test_mask_secrets_keeps_paths_and_plain_words_of_the_environment() -> None:
    cases = [
        ("SSH_KEY_DIR", "/tmp", "/tmp/outputs/run"),
        ("SSH_KEY_DIR", "/tmp/not/there", "/tmp/not/there/run"),
        ("TOKENIZERS_PARALLELISM", "false", "false"),
        ("KEYBOARD_LAYOUT", "japanese-kana", "japanese-kana"),
        ("DB_PASSWORD", "test", "test"),
        ("MAX_TOKENS", "4096", "4096"),
        ("MODEL_KEY", "resnet", "resnet"),
    ]
    for variable, value, text in cases:
        assert mask_secrets({"x": text}, {variable: value}) == {"x": text}, variable
        assert mask_text(f"in {text}", {variable: value}) == f"in {text}", variable


def test_mask_secrets_masks_credentials_of_the_environment() -> None:
    variables = ("OPENAI_API_KEY", "HF_TOKEN", "GITHUB_TOKEN_2", "aws_secret", "DB_PASSWORD", "APIKEYS")
    values = ("hunter2", "/hunter2+base64/4711", "sk-abcdefgh", "correcthorsebattery")
    for variable, value in itertools.product(variables, values):
        assert mask_secrets({"x": value}, {variable: value}) == {"x": MASK}, (variable, value)


def test_mask_secrets_leaves_the_original_unchanged() -> None:
    config = {"a": {"token": "abc"}}
    mask_secrets(config, {})
    assert config == {"a": {"token": "abc"}}


def test_mask_text_replaces_only_the_secrets() -> None:
    text = mask_text(f"login with {MARKER} failed for tok-12345678", ENVIRONMENT)
    assert text == f"login with {MASK} failed for {MASK}"


CONFIG_FILE = f"""\
# @package _global_
# About {MARKER}
models:
  one: {{api_key: abcdefgh, token_dim: 64}}
  two: {{password: "quoted one", url: https://{MARKER}@host}}
words: [my_token=abcd1234, seed=1]
value: ${{interpolated}}
"""


def test_mask_yaml_replaces_only_the_secrets() -> None:
    import yaml

    masked = mask_yaml(CONFIG_FILE, ENVIRONMENT)
    assert not [secret for secret in (MARKER, "abcdefgh", "quoted one", "abcd1234") if secret in masked]
    assert masked.startswith("# @package _global_\n")
    tree = yaml.safe_load(masked)
    assert tree["models"]["one"] == {"api_key": MASK, "token_dim": 64}
    assert tree["value"] == "${interpolated}"
    assert mask_yaml("a: 1  # nothing to hide\n", ENVIRONMENT) == "a: 1  # nothing to hide\n"


@pytest.mark.parametrize("text", ["a: [", "token: x\nother: box\n"])
def test_mask_yaml_drops_a_file_that_it_cannot_mask(text: str) -> None:
    assert mask_yaml(text, ENVIRONMENT).startswith("# this file was not kept")


def test_note_secrets_ignores_values_that_are_not_text() -> None:
    for value in (float("nan"), 3, None, [float("nan")], {"password": float("nan")}):
        note_secrets({"password": value, "core": value})
        assert mask_text("core 3 nan None") == "core 3 nan None", value
