"""trainers.reproduce: every part of the paper at tiny sizes, its tables and figures."""

import itertools
import json
import os
import pathlib
import shutil
import subprocess
import threading

import matplotlib.figure
import numpy as np
import pytest

from nem_tf import plots, scores
from tests import runs
from trainers import evaluate, experiments, reproduce
from trainers.paper import (
    archive,
    figures,
    learning,
    make_preset,
    notes,
    reported,
    tables,
)
from trainers.training import command, machine

TINY = (
    "--epochs 1 --epoch-updates 2 --steps 2 --batch-size 4 --validation-size 4 "
    "--test-size 4 --network narrow --features 32"
)


@pytest.fixture(autouse=True, scope="module")
def _eager():
    with runs.eager():
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("reproduce")


def run(place, what, *flags, more=""):
    folders = {"out": "results", "runs": "runs", "document": "RESULTS.md"}
    line = [
        word
        for key, name in folders.items()
        for word in (f"--{key}", f"{place / name}")
    ]
    extra = ["--", *f"{TINY} {more}".split()]
    return reproduce.main([what, *line, *flags, *extra])


def child(self, line, *_):
    """What is trained and evaluated needs no process of its own."""
    name, *flags = line
    if name == "trainers.evaluate":
        with runs.undrawn():
            assert evaluate.main(flags) == 0
    else:  # its pictures are kept
        experiment = experiments.find(name.removeprefix("trainers."))
        assert command.main(experiment, "x", flags) == 0


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr(reproduce.Reproduction, "_child", child)


@pytest.fixture
def but_for_the_first(monkeypatch):
    """All but the first are trained in this process."""
    original, begun = reproduce.Reproduction._child, []

    def first(self, *line):
        begun.append(line)
        (original if len(begun) == 1 else child)(self, *line)

    monkeypatch.setattr(reproduce.Reproduction, "_child", first)


def test_static_shapes_are_trained_once_and_written_into_the_document(
    place, capfd, but_for_the_first
):
    (place / "RESULTS.md").write_text("# Mine\n\nAbove.\n")
    flags = ("--only", "rnn-em-k3", "--seeds", "2")
    assert run(place, "static_shapes", *flags) == 0
    text = (place / "RESULTS.md").read_text()
    assert text.startswith("# Mine\n\nAbove.\n")
    heads, _, row, *spare = [line for line in text.splitlines() if line[:2] == "| "]
    assert [line[2:29] for line in spare] == [
        f"RNN-EM, K = 3; tested K = {components}" for components in (5, 8)
    ]
    measured = dict(zip(*(line.split(" | ") for line in (heads, row)), strict=True))
    assert measured["| what"] == "| RNN-EM, K = 3" and measured["n"] == "2"
    assert "±" in measured["AMI"] and measured["the paper's"] == "0.826 ± 0.005"
    assert "Test clips: 4 (generated)." in text
    assert "\nNot run: `paper`, RNN-EM, K = 4; N-EM, K = 3 (the paper 0.475" in text
    assert "--seeds 2 --only rnn-em-k3" in text and "--epochs 1" in text
    assert "![Validation AMI" in text and "\n[Figure 3: " in text
    figures = {path.name for path in (place / "results" / "figures").iterdir()}
    assert figures == {"figure3.png", "time_to_score-static_shapes.png"}
    capfd.readouterr()
    assert run(place, "static_shapes", *flags) == 0
    assert "2 runs with paper settings, 2 of them kept in" in capfd.readouterr().err
    assert (place / "RESULTS.md").read_text() == text


def test_a_mean_is_that_of_the_results(place):
    kept = archive.Archive(place / "results", place / "runs")
    for file in (place / "results").rglob("*.json"):
        assert str(place) not in file.read_text()  # no path of a machine is kept
    cell = reported.PARTS["static_shapes"][0]
    values = [
        one["test"]["ami"]["last"] for one in kept.results("paper", cell).values()
    ]
    assert len(values) == 2
    row = f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
    assert row in (place / "RESULTS.md").read_text()
    losses = [
        min(kept.log("paper", cell.training, seed)["val_loss"]) for seed in (0, 1)
    ]
    assert kept.best_seed("paper", cell.training) == int(np.argmin(losses))


def test_a_kept_run_is_scored_again(place, in_this_process):
    kept = archive.Archive(place / "results", place / "runs")
    training = reported.PARTS["static_shapes"][0].training
    before = kept.read_run("paper", training, 0)
    (kept.kept("paper", training, 0) / "results.json").write_text('{"seconds": 0}')
    flags = ("--only", "rnn-em-k3", "--seeds", "1", "--rescore")
    assert run(place, "static_shapes", *flags) == 0
    after = kept.read_run("paper", training, 0)
    for key, value in before["test"]["ami"].items():
        assert after["test"]["ami"][key] == pytest.approx(value, abs=1e-6)
    assert after["seconds"] == before["seconds"]
    assert "scored_by" in after


