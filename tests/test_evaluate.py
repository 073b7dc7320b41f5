"""trainers.evaluate: any model on any data, its table, files and mistakes."""

import json
import math

import keras
import numpy as np
import pytest
from sklearn import metrics as theirs

from export import saved_model, segment
from nem_tf import data
from nem_tf.scores.occlusion import drawn
from tests import runs
from trainers import evaluate, flying_mnist, static_shapes
from trainers.evaluate import Config, Evaluation
from trainers.training import config_file, scoring, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory, _eager):
    """A tiny run of static shapes."""
    from trainers.training import command

    out = tmp_path_factory.mktemp("evaluate") / "run"
    line = runs.flags({**runs.N_EM, "epochs": 1, "epoch-updates": 2, "out": out})
    with runs.undrawn():
        assert command.main(static_shapes.StaticShapes, "x", line) == 0
    return out


@pytest.fixture(autouse=True, scope="module")
def _eager():
    with runs.eager():
        yield


@pytest.fixture
def undrawn():
    with runs.undrawn():
        yield


def files(folder):
    return {path.name for path in folder.iterdir()}


def test_as_trained_it_finds_what_the_trainer_found(run, capsys):
    before = json.loads((run / "results.json").read_text())
    assert evaluate.main([str(run)]) == 0
    after = json.loads((run / "results.json").read_text())
    for key, value in before["test"]["ami"].items():
        assert after["test"]["ami"][key] == pytest.approx(value, abs=1e-6)
    assert after["resumes"] == before["resumes"] == 0
    assert after["updates"] == before["updates"] == 2
    assert after["ended"] == before["ended"] is not None
    assert set(evaluate.FILES) <= files(run)
    said = capsys.readouterr().out
    assert "3 objects, K = 3, T = 3" in said and "AMI (max, the paper's)" in said
    assert "not as in training" not in said and after["not_as_in_training"] == {}


def test_fewer_clips_do_not_replace_the_scores_of_a_run(run, undrawn):
    before = (run / "results.json").read_text()
    assert evaluate.main([str(run), "--clips", "4"]) == 0
    assert (run / "results.json").read_text() == before
    fewer = json.loads((run / "evaluate" / "clips4" / "results.json").read_text())
    assert fewer["test"]["clips"] == 4


def test_the_likeliest_of_several_starts(run, capsys, undrawn):
    assert evaluate.main([str(run), "--clips", "6", "--starts", "3"]) == 0
    assert "6 test clips, the likeliest of 3 starts" in capsys.readouterr().out
    folder = run / "evaluate" / "starts3-clips6"
    found = json.loads((folder / "results.json").read_text())
    assert found["settings"]["starts"] == 3 and found["test"]["clips"] == 6
    assert evaluate.main([str(run), "--clips", "6"]) == 0
    one = json.loads((run / "evaluate" / "clips6" / "results.json").read_text())
    assert one["settings"]["starts"] == 1
    assert one["test"]["loss"] != found["test"]["loss"]


def test_other_settings_go_into_a_folder_that_names_them(run, capsys):
    line = [str(run), "--clips", "6", "--components", "5", "--objects", "2"]
    assert evaluate.main([*line, "--steps", "4", "--noise", "0"]) == 0
    folder = run / "evaluate" / "objects2-components5-steps4-noise0.0-clips6"
    assert files(folder) == set(evaluate.FILES)
    found = json.loads((folder / "results.json").read_text())
    assert found["settings"]["components"] == 5 and found["test"]["clips"] == 6
    assert len(found["test"]["ami"]["upper_quartile"]) == 4
    assert len(found["test"]["covered"]["covered"]) == 4
    said = capsys.readouterr().out
    assert "2 objects, K = 5, T = 4" in said
    differ = "objects 2 (3), K = 5 (3), T = 4 (3), noise 0 (0.1)"
    assert f"\n  not as in training: {differ}\n" in said
    assert found["not_as_in_training"]["components"] == [5, 3]


def test_auto_is_eight_of_which_some_are_used(run, tmp_path, capsys, undrawn):
    line = [str(run), "--clips", "4", "--components", "auto", "--out", str(tmp_path)]
    assert evaluate.main(line) == 0
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["settings"]["components"] == 8
    assert 0 <= found["test"]["used_components"] <= 8
    assert 0 <= found["test"]["used_as_labelled"] <= 1
    assert "as many as objects in" in capsys.readouterr().out


