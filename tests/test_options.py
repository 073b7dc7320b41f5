"""Bad flags end in one line and exit status 2; most before TensorFlow is imported."""

import json
import subprocess
import sys

import h5py
import pytest

from trainers import (
    experiments,
    flying_mnist,
    flying_shapes,
    static_shapes,
)
from trainers.training import command, command_line, config_file, settings
from trainers.training.option import as_flags
from trainers.training.recording import HDF5

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
    ("flying_shapes", ["--preset", "best"], "recipe: expected ours or paper or quick"),
    ("flying_shapes", ["--data", "no.h5"], "data: no such file, no.h5"),
    ("flying_shapes", ["--data", "x.h5", "--static"], "static: expected none with"),
    ("flying_mnist", ["--data", "x.h5", "--digits", "mnist"], "digits: expected none"),
    ("flying_mnist", ["--data", "x.h5", "--stages", "20"], "stages: expected none"),
    ("flying_shapes", ["--batch-size", "64", "--train-size", "9"], "batch_size: exp"),
    ("flying_shapes", ["--nois", "0.1"], "unrecognized arguments: --nois"),
    ("flying_shapes", ["--floor", "-1"], "floor: expected at least 0"),
    ("static_shapes", ["--inter-weight", "-1"], "inter_weight: expected at least 0"),
    ("flying_shapes", ["--precision", "int8"], "precision: expected float32 or tf32"),
    ("flying_shapes", ["--compile", "yes"], "compile: expected auto or on or off"),
    ("flying_shapes", ["--lanes", "5"], "lanes: expected a divisor of batch_size (32)"),
]


@pytest.mark.parametrize(("trainer", "flags", "message"), BAD)
def test_bad_flags(trainer, flags, message, capsys):
    with pytest.raises(SystemExit) as stop:
        command_line.parse(experiments.find(trainer), "x", flags)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


N_EM = {"model": "n-em", "network": "paper"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "em"}, "model: expected rnn-em or n-em or windows, received 'em'"),
        ({**N_EM, "network": "small"}, "network: expected paper with model n-em"),
        ({**N_EM, "features": 9}, "features: expected 0 with model n-em, received 9"),
        ({**N_EM, "reads": "pixels"}, "reads: expected error with model n-em"),
        ({"network": "big"}, "network: expected one of static_shapes, flying_shapes"),
    ],
)
def test_a_cell_refuses_what_it_does_not_take(given, message, tmp_path, capsys):
    experiment = static_shapes.StaticShapes
    with pytest.raises(ValueError, match=message):
        experiment(experiment.configured(**given)).cell()
    out = tmp_path / "run"
    line = as_flags({**given, "out": out})
    assert command.main(experiment, "x", line) == 2
    assert message in capsys.readouterr().err and not out.exists()


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
@pytest.mark.parametrize("recipe", ["paper", "ours", "quick"])
@pytest.mark.parametrize("flag", ["--recipe", "--preset"])
def test_recipes_are_valid_and_flags_win(experiment, recipe, flag):
    flags = [flag, recipe, "--seed", "7", "--steps", "3"]
    found = command_line.parse(experiment, "x", flags).flat()
    assert (found["recipe"], found["seed"], found["steps"]) == (recipe, 7, 3)
    for setting, value in experiment.recipes[recipe].items():
        if setting != "steps":
            assert found[setting] == value


def test_without_a_recipe_the_best_settings_are_taken():
    for experiment in EXPERIMENTS:
        config = command_line.parse(experiment, "x", [])
        ours = command_line.parse(experiment, "x", ["--recipe", "ours"])
        assert config == ours and config.run.recipe == "ours"


def test_a_recipe_leaves_n_em_its_own_network():
    def parse(*more):
        flags = ["--model", "n-em", *more]
        return command_line.parse(static_shapes.StaticShapes, "x", flags)

    assert parse().network.network == "paper" and parse().loss.loss_steps == "all"
    assert parse("--network", "places").network.network == "places"