def test_scoring_again_loses_nothing(tmp_path, monkeypatch, capsys):
    """Each test is replaced when it is there, once, and kept where no model is.

    What the same code has scored stays.
    """
    config = reproduce.Config(
        recipe="ours",
        seeds=2,
        only="staged",
        rescore=True,
        out=tmp_path / "results",
        runs=tmp_path / "runs",
    )
    again = reproduce.Reproduction(config, ("flying_mnist", "figure7"))
    names = ("results", "objects3-components3", "static-steps50")
    for seed in (0, 1):
        folder = again.archive.kept("ours", reported.STAGED, seed)
        folder.mkdir(parents=True)
        for name in names:
            (folder / f"{name}.json").write_text("{}")
    run = again.archive.run("ours", reported.STAGED, 0)  # seed 1 has no model
    run.mkdir(parents=True)
    (run / "model.keras").touch()
    (run / "results.json").write_text('{"test": {"clips": 7}}')
    lines = []

    def child(line, *_):
        lines.append(line)
        if "--out" in line:
            out = pathlib.Path(line[line.index("--out") + 1])
            out.mkdir(parents=True, exist_ok=True)
            (out / "results.json").write_text('{"scored_by": "this"}')

    monkeypatch.setattr(again, "_child", child)
    monkeypatch.setattr(again.archive, "keep", lambda *_: None)
    monkeypatch.setattr(machine, "commit", lambda: "this")
    again._make_all()
    assert len(lines) == 3 and all("--clips" in line for line in lines)
    for seed, text in ((0, '{"scored_by": "this"}'), (1, "{}")):
        for name in names[1:]:
            file = again.archive.kept("ours", reported.STAGED, seed) / f"{name}.json"
            assert file.read_text() == text
    said = capsys.readouterr().err
    assert "no model.keras, so not scored as trained" in said
    again._make_all()
    assert len(lines) == 4  # only what `keep` would have kept
    monkeypatch.setattr(machine, "commit", lambda: "this+")
    again._make_all()
    assert len(lines) == 7


def test_the_commit_is_that_of_the_code(tmp_path, monkeypatch):
    (tmp_path / "trainers" / "training").mkdir(parents=True)
    code, other = (
        tmp_path / "trainers" / "training" / "machine.py",
        tmp_path / "RESULTS.md",
    )
    code.touch()
    monkeypatch.setattr(machine, "__file__", str(code))
    assert machine.commit() is None

    def git(*words):
        who = ("-c", "user.name=A", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True)

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "none of this code")
    assert machine.commit() is None
    git("add", ".")
    git("commit", "-q", "-m", "code")
    first = machine.commit()
    assert len(first) == 12
    other.touch()
    git("add", ".")
    assert machine.commit() == first
    git("commit", "-q", "-m", "results")
    assert machine.commit() == first
    code.write_text("changed")
    assert machine.commit() == first + "+"


def test_a_run_that_has_not_ended_has_a_curve_and_no_row(place, tmp_path):
    shutil.copytree(place / "results", tmp_path / "results")
    kept = archive.Archive(tmp_path / "results", tmp_path / "runs")
    training = reported.PARTS["static_shapes"][0].training
    (kept.kept("paper", training, 1) / "results.json").unlink()
    assert kept.seeds("paper", training) == [0]
    assert kept.begun("paper", training) == [0, 1]
    drawn = {}

    def curves(series, *_, **__):
        drawn.update(series)
        return matplotlib.figure.Figure()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "curves", curves)
        figures.draw(kept, ("static_shapes",))
    assert list(drawn) == ["RNN-EM, K = 3 (n = 2, not all ended)"]


def test_of_several_stages_the_last_one_says_which_seed_is_best(tmp_path):
    kept = archive.Archive(tmp_path / "results", tmp_path / "runs")
    logs = {0: "stage,val_loss\n1,1\n2,8\n", 1: "stage,val_loss\n1,5\n2,7\n2,9\n"}
    for seed, log in logs.items():
        folder = kept.kept("paper", reported.STAGED, seed)
        folder.mkdir(parents=True)
        (folder / "log.csv").write_text(log)
        (folder / "results.json").write_text("{}")
    assert kept.best_seed("paper", reported.STAGED) == 1


