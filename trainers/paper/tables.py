"""The tables of RESULTS.md, from the kept results and from nothing else.

Each part of the paper has a section between two comments, which is written anew; what
stands outside of them is left as it is.
"""

import os
import pathlib
import re

from trainers.paper import reported
from trainers.paper.archive import Archive, made_on, sample
from trainers.training.files import replacing

OPTIONAL = ("quick",)  # not mentioned where it was not run
HEAD = (
    "| what | settings | seeds | AMI, last step | mean over steps | arithmetic, last "
    "| ARI, last | updates | minutes | the paper's AMI |\n" + "|---" * 10 + "|"
)


def write(document, archive: Archive, parts, drawn, others=""):
    """Write the sections of some parts.

    Args:
        document: path; made if it is not there.
        archive: the kept results.
        parts: keys of `reported.PARTS`.
        drawn: dict from parts to lists of (caption, path) of their figures.
        others: what else stood on the command line.
    """
    document = pathlib.Path(document)
    text = document.read_text(encoding="utf-8") if document.is_file() else "# Results\n"
    for part in parts:
        pictures = [
            f"![{caption}]({os.path.relpath(path, document.parent)})"
            for caption, path in drawn.get(part, [])
        ]
        body = "\n\n".join([section(archive, part, others), *pictures])
        first, last = f"<!-- {part}: trainers.reproduce -->", f"<!-- end of {part} -->"
        whole = f"{first}\n{body}\n{last}"
        found = re.compile(f"{re.escape(first)}.*?{re.escape(last)}", re.DOTALL)
        if found.search(text):
            text = found.sub(lambda _, whole=whole: whole, text)
        else:
            text = f"{text.rstrip()}\n\n{whole}\n"
    document.parent.mkdir(parents=True, exist_ok=True)
    with replacing(document) as beside:
        beside.write_text(text, encoding="utf-8")


def section(archive, part, others=""):
    """Heading, table and commands of a part."""
    scores = reported.PARTS[part]
    rows = _bounds(archive, scores) if part == "figure5" else _scores(archive, scores)
    lines = [f"## {reported.TITLES[part]}", "", *rows]
    for recipe in reported.RECIPES:
        made = _how(archive, part, recipe, others)
        lines += ["", made] if made else []
    return "\n".join(lines)


def _scores(archive, scores):
    """A row per score and recipe."""
    yield HEAD
    for score in scores:
        theirs = "{:.3f} ± {:.3f}".format(*score.paper) if score.paper else "none"
        for recipe in reported.RECIPES:
            found = archive.results(recipe, score)
            expected = recipe in score.training.recipes and recipe not in OPTIONAL
            if found or expected:
                row = _row(archive, recipe, score, found)
                yield f"| {score.label} | `{recipe}` | {row} | {theirs} |"


def _row(archive, recipe, score, found):
    if not found:
        return " | ".join(["0", "not run"] + [""] * 5)
    tests = [one["test"] for one in found.values()]
    runs = {seed: archive.read_run(recipe, score.training, seed) for seed in found}
    minutes = {seed: run["seconds"] / 60 for seed, run in runs.items()}
    columns = [
        len(found),
        sample(test["ami"]["last"] for test in tests),
        sample(test["ami"]["mean"] for test in tests),
        sample(test["ami_arithmetic"]["last"] for test in tests),
        sample(test["ari"]["last"] for test in tests),
        _range([run["updates"] for run in runs.values()], 0),
        _minutes(archive, recipe, score.training, minutes),
    ]
    return " | ".join(map(str, columns))


def _minutes(archive, recipe, training, minutes):
    """Minutes, a dict from seeds, as text: their range on each kind of machine."""
    groups = archive.by_machine(recipe, training, minutes)
    texts = {
        name: _range([minutes[x] for x in some], 1) for name, some in groups.items()
    }
    if len(texts) == 1:
        return texts.popitem()[1]
    return ", ".join(f"{text} ({name})" for name, text in texts.items())


def _range(values, digits):
    least, most = (f"{one:.{digits}f}" for one in (min(values), max(values)))
    return least if least == most else f"{least} to {most}"


def _bounds(archive, scores):
    """Figure 5: the bound of each number of objects, a row per task, K and recipe."""
    counts = sorted({score.training.settings["objects"] for score in scores})
    heads = [f"{count} object{'s' * (count > 1)}" for count in counts]
    yield "Next-step bound at the last step, nats per frame.\n"
    yield f"| task | K | settings | {' | '.join(heads)} |"
    yield f"|---|---|---|{'---|' * len(counts)}"
    kinds = dict.fromkeys(
        (score.label.split(",")[0], score.training.settings["components"])
        for score in scores
    )
    for recipe in reported.RECIPES:
        for task, components in kinds:
            row = [
                archive.results(recipe, score)
                for score in scores
                if score.label.startswith(task)
                and score.training.settings["components"] == components
            ]
            if not any(row) and recipe in OPTIONAL:
                continue
            values = [_bound(found) if found else "not run" for found in row]
            yield f"| {task} | {components} | `{recipe}` | {' | '.join(values)} |"


