"""Train and score what the paper reports, and write the tables and figures.

    python -m trainers.reproduce static_shapes --recipe ours --seeds 5
    python -m trainers.reproduce table1 --recipe ours --seeds 3
    python -m trainers.reproduce all --tables-only

WHAT is static_shapes (Sec. 4.1, Figure 3), table1, figure4, figure5, figure6,
flying_mnist, readings (of what the paper leaves open), starts (four of each clip),
figure7, or all. Runs that are kept in --out are not made again; one that was stopped
goes on where it was. Flags after "--" go to the trainers, for settings that no recipe
has; such results need an --out of their own. In a checkout, --out results has the
published runs already; with another folder all are trained anew. Without --recipe the
settings are the paper's, which take weeks on a CPU.
"""

import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys

from trainers.paper import reported
from trainers.paper.archive import Archive, read, test_name
from trainers.training import command_line, errors, machine, quiet
from trainers.training.option import as_flags, check, option

OUT, RUNS = pathlib.Path("results"), pathlib.Path("runs", "reproduce")
DOCUMENT = pathlib.Path("RESULTS.md")
MEGABYTES_PER_RUN = 6000  # flying shapes with K = 5; BENCHMARKS.md has 2.1 GB for K = 3


@dataclasses.dataclass(frozen=True)
class Config:
    """how the runs are made, and where they are kept"""

    recipe: str = option(
        "paper",
        "the paper's settings, ours, or quick",
        choices=reported.RECIPES,
        old_flag="--preset",
        often=True,
    )
    seeds: int = option(5, "runs of each training, of seeds 0, 1, ...", least=1)
    only: str = option("", "trainings to run, by their names", metavar="NAME,NAME")
    at_once: int = option(
        0,
        "runs at a time; 0: as many as a GPU's memory holds, or one on a CPU, whose "
        "cores they share: two on two cores do a fifth more together, but the minutes "
        "are then those of one core",
        least=0,
    )
    rescore: bool = option(
        False,
        "score kept runs again whose models are still in --runs, after a change of the "
        "code that leaves training as it is; those that this code scored stay",
    )
    tables_only: bool = option(False, "train nothing; show what is kept")
    out: pathlib.Path = option(
        OUT, "where results are kept, about 100 KB a run", kind=pathlib.Path
    )
    runs: pathlib.Path | None = option(
        None,
        f"where the run folders are, with the models; default {RUNS}, or runs/ in an "
        "--out of one's own",
        kind=pathlib.Path,
    )
    document: pathlib.Path | None = option(
        None,
        f"whose tables are written; default {DOCUMENT}, or the one in an --out of "
        "one's own",
        kind=pathlib.Path,
    )
    debug: bool = option(False, "show where in the code an error happened")

    def __post_init__(self):
        check(self)
        for name, shared, own in (
            ("runs", RUNS, self.out / "runs"),
            ("document", DOCUMENT, self.out / DOCUMENT),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, own if self.own else shared)

    @property
    def own(self):
        """Whether results are kept apart from those of the repository."""
        return self.out.resolve() != OUT.resolve()


def main(arguments=None):
    """The command; returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    own, extra = _split(arguments)
    choices = (*reported.PARTS, "all")
    parser = command_line.Parser("trainers.reproduce", __doc__, "WHAT [flags]")
    parser.add_argument("what", choices=choices, metavar="WHAT", help="see below")
    given = command_line.read_flags(parser, Config, own)
    what = given.pop("what")
    with parser.refusing(given):
        config = Config(**given)
    for name, shared in (("out", OUT), ("runs", RUNS)):
        folder = getattr(config, name)
        if extra and folder.resolve() == shared.resolve():
            parser.error(
                f"{name}: {folder} is for the recipes alone; name another folder for "
                f"runs with {' '.join(extra)}"
            )
    parts = tuple(reported.PARTS) if what == "all" else (what,)

    def action():
        with errors.of_settings(ValueError):
            reproduction = Reproduction(config, parts, extra)
            with _sigterm(reproduction.stop):
                return reproduction.run()

    return errors.exit_status(
        "trainers.reproduce",
        action,
        debug=config.debug,
        stopped="stopped; the same command goes on from here",
    )


@contextlib.contextmanager
def _sigterm(stop):
    """While SIGTERM stops the trainers and then this program, as Ctrl-C does."""

    def handle(number, frame):
        stop()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _split(arguments):
    """What stands before and after "--"."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]


