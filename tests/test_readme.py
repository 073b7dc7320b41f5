"""README.md: its code runs, its numbers are those of the files, its links lead on."""

import json
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest

from export import segment
from nem_tf import data, preset
from reading import video
from trainers.paper import archive, tables

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLIP = ROOT / "examples" / "clip.gif"
TINY = "clips=8, steps=2, batch_size=4"
RUNS = {  # the rows of the first table
    "static shapes": "static_shapes/rnn-em-k3",
    "three flying shapes": "flying_shapes/objects3-k3",
    "five flying shapes": "flying_shapes/objects5-k5",
    "flying MNIST, trained directly": "flying_mnist/direct",
    "flying MNIST, trained in stages": "flying_mnist/staged",
}


def table(heading):
    """The rows of the table whose first line begins so, cells as text."""
    lines = README[README.index(f"| {heading}") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def linked(text):
    return re.findall(r"\]\(([^)]+)\)", text)


def test_the_python_trains_segments_and_plots(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    whole = "\n".join(blocks)
    code, sizes = re.subn(r"clips=\d+, batch_size=\d+", TINY, whole)
    code, calls = re.subn(r"epochs=3\)", "epochs=3, verbose=0)", code)
    code = code.replace("batch_size=4))", "batch_size=4), verbose=0)")
    assert (sizes, calls) == (2, 1)
    (tmp_path / "examples").mkdir()
    shutil.copy(CLIP, tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    made = video.read(tmp_path / "result.gif", (232, 1092, 3)).frames
    shown = video.read(ROOT / "docs" / "clip.gif", (232, 1092, 3)).frames
    assert made.shape == shown.shape
    assert np.abs(made - shown).mean() < 0.01  # colours of close shades may differ
    assert preset.find(tmp_path / "runs" / "mine")


def test_the_clip_is_the_first_test_clip_and_is_grouped_as_it_stands(tmp_path, capsys):
    dataset = data.flying_shapes("test", clips=1, batch_size=1, steps=19)
    batch = next(iter(dataset))
    frames = video.read(CLIP, (28, 28, 1)).frames
    np.testing.assert_array_equal(frames, batch["clean"][0])
    out = tmp_path / "found.npz"
    assert segment.main(["flying_shapes", str(CLIP), "--out", str(out)]) == 0
    assert "20 frames, 3 of 3 components" in capsys.readouterr().out
    segments, groups = np.load(out)["segments"], batch["groups"][0].numpy()
    for step in range(3, 20):  # after the first frames one component has one object
        own = [segments[step][groups[step] == n] for n in (1, 2, 3)]
        components = [np.bincount(pixels, minlength=3).argmax() for pixels in own]
        assert sorted(components) == [0, 1, 2], step
        agree = [(o == c).mean() for o, c in zip(own, components, strict=True)]
        assert min(agree) > 0.9, step


def test_scores_and_minutes_are_those_of_the_kept_runs():
    rows = table("data | the paper")
    assert [row[0] for row in rows] == list(RUNS)
    for (_, _, score, seeds, training), folder in zip(rows, RUNS.values(), strict=True):
        files = sorted((ROOT / "results" / "ours" / folder).glob("seed*/results.json"))
        runs = [json.loads(file.read_text()) for file in files]
        last = [run["test"]["ami"]["last"] for run in runs]
        assert score == f"**{tables.spread(archive.sample(last))}**"
        assert seeds == str(len(runs))
        assert {run["test"]["clips"] for run in runs} == {10_000}
        minutes = sorted({round(run["seconds"] / 60) for run in runs})
        said = training.split(" min")[0].split(" to ")
        assert [int(number) for number in said] == [minutes[0], minutes[-1]][
            -len(said) :
        ]


def test_the_quick_training_is_that_of_the_kept_run():
    folder = ROOT / "results" / "quick" / "flying_mnist" / "staged" / "seed0"
    run = json.loads((folder / "results.json").read_text())
    said = re.search(r"took\s+(\d+) minutes on one CPU core .*? (0\.\d+) \(", README)
    assert int(said[1]) == round(run["seconds"] / 60)
    assert said[2] == f"{run['test']['ami']['last']:.3f}"
    machine = json.loads((folder / "config.json").read_text())["machine"]
    assert machine.endswith(" 1 core")


def test_the_table_of_models_says_what_is_in_their_files():
    rows = table("model | made for")
    assert sorted(re.findall(r"\w+", row[0])[0] for row in rows) == preset.names()
    for name, _, frames, components, score, size in rows:
        folder = preset.SHIPPED / re.findall(r"\w+", name)[0]
        content = json.loads((folder / "model.json").read_text())
        cell = content["model"]["config"]["cell"]["config"]
        height, width, _ = cell["frame_shape"]
        assert frames.startswith(f"{height} x {width}, ")
        assert components == str(cell["components"])
        about = content["training"]["results"]["test"]["ami"]
        assert score == f"{about['last']:.3f}"
        clips = content["training"]["results"]["test"]["clips"]
        assert clips == (100 if folder.name == "flying_sprites" else 10_000)
        megabytes = (folder / "weights.npz").stat().st_size / 1e6
        assert size == f"{megabytes:.1f} MB"


def test_links_lead_to_files_and_headings():
    for link in linked(README):
        if link.startswith("https://"):
            continue
        path, _, heading = link.partition("#")
        assert (ROOT / path).is_file(), link
        if heading:
            headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.M)
            assert heading in [h.lower().replace(" ", "-") for h in headings], link


def test_the_map_leads_to_files_that_name_the_equation_or_figure():
    rows = table("the paper | the code")
    assert len(rows) > 20
    label = r"Eq\. \d|Figure \d|Table \d|Appendix A|Sec\. \d\.\d"
    said_otherwise = {"Sec. 2.3", "Sec. 4.2", "Figure 3"}
    for where, files in rows:
        texts = [(ROOT / file).read_text(encoding="utf-8") for file in linked(files)]
        for found in set(re.findall(label, where)) - said_otherwise:
            number = found.removeprefix("Sec. ")
            assert any(number in text for text in texts), where


def test_what_the_map_names_is_in_the_file_beside_it():
    rows = table("the paper | the code")
    named = re.findall(r"`([\w.]+)` in \[[^]]+\]\(([^)]+)\)", str(rows))
    assert len(named) == 3
    for name, file in named:
        text = (ROOT / file).read_text(encoding="utf-8")
        for part in name.split("."):
            assert re.search(rf"(def|class) {part}\b", text), name


def test_the_two_commands_are_a_line_each():
    lines = README.splitlines()
    tests = next(line for line in lines if "-m pytest" in line)  # as .ci/run looks
    training = next(line for line in lines if "--recipe quick" in line and "&&" in line)
    for line in (tests, training):
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install -q -e ")
    assert "trainers.flying_mnist" in training


def test_what_the_commands_write_is_ignored_by_git():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    for name in ("result.gif", "models/x", "runs/mine/model.json", "build/api/x.html"):
        git = ["git", "check-ignore", "--quiet", name]
        assert subprocess.run(git, cwd=ROOT).returncode == 0, name
