"""The saved state of a run: all that continuing exactly takes, in one file.

A file is a NumPy archive of the position in the schedule, the text of log.csv up to
there, and every variable of the model, the optimizer and the running metrics. The
archive's checksums tell a damaged file, and reading one runs no code.
"""

import dataclasses
import io
import json
import re
import sys
import zipfile
from typing import NamedTuple

import numpy as np

from trainers.training.errors import Damaged, reason
from trainers.training.files import replacing

FORMAT = 1
KEPT = 2  # the newest, and the one before should the newest be damaged
NAME = re.compile(r"state-(\d{6,})\.npz")


@dataclasses.dataclass
class Position:
    """How far a run has come."""

    stage: int = 0  # index of the stage; their number when all are done
    epoch: int = 0  # epochs done in the stage
    update: int = 0  # updates done in the epoch
    earlier_epochs: int = 0  # epochs of the stages before
    best: float = float("inf")  # lowest validation loss of the stage
    waited: int = 0  # epochs since then
    seconds: float = 0.0  # of training
    resumes: int = 0  # how often the run was continued
    ended: str | None = None  # why the stage before was over, see `loop.Run.over`

    @property
    def epochs(self):
        """Epochs done, over all stages."""
        return self.earlier_epochs + self.epoch

    def next_stage(self):
        """Go to the first update of the next stage."""
        self.stage += 1
        self.earlier_epochs += self.epoch
        self.epoch = self.update = self.waited = 0
        self.best = float("inf")


class State(NamedTuple):
    """What a file held; `variables` as `variables_of` lists them."""

    position: Position
    log: str
    variables: list[np.ndarray]
    metrics: list[np.ndarray]


def variables_of(nem):
    """Variables of model and optimizer, in an order that the settings determine."""
    return [*nem.variables, *nem.optimizer.variables]


def learned(nem):
    """Those of `variables_of` that a .keras file holds: without seeds of a layer."""
    return [*nem.weights, *nem.optimizer.variables]


def values(variables):
    """Their values, as NumPy arrays; replicas hold the same or are summed."""
    from keras import ops

    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables, arrays):
    """Set variables to values of the same shapes.

    Raises:
        ValueError: if they are others.
    """
    here, there = [v.shape for v in variables], [a.shape for a in arrays]
    if here != there:
        raise ValueError(
            f"expected {len(here)} variables, received {len(there)}, or of other shapes"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def pack(state):
    """A `State` as the bytes of a file."""
    arrays = {
        "format": np.array(FORMAT),
        "position": np.array(json.dumps(dataclasses.asdict(state.position))),
        "log": np.array(state.log),
        **{f"variable-{i:04}": value for i, value in enumerate(state.variables)},
        **{f"metric-{i:04}": value for i, value in enumerate(state.metrics)},
    }
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def unpack(data):
    """The `State` that `pack` made into bytes.

    Raises:
        Damaged: if they are not whole.
        ValueError: if another version of this package made them.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"wrong checksum of {damaged}")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        theirs = int(content["format"])
        position = json.loads(str(content["position"]))
        log = str(content["log"])
    except Exception as error:  # zipfile and NumPy raise many kinds
        raise Damaged(reason(error)) from None
    if theirs != FORMAT:
        raise ValueError(
            f"expected a state of format {FORMAT}, received {theirs}, of another "
            "version of nem_tf; resume with the version that began the run"
        )
    names = sorted(content)
    variables = [content[name] for name in names if name.startswith("variable-")]
    metrics = [content[name] for name in names if name.startswith("metric-")]
    return State(Position(**position), log, variables, metrics)


def save(folder, state):
    """Write the next state file of a run, then drop all but the last two.

    Args:
        folder: of the state files.
        state: a `State`.

    Returns:
        the file.
    """
    folder.mkdir(exist_ok=True)
    numbers = [number for number, _ in _files(folder)]
    path = folder / f"state-{max(numbers, default=0) + 1:06}.npz"
    with replacing(path) as beside:
        beside.write_bytes(pack(state))
    for _, old in _files(folder)[:-KEPT]:
        old.unlink()
    return path


def load(folder):
    """Read the newest state that is whole; None if none was ever saved.

    A damaged file is renamed to NAME.damaged, with a line on stderr.

    Raises:
        Damaged: if no saved state is whole.
    """
    damage = None
    for _, path in reversed(_files(folder)):
        try:
            return unpack(path.read_bytes())
        except Damaged as error:
            damage = f"{path} is damaged ({error})"
            path.rename(path.with_name(f"{path.name}.damaged"))
            print(f"{damage}; trying the state before it", file=sys.stderr)
    if damage is not None:
        raise Damaged(
            f"{damage}, and there is none before it; begin anew with another --out"
        )
    return None


def _files(folder):
    """Pairs of number and path of the state files, oldest first."""
    matches = [(NAME.fullmatch(path.name), path) for path in folder.glob("state-*.npz")]
    return sorted((int(match[1]), path) for match, path in matches if match)
