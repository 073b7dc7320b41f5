"""The arrows of the design: who imports whom, and that CI runs the README's tests."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
ORDER = (
    "axes",
    "pixels",
    "draws",
    "random_start",
    "likelihoods",
    "e_step",
    "em_cell",
    "rnn_em_cell",
    "layers",
    "networks",
    "losses",
    "metrics",
    "restarts",
    "model",
)


def imported(path):
    """Names of the project's modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("path", sorted(ROOT.glob("nem_tf/**/*.py")), ids=str)
def test_the_package_imports_no_trainer(path):
    later = ("trainers", "export", "benchmarks", "tests")
    assert not [n for n in imported(path) if n.startswith(later)]


@pytest.mark.parametrize("path", sorted(ROOT.glob("trainers/*.py")), ids=str)
def test_trainers_know_nothing_of_the_export(path):
    assert not [n for n in imported(path) if n.startswith(("export", "tests"))]


@pytest.mark.parametrize("path", sorted(ROOT.glob("nem_tf/data/*.py")), ids=str)
def test_data_know_nothing_of_the_model(path):
    ours = {name for name in imported(path) if name.startswith("nem_tf.")}
    assert all(name.startswith(("nem_tf.data", "nem_tf.pixels")) for name in ours)


@pytest.mark.parametrize("name", ORDER)
def test_modules_import_only_what_stands_before_them(name):
    ours = {
        module.split(".")[1]
        for module in imported(ROOT / "nem_tf" / f"{name}.py")
        if module.startswith("nem_tf.")
    }
    allowed = set(ORDER[: ORDER.index(name)])
    assert not (ours & set(ORDER)) - allowed


def test_layers_use_keras_ops_only():
    for name in set(ORDER) - {"pixels"}:  # which asks TensorFlow's graphs to look
        modules = imported(ROOT / "nem_tf" / f"{name}.py")
        assert not [module for module in modules if module.startswith("tensorflow")]


def test_ci_runs_the_readmes_test_command():
    lines = (ROOT / "README.md").read_text().splitlines()
    commands = [line for line in lines if "-m pytest" in line]
    assert len(commands) == 1
    assert "pip install" in commands[0] and ".venv" in commands[0]
    assert "grep -m 1 -- '-m pytest' README.md" in (ROOT / ".ci/run").read_text()