def test_the_best_seed_becomes_a_preset(place, capsys, monkeypatch):
    line = [str(place / "mine"), "paper/static_shapes/rnn-em-k3", "--clips", "8"]
    folders = ["--out", str(place / "results"), "--runs", str(place / "runs")]
    assert make_preset.main([*line, *folders]) == 0
    card = (place / "mine" / "README.md").read_text()
    about = json.loads((place / "mine" / "model.json").read_text())["training"]
    assert f"{about['results']['test']['ami']['last']:.3f}" in card
    assert "8 test clips" in card and "0, 1" in card
    assert make_preset.main(["x", "paper/static_shapes/rnn-em-k4", *folders]) == 2
    assert "no run of it" in capsys.readouterr().err

    def without_data(*_):
        raise RuntimeError("digits: MNIST is not here")

    monkeypatch.setattr(make_preset.evaluate, "Evaluation", without_data)
    assert make_preset.main([*line, *folders]) == 1
    assert "MNIST is not here" in capsys.readouterr().err
    assert (place / "mine" / "README.md").read_text() == card


@pytest.mark.slow
def test_sequences_are_scored_under_other_settings(place, in_this_process):
    flags = ("--only", "staged", "--seeds", "1", "--preset", "quick")
    more = "--stages 20 --digits sklearn-digits"
    assert run(place, "flying_mnist", *flags, more=more) == 0
    text = (place / "RESULTS.md").read_text()
    quick = [
        line for line in text.splitlines() if "`quick`" in line and "| staged" in line
    ]
    assert len(quick) == 3 and all(line.split(" | ")[2] == "1" for line in quick)
    folder = place / "results" / "quick" / "flying_mnist" / "staged" / "seed0"
    still = json.loads((folder / "static-steps50.json").read_text())
    assert still["settings"]["static"] and len(still["test"]["ami"]["per_step"]) == 50
    assert run(place, "figure7", *flags, more=more) == 0
    assert "figure7-quick.png" in (place / "RESULTS.md").read_text()
    assert (place / "results" / "figures" / "figure7-quick.gif").stat().st_size > 1000


def test_a_folder_of_ones_own_has_everything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ours = reproduce.Config()
    assert str(ours.document) == "RESULTS.md"
    assert str(ours.runs) == "runs/reproduce"
    assert reproduce.main(["figure5", "--tables-only", "--out", "mine/all"]) == 0
    assert not pathlib.Path("RESULTS.md").exists()
    assert (
        "Not run: `paper`, all rows" in pathlib.Path("mine/all/RESULTS.md").read_text()
    )
    assert reproduce.Config(out=pathlib.Path("mine")).runs == pathlib.Path("mine/runs")


@pytest.mark.parametrize("part", reported.PARTS)
def test_a_part_without_a_run_says_so(part, tmp_path):
    kept = archive.Archive(tmp_path / "results", tmp_path / "runs")
    text = tables.section(kept, part)
    assert text.startswith("Not run: ") and "\n" not in text
    for score in reported.PARTS[part]:
        if score.paper:
            number = "{} (the paper {:.3f} ± {:.3f})".format(score.label, *score.paper)
            assert text.count(number) == len(
                {"paper", "ours"} & {*score.training.recipes}
            )


def test_what_has_not_ended_is_told_from_what_was_not_run(tmp_path):
    kept = archive.Archive(tmp_path / "results", tmp_path / "runs")
    scores = {score.label: score for score in reported.PARTS["static_shapes"]}
    first, second = scores["RNN-EM, K = 3"], scores["RNN-EM, K = 4"]
    folder = kept.kept("paper", first.training, 0)
    folder.mkdir(parents=True)
    (folder / "log.csv").touch()
    line = notes.not_run(kept, (first, second))
    label = f"{first.label} (the paper 0.826 ± 0.005)"
    missing = f"`paper`, {second.label}. `ours`, {label}"
    assert line == f"Not run: {missing}. Not ended: `paper`, {label}."


