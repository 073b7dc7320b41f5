"""Bad flags end in one line and exit status 2; most before TensorFlow is imported."""

import dataclasses
import json
import subprocess
import sys

import h5py
import pytest

from trainers import (
    command_line,
    config_file,
    flying_mnist,
    flying_shapes,
    options,
    reproduce,
    static_shapes,
)

TRAINERS = (static_shapes, flying_shapes, flying_mnist)
EXPERIMENTS = (
    static_shapes.StaticShapes,
    flying_shapes.FlyingShapes,
    flying_mnist.FlyingMNIST,
)

BAD = [
    ("flying_mnist", ["--digits", "emnist"], "digits: expected auto or mnist"),
    ("flying_mnist", ["--digit-size", "21"], "digit_size: expected at most 20"),
    ("flying_mnist", ["--stages", "500,20"], "put the smallest stage first"),
    ("flying_mnist", ["--stages", "20,20"], "put the smallest stage first"),
    ("flying_mnist", ["--stages", ","], "--stages: expected numbers between commas"),
    ("flying_mnist", ["--stages", "20;500"], "--stages: expected a number"),
    ("flying_mnist", ["--stages", "0,20"], "stages: expected at least 1, received 0"),
    ("flying_mnist", ["--epochs", "1,2"], "expected one for all stages or one per"),
    ("flying_mnist", ["--learning-rates", "1,1"], "expected one for all stages or"),
    ("flying_shapes", ["--components", "0"], "components: expected at least 1"),
    ("flying_shapes", ["--objects", "0"], "objects: expected at least 1"),
    ("flying_shapes", ["--noise", "2"], "noise: expected at most 1.0, received 2.0"),
    ("flying_shapes", ["--noise", "nan"], "noise: expected at least 0.0, received nan"),
    ("flying_shapes", ["--steps", "x"], "--steps: expected a number, received 'x'"),
    ("flying_shapes", ["--preset", "best"], "preset: expected paper or ours or quick"),
    ("flying_shapes", ["--data", "no.h5"], "data: no such file, no.h5"),
    ("flying_shapes", ["--data", "x.h5", "--static"], "static: expected none with"),
    ("flying_mnist", ["--data", "x.h5", "--digits", "mnist"], "digits: expected none"),
    ("flying_mnist", ["--data", "x.h5", "--stages", "20"], "stages: expected none"),
    ("flying_shapes", ["--batch-size", "64", "--train-size", "9"], "batch_size: exp"),
    ("flying_shapes", ["--nois", "0.1"], "unrecognized arguments: --nois"),
    ("static_shapes", ["--model", "em"], "model: expected rnn-em or n-em"),
    ("static_shapes", ["--model", "n-em", "--network", "small"], "network: expected"),
    ("static_shapes", ["--model", "n-em", "--features", "9"], "features: expected 0"),
    ("static_shapes", ["--model", "n-em", "--reads", "pixels"], "reads: expected err"),
    ("flying_shapes", ["--floor", "-1"], "floor: expected at least 0"),
    ("static_shapes", ["--inter-weight", "-1"], "inter_weight: expected at least 0"),
    ("flying_shapes", ["--precision", "int8"], "precision: expected float32 or tf32"),
    ("flying_shapes", ["--compile", "yes"], "compile: expected auto or on or off"),
    ("flying_shapes", ["--lanes", "5"], "lanes: expected a divisor of batch_size (32)"),
]