def _bound(found):
    """Mean, deviation and number of a bound's seeds, results.json by seed."""
    bound = sample(one["test"]["next_step_bound"] for one in found.values())
    return f"{bound:.2f}" + (f" ({len(found)} seeds)" if len(found) > 1 else "")


def _how(archive, part, recipe, others):
    """The command behind the rows of a recipe, with seeds and machine."""
    seeds, of_rows, scored = {}, {}, set()
    for score in reported.PARTS[part]:
        found = archive.results(recipe, score)
        if found:
            of_rows[score.label] = tuple(sorted(found))
            seeds[score.training] = sorted({*seeds.get(score.training, ()), *found})
            again = [one for one in found.values() if "scored_by" in one]
            scored |= {one["scored_by"] or "unknown" for one in again}
    if not seeds:
        return ""
    configs = [
        archive.read_config(recipe, training, seed)
        for training, found in seeds.items()
        for seed in found
    ]
    machines = sorted({made_on(one) for one in configs})
    sources = sorted({one["data"] for one in configs})
    commits = sorted({one["commit"] or "unknown" for one in configs})
    sizes = {
        archive.read_run(recipe, training, seed)["test"]["clips"]
        for training, found in seeds.items()
        for seed in found
    }
    tested = " or ".join(map(str, sorted(sizes)))
    by = f", scored at {', '.join(sorted(scored))}" if scored else ""
    every = {one.training for one in reported.PARTS[part]}
    missing = {one for one in every if recipe in one.recipes} - set(seeds)
    commands = _commands(f"{part} --recipe {recipe}", seeds, others, some=bool(missing))
    return (
        f"`{recipe}`: {commands} on {'; '.join(machines)}. Data: "
        f"{', '.join(sources)}; {tested} test clips; code at "
        f"{', '.join(commits)}{by}. {_whose(of_rows)}. Mean ± standard "
        "deviation over seeds."
        + "".join(_passed(archive, score, recipe) for score in reported.PARTS[part])
    )


def _commands(what, seeds, others, some=False):
    """The commands that made the seeds of each training.

    With `some`, there are trainings without seeds, which no command may name.
    """
    groups: dict[tuple[int, ...], list[str]] = {}
    for training, found in seeds.items():
        groups.setdefault(tuple(found), []).append(training.name)
    line = f"`python -m trainers.reproduce {what} --seeds "
    commands = []
    for found in sorted(groups, key=len):
        alone = some or commands  # the first one trains all
        only = f" --only {','.join(groups[found])}" if alone else ""
        commands.append(f"{line}{max(found) + 1}{only}{others}`")
    return " and ".join(commands)


def _whose(of_rows):
    """Which seeds the rows have, a dict from labels to tuples, as a sentence."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for label, found in of_rows.items():
        groups.setdefault(found, []).append(f'"{label}"')
    rest = max(groups, key=lambda found: len(groups[found]))
    whose = [f"{_seeds(x)} of {', '.join(groups[x])}" for x in groups if x != rest]
    whose.append(_seeds(rest) + (" of the others" if whose else ""))
    text = "; ".join(whose)
    return text[0].upper() + text[1:]


def _seeds(numbers):
    return f"seed{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _passed(archive, score, recipe):
    """After how many minutes the validation AMI was first that of the paper.

    Of several stages the last one counts: the others are validated on few digits.
    """
    logs = {
        seed: archive.log(recipe, score.training, seed)
        for seed in archive.seeds(recipe, score.training)
    }
    if score.test or not score.paper or not logs:
        return ""
    minutes, last = {}, len(score.training.pools)
    for seed, log in logs.items():
        rows = zip(log["seconds"], log["val_ami"], log["stage"], strict=True)
        for seconds, ami, stage in rows:
            if stage == last and ami >= score.paper[0]:
                minutes[seed] = seconds / 60
                break
    text = f" {score.label}: the paper's AMI was passed on validation clips by "
    text += f"{len(minutes)} of {len(logs)} seeds"
    if not minutes:
        return f"{text}."
    after = _minutes(archive, recipe, score.training, minutes)
    return f"{text}, after {after} minutes."