def test_the_last_stage_has_the_curve_and_passes_the_score(tmp_path):
    kept = archive.Archive(tmp_path / "results", tmp_path / "runs")
    cell = next(
        x for x in reported.PARTS["flying_mnist"] if x.training.name == "staged"
    )
    for seed in (0, 1):
        folder = kept.kept("ours", cell.training, seed)
        folder.mkdir(parents=True)
        (folder / "results.json").write_text("{}")
        (folder / "log.csv").write_text(
            "stage,seconds,val_ami\n1,60,0.99\n2,120,0.95\n2,180,0.96\n3,240,0.9\n"
            f"3,{300 + 60 * seed},0.92\n"
        )
        (folder / "config.json").write_text('{"device": "CPU", "machine": "A, 1 core"}')
    (curve,) = learning.curves(kept, "flying_mnist")
    name = "recipe ours: staged, 2 digits, last stage (n = 2, 1 core)"
    assert curve.name(with_recipe=True, with_machine=True) == name
    assert (curve.minutes == [4, 5.5]).all() and (curve.ami[0] == [0.9, 0.92]).all()
    assert notes.passed(kept, "ours", cell) == "5.0–6.0"
    (folder / "config.json").write_text('{"device": "GPU B", "machine": "C, 9 cores"}')
    assert notes.passed(kept, "ours", cell) == "5.0 (A, 1 core), 6.0 (GPU B)"
    groups = kept.by_machine("ours", cell.training, [0, 1])
    assert groups == {"A, 1 core": [0], "GPU B": [1]}
    (folder / "log.csv").write_text("stage,seconds,val_ami\n2,60,0.99\n3,90,0.91\n")
    assert notes.passed(kept, "ours", cell) == "5.0 (1 of 2 seeds)"


def test_a_figure_has_four_curves_at_most():
    score = reported.TABLE1[0]
    none = np.zeros(1)

    def curve(recipe, ended):
        return learning.Curve(recipe, score, "A", 1, ended, none, (none, none, none))

    ours, quick, begun = curve("ours", 1), curve("quick", 1), curve("paper", 0)
    assert learning.few([begun, ours, quick]) == [begun, ours, quick]
    assert learning.few([begun, *[ours] * 3, quick]) == [begun, *[ours] * 3]
    assert learning.few([begun, *[ours] * 5, quick]) == [ours] * 4


def test_machines_have_short_names():
    names = ("AMD EPYC, 2 cores", "Intel(R) Xeon(R) Processor, 1 core", "NVIDIA H200")
    assert [notes.short(name) for name in names] == ["2 cores", "1 core", "H200"]


def test_figure5_has_a_column_per_number_of_objects(tmp_path):
    kept = archive.Archive(tmp_path / "results", tmp_path / "runs")
    cell = reported.PARTS["figure5"][0]
    folder = kept.kept("paper", cell.training, 0)
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(
        json.dumps({"test": {"next_step_bound": 12.5}})
    )
    (row,) = tables._bounds(kept, reported.PARTS["figure5"])
    assert row["task"] == "denoising, K = 1" and row["recipe"] == "`paper`"
    assert (row["n"], row["1 object"], row["2 objects"]) == ("1", "12.5", "")
    table = tables._table([row])
    assert "1 object |" in table and "2 objects" not in table  # an empty column


def test_only_one_object_for_five_is_trained_otherwise():
    other = set()
    for score in itertools.chain(*reported.PARTS.values()):
        training = score.training
        kind = experiments.find(training.experiment)
        for recipe in training.recipes:
            flags = training.flags(recipe)
            if flags != training.settings:
                other.add((training.name, recipe))
                kind.configured(recipe=recipe, **flags)
    names = "objects1-k5", "static-objects1-k5"
    assert other == set(itertools.product(names, ("ours", "quick")))


def test_a_failing_run_stops_those_beside_it(tmp_path, monkeypatch, capfd):
    """Two at a time: the first fails at once, the third never begins."""
    begun = []

    def train(self, training, seed, alone=True):
        begun.append(seed)
        if seed == 0:
            raise reproduce.ChildFailed("no")
        assert self.running.wait(30)

    def stop(self):
        self.running.set()

    monkeypatch.setattr(reproduce.Reproduction, "running", threading.Event(), False)
    monkeypatch.setattr(reproduce.Reproduction, "_train", train)
    monkeypatch.setattr(reproduce.Reproduction, "stop", stop)
    line = ["static_shapes", "--only", "rnn-em-k3", "--seeds", "9", "--at-once", "2"]
    assert reproduce.main([*line, "--out", str(tmp_path / "results")]) == 1
    assert len(begun) < 5 and "trainers.reproduce: no" in capfd.readouterr().err


def test_runs_side_by_side_have_cores_of_their_own(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 5, 6, 7, 8})
    assert reproduce.shares_of_cores(2) == [{4, 5}, {6, 7}]
    assert reproduce.shares_of_cores(1) == [{4, 5, 6, 7, 8}]
    assert reproduce.shares_of_cores(9) == [{4, 5, 6, 7, 8}] * 9
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert reproduce.shares_of_cores(3) == [{0}, {1}, {2}]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("table2", "invalid choice: 'table2'"),
        ("static_shapes --only rnn-em-k3,rnn", "rnn-em-k3, rnn-em-k4, received rnn"),
        ("static_shapes --seeds 0", "seeds: expected at least 1, received 0"),
        ("static_shapes -- --epochs 1", "out: results is for the recipes alone"),
        (
            "static_shapes --out x --runs runs/reproduce -- --epochs 1",
            "runs: runs/reproduce is for the",
        ),
    ],
)
def test_mistakes_end_in_one_line(capsys, line, message):
    try:
        status = reproduce.main(line.split())
    except SystemExit as stopped:
        status = stopped.code
    error = capsys.readouterr().err
    assert status == 2 and message in error and error.count("\n") == 1


