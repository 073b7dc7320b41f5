"""docs/own-clips.md: its commands and its Python run, on the clips of examples/."""

import contextlib
import importlib
import json
import pathlib
import re
import shlex
import warnings

import numpy as np
import pytest
from PIL import Image

from nem_tf import data, preset
from reading import folders, own, video
from tests import runs
from trainers.training import look

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "own-clips.md").read_text(encoding="utf-8")
CLIPS = ROOT / "examples" / "clips"
TINY = (
    "--epochs 1 --epoch-updates 1 --size 16 --train-steps 2 --steps 3 --batch-size 4 "
    "--validation-size 2 --test-size 1 --units 4 --features 8 --grid 4 "
    "--lanes 1"
)
PYTHON = {  # what makes the Python quick
    '"steps": 8': '"steps": 2',
    "**asked))  # learn on": "**asked, windows=8), verbose=0)",
    '"test", **asked)': '"test", **asked, windows=1), verbose=0',
}


@contextlib.contextmanager
def eager():
    """A few frames are quicker than their graph."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*run_functions_eagerly")  # of tf.data
        yield
    tf.config.run_functions_eagerly(False)


def blocks(kind, text=TEXT):
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


@contextlib.contextmanager
def done(place, commands):
    """In a folder with the examples, after the commands were run there."""
    (place / "examples").mkdir()
    for name in ("clips", "labels"):
        (place / "examples" / name).symlink_to(ROOT / "examples" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEM_TF_CACHE", str(place / "cache"))
        patch.chdir(place)
        for line in commands.splitlines():
            python, dash, module, *words = shlex.split(line)
            assert (python, dash) == (".venv/bin/python", "-m")
            command = importlib.import_module(module).main
            if module == "trainers.own_clips" and "--resume" not in words:
                words += TINY.split()
            if module == "export.saved_model":
                assert command([*words, "--batch-sizes", "1"]) == 0, line
            else:
                scores = module == "trainers.evaluate"  # whose pictures nobody looks at
                with eager(), runs.undrawn() if scores else contextlib.nullcontext():
                    assert command(words) == 0, line
        yield place


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which all commands of the page were run."""
    with done(tmp_path_factory.mktemp("own_clips"), "".join(blocks("sh"))) as place:
        yield place


def test_the_commands_of_the_readme(tmp_path):
    """They train without labels."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("## Your own clips") :].split("\n## ")[0]
    with done(tmp_path, "".join(blocks("sh", section))):
        with Image.open("grouped.gif") as grouped:
            assert grouped.size == (64, 64)
        (card,) = tmp_path.glob("models/own_clips_k*/1/MODEL_CARD.md")
        assert "The clips have no labels." in card.read_text()


def test_every_command_leaves_what_the_page_says(place):
    run = place / "runs" / "clips"
    for name in ("data.png", "overview.png", "clip.gif", "model.keras"):
        assert (run / name).is_file(), name
    test = json.loads((run / "results.json").read_text())["test"]
    for name in (
        *("psnr", "repeat_psnr", "moving_foretold", "used_components", "ami"),
        *("foreground_ari", "ari_with_background", "best_overlap"),
        *("no_learning_foreground_ari", "no_learning_best_overlap"),
    ):
        assert name in test, name
    assert (place / "models" / "own_clips_k4" / "1" / "saved_model.pb").is_file()
    (scored,) = (run / "evaluate").iterdir()
    assert sorted(scored.name.split("-")) == ["clips", "components6", "labels"]
    again = json.loads((scored / "results.json").read_text())
    assert again["settings"]["components"] == 6
    assert again["not_as_in_training"] == {"components": [6, 4]}


def test_grouped_films_have_the_size_of_the_film(place):
    for name, length in (("grouped.gif", 21), ("grouped.mp4", 22)):
        film = [frame.pixels.shape for frame in video.decoded(place / name)]
        assert film == [(64, 64, 3)] * length, name
    with Image.open(place / "served.gif") as served:
        assert served.size == (64, 64) and served.n_frames == 22


def test_the_python_runs(place, monkeypatch):
    monkeypatch.chdir(place)
    code = "\n".join(blocks("python"))
    for said, quick in PYTHON.items():
        assert code.count(said) == 1, said
        code = code.replace(said, quick)
    names: dict = {}
    with eager():
        exec(compile(code, "own-clips.md", "exec"), names)
    assert names["found"].segments.shape == (22, 16, 16)
    assert 0 <= names["found"].segments.min() <= names["found"].segments.max() <= 4
    assert names["segments"].shape == (16, 16)
    assert preset.find("runs/mine")
    cell, chosen = names["fresh"].cell, blocks("text")[0]
    assert f"--size {cell.frame_shape[0]},{cell.frame_shape[1]} " in chosen
    assert f"--components {cell.components} " in chosen
    assert f"--object-size {cell.object_size:g} " in chosen
    assert f"--foreground {cell.foreground:g} " in chosen
    assert f"--background {cell.background} " in chosen


def test_what_is_said_first_is_what_is_found(tmp_path):
    clips = own.OwnClips(CLIPS, cache=tmp_path)
    findings = look.look(clips)
    where, *lines = look.lines(findings, look.choices(findings))
    (said,) = blocks("text")
    first, *others = said.rstrip().splitlines()
    assert others == lines
    assert first.endswith("/examples/clips") and where.endswith("examples/clips")


def test_formats_are_those_that_are_read():
    row = next(line for line in TEXT.splitlines() if line.startswith("| a folder |"))
    for suffix in (*folders.CLIPS, *video.STILLS):
        name = suffix.removeprefix(".").upper().replace("JPG", "JPEG")
        assert name.replace("TIFF", "TIF") in row.upper(), suffix


def test_the_clips_are_those_that_the_script_makes():
    made = data.flying_sprites(
        "test",
        objects=(2, 3),
        steps=26,
        batch_size=1,
        seed=2,
        background="texture",
        speed=3.0,
        clips=1,
    )
    batch = next(iter(made))
    frames = video.read(CLIPS / "texture1.gif", (64, 64, 3)).frames
    assert np.abs(frames - batch["clean"][0, :21]).mean() < 0.02  # 256 colours
    with Image.open(ROOT / "examples" / "labels" / "texture1.gif") as picture:
        coloured = np.asarray(picture.convert("RGB")).any(axis=-1)
    np.testing.assert_array_equal(coloured, batch["groups"][0, 0] > 0)


def test_clips_and_labels_are_small_and_pairs():
    clips, labels = (
        sorted((ROOT / "examples" / x).iterdir()) for x in ("clips", "labels")
    )
    assert [path.name for path in clips] == [path.name for path in labels]
    assert len(clips) >= 8
    assert sum(path.stat().st_size for path in (*clips, *labels)) < 300_000


def test_links_lead_to_files_and_headings():
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, heading = link.partition("#")
        file = ROOT / "docs" / path
        assert file.is_file(), link
        if heading:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
            assert heading in [h.lower().replace(" ", "-") for h in headings], link
