"""Why a stage is over: its epochs, the patience, or an AMI that is level."""

import json

import pytest

from tests.runs import eager
from trainers.paper import archive, notes, reported
from trainers.static_shapes import StaticShapes
from trainers.training import command
from trainers.training.loop import Run
from trainers.training.state import Position

HEADER = "epoch,stage,val_ami\n"


def run(log, level=3, **at):
    config = StaticShapes.configured(recipe="paper", level_epochs=level, patience=5)
    text = HEADER + "".join(f"{n},{row}\n" for n, row in enumerate(log))
    return Run(config, None, at=Position(**at), log=text)


@pytest.mark.parametrize(
    "log, at, why",
    [
        (["1,0.5", "1,0.4", "1,0.409", "1,0.4"], {"epoch": 4}, "level"),
        (["1,0.4", "1,0.409", "1,0.45"], {"epoch": 3}, None),  # it rises
        (["1,0.4", "1,0.4"], {"epoch": 2}, None),  # too few
        (["1,0.4", "1,0.4", "1,0.4", "2,0.4"], {"stage": 1, "epoch": 1}, None),
        (["1,", "1,", "1,"], {"epoch": 3}, None),  # without labels
        (["1,0.4"], {"epoch": 1, "waited": 5}, "patience"),
        (["1,0.4"], {"epoch": 9}, "epochs"),
    ],
)
def test_why_a_stage_is_over(log, at, why):
    assert run(log, **at).over(9) == why


def test_without_the_flag_no_ami_ends_it():
    assert run(["1,0.4"] * 30, level=0, epoch=30).over(500) is None


def test_a_run_ends_when_its_score_is_level(tmp_path):
    """At a rate of 1e-6 the AMI does not move: two epochs of the four."""
    line = (
        "--recipe quick --model n-em --steps 2 --train-size 16 --validation-size 8 "
        "--test-size 8 --batch-size 8 --epoch-updates 1 --learning-rates 1e-6 "
        f"--epochs 4 --out {tmp_path / 'run'}"
    ).split()
    line += ["--resume", "auto", "--level-epochs", "2"]
    with eager():
        assert command.main(StaticShapes, "", line) == 0
    found = json.loads((tmp_path / "run" / "results.json").read_text())
    assert found["ended"] == "level" and found["updates"] == 2


def test_tables_say_so(tmp_path):
    kept = archive.Archive(tmp_path / "results", tmp_path / "runs")
    score = reported.PARTS["static_shapes"][0]
    folder = kept.kept("paper", score.training, 0)
    folder.mkdir(parents=True)
    (folder / "results.json").write_text('{"ended": "level"}')
    said = notes.not_run(kept, (score,))
    assert said.endswith(f"Ended when AMI was level: `paper`, {score.label}.")
    (folder / "results.json").write_text('{"ended": "patience"}')
    assert "level" not in notes.not_run(kept, (score,))
