"""A trainer's command: from flags to scores, pictures, and the closing lines."""

import contextlib
import json
import math
import sys

from trainers.training import (
    command_line,
    config_file,
    devices,
    errors,
    interrupts,
    progress,
    quiet,
    report,
    run_folder,
)


def main(experiment_class, doc, arguments=None, usage=None):
    """A trainer's command: parse, train, score, draw, say where the results are.

    Args:
        experiment_class: a subclass of `Experiment`.
        doc: the trainer's docstring, for `--help`.
        arguments: list of strings, `sys.argv[1:]` if None.
        usage: what follows the command, for `--help`.

    Returns:
        exit status: 0; 2 after one line on stderr if a setting cannot be met, 1 if
        something failed on the way; 143 or 130 if the run was stopped.
    """
    config = command_line.parse(experiment_class, doc, arguments, usage)

    def action():
        with contextlib.ExitStack() as stack:
            _main(experiment_class, config, stack)

    return errors.exit_status(
        f"trainers.{experiment_class.name}",
        action,
        debug=config.run.debug,
        again="continue with --resume",
        stopped="stopped before training",
    )


def _main(experiment_class, config, stack):
    name = experiment_class.name
    out = config.run.out or run_folder.default_path(name, config.clips.seed)
    folder = None
    with errors.of_settings():
        began = _begun(experiment_class, config, out)
        resumed, config = began is not None, began or config
        if config.run.host_index == 0:
            if resumed:
                folder = stack.enter_context(run_folder.RunFolder(out, resumed=True))
            else:
                run_folder.check_free(out)
        if folder and folder.complete and config.run.strategy != "hosts":
            return _report_again(experiment_class, folder)
        experiment, strategy = _prepare(experiment_class, config, out)
        if folder is None and strategy.writes:
            folder = stack.enter_context(run_folder.RunFolder(out))
    run(experiment, folder, strategy)


def _begun(experiment_class, config, out):
    """The settings of the run in `out` that goes on; None if a new one begins."""
    if config.run.resume != "auto":
        return config if config.run.resume else None
    if not (out / "config.json").is_file():
        return None
    began = config_file.read(out, experiment_class.name)
    config_file.check_data(began.get("data"), config.clips.data, out)
    given = {name: x for name, x in config.flat().items() if name in config.given}
    return command_line.of_resumed(experiment_class, out, {**given, "out": out})


def run(experiment, folder, strategy):
    """Train and score an experiment into its run folder.

    Args:
        experiment: an `Experiment`.
        folder: its `RunFolder`; None where another host writes it.
        strategy: its devices, of `devices.choose`.
    """
    from trainers.training import board, loop

    config = experiment.config
    with interrupts.Interrupts() as asked:
        this = loop.Run(config, folder, experiment.title, strategy, asked)
        with errors.of_settings():
            resumed = bool(config.run.resume) and loop.resume(this)
            began = folder if config.run.resume else None
            clips = _clips_of(experiment, began, strategy)
        if resumed:
            _say(folder, f"continuing after update {this.updates}")
        elif folder:
            folder.write_config(config, experiment.name, experiment.source, clips)
            settings = config_file.as_json(config)
            short = board.short_name(folder.path.absolute())
            board.write_settings(folder / "tensorboard", settings, short)
            most = sum(config.per_stage("epochs")) * config.updates_per_epoch
            experiment.show(folder.path)
            _say(folder, f"a new run of {most} updates at most")
        asked.deferred = True
        experiment.train(this)
        strategy.close()
        asked.deferred = False
        if asked.status:
            raise interrupts.Stopped(
                asked.status,
                f"trained, not scored; --resume {folder.path} does that"
                if folder
                else "trained; host 0 has the model",
            )
        if folder and folder.complete:  # the other hosts had to be told
            _report_again(type(experiment), folder)
        elif folder:
            _finish(experiment, this)


def _clips_of(experiment, folder, strategy):
    """What identifies the clips of `--data`; None without.

    Args:
        experiment: the `Experiment`.
        folder: of the run that goes on; None if it begins, or another host writes it.
        strategy: the devices; host 0 says what is expected on all.

    Raises:
        ValueError: if they are not those that the run was begun with.
    """
    clips, data = experiment.fingerprint(), experiment.config.clips.data
    if clips is None:
        return None
    known = folder is not None and (folder / "config.json").is_file()
    began = folder.read_json("config.json") if known else {}
    expected = json.dumps(began.get("clips") or clips).encode()
    if json.loads(strategy.from_first(expected)) != clips:
        raise ValueError(
            "data: expected the clips that the run was begun with, received others in "
            f"{data}; give the file that it was, or begin a new run"
        )
    place = experiment.source
    if known and (began["settings"]["data"], began.get("clips")) != (place, clips):
        began["settings"]["data"] = began["data"] = place
        folder.write_json("config.json", {**began, "clips": clips})
    return clips


def _say(folder, text):
    """One host talks for all."""
    if folder:
        print(f"{folder.path}: {text}", file=sys.stderr, flush=True)