def test_a_model_of_stages_is_scored_on_the_digits_of_one(run):
    stages = {"stages": (20, 50, 60), "digits": "sklearn-digits"}
    of_training = flying_mnist.FlyingMNIST.configured(**stages, epochs=(1, 2, 3))
    settings = config_file.as_json(of_training)
    model = trained.load(run)._replace(name="flying_mnist", settings=settings)
    model.nem.cell.frame_shape = (24, 24, 1)
    found = Evaluation(model, Config(clips=4), stages=(20,))
    assert found.settings.clips.made()["pool"] == 20
    assert found.differences() == ["stages20", "clips4"]


def test_a_single_object_is_covered_by_none(run, capsys, undrawn):
    assert evaluate.main([str(run), "--clips", "4", "--objects", "1"]) == 0
    said = capsys.readouterr().out
    assert "drawn, if visible" in said and "drawn, if covered" not in said


def test_clips_of_another_experiment_and_their_objects(run):
    model = trained.load(run)
    found = Evaluation(
        model,
        Config(on="flying_mnist", clips=4),
        static=True,
        steps=2,
        digits="sklearn-digits",
        stages=(3,),
        composition="sum",
        threshold=0.2,
        digit_size=6,
    )
    batch = next(iter(found.clips(4)))
    assert batch["clean"].shape == (4, 3, 28, 28, 1)
    assert batch["masks"].shape == (4, 3, 2, 28, 28)
    np.testing.assert_array_equal(batch["clean"][:, 0], batch["clean"][:, 2])
    assert found.differences()[:2] == ["flying_mnist", "static"]
    changed = {"compositionsum", "threshold0.2", "digit_size6"}
    assert changed <= set(found.differences())
    groups, clean = batch["groups"].numpy(), batch["clean"].numpy()[..., 0]
    assert 0.2 <= clean[groups > 0].min() < 0.5
    result = found.score()
    assert result["data"] == "sklearn-digits"
    assert result["settings"]["composition"] == "sum"
    differ = result["not_as_in_training"]
    assert differ["experiment"] == ("flying_mnist", "static_shapes")
    assert differ["data"] == ("sklearn-digits", "generated")
    assert differ["steps"] == (2, 3) and "static" not in differ
    with pytest.raises(ValueError, match="threshold: no such setting"):
        Evaluation(model, Config(on="flying_shapes"), threshold=0.2)
    moving = Evaluation(model, Config(on="flying_shapes", clips=4), steps=2)
    batch = next(iter(moving.clips(4)))
    assert (batch["clean"][:, 0] != batch["clean"][:, 2]).numpy().any()


def test_scores_equal_scikit_learns(run):
    evaluation = Evaluation(trained.load(run), Config(clips=6), components=4, objects=5)
    scores = evaluation._collect()
    batch = next(iter(evaluation.clips(6)))
    gamma = evaluation.model.nem.predict_on_batch(
        {name: value.numpy() for name, value in batch.items()}
    )["gamma"]
    for clip in range(6):
        for step in range(3):
            groups = batch["groups"][clip, step + 1].numpy()
            labelled = groups > 0
            assigned = gamma[clip, step, ..., 0].argmax(0)[labelled]
            for score, average in (("ami", "max"), ("ami_arithmetic", "arithmetic")):
                wanted = theirs.adjusted_mutual_info_score(
                    groups[labelled], assigned, average_method=average
                )
                assert scores[score][clip, step] == pytest.approx(wanted, abs=1e-9)


def test_masks_are_whole_objects_and_agree_with_clean_and_groups():
    for make in (data.flying_shapes, data.flying_mnist):
        more = {"digits": "sklearn-digits"} if make is data.flying_mnist else {}
        batch = next(
            iter(make("test", objects=3, masks=True, clips=8, steps=4, **more))
        )
        masks, groups = batch["masks"].numpy(), batch["groups"].numpy()
        assert masks.shape == (8, 5, 3, *groups.shape[2:])
        alone = masks.sum(axis=2) == 1
        np.testing.assert_array_equal(groups > 0, alone)
        np.testing.assert_array_equal(groups[alone], (masks.argmax(2) + 1)[alone])
        bright = batch["clean"].numpy()[..., 0] >= 0.5
        np.testing.assert_array_equal(masks.any(axis=2), bright)


