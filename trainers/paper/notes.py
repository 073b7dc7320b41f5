"""What stands below a table: test clips, minutes, commands, what was not run."""

from trainers.paper import reported

OPTIONAL = ("quick",)  # not mentioned where it was not run
BOUND = "Next-step bound at the last step, nats per frame; lower is better."


def below(archive, part):
    """Unit, test clips, seeds that are not as usual, minutes to the score."""
    notes = [BOUND] * (part == "figure5")
    tested: dict[tuple, list] = {}  # recipes by data source and number of clips
    seeds, times = [], []
    for recipe in reported.RECIPES:
        for score in reported.PARTS[part]:
            found = score.results(archive, recipe)
            for seed, one in found.items():
                source = archive.read_config(recipe, score.training, seed)["data"]
                recipes = tested.setdefault((source, one["test"]["clips"]), [])
                recipes += [f"`{recipe}`"] * (f"`{recipe}`" not in recipes)
            if sorted(found) != list(range(len(found))):
                numbers = ", ".join(map(str, sorted(found)))
                seeds.append(f"Seeds of {score.label} (`{recipe}`): {numbers}.")
            if found and score.paper and not score.test:
                took = passed(archive, recipe, score)
                times.append(f"{score.label} (`{recipe}`) {took}")
        seeds += _fewer(archive, recipe, reported.PARTS[part])
    counts = [
        f"{clips} ({source})" + f" for {', '.join(recipes)}" * (len(tested) > 1)
        for (source, clips), recipes in tested.items()
    ]
    notes += [f"Test clips: {', '.join(counts)}.", *seeds]
    if times:
        notes.append(f"Minutes to the paper's AMI: {'; '.join(times)}.")
    return " ".join(notes) if tested else ""


def _fewer(archive, recipe, scores):
    """Which seeds are missing in rows whose weights have them in another row."""
    rows = {score: set(score.results(archive, recipe)) for score in scores}
    missing: dict[tuple[int, ...], list[str]] = {}
    for score, found in rows.items():
        same = [rows[other] for other in scores if other.training == score.training]
        lacks = tuple(sorted(set().union(*same) - found))
        if found and lacks:
            missing.setdefault(lacks, []).append(score.label)
    for lacks, labels in missing.items():
        numbers = ", ".join(map(str, lacks))
        yield f"Not scored (`{recipe}`): seed {numbers} of {'; '.join(labels)}."


def passed(archive, recipe, score):
    """After how many minutes the validation AMI was first the paper's.

    Of several stages the last one counts: the others are validated on few digits.
    """
    if score.test:
        return ""
    seeds = archive.seeds(recipe, score.training)
    minutes, last = {}, len(score.training.pools)
    for seed in seeds:
        log = archive.log(recipe, score.training, seed)
        rows = zip(log["seconds"], log["val_ami"], log["stage"], strict=True)
        for seconds, ami, stage in rows:
            if stage == last and ami >= score.paper[0]:
                minutes[seed] = seconds / 60
                break
    if not minutes:
        return "not reached"
    text = minutes_of(archive, recipe, score.training, minutes)
    if len(minutes) < len(seeds):
        text += f" ({len(minutes)} of {len(seeds)} seeds)"
    return text


def commands(archive, part, others):
    """The commands that made a part's rows, as a block of a shell."""
    lines = []
    scores = reported.PARTS[part]
    for recipe in reported.RECIPES:
        seeds: dict[reported.Training, set[int]] = {}
        for score in scores:
            found = score.results(archive, recipe)
            if found:
                seeds.setdefault(score.training, set()).update(found)
        every = {one.training for one in scores if recipe in one.training.recipes}
        lines += lines_of(
            f"{part} --recipe {recipe}", seeds, others, some=bool(every - set(seeds))
        )
    return "\n".join(["```sh", *lines, "```"]) if lines else ""


def lines_of(what, seeds, others, some=False):
    """The commands that made the seeds of each training, a dict to their numbers.

    With `some`, there are trainings without seeds, which no command may name.
    """
    groups: dict[int, list[str]] = {}
    for training, found in seeds.items():
        groups.setdefault(max(found) + 1, []).append(training.name)
    lines: list[str] = []
    for count, names in sorted(groups.items()):
        alone = some or lines  # the first one trains all
        only = f" --only {','.join(names)}" if alone else ""
        lines.append(
            f"python -m trainers.reproduce {what} --seeds {count}{only}{others}"
        )
    return lines


def not_run(archive, scores):
    """One line: what no run of a recipe gave, with the paper's numbers."""
    shown = {x for x in scores if any(archive.results(y, x) for y in reported.RECIPES)}
    missing, begun, level = [], [], []
    for recipe in reported.RECIPES:
        expected = [x for x in scores if recipe in x.training.recipes]
        level += [
            f"`{recipe}`, {x.label}" for x in expected if _level(archive, recipe, x)
        ]
        without = [x for x in expected if not archive.results(recipe, x)]
        if not without or recipe in OPTIONAL:
            continue
        own = [x for x in without if not (x.test or x.seeds_of)]  # weights
        some = {x for x in own if archive.begun(recipe, x.training)}
        begun += [f"`{recipe}`, {_label(x, shown)}" for x in without if x in some]
        labels = [_label(x, shown) for x in without if x not in some]
        if without == expected and all(x in shown or not x.paper for x in without):
            labels = ["all other rows" if some else "all rows"]
        missing += [f"`{recipe}`, {'; '.join(labels)}"] if labels else []
    lines = [f"Not run: {'. '.join(missing)}."] if missing else []
    lines += [f"Not ended: {'; '.join(begun)}."] if begun else []
    lines += [f"Ended when AMI was level: {'; '.join(level)}."] if level else []
    return " ".join(lines)


def _level(archive, recipe, score):
    """Whether a run of a row ended although its loss still fell (`--level-epochs`)."""
    runs = () if score.test else archive.results(recipe, score).values()
    return any(run.get("ended") == "level" for run in runs)


def _label(score, shown):
    """A row that is missing; with the paper's number where no other recipe has it."""
    if score in shown or not score.paper:
        return score.label
    return "{} (the paper {:.3f} ± {:.3f})".format(score.label, *score.paper)


def short(machine):
    """What `archive.made_on` says, without the make: "2 cores", "H200"."""
    return machine.rpartition(", ")[2].removeprefix("NVIDIA ")


def minutes_of(archive, recipe, training, minutes):
    """Minutes, a dict from seeds, as text: their range on each kind of machine."""
    groups = archive.by_machine(recipe, training, minutes)
    texts = {name: _range([minutes[x] for x in some]) for name, some in groups.items()}
    if len(texts) == 1:
        return texts.popitem()[1]
    return ", ".join(f"{text} ({name})" for name, text in texts.items())


def _range(values):
    least, most = (f"{one:.1f}" for one in (min(values), max(values)))
    return least if least == most else f"{least}–{most}"
