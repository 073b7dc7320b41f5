"""`trainers.own_clips`: what is made of a path, before anything is trained."""

import json
import shutil

import numpy as np
import pytest

from trainers.own_clips import OwnClips, main
from trainers.training import command, command_line, config_file

H, W, T = 24, 32, 12


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Twelve clips of two squares over a plain colour, with labels beside them."""
    folder = tmp_path_factory.mktemp("own")
    frames = np.full((12, T, H, W, 3), (40, 90, 140), np.uint8)
    labels = np.zeros((12, T, H, W), np.uint8)
    for n in range(12):
        for t in range(T):
            first, second = np.s_[2:8, 2 + t : 8 + t], np.s_[12:18, 20 - t : 26 - t]
            frames[n, t][first], labels[n, t][first] = (220, 200, 20 * n), 1
            frames[n, t][second], labels[n, t][second] = (20 * n, 200, 0), 2
    np.save(folder / "clips.npy", frames)
    np.save(folder / "labels.npy", labels)
    return folder / "clips.npy"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("NEM_TF_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def experiment(path, **settings):
    settings = {"recipe": "ours", **settings}
    return OwnClips(OwnClips.configured(data=str(path), **settings))


def test_what_is_zero_is_found_in_the_clips(path):
    found = experiment(path).config
    clips = found.clips
    assert clips.components == 3  # two at a time, and one more
    assert clips.size == (H, W) and clips.channels == 3
    assert clips.object_size == 6
    assert clips.steps == T - 1 and clips.train_steps == 8
    assert found.training.train_size == 10 == clips.batch_size  # one window each
    assert found.training.validation_size == found.training.test_size == 1


def test_auto_components_are_those_found():
    parser = command_line.Parser("trainers.own_clips", "Learn.", "FOLDER")
    read = command_line.read_flags
    given = read(parser, OwnClips.Settings, ["--components", "auto"])
    assert given == {"components": 0}


def test_what_is_given_stays(path):
    given = {"components": 4, "object_size": 7.5, "foreground": 0.3, "size": (12, 16)}
    clips = experiment(path, **given).config.clips
    assert {name: getattr(clips, name) for name in given} == given


def test_the_cell_is_made_for_the_clips(path):
    cell = experiment(path, foreground=0.25, variance=0.03, units=9).cell()
    assert cell.frame_shape == (H, W, 3)
    assert (cell.foreground, cell.object_size, cell.components) == (0.25, 6, 3)
    assert cell.likelihood.variance == 0.03
    assert cell.hidden == 9 and cell.background == "plain"


def test_windows_for_training_and_whole_clips_for_scores(path):
    labels = path.parent / "labels.npy"
    made = experiment(path, labels=str(labels), train_steps=5)
    train = next(iter(made.clips("train", batch_size=2)))
    assert train["clean"].shape == (2, 6, H, W, 3)
    np.testing.assert_allclose(
        train["background"][0, 0, 0], np.array([40, 90, 140]) / 255, atol=1e-6
    )
    test = next(iter(made.clips("test", clips=1)))
    assert test["clean"].shape == (1, T, H, W, 3)
    assert set(np.unique(test["groups"])) == {0, 1, 2}


def test_moved_clips_are_the_same_ones(path, tmp_path):
    moved = shutil.copy(path, tmp_path / "moved.npy")
    assert experiment(path).fingerprint() == experiment(moved).fingerprint()
    others = np.load(path)
    others[0] //= 2
    np.save(moved, others)
    assert experiment(path).fingerprint() != experiment(moved).fingerprint()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "PATH: expected clips, received none"),
        (["nowhere.npy"], "PATH: no such file or folder, nowhere.npy"),
        (["nowhere.npy", "--size", "4,5,6"], "size: expected rows and columns"),
        (["nowhere.npy", "--size", "4,0"], "size: expected rows and columns"),
        (["nowhere.npy", "--channels", "2"], "channels: expected 1, grey, or 3"),
    ],
)
def test_a_wrong_command_is_told_in_one_line(words, line, capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        status = main([*words, "--out", str(tmp_path / "run")])
        raise SystemExit(status)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert line in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["plain", "still"])
def test_the_background_is_of_the_kind_that_was_asked_for(path, kind):
    made = experiment(path, background=kind)
    assert made.cell().background == made.decoded.background_kind == kind
    assert made.cell().fill == 1  # squares cover their boxes


def test_what_is_asked_of_a_run_that_goes_on(path):
    asked = OwnClips.Settings.asked
    found = {"size": (0,), "components": 0, "model": "auto", "batch_size": 64}
    assert asked(found) == {}  # the clips decide
    assert asked({"size": (24,), "floor": 0.3}) == {"size": (24, 24), "floor": 0.3}
    # What was found once is not looked for again.
    began = experiment(path).config
    values = {**began.flat(), "data": str(path)}
    assert OwnClips(type(began).of(**values)).config == began


def test_a_run_of_an_earlier_version_goes_on_as_it_began(path):
    values = config_file.as_json(experiment(path).config)
    del values["mirror"], values["flicker"]
    old = config_file.from_json(OwnClips, values, resumed=True)
    assert (old.clips.mirror, old.clips.flicker) == ("off", "off")
    now = experiment(path).config.clips
    assert (now.mirror, now.flicker) == ("on", "on")


def test_what_flickers_has_a_distance_of_its_own(path, tmp_path, capsys, rng):
    frames = np.load(path).astype(int)
    frames[:, :, 18:, :8] += rng.integers(-60, 60, (12, T, 6, 8, 3))
    np.save(tmp_path / "clips.npy", frames.clip(0, 255).astype(np.uint8))
    size = {"size": (H, W), "object_size": 6.0}
    made = experiment(tmp_path / "clips.npy", **size)
    cell, clips = made.cell(), made.config.clips
    assert cell.foreground.shape == (H, W) and cell.foreground[19:, 1:7].min() > 0.3
    rest = cell.foreground[:17]
    assert (rest == np.float32(clips.foreground)).all() and clips.mirror == "off"
    made.show(tmp_path)
    assert "in 6 % of the pixels, which flicker" in capsys.readouterr().err
    assert OwnClips(made.config).config == made.config
    off = experiment(tmp_path / "clips.npy", flicker="off", **size)
    assert off.cell().foreground == clips.foreground == 0.12
    assert off.config.clips.mirror == "on"
    mirrored = experiment(tmp_path / "clips.npy", mirror="on", **size)
    assert mirrored.config.clips.mirror == "on"


def test_settings_that_a_cell_has_no_use_for(path):
    with pytest.raises(ValueError, match="floor: expected 0.0 with model windows"):
        experiment(path, floor=0.1).cell()
    with pytest.raises(ValueError, match="e_step: expected no gradients"):
        experiment(path, gamma_gradient="on").cell()
    other = {"model": "rnn-em", "network": "narrow", "grid": 5}
    with pytest.raises(ValueError, match="grid: expected 12 with model rnn-em"):
        experiment(path, **other).cell()


def test_the_look_says_what_was_asked_for(path, tmp_path, capsys):
    experiment(path, components=4, foreground=0.3).show(tmp_path)
    said = capsys.readouterr().err
    assert "--components 4" in said and "--foreground 0.3" in said
    assert said.count("as it was asked for") == 2
    assert (tmp_path / "data.png").is_file()


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"train_steps": 40}, "train_steps: expected at most 11, T of the clips that"),
        ({"object_size": 33.0}, "object_size: expected at most 24, the shorter side"),
        ({"pictures": "images"}, "pictures: expected a folder of PNG or JPEG files"),
    ],
)
def test_what_clips_do_not_have(path, given, line):
    with pytest.raises(ValueError, match=f"^{line}"):
        experiment(path, **given)


def test_a_path_may_begin_at_home(path, monkeypatch):
    monkeypatch.setenv("HOME", str(path.parent))
    assert experiment("~/clips.npy").config.clips.data == str(path)


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """Twelve clips of two white squares before a shade of grey."""
    folder = tmp_path_factory.mktemp("grey")
    frames = np.full((12, T, H, W), 90, np.uint8)
    for n, t in np.ndindex(12, T):
        right, left = np.s_[2:8, 2 + t : 8 + t], np.s_[12:18, 20 - t : 26 - t]
        frames[n, t][right] = frames[n, t][left] = 200 + n
    np.save(folder / "clips.npy", frames)
    return folder / "clips.npy"


def test_a_few_grey_objects_are_for_rnn_em(grey):
    made = experiment(grey)
    config, cell = made.config, made.cell()
    assert config.cell.model == "rnn-em" and config.clips.components == 2
    assert config.network.network == "tracking" and config.cell.start == "sides"
    assert (
        config.clips.train_steps == T - 1 and config.training.learning_rates[0] == 4e-3
    )
    assert cell.layered and cell.foreground == config.clips.foreground
    assert cell.reads == "pixels" and cell.background == "plain"
    assert config.training.epochs == (12,)
    assert experiment(grey, recipe="quick").config.training.epochs == (8,)
    assert experiment(grey, epochs=(3,)).config.training.epochs == (3,)
    few = experiment(grey, train_size=20).config  # less than RNN-EM's batch
    assert few.clips.batch_size == few.training.train_size == 10  # as many as there are
    with pytest.raises(ValueError, match="fill: expected none with model rnn-em"):
        experiment(grey, fill=0.5)
    patch = cell.decoder.layers[-1]
    assert patch.size == (9, 9)  # 1.3 times a square's side, and one


def test_flags_win_over_what_a_model_has(grey):
    made = experiment(grey, learning_rates=(0.002,), start="random", batch_size=5)
    config = made.config
    assert config.cell.model == "rnn-em" and config.cell.reads == "pixels"
    assert config.training.learning_rates == (0.002,)
    assert config.cell.start == "random" and config.clips.batch_size == 5
    assert experiment(grey, model="windows").config.clips.components == 3


def test_settings_of_a_run_stay_as_they_were_written(grey):
    """The settings of config.json, where nobody knows which of them were given."""
    began = experiment(grey, start="random").config
    values = began.flat() | {"learning_rates": (0.01,)}
    again = OwnClips(OwnClips.Settings.of(**values)).config
    assert again.flat() == values


def test_a_run_that_goes_on_has_the_settings_that_it_was_begun_with(path, tmp_path):
    began = experiment(path, epochs=(3,), learning_rates=(0.01,)).config
    written = {"experiment": "own_clips", "settings": config_file.as_json(began)}
    (tmp_path / "config.json").write_text(json.dumps(written))

    def again(**flags):
        flags = {"data": str(path), "out": tmp_path, "resume": "auto", **flags}
        flags = {"recipe": "ours", **flags}
        return command._begun(OwnClips, OwnClips.configured(**flags), tmp_path)

    found = again()
    assert found.training.epochs == (3,) and found.training.learning_rates == (0.01,)
    assert found.cell.model == "windows" and found.run.resume == "auto"
    assert again(model="auto", epochs=(3,)) == found
    with pytest.raises(ValueError, match="epochs: expected 3, with which"):
        again(epochs=(4,))
    assert command._begun(OwnClips, began, tmp_path) is None  # nobody asked