def test_drawn_counts_covered_visible_and_foreign_pixels():
    masks = np.zeros((2, 1, 4))  # two objects on four pixels, sharing the second
    masks[0, 0, :2], masks[1, 0, 1:3] = 1, 1
    psi = np.zeros((2, 1, 4, 1))
    psi[0, 0, [0, 1, 3]], psi[1, 0, [0, 2]] = 0.9, 0.6  # component 0 draws object 0
    table = np.array([[1, 0], [0, 1]])
    found = drawn(psi, table, masks)
    assert (found.covered_drawn, found.covered) == (1, 2)
    assert (found.visible_drawn, found.visible) == (2, 2)
    assert (found.foreign_drawn, found.foreign) == (1, 2)
    assert (found.whole, found.union) == (3, 6)
    hidden = drawn(psi, np.array([[1, 0], [0, 0]]), masks)  # object 1 cannot be seen
    assert (hidden.covered, hidden.visible) == (1, 1)


def test_objects_that_the_model_did_not_expect_are_scored_too(run):
    evaluation = Evaluation(trained.load(run), Config(clips=8), objects=5)
    fewer = scoring.collect(evaluation.model.nem, evaluation.clips(8), objects=2)
    every = scoring.collect(evaluation.model.nem, evaluation.clips(8), objects=5)
    np.testing.assert_array_equal(fewer["ami"], every["ami"])


def test_summary_has_quartiles_and_errors(rng):
    scores = {name: rng.random((9, 2)) for name in scoring.CURVES + scoring.DIAGNOSTICS}
    scores |= {name: rng.random(9) for name in ("loss", "intra", "inter")}
    found = scoring.summary(scores)["ami"]
    last = scores["ami"][:, 1]
    assert found["last_standard_error"] == pytest.approx(last.std() / 3)
    assert found["lower_quartile"][1] == pytest.approx(
        np.percentile(last, 25), abs=1e-6
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nowhere", "nowhere: neither a run folder with a model.keras nor a preset"),
        ("RUN --components 0", "components: expected at least 1, received 0"),
        ("RUN --noise 2", "noise: expected at most 1.0, received 2.0"),
        ("RUN --on moving", "on: expected static_shapes or flying_shapes or"),
        ("RUN --clips many", "--clips: expected a number, received 'many'"),
        ("RUN --data nowhere.h5", "data: no such file, nowhere.h5"),
        ("RUN --pool 5", "unrecognized arguments: --pool 5"),
        ("RUN --speed 2", "unrecognized arguments: --speed 2"),
        ("RUN --on flying_mnist --static --speed 2", "expected none with --static"),
        ("RUN --components 100000000", "components: expected what fits"),
        ("flying_mnist --components auto", "or set nem.cell.object_pixels to about"),
        ("RUN --components all", "--components: expected a number, received 'all'"),
        ("nowhere --digits mnist --static", "nowhere: neither a run folder with a"),
        ("RUN --out FILE", "out: cannot write into"),
        ("FILE", "on: the model does not say what it was trained on"),
    ],
)
def test_mistakes_end_in_one_line(run, tmp_path, capsys, line, message):
    alone = tmp_path / "alone.keras"
    alone.write_bytes((run / "model.keras").read_bytes())
    line = line.replace("RUN", str(run)).replace("FILE", str(alone)).split()
    try:
        status = evaluate.main(line)
    except SystemExit as stopped:
        status = stopped.code
    error = capsys.readouterr().err
    assert status == 2 and message in error.splitlines()[-1]
    assert "Traceback" not in error


def test_a_model_with_nan_is_refused_and_nothing_is_written(run, tmp_path, capsys):
    nem = keras.saving.load_model(run / "model.keras")
    weights = nem.get_weights()
    max(weights, key=np.size).flat[3] = np.nan
    nem.set_weights(weights)
    nem.save(tmp_path / "nan.keras")
    clip = tmp_path / "clip.npy"
    np.save(clip, np.zeros((4, 28, 28), "uint8"))
    out = tmp_path / "out"
    model, on = str(tmp_path / "nan.keras"), ["--on", "static_shapes"]
    for command in (
        lambda: evaluate.main([model, *on]),
        lambda: evaluate.main([model, *on, "--out", str(out)]),
        lambda: segment.main([model, str(clip), "--out", f"{out}.gif"]),
        lambda: saved_model.main([model, "--out", str(out)]),
    ):
        assert command() == 2
        said = capsys.readouterr().err
        assert "NaN or infinity" in said.splitlines()[-1] and "Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.npy", "nan.keras"]


def test_json_holds_no_bare_nan():
    content = {"a": [1.5, math.nan, {"b": math.inf}], "c": (None, "NaN")}
    text = config_file.text(content)
    refuse = {"parse_constant": lambda name: pytest.fail(name)}
    assert json.loads(text, **refuse) == {
        "a": [1.5, None, {"b": None}],
        "c": [None, "NaN"],
    }
