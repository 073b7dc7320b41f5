"""trainers.evaluate --sweep: its scores, its picture, its files and its mistakes."""

import functools
import json

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from nem_tf import EStep, NEMCell, NEMLoss, NeuralEM, plots
from tests import layered
from trainers import evaluate
from trainers.evaluation import Config, Evaluation
from trainers.own_clips import OwnClips
from trainers.training import report, sweep
from trainers.training.trained import Trained

SCORES = ("ami", "ari", "purity", "next_step_bound", "used_components")


@pytest.fixture(scope="module")
def nem():
    """N-EM for shapes, with fresh weights."""
    nem = NeuralEM(NEMCell(7, (28, 28, 1), EStep("bernoulli"), 3), objects=3)
    nem.compile("adam", loss=NEMLoss("bernoulli"), run_eagerly=True)
    return nem


@pytest.fixture(scope="module")
def model(nem):
    """Such a model as if it had learned from two objects with K = 3."""
    values = {"objects": 2, "components": 3, "steps": 4, "noise": 0.1, "model": "n-em"}
    return Trained(nem, "static_shapes", values, "generated", None, {}, None)


def drawn(figure):
    """Numbers in the cells of each map, by its title, and the places of frames."""
    maps, frames = {}, []
    for panel in figure.axes:
        texts = [(*text.get_position()[::-1], text.get_text()) for text in panel.texts]
        maps[panel.get_title()] = [text for *_, text in sorted(texts)]
        frames += [p.get_xy() for p in panel.patches if isinstance(p, Rectangle)]
    return maps, frames


def test_heat_maps_have_the_numbers_in_their_cells():
    tables = {
        "AMI": [[np.nan, np.nan, np.nan], [0.0, 0.996, 0.51]],
        "nats": [[9.5, 12.25, 100.04], [1234.5, 0.126, -3.0]],
    }
    how = {"rows": [1, 2], "columns": [1, 2, 3]}
    how |= {"row_label": "objects", "column_label": "K"}
    limits = {"AMI": (0, 1)}
    figure = plots.heat_maps(tables, "title", **how, marked=(1, 2), limits=limits)
    maps, frames = drawn(figure)
    assert maps["AMI"] == ["–", "–", "–", "0.00", "1.00", "0.51"]
    assert maps["nats"] == ["9.50", "12.2", "100", "1234", "0.13", "-3.00"]
    assert frames == [(1.5, 0.5)] * 2
    assert [panel.get_xlabel() for panel in figure.axes] == ["K", "K"]
    assert figure.axes[0].get_ylabel() == "objects"
    levels = [panel.images[0].get_array() for panel in figure.axes]
    assert levels[0].mask[0].all() and levels[0][1, 2] == 0.51
    assert levels[1].min() == 0 and levels[1].max() == 1
    with pytest.raises(ValueError, match="AMI: expected shape .3, 3., received .2, 3"):
        plots.heat_maps(tables, "title", **{**how, "rows": [1, 2, 3]})
    with pytest.raises(ValueError, match="tables: expected at least one"):
        plots.heat_maps({}, "title", **how)


@pytest.fixture
def undrawn(monkeypatch):
    """No heat maps, half of the time of a small sweep."""
    monkeypatch.setattr(sweep, "draw", lambda *_, **__: None)


def scored(evaluation):
    """What a sweep should find, of one number of objects and one K."""
    test = evaluation.score()["test"]
    names = {"purity", "next_step_bound", "next_step_error", "used_components"}
    found = {name: test[name] for name in test.keys() & names}
    return found | {name: test[name]["last"] for name in ("ami", "ari")}


@pytest.mark.parametrize(
    ("how", "sizes"),
    [
        ({}, {"objects": (1, 3), "components": (2, 5)}),
        (
            {"starts": 2, "split": "validation"},
            {"objects": (3,), "components": (5,)},
        ),
    ],
    ids=["test", "validation"],
)
def test_a_cell_is_what_an_evaluation_of_it_finds(model, tmp_path, how, sizes, undrawn):
    swept = Evaluation(model, Config(sweep=True, clips=5, **how), steps=3)
    found = swept.sweep(tmp_path, **sizes)["sweep"]
    alone = Config(clips=5, **how)
    wanted = scored(Evaluation(model, alone, steps=3, objects=3, components=5))
    for name, value in wanted.items():
        assert found[name][-1][-1] == pytest.approx(value, abs=1e-5), name


def test_what_is_written(model, tmp_path):
    swept = Evaluation(model, Config(sweep=True, clips=4))
    result = swept.sweep(tmp_path, objects=(1, 2), components=(1, 3))
    assert {path.name for path in tmp_path.iterdir()} == set(evaluate.SWEEP_FILES)
    refuse = {"parse_constant": lambda name: pytest.fail(name)}
    written = json.loads((tmp_path / "results.json").read_text(), **refuse)
    found = written["sweep"]
    assert (found["objects"], found["components"]) == ([1, 2], [1, 3])
    assert found["clips"] == 4 and found["as_trained"] == [2, 3]
    assert "test" not in written and written["experiment"] == "static_shapes"
    settings = written["settings"]
    assert settings["steps"] == 4 and settings["noise"] == 0.1
    assert not {"objects", "components"} & settings.keys()
    for name in SCORES:
        assert np.shape(found[name]) == (2, 2)
    for name in ("ami", "ari"):  # a single object is compared with nothing
        assert found[name][0] == [None, None] and found[name][1][0] == 0
    assert found["purity"][0][0] == 1 and found["used_components"][0][0] == 1
    for read in (result, written):
        head, empty, title, columns, one, two, mark = report.of_sweep(read)
        assert "static: T = 4, noise 0.1, 4 test clips a cell" in head and not empty
        assert (title, columns.split()) == (
            "  AMI, last step",
            ["objects", "K", "=", "1", "3"],
        )
        assert one.split() == ["1", "none", "none"]
        assert two.split() == ["2", "0.000", f"{found['ami'][1][1]:.3f}*"]
        assert mark == "  * as in training"


