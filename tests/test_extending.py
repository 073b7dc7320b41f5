"""docs/extending.md does what it says, in as many files as it says."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "extending.md").read_text()
SECTIONS = {
    part.split("\n", 1)[0]: part.split("\n", 1)[1]
    for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
}
FILES = {  # that a section touches
    "A likelihood": 1,
    "A term of the loss": 1,
    "A network": 2,
    "A cell": 2,
    "An option of a data set": 2,
    "A data set of arrays or of a file": 0,
    "A data set of one's own": 3,
}
TINY = (
    "--recipe quick --epochs 1 --epoch-updates 2 --steps 2 --batch-size 4 "
    "--train-size 8 --validation-size 4 --test-size 4"
)


def blocks(text, kind):
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def additions(text):
    """Pairs of a file and what is added at its end."""
    found = (block.split("\n", 1) for block in blocks(text, "python"))
    return [(name[2:], code) for name, code in found if name != "# then"]


def changes(text):
    """Pairs of a file and its diff, without the lines that name it."""
    for diff in blocks(text, "diff"):
        for part in re.split(r"^--- a/", diff, flags=re.MULTILINE)[1:]:
            name, _, body = part.split("\n", 2)
            yield name, body


def apply(path, diff):
    """Apply a diff whose hunks are told by their lines alone."""
    source = path.read_text()
    for hunk in diff.split("@@\n")[1:]:
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] != "+")
        after = "".join(line[1:] for line in lines if line[0] != "-")
        assert source.count(before) == 1, before
        source = source.replace(before, after)
    path.write_text(source)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the package, extended by all sections."""
    tree = tmp_path_factory.mktemp("extended")
    for folder in ("nem_tf", "trainers"):
        skip = shutil.ignore_patterns("__pycache__", "presets")
        shutil.copytree(ROOT / folder, tree / folder, ignore=skip)
    for text in SECTIONS.values():
        for name, code in additions(text):
            path = tree / name
            before = path.read_text() + "\n\n" if path.exists() else ""
            path.write_text(before + code)
        for name, diff in changes(text):
            apply(tree / name, diff)
    return tree


def test_each_section_touches_as_few_files_as_it_says():
    touched = {
        title: len({name for name, _ in [*additions(text), *changes(text)]})
        for title, text in SECTIONS.items()
    }
    assert touched == FILES
    words = {0: "No file", 1: "One file", 2: "Two files", 3: "Three files"}
    for title, text in SECTIONS.items():
        assert text.strip().startswith(words[FILES[title]])


COMMANDS = (  # those of the sections, some of them together
    "trainers.flying_mnist --dim 0.5 --threshold 0.25 --digits sklearn-digits "
    "--stages 20 --network narrow --features 32 --out dim",
    "trainers.evaluate dim --dim 0.25 --clips 4",
    "trainers.bars --network plain --units 16 --model slow --loss apart --out bars",
    "trainers.flying_shapes --data clips.h5 --network plain --out file",
    "trainers.evaluate bars --objects 1 --clips 4",
)
RUN = """
import runpy, sys
import keras
from trainers.training import pictures

draw, usual = (pictures.of_clip, pictures.of_scores), keras.Model.run_eagerly
always = property(lambda _: True, lambda *_: None)
for line in LINES:
    quick = line[0] != "trainers.bars"  # which has most of what is new
    keras.Model.run_eagerly = always if quick else usual
    no = [lambda *_, **__: None] * 2
    pictures.of_clip, pictures.of_scores = no if quick else draw
    sys.argv = line
    try:
        runpy.run_module(line[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert not end.code, line
"""


@pytest.mark.slow
def test_the_code_and_the_commands(tree):
    shown = " ".join(
        words for text in SECTIONS.values() for words in blocks(text, "sh")
    )
    lines = []
    for line in COMMANDS:
        trained = "evaluate" not in line
        assert not trained or line.split()[0] in shown
        lines.append([*line.split(), *(TINY.split() if trained else ())])
    code = [
        block.split("\n", 1)[1]
        for text in SECTIONS.values()
        for block in blocks(text, "python")
        if block.startswith("# then")
    ]
    code += ["assert 'apart' in nem.get_metrics_result()", f"LINES = {lines}", RUN]
    env = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        cwd=tree,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("AMI on 4 test clips") == 2
    scores = json.loads((tree / "bars" / "results.json").read_text())["test"]
    assert scores["apart"] >= 0.0
    found = json.loads((tree / "bars" / "config.json").read_text())["settings"]
    assert (found["network"], found["model"], found["units"]) == ("plain", "slow", 16)
