"""Systems without POSIX's calls: everything imports, and a run goes its way."""

import os
import subprocess
import sys

from tests.runs import ROOT

AS_ON_WINDOWS = """
import importlib, os, pathlib, psutil, sys  # psutil is its own on each system
sys.modules["fcntl"] = None
for name in ("sysconf", "sysconf_names", "sched_getaffinity", "O_DIRECTORY"):
    if hasattr(os, name):
        delattr(os, name)
"""
IMPORTS = """
for package in ("reading", "nem_tf", "trainers", "export"):
    for path in sorted(pathlib.Path(package).rglob("*.py")):
        module = ".".join(path.with_suffix("").parts)
        if not module.endswith("__main__"):
            importlib.import_module(module)
from export import server_files
server_files.publish(pathlib.Path(sys.argv[1]), "tiny", 1, "/models")
"""
TRAINS = """
import keras
from trainers import evaluate, static_shapes
from trainers.training import command
line = "--recipe quick --model n-em --steps 3 --train-size 8 --validation-size 8"
line += " --test-size 8 --batch-size 8 --epoch-updates 2 --epochs 1 --out"
run = sys.argv[1] + "/run"
keras.Model.run_eagerly = property(lambda _: True, lambda *_: None)  # quicker here
sys.exit(command.main(static_shapes.StaticShapes, "x", [*line.split(), run]))
"""


def test_without_fcntl_and_sysconf(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", AS_ON_WINDOWS + IMPORTS + TRAINS, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