def test_the_cell_of_the_training_is_framed(monkeypatch, tmp_path):
    figures = []

    def heat_maps(*given, **how):
        figures.append(plots.heat_maps(*given, **how))
        return figures[-1]

    monkeypatch.setattr(sweep, "plots", type("plots", (), {"heat_maps": heat_maps}))
    table = [[0.5, 0.25, 0.75]] * 2
    found = {"objects": [1, 2], "components": [1, 3, 5], "clips": 7}
    found |= {name: table for name in SCORES}
    for trained, frame in (([2, 3], [(0.5, 0.5)]), ([4, 3], []), ([None, 3], [])):
        sweep.draw({**found, "as_trained": trained}, "shapes", tmp_path)
        maps, frames = drawn(figures[-1])
        assert frames == frame * len(SCORES)
        assert [name.split(" (")[0] for name in maps] == [
            report.SWEPT[name] for name in SCORES
        ]
        title = figures[-1].get_suptitle()
        assert "7 clips a cell" in title and ("framed" in title) == bool(frame)


def test_how_many_clips_and_where_they_are_named(model, tmp_path):
    usual = Evaluation(model, Config(sweep=True))
    assert usual.settings.training.test_size == 100
    assert usual.out("shapes").parts[-2:] == ("shapes", "sweep")
    few = Evaluation(model, Config(sweep=True, clips=3), noise=0.0)
    assert few.out("shapes").name == "sweep-noise0.0-clips3"
    small = model._replace(settings={**model.settings, "test_size": 8})
    found = Evaluation(small._replace(folder=tmp_path), Config(sweep=True))
    assert found.settings.training.test_size == 8
    assert found.out("run") == tmp_path / "evaluate" / "sweep"
    own = Evaluation(small._replace(folder=tmp_path), Config(tmp_path, sweep=True))
    with pytest.raises(ValueError, match="out: expected another folder than the run's"):
        own.out("run")


def test_the_command(model, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(evaluate.trained, "load", lambda _: model)
    two = functools.partialmethod(Evaluation.sweep, objects=(2,), components=(1, 2))
    monkeypatch.setattr(Evaluation, "sweep", two)
    out = tmp_path / "out"
    line = ["static_shapes", "--sweep", "--clips", "3", "--out", str(out)]
    assert evaluate.main([*line, "--steps", "2", "--noise", "0"]) == 0
    said = capsys.readouterr().out
    assert "T = 2, noise 0, 3 test clips a cell" in said
    assert f"\n  in {out}: results.json, sweep.png\n" in said


@pytest.mark.parametrize("name", ["objects", "components"])
def test_one_number_and_all_of_them(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(["flying_shapes", "--sweep", f"--{name}", "4"])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{name}: expected none with --sweep, received 4; leave one" in line


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """An untrained model of layers, as if of clips of one's own, and their folder."""
    folder = tmp_path_factory.mktemp("own")
    frames, _, labels = layered.scene(steps=6)
    np.save(folder / "clips.npy", np.repeat(np.uint8(255 * frames)[None], 12, 0))
    np.save(folder / "labels.npy", np.repeat(labels[None].astype(np.uint8), 12, 0))
    nem = layered.model()
    nem.compile("adam", loss=NEMLoss(), run_eagerly=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEM_TF_CACHE", str(folder / "cache"))
        yield Trained(nem, OwnClips.name, {}, "unknown", None, {}, None), folder


def test_clips_that_are_what_they_are_have_one_row(own, tmp_path):
    model, folder = own
    data = {"data": str(folder / "clips.npy"), "axes": "clips-first"}
    data |= {"steps": 3, "size": (16, 20)}
    labels = {"labels": str(folder / "labels.npy")}
    how: dict = {"on": "own_clips", "clips": 1}
    swept = Evaluation(model, Config(sweep=True, **how), **data, **labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "draw", lambda *_, **__: None)
        found = swept.sweep(tmp_path, components=(2, 3))["sweep"]
    assert found["objects"] == [None] and found["as_trained"] == [None, 3]
    alone = Evaluation(model, Config(**how), components=2, **data, **labels)
    one = scored(alone)
    assert "next_step_error" in one and "next_step_bound" not in one
    for name, value in one.items():
        assert found[name][0][0] == pytest.approx(value, abs=1e-5), name
    bare = Evaluation(model, Config(sweep=True, **how), **data)
    result = bare.sweep(tmp_path, components=(2, 3))
    assert not set(SCORES[:-2]) & result["sweep"].keys()
    *_, title, columns, row, mark = report.of_sweep(result)
    assert title == "  next-step error, nats, last step"
    assert row.split()[0] == "any" and row.endswith("*")
