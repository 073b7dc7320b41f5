"""Train slot attention for so many minutes; a run that was stopped goes on."""

import dataclasses
import math
import pathlib
import time

import torch
import torch._dynamo  # before TensorFlow: after it, this import crashes

from benchmarks.peers import scoring, tasks
from benchmarks.peers.slot_attention import SAVi
from trainers.training.files import replacing

SAVE_SECONDS = 60
LOSS_CLIPS = 64  # of validation, for the loss
AT_ONCE = 32  # clips that are scored
SCORE_SEED = 1000  # of the slots' draws in scores


class Stopped(Exception):
    """The run was asked to stop, and saved its state."""


@dataclasses.dataclass
class Progress:
    """How far a training is.

    seconds: on the clock of the training.
    cpu: seconds of all threads, in the same time.
    curve: a dict for each look at validation clips.
    """

    updates: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    curve: list = dataclasses.field(default_factory=list)


class Training:
    """A training of `SAVi` that ends by the clock.

    Args:
        name: a key of `tasks.TASKS`.
        settings: `settings.Settings`.
        seed: of weights, clips and draws.
        seconds: of training; loading and scoring do not count.
        marks: seconds after which validation clips are scored.
        state: path of the saved state; None saves none.
        sprites: see `tasks.batches`.
        validation: clips of it.
        by_cpu: whether the clock counts the time of the processor, not that of the
            wall: for settings to be compared while others use the machine.
        schedule: seconds over which the rate falls; None: those of the training.
    """

    def __init__(
        self,
        name,
        settings,
        seed,
        seconds,
        marks=(),
        state=None,
        sprites=None,
        validation=256,
        by_cpu=False,
        schedule=None,
    ):
        self.name, self.settings, self.seed = name, settings, seed
        self.seconds, self.marks = seconds, marks
        self.schedule = schedule or seconds
        self.path = None if state is None else pathlib.Path(state)
        self.sprites, self.by_cpu = sprites, by_cpu
        task = tasks.TASKS[name]
        torch.manual_seed(seed)
        slots = task.components + settings.spare_slots
        self.model = SAVi(settings, task.shape, slots, task.binary)
        self.optimizer = torch.optim.Adam(self.model.parameters(), settings.rate)
        self.at = Progress()
        self.held = tasks.held_out(name, "validation", validation, seed)
        self.stop = False  # whether it was asked to
        self._load()

    def run(self):
        """Train until the time is over.

        Raises:
            Stopped: if `stop` became true; the state is saved.
            FloatingPointError: if the loss is not finite.
        """
        settings, at = self.settings, self.at
        batches = tasks.batches(
            self.name,
            self.seed,
            settings.frames,
            settings.batch_size,
            at.updates,
            self.sprites,
        )
        saved = time.monotonic()
        clock = time.process_time if self.by_cpu else time.monotonic
        while at.seconds < self.seconds:
            began, cpu = clock(), time.process_time()
            loss = self._update(*next(batches))
            at.updates += 1
            at.seconds += clock() - began
            at.cpu += time.process_time() - cpu
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"loss: expected a number, received {loss} in update {at.updates} "
                    f"of {self.name}; a smaller rate or clip_norm may help"
                )
            over = at.seconds >= self.seconds
            if self._due() or over:
                at.curve.append(self._look(loss))
            if self.stop or over or time.monotonic() - saved > SAVE_SECONDS:
                self._save()
                saved = time.monotonic()
            if self.stop and not over:
                raise Stopped

    def segment(self, frames):
        """Segments of the last frames: (N, T + 1, H, W, C) -> integers (N, H, W)."""
        self.model.eval()
        draws = torch.Generator().manual_seed(SCORE_SEED)
        found = [
            self.model.segments(torch.from_numpy(frames[i : i + AT_ONCE]), draws)
            for i in range(0, len(frames), AT_ONCE)
        ]
        return torch.cat(found).numpy()

    def stream(self):
        """A function that takes the frames of a clip one by one: (H, W, C)."""
        model = self.model.eval()
        slots, first = model.begin(1), True

        @torch.no_grad()
        def step(frame):
            nonlocal slots, first
            keys, values = model.read(torch.tensor(frame)[None, None])
            slots, after = model.step(keys[:, 0], values[:, 0], slots, first)
            first = False
            return model.decoder(after)

        return step

    def _update(self, noisy, clean):
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate * self._schedule()
        loss = self.model.loss(torch.tensor(noisy), torch.tensor(clean))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = self.settings.clip_norm
        if norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), norm)
        self.optimizer.step()
        return loss.item()

    def _schedule(self):
        """A rise and a cosine fall over the schedule, 0 to 1."""
        share = min(self.at.seconds / self.schedule, 1.0)
        rise = min(1.0, (share + 1e-3) / max(self.settings.warmup, 1e-3))
        return rise * (1 + math.cos(math.pi * share)) / 2

    def _due(self):
        """Whether validation clips are to be scored now."""
        passed = sum(mark <= self.at.seconds for mark in self.marks)
        return passed > len(self.at.curve)

    def _look(self, loss):
        """What a look at validation clips finds."""
        noise = tasks.TASKS[self.name].noise > 0
        frames = self.settings.frames
        noisy, clean = (
            torch.from_numpy(x[:LOSS_CLIPS]) for x in (self.held.noisy, self.held.clean)
        )
        draws = torch.Generator().manual_seed(SCORE_SEED)
        with torch.no_grad():
            held = self.model.loss(noisy[:, :frames], clean[:, : frames + 1], draws)
        found = scoring.score_both(self.held, self.segment, noise)
        return {
            "seconds": round(self.at.seconds, 1),
            "updates": self.at.updates,
            "loss": round(loss, 3),
            "validation_loss": round(held.item(), 3),
            **found,
        }

    def _save(self):
        if self.path is None:
            return
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "at": dataclasses.asdict(self.at),
            "settings": dataclasses.asdict(self.settings),
        }
        with replacing(self.path) as beside:
            torch.save(state, beside)

    def _load(self):
        if self.path is None or not self.path.is_file():
            return
        state = torch.load(self.path, weights_only=True)
        if state["settings"] != dataclasses.asdict(self.settings):
            raise ValueError(
                f"{self.path}: was made with other settings; remove the folder or take "
                "another --out"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        self.at = Progress(**state["at"])


def parameters(model):
    """How many numbers are trained."""
    return sum(p.numel() for p in model.parameters())