class ChildFailed(errors.Failed):
    """A trainer ended with an error; it has said why."""


class Reproduction:
    """The runs of some parts of the paper.

    Args:
        config: the settings.
        parts: keys of `reported.PARTS`.
        extra: further flags for the trainers.

    Raises:
        ValueError: if `only` names no training of the parts.
    """

    def __init__(self, config, parts, extra=()):
        self.config = config
        self.parts = parts
        self.extra = list(extra)
        self.archive = Archive(config.out, config.runs)
        self._cores: queue.Queue[set[int]] = queue.Queue()  # of runs side by side
        self._children: set[subprocess.Popen] = set()
        scores = [score for part in parts for score in reported.PARTS[part]]
        names = {score.training.name for score in scores}
        only = [name for name in config.only.split(",") if name]
        self.scores = [c for c in scores if not only or c.training.name in only]
        unknown = [name for name in only if name not in names]
        if unknown:
            raise ValueError(
                f"only: expected some of {', '.join(sorted(names))}, received "
                f"{', '.join(unknown)}"
            )

    def run(self):
        """Train, test, and write; returns the exit status."""
        if not self.config.tables_only:
            self._make_all()
        self._write()
        return 0

    def _make_all(self):
        recipe = self.config.recipe
        trainings = [
            training
            for training in dict.fromkeys(score.training for score in self.scores)
            if recipe in training.recipes
        ]
        jobs = [
            (training, seed)
            for seed in range(self.config.seeds)
            for training in trainings
        ]
        missing = [job for job in jobs if not self.archive.done(recipe, *job)]
        kept = [job for job in jobs if job not in missing]
        print(
            f"{len(jobs)} runs with {recipe} settings, {len(kept)} of them kept in "
            f"{self.config.out}; {self._hours_left(missing)}",
            file=sys.stderr,
        )
        at_once = min(self.config.at_once or _fitting(), max(1, len(missing)))
        if at_once == 1:
            for place, job in enumerate(missing):
                self._say(job, missing[place:])
                self._train(*job)
        else:
            self._train_side_by_side(missing, at_once)
        for job in kept if self.config.rescore else ():
            self._rescore(*job)
        tests = {(c.training, test_name(c)): c for c in self.scores if c.test}
        for score in tests.values():  # parts share some
            for seed in range(self.config.seeds):
                self._test(score, seed)

    def _train_side_by_side(self, missing, at_once):
        pool = concurrent.futures.ThreadPoolExecutor(at_once)
        for cores in shares_of_cores(at_once):
            self._cores.put(cores)
        futures = [pool.submit(self._train, *job, alone=False) for job in missing]
        try:
            for done in concurrent.futures.as_completed(futures):
                done.result()
                left = [
                    job
                    for job in missing
                    if not self.archive.done(self.config.recipe, *job)
                ]
                print(self._hours_left(left, at_once), file=sys.stderr)
        except BaseException:  # no other run begins; those that go on save their state
            pool.shutdown(wait=False, cancel_futures=True)
            self.stop()
            raise
        finally:
            pool.shutdown()

    def stop(self):
        """Ask the trainers that run to save their state and to end."""
        for child in list(self._children):
            child.terminate()

    def _say(self, job, missing):
        training, seed = job
        print(
            f"\n{training.experiment} {training.name} seed {seed}: "
            f"{self._hours_left(missing)}",
            file=sys.stderr,
        )

    def _hours_left(self, missing, at_once=1):
        """Of the missing runs, from those of the same training that are done."""
        known, unknown = 0.0, 0
        for training, _ in missing:
            took = [
                self.archive.read_run(self.config.recipe, training, seed)
                for seed in self.archive.seeds(self.config.recipe, training)
            ]
            if took:
                known += sum(one["seconds"] for one in took) / len(took)
            else:
                unknown += 1
        text = f"{len(missing)} to go"
        if known:
            text += f", about {known / 3600 / at_once:.1f} hours"
        if unknown:
            text += f", {unknown} of them of a kind that was not timed yet"
        return text

    def _train(self, training, seed, alone=True):
        """One run, to its end, and keep its small files."""
        recipe = self.config.recipe
        run = self.archive.run(recipe, training, seed)
        of_run = {"recipe": recipe, "seed": seed, "out": run}
        flags = {**training.flags(recipe), **of_run}
        line = [f"trainers.{training.experiment}", *as_flags(flags), *self.extra]
        line += ["--resume", "auto"]
        if alone:
            self._child(line, None)
        else:
            cores = self._cores.get()
            try:
                self._child(line, run, cores)
            finally:
                self._cores.put(cores)
        self.archive.keep(recipe, training, seed)

    def _rescore(self, training, seed):
        """Score a kept run again under the settings of its training."""
        run = self.archive.run(self.config.recipe, training, seed)
        kept = self.archive.kept(self.config.recipe, training, seed)
        if self._stays(kept / "results.json"):
            return
        if self._evaluate(run, "as trained"):
            self.archive.keep(self.config.recipe, training, seed)

    def _test(self, score, seed):
        """One evaluation of a run under other settings than those of its training."""
        recipe = self.config.recipe
        target = self.archive.test_file(recipe, score, seed)
        run = self.archive.run(recipe, score.training, seed)
        if self._stays(target):
            return
        name = test_name(score)
        out = run / "evaluate" / name
        if self._evaluate(run, f"with {name}", **score.test, out=out):
            shutil.copyfile(out / "results.json", target)

    def _stays(self, results):
        """Whether there are scores that need not be made again."""
        if not results.is_file():
            return False
        return not self.config.rescore or _scored_by_this_code(results)

    def _evaluate(self, run, how, **flags):
        """Score a run on as many clips as at first; False if its model is not there."""
        if not (run / "model.keras").is_file():
            print(f"{run}: no model.keras, so not scored {how}", file=sys.stderr)
            return False
        clips = read(run / "results.json")["test"]["clips"]
        line = as_flags({"clips": clips, **flags})
        self._child(["trainers.evaluate", str(run), *line], None)
        return True

    def _child(self, line, run, cores=None):
        """Run `python -m LINE`, on some of the cores.

        With `run`, what it says goes into a file beside the run's folder.
        """
        environment = {
            **os.environ,
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # so that several share a GPU
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        }
        command = [sys.executable, "-m", *line]
        with contextlib.ExitStack() as files:
            said = None
            if run is not None:
                run.parent.mkdir(parents=True, exist_ok=True)
                said = files.enter_context(open(run.parent / f"{run.name}.txt", "a"))
            child = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        self._children.add(child)
        try:
            if cores and hasattr(os, "sched_setaffinity"):  # not on macOS
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    os.sched_setaffinity(child.pid, cores)
            status = child.wait()
        except KeyboardInterrupt:
            child.wait()  # it has the same signal and saves its state
            raise
        finally:
            self._children.discard(child)
        if status in (130, 143, -2, -15):
            raise KeyboardInterrupt
        if status:
            where = f"; {run.name}.txt in {run.parent} says why" if run else ""
            raise ChildFailed(f"{' '.join(line)} ended with status {status}{where}")

    def _write(self):
        with quiet.startup():
            from trainers.paper import figures, tables

        drawn = figures.draw(self.archive, self.parts)
        others = f" --out {self.config.out}" if self.config.own else ""
        if self.extra:
            others += f" -- {' '.join(self.extra)}"
        tables.write(
            self.config.document,
            self.archive,
            self.parts,
            drawn,
            others,
        )
        print(f"{self.config.document}: {', '.join(self.parts)} written")


def _scored_by_this_code(results):
    """Whether a results.json is an evaluation's by the code as it is now."""
    now = machine.commit()
    known = now is not None and not now.endswith("+")
    return known and read(results).get("scored_by") == now


def shares_of_cores(runs):
    """Sets of cores for so many runs, with none in two of them where they suffice."""
    cores = sorted(machine.cores())
    each = len(cores) // runs
    if not each:
        return [set(cores)] * runs
    return [set(cores[start * each : (start + 1) * each]) for start in range(runs)]


def _fitting():
    """How many runs a GPU's memory holds; 1 without a GPU."""
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True)
        megabytes = min(float(line) for line in done.stdout.split())
    except (OSError, subprocess.CalledProcessError, ValueError):
        return 1
    return max(1, int(megabytes // MEGABYTES_PER_RUN))


if __name__ == "__main__":
    sys.exit(main())