@pytest.mark.parametrize(
    ("stages", "epochs"),
    [("1,2", (4, 20)), ("50000", (20,)), ("1,2,3,4", (3, 3, 4, 20))],
)
def test_a_recipe_fits_any_number_of_stages(stages, epochs):
    def parse(*more):
        flags = ["--recipe", "ours", "--stages", stages, *more]
        return command_line.parse(flying_mnist.FlyingMNIST, "x", flags)

    config = parse()
    assert config.training.epochs == epochs
    assert len(config.per_stage("learning_rates")) == len(epochs)
    assert parse("--epochs", "7").training.epochs == (7,)


def test_recorded_clips_are_trained_on_in_one_stage(tmp_path):
    file = tmp_path / "clips.h5"
    with h5py.File(file, "w"):
        pass
    config = command_line.parse(flying_mnist.FlyingMNIST, "x", ["--data", str(file)])
    assert config.clips.stage_count == 1
    assert config.training.epochs == flying_mnist.RECIPES["ours"]["epochs"][-1:]


def test_a_resumed_run_goes_on_as_it_began(tmp_path):
    began = flying_shapes.FlyingShapes.configured(
        steps=7, lanes=2, save_minutes=1.0, unroll=True, strategy="mirrored"
    )
    content = {"experiment": "flying_shapes", "settings": config_file.as_json(began)}
    (tmp_path / "config.json").write_text(json.dumps(content))

    def resumed(*flags):
        line = ["--resume", str(tmp_path), *flags]
        return command_line.parse(flying_shapes.FlyingShapes, "x", line)

    again, run = resumed("--lanes", "4"), resumed("--lanes", "4").run
    assert (again.clips.steps, run.save_minutes, run.unroll) == (7, 1.0, True)
    assert run.lanes == 4 and resumed().run.lanes == 2
    assert run.strategy == "auto"  # there may be other devices now


def test_a_flag_that_a_recipe_sets_can_be_left_out(capsys):
    kind = flying_mnist.FlyingMNIST

    def parsed(*line):
        return command_line.parse(kind, "x", line)

    def kept(*line):
        return parsed(*line).cell.keep_floor

    assert kept() and kept("--recipe", "paper") is False
    assert kept("--no-keep-floor") is False
    assert kept("--recipe", "paper", "--keep-floor") is True
    for value in (True, False):
        assert kept(*as_flags({"keep_floor": value})) is value
        cell = kind(parsed(*as_flags({"keep_floor": value}))).cell()
        assert cell.keep_floor is value and cell.floor == 0.1
    static = static_shapes.StaticShapes
    n_em = static(static.configured(model="n-em", floor=0.1, keep_floor=True))
    assert n_em.cell().keep_floor and n_em.cell().floor == 0.1
    with pytest.raises(SystemExit):
        parsed("--help")
    assert "off; on in ours" in " ".join(capsys.readouterr().out.split())


def test_help_names_every_flag_with_its_reason(capsys):
    for experiment in EXPERIMENTS:
        with pytest.raises(SystemExit):
            command_line.parse(experiment, "x", ["--help"])
        text = " ".join(capsys.readouterr().out.split())
        for field in settings.fields_of(experiment.Settings).values():
            assert "--" + field.name.replace("_", "-") in text
            assert field.metadata["reason"].split("(")[0][:30] in text


def test_the_originals_learning_rates():
    def rates(**given):
        found = flying_mnist.FlyingMNIST.configured(**given)
        return found.training.learning_rates

    assert rates() == (0.001, 0.0005, 0.0005)
    assert rates(stages=(20, 50_000)) == (0.0005, 0.0005)
    assert rates(stages=(1, 2, 3, 4)) == (0.001, 0.001, 0.0005, 0.0005)
    assert rates(stages=(50_000,)) == (0.0005,)


def test_paths_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "clips.h5").write_bytes(HDF5)
    experiment = static_shapes.StaticShapes
    line = ["--out=~/run", "--data=~/clips.h5"]
    config = command_line.parse(experiment, "x", line)
    assert config.run.out == tmp_path / "run"
    assert config.clips.data == tmp_path / "clips.h5"