def _finish(experiment, this):
    """Score and draw the best model; the last file written is results.json."""
    from trainers.training import board, loop, pictures, scoring

    config, folder = this.config, this.folder
    test_size = config.training.test_size
    with progress.Phase("reading the best model"):
        nem = loop.read_model(folder.best)
        nem.lanes = this.devices.lanes
        clips = experiment.clips("test", clips=test_size)
    counted = progress.Counted(clips, "scoring {} test clips", test_size)
    scores = scoring.collect(nem, counted)
    result = {
        "experiment": experiment.name,
        "data": experiment.source,
        "recipe": config.run.recipe,
        "seed": config.clips.seed,
        "seconds": round(this.at.seconds, 1),
        "updates": this.updates,
        "ended": this.at.ended,
        "resumes": this.at.resumes,
        "test": scoring.summary(scores),
    }
    with progress.Phase("drawing"):
        some = min(64, test_size)
        typical = experiment.clips("test", batch_size=some, clips=some)
        pictures.of_clip(nem, typical, this.title, folder)
        pictures.of_scores(scores, this.title, folder)
        board.write_scores(folder / "tensorboard", result["test"], this.updates)
    folder.write_json("results.json", result)
    _report(type(experiment), folder, result)


def _prepare(experiment_class, config, out):
    """Build the experiment and try its data and model before anything is written."""
    devices.prepare(config)
    with progress.Phase(f"{out}: importing TensorFlow"), quiet.startup():
        import nem_tf  # noqa: F401

    with progress.Phase(f"{out}: preparing clips and network"):
        return _prepared(experiment_class, config)


def _prepared(experiment_class, config):
    import keras

    from nem_tf import memory

    keras.utils.set_random_seed(config.clips.seed)
    strategy = devices.choose(config)
    experiment = experiment_class(config)
    config = experiment.config
    training, clips = config.training, config.clips
    pixels = clips.batch_size * clips.steps * math.prod(experiment.size)
    pixels *= experiment.channels
    remedy = "a smaller --batch-size or fewer --steps"
    memory.check(clips.components, pixels, remedy, machines=config.run.hosts)
    part = strategy.part  # the data sets are those that the training will ask for
    experiment.clips(
        "train", stage=0, clips=training.train_size, epochs=None, skip=0, part=part
    )
    validation = experiment.clips(
        "validation", stage=0, clips=training.validation_size, part=part
    )
    experiment.clips("test", clips=training.test_size)
    cell = experiment.cell()
    if cell.kept_in_training:
        steps = getattr(clips, "train_steps", clips.steps)
        pixels = clips.batch_size * steps * math.prod(cell.frame_shape)
        memory.check(
            clips.components,
            pixels,
            "a smaller --size or --batch-size",
            machines=config.run.hosts,
            kept=cell.kept_in_training,
            what="gradients",
        )
    if cell.layered and "background" not in validation.element_spec:
        raise ValueError(
            f"model: expected rnn-em or n-em for {experiment.name}, whose clips come "
            f"without a background, received {config.cell.model}; use "
            "trainers.own_clips"
        )
    if clips.data is not None:
        _check_recording(config, validation, cell)
    return experiment, strategy


def _check_recording(config, clips, cell):
    """Raise ValueError unless recorded clips are such as the model is made for."""
    batch = next(iter(clips))
    frame = tuple(batch["clean"].shape[2:])
    if frame != cell.frame_shape:
        raise ValueError(
            f"data: expected frames of {cell.frame_shape}, which the network draws, "
            f"received {frame} in {config.clips.data}; fit the file's frames to it"
        )


def _report_again(experiment_class, folder):
    """What the run said when it was done."""
    print(f"{folder.path}: the run is complete", file=sys.stderr)
    _report(experiment_class, folder, folder.read_json("results.json"))


def _report(experiment_class, folder, result):
    """The closing lines: scores, the paper's, and where to look."""
    test, recipe = result["test"], result.get("recipe", result.get("preset"))
    minutes = result["seconds"] / 60
    scores = f"  loss on {test['clips']} test clips  {test['loss']:.1f} nats per clip"
    layered = "".join(f"{line}\n" for line in report.over_background(test))
    used = "".join(f"{line}\n" for line in report.used(test))
    scores += "\n" if layered else "; there are no labels\n"
    if "ami" in test:
        scores = (
            f"  AMI on {test['clips']} test clips   {_last_and_mean(test['ami'])}\n"
            f"  ARI                     {_last_and_mean(test['ari'])}\n"
        )
        if folder.read_json("config.json").get("settings", {}).get("data") is None:
            scores += f"  the paper               {experiment_class.paper}\n"
        if recipe == "quick":
            scores += (
                "                          a first look; more without --recipe quick\n"
            )
    scores += layered + used
    print(
        f"\n{result['experiment']}, data: {result['data']}, recipe {recipe}, "
        f"seed {result['seed']}: {result['updates']} updates in {minutes:.1f} minutes\n"
        f"{scores}"
        f"  pictures                {folder / 'overview.png'}, {folder / 'clip.gif'}\n"
        f"  model and scores        {folder.best}, {folder / 'results.json'}\n"
        f"  curves                  tensorboard --logdir {folder / 'tensorboard'}"
    )


def _last_and_mean(curve):
    """A score at the last step and as a mean; null where no pixel is labelled."""
    last, mean = (report.number(curve[key]) for key in ("last", "mean"))
    return f"last step {last}, mean over steps {mean}"