@pytest.mark.parametrize(("trainer", "flags", "message"), BAD)
def test_bad_flags(trainer, flags, message, capsys):
    module = {module.__name__.split(".")[-1]: module for module in TRAINERS}[trainer]
    with pytest.raises(SystemExit) as stop:
        command_line.parse(
            module.Config, module.PRESETS, trainer, module.__doc__, flags
        )
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("flags", [["--help"], ["--noise", "2"]])
@pytest.mark.parametrize("trainer", TRAINERS)
def test_answers_before_tensorflow_is_imported(trainer, flags):
    code = (
        "import sys, runpy\n"
        "try:\n"
        f"    sys.argv = ['x', *{flags}]\n"
        f"    runpy.run_module('{trainer.__name__}', run_name='__main__')\n"
        "finally:\n"
        "    assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == (0 if flags == ["--help"] else 2), done.stderr


def test_a_used_folder_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    flags = ["-m", "trainers.flying_shapes", "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, *flags], capture_output=True, text=True)
    assert done.returncode == 2
    assert "is not empty; choose a new folder" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("preset", ["paper", "ours", "quick"])
def test_presets_are_valid_and_flags_win(experiment, preset):
    flags = ["--preset", preset, "--seed", "7", "--steps", "3"]
    name = experiment.name
    config = command_line.parse(experiment.Config, experiment.presets, name, "x", flags)
    assert (config.preset, config.seed, config.steps) == (preset, 7, 3)
    for setting, value in experiment.presets[preset].items():
        if setting != "steps":
            assert getattr(config, setting) == value


def test_without_a_preset_the_best_settings_are_taken():
    for experiment in EXPERIMENTS:
        config = command_line.parse(
            experiment.Config, experiment.presets, experiment.name, "x", []
        )
        ours = command_line.parse(
            experiment.Config, experiment.presets, experiment.name, "x",
            ["--preset", "ours"],
        )  # fmt: skip
        assert config == ours and config.preset == "ours"


def test_a_preset_leaves_n_em_its_own_network():
    def parse(*more):
        flags = ["--model", "n-em", *more]
        return command_line.parse(
            static_shapes.Config, static_shapes.PRESETS, "static_shapes", "x", flags
        )

    assert parse().network == "paper" and parse().loss_steps == "all"


@pytest.mark.parametrize(
    ("stages", "epochs"),
    [("1,2", (4, 20)), ("50000", (20,)), ("1,2,3,4", (3, 3, 4, 20))],
)
def test_a_preset_fits_any_number_of_stages(stages, epochs):
    def parse(*more):
        flags = ["--preset", "ours", "--stages", stages, *more]
        return command_line.parse(
            flying_mnist.Config, flying_mnist.PRESETS, "flying_mnist", "x", flags
        )

    config = parse()
    assert config.epochs == epochs
    assert len(config.per_stage("learning_rates")) == len(epochs)
    assert parse("--epochs", "7").epochs == (7,)


def test_recorded_clips_are_trained_on_in_one_stage(tmp_path):
    file = tmp_path / "clips.h5"
    with h5py.File(file, "w"):
        pass
    config = command_line.parse(
        flying_mnist.Config,
        flying_mnist.PRESETS,
        "flying_mnist",
        flying_mnist.__doc__,
        ["--data", str(file)],
    )
    assert config.stage_count == 1
    assert config.epochs == flying_mnist.PRESETS["ours"]["epochs"][-1:]


def test_a_resumed_run_goes_on_as_it_began(tmp_path):
    began = flying_shapes.Config(
        steps=7, lanes=2, save_minutes=1.0, unroll=True, strategy="mirrored"
    )
    content = {"experiment": "flying_shapes", "settings": config_file.as_json(began)}
    (tmp_path / "config.json").write_text(json.dumps(content))

    def resumed(*flags):
        return command_line.parse(
            flying_shapes.Config,
            flying_shapes.PRESETS,
            "flying_shapes",
            flying_shapes.__doc__,
            ["--resume", str(tmp_path), *flags],
        )

    again = resumed("--lanes", "4")
    assert (again.steps, again.save_minutes, again.unroll) == (7, 1.0, True)
    assert again.lanes == 4 and resumed().lanes == 2
    assert again.strategy == "auto"  # there may be other devices now


def test_a_flag_that_a_preset_sets_can_be_left_out(capsys):
    kind = flying_mnist.FlyingMNIST

    def parsed(*line):
        return command_line.parse(kind.Config, kind.presets, kind.name, "x", line)

    assert parsed().keep_floor and parsed("--preset", "paper").keep_floor is False
    assert parsed("--no-keep-floor").keep_floor is False
    assert parsed("--preset", "paper", "--keep-floor").keep_floor is True
    for value in (True, False):
        assert parsed(*reproduce.as_flags({"keep_floor": value})).keep_floor is value
        cell = kind(parsed(*reproduce.as_flags({"keep_floor": value}))).cell()
        assert cell.keep_floor is value and cell.floor == 0.1
    n_em = static_shapes.StaticShapes(
        static_shapes.Config(model="n-em", floor=0.1, keep_floor=True)
    )
    assert n_em.cell().keep_floor
    with pytest.raises(SystemExit):
        parsed("--help")
    assert "off; on in ours" in " ".join(capsys.readouterr().out.split())


def test_help_names_every_flag_with_its_reason(capsys):
    for experiment in EXPERIMENTS:
        with pytest.raises(SystemExit):
            command_line.parse(
                experiment.Config, experiment.presets, experiment.name, "x", ["--help"]
            )
        text = " ".join(capsys.readouterr().out.split())
        for field in dataclasses.fields(experiment.Config):
            assert "--" + field.name.replace("_", "-") in text
            assert field.metadata["reason"].split("(")[0][:30] in text


def test_the_originals_learning_rates():
    assert flying_mnist.Config().learning_rates == (0.001, 0.0005, 0.0005)
    assert flying_mnist.Config(stages=(50_000,)).learning_rates == (0.0005,)


def test_paths_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "clips.h5").write_bytes(options.HDF5)
    experiment = static_shapes.StaticShapes
    line = ["--out=~/run", "--data=~/clips.h5"]
    config = command_line.parse(
        experiment.Config, experiment.presets, experiment.name, "x", line
    )
    assert config.out == tmp_path / "run" and config.data == tmp_path / "clips.h5"