def test_a_table_has_the_commands_that_made_its_seeds():
    trainings = [cell.training for cell in reported.PARTS["table1"] if not cell.test]
    few, *rest = trainings
    commands = notes.lines_of(
        "table1 --recipe ours", {few: [0, 1, 2], **{one: [0] for one in rest}}, " -- -x"
    )
    line = "python -m trainers.reproduce table1 --recipe ours --seeds "
    assert commands == [f"{line}1 -- -x", f"{line}3 --only {few.name} -- -x"]
    (command,) = notes.lines_of("x", {few: [0]}, "", some=True)
    assert command == f"python -m trainers.reproduce x --seeds 1 --only {few.name}"


def test_each_row_shows_its_own_seeds(tmp_path):
    """Rows of one training, of which one was tested with a seed more."""
    moving, three, static = reported.PARTS["starts"]
    results = pathlib.Path(__file__).parents[1] / "results"
    kept = archive.Archive(results, tmp_path)
    text = tables.section(kept, "starts")
    for cell, count in ((moving, 2), (three, 2), (static, 3)):
        assert len(kept.results("ours", cell)) == count
        assert f"| {cell.label} | `ours` | {count} |" in text
    assert "Seeds of" not in text
    both = f"{moving.label}; {three.label}"
    assert f"Not scored (`ours`): seed 2 of {both}." in text


def test_a_row_has_the_seeds_of_those_it_is_compared_with(tmp_path):
    results = pathlib.Path(__file__).parents[1] / "results"
    kept = archive.Archive(results, tmp_path)
    usual, dim, *_ = reported.PARTS["readings"]
    assert len(kept.results("ours", usual)) == 3  # seeds of the training
    assert usual.results(kept, "ours").keys() == dim.results(kept, "ours").keys()
    row = next(iter(tables._scores(kept, [usual])))
    assert (row["n"], row["AMI"]) == ("1", "0.937")


def test_a_deviation_is_never_written_as_zero():
    spread = [tables.spread(archive.sample(x)) for x in ([0.5], [0.5, 0.5002])]
    assert spread == ["0.500", "0.500 ± <0.0005"]
    assert tables.spread(archive.sample([0.5, 0.502])) == "0.501 ± 0.001"


def test_seeds_that_do_not_begin_at_zero_are_named(tmp_path):
    source = pathlib.Path(__file__).parents[1] / "results" / "ours" / "static_shapes"
    target = tmp_path / "ours" / "static_shapes"
    for seed in (1, 2):
        name = f"rnn-em-k3/seed{seed}"
        shutil.copytree(source / name, target / name)
    text = tables.section(archive.Archive(tmp_path, tmp_path), "static_shapes")
    assert "Seeds of RNN-EM, K = 3 (`ours`): 1, 2." in text
    assert "| RNN-EM, K = 3 | `ours` | 2 |" in text


def test_the_document_shows_what_is_kept(tmp_path):
    """RESULTS.md is what the command writes, below-paper scores included."""
    root = pathlib.Path(__file__).parents[1]
    written = (root / "RESULTS.md").read_text()
    kept = archive.Archive(root / "results", tmp_path)
    assert f"\n{tables.summary(kept)}\n" in written
    for part in reported.PARTS:
        table = tables.section(kept, part).split("\n\n")[0]
        assert table.startswith("| ") and f"\n{table}\n" in written
    bold = [line for line in written.splitlines() if "| 5 objects, K = 3 |" in line]
    assert bold and not any("**" in line for line in bold)


def test_components_are_put_into_the_order_of_the_objects(rng):
    groups = rng.integers(0, 4, (2, 6, 7))
    shuffled = np.array([3, 0, 4, 1, 2])  # component k has object shuffled[k] + 1
    gamma = np.zeros((2, 5, 6, 7, 1))
    for k, thing in enumerate(shuffled):
        gamma[:, k, ..., 0] = groups == thing + 1
    order = scores.order_of_objects(groups, gamma)
    assert shuffled[order].tolist()[:3] == [0, 1, 2] and sorted(order) == [
        0,
        1,
        2,
        3,
        4,
    ]
