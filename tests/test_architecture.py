"""The arrows of the design: who imports whom, and that CI runs the README's tests."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# Each stands before those that may import it: a module, or all of a folder.
ORDER = (
    "reading",
    "nem_tf.axes",
    "nem_tf.pixels",
    "nem_tf.memory",
    "nem_tf.draws",
    "nem_tf.random_start",
    "nem_tf.data",
    "nem_tf.likelihoods",
    "nem_tf.layers",
    "nem_tf.cells",
    "nem_tf.networks",
    "nem_tf.losses",
    "nem_tf.scores",
    "nem_tf.plots",
    "nem_tf.inference",
    "nem_tf.preset",
    "nem_tf.clip_model",
    "nem_tf.model",
    "nem_tf",
    "trainers.training",
    "trainers.experiment",
    "trainers.experiments",
    "trainers.static_shapes",
    "trainers.flying_shapes",
    "trainers.flying_mnist",
    "trainers.own_clips",
    "trainers.evaluation",
    "trainers.evaluate",
    "trainers.paper",
    "trainers.doctor",
    "trainers.reproduce",
    "trainers",
    "export",
)
PACKAGES = ("reading", "nem_tf", "trainers", "export")
WITHOUT_TENSORFLOW = (  # of nem_tf: on any of Keras's backends
    {name for name in ORDER if name.startswith("nem_tf")}
    - {"nem_tf", "nem_tf.data", "nem_tf.pixels", "nem_tf.inference"}
)


def imported(path):
    """Names of the project's modules that a file imports, wherever it does."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def module_of(path):
    """The name of a file's module."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def unit_of(name):
    """The entry of `ORDER` that a module, or a name in one, belongs to."""
    parts = ".".join(name.split(".")[:2])
    return parts if parts in ORDER else name.split(".")[0]


def files(package):
    return sorted((ROOT / package).rglob("*.py"))


EVERY = [path for package in PACKAGES for path in files(package)]


@pytest.mark.parametrize("path", EVERY, ids=module_of)
def test_modules_import_only_what_stands_before_them(path):
    mine = unit_of(module_of(path))
    ours = {unit_of(x) for x in imported(path) if x.split(".")[0] in PACKAGES}
    allowed = {mine, *ORDER[: ORDER.index(mine)]}
    assert ours <= allowed


def test_every_module_has_its_place():
    assert {unit_of(module_of(path)) for path in EVERY} == set(ORDER)


@pytest.mark.parametrize("path", files("nem_tf"), ids=module_of)
def test_layers_use_keras_ops_only(path):
    if unit_of(module_of(path)) in WITHOUT_TENSORFLOW:
        assert not [name for name in imported(path) if name.startswith("tensorflow")]


@pytest.mark.parametrize("path", EVERY, ids=module_of)
def test_what_ships_knows_nothing_of_tests_and_benchmarks(path):
    assert not [x for x in imported(path) if x.startswith(("tests", "benchmarks"))]


def test_ci_runs_the_readmes_test_command():
    lines = (ROOT / "README.md").read_text().splitlines()
    commands = [line for line in lines if "-m pytest" in line]
    assert len(commands) == 1
    assert "pip install" in commands[0] and ".venv" in commands[0]
    assert "grep -m 1 -- '-m pytest' README.md" in (ROOT / ".ci/run").read_text()
