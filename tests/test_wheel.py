"""A wheel of this tree works where there is no checkout."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("reading", "nem_tf", "trainers", "export")
NOT_NEEDED = (".*", "build", "dist", "*.egg-info", "__pycache__", "results", "runs")

# Imports all of the packages, then groups a clip with a model that ships inside them.
PROGRAM = """
import importlib, pkgutil, sys
from export import segment

clip, *packages = sys.argv[1:]
for name in packages:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        assert importlib.import_module(module.name).__file__.startswith(sys.prefix)
sys.exit(segment.main(["flying_shapes", clip, "--out", "found.npz"]))
"""


def pip(*arguments):
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    options = ("--no-index", "--no-deps", "--disable-pip-version-check")
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that nothing is written into the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    ignore = shutil.ignore_patterns(*NOT_NEEDED)
    shutil.copytree(ROOT, folder / "tree", ignore=ignore)
    pip("wheel", "--no-build-isolation", "-w", folder, folder / "tree")
    (path,) = folder.glob("*.whl")
    return path


def test_a_wheel_has_every_file_of_the_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    there = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert packed == there


@pytest.mark.slow
def test_a_wheel_groups_a_clip_in_an_empty_environment(wheel, tmp_path):
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    pip("--python", python, "install", wheel)
    # Dependencies come from here; a path in a .pth file does not bring the checkout,
    # since .pth files that lie in that path are not read.
    (packages,) = (tmp_path / "env").glob("lib/*/site-packages")
    (packages / "here.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", PROGRAM, ROOT / "examples" / "clip.gif", *PACKAGES],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "20 frames, 3 of 3 components" in done.stdout
    assert (tmp_path / "found.npz").is_file()
