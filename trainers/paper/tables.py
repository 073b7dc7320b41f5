"""The tables of RESULTS.md, from the kept results and from nothing else.

Each part of the paper has its table, figure and commands between two comments, which
are written anew; what stands outside of them is left as it is, headings included.
"""

import os
import pathlib
import re

from trainers.paper import notes, reported
from trainers.paper.archive import Archive, sample
from trainers.training.files import replacing

PAPER = "the paper's"
TOP = """# Results

AMI and ARI on the labelled pixels of test clips, at the last step unless it says mean
(over steps), as mean ± standard deviation over n seeds: 0 to n - 1. **Bold** is at
least the paper's mean. Minutes are of training, validation included; a row without
them has the weights of another. config.json and results.json have what else is known.
"""


def write(document, archive: Archive, parts, drawn, others=""):
    """Write the sections of some parts, and the summary where the document has one.

    Args:
        document: path; made if it is not there.
        archive: the kept results.
        parts: keys of `reported.PARTS`.
        drawn: dict from parts to lists of (caption, path) of their figures.
        others: what else stood on the command line.
    """
    document = pathlib.Path(document)
    text = document.read_text(encoding="utf-8") if document.is_file() else TOP
    for part in parts:
        links = [
            f"[{caption}]({os.path.relpath(path, document.parent)})"
            for caption, path in drawn.get(part, [])
        ]
        pictures = [f"!{link}" for link in links[:1]] + links[1:]  # one is shown
        text = _put(text, part, section(archive, part, others, pictures))
    if _marks("summary")[0] in text:
        text = _put(text, "summary", summary(archive))
    document.parent.mkdir(parents=True, exist_ok=True)
    with replacing(document) as beside:
        beside.write_text(text, encoding="utf-8")


def _marks(part):
    return f"<!-- {part}: trainers.reproduce -->", f"<!-- end of {part} -->"


def _put(text, part, body):
    """The text with a part's section, at its end with a heading if it is new."""
    first, last = _marks(part)
    whole = f"{first}\n{body}\n{last}"
    found = re.compile(f"{re.escape(first)}.*?{re.escape(last)}", re.DOTALL)
    if found.search(text):
        return found.sub(lambda _: whole, text)
    return f"{text.rstrip()}\n\n## {reported.TITLES[part]}\n\n{whole}\n"


def section(archive, part, others="", pictures=()):
    """Table, notes, pictures, commands, and what was not run, of a part."""
    scores = reported.PARTS[part]
    rows = _bounds if part == "figure5" else _scores
    blocks = [
        _table(rows(archive, scores)),
        notes.below(archive, part),
        *pictures,
        notes.commands(archive, part, others),
        notes.not_run(archive, scores),
    ]
    return "\n\n".join(block for block in blocks if block)


def summary(archive):
    """The main results, each beside the paper's, with the minutes to its score."""
    rows = []
    for label, recipe, score in reported.SUMMARY:
        if score.results(archive, recipe):
            row = _row(archive, recipe, score)
            rows.append(
                {
                    "data": label,
                    **{head: row[head] for head in ("recipe", "n", "AMI", PAPER)},
                    "minutes to it": notes.passed(archive, recipe, score),
                    "in all": row["minutes"],
                    "on": row["on"],
                }
            )
    return _table(rows)


def _table(rows):
    """Rows, dicts from heads to cells, without the columns that are empty."""
    rows = list(rows)
    heads = [head for head in rows[0] if any(row[head] for row in rows)] if rows else []
    lines = [heads, ["---"] * len(heads), *([row[x] for x in heads] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines if line)


def _scores(archive, scores):
    """A row per score and recipe that was run."""
    for score in scores:
        for recipe in reported.RECIPES:
            if score.results(archive, recipe):
                yield _row(archive, recipe, score)


def _row(archive, recipe, score):
    found = score.results(archive, recipe)
    tests = [one["test"] for one in found.values()]
    ami = sample(test["ami"]["last"] for test in tests)
    text = spread(ami)
    if score.paper and ami.mean >= score.paper[0]:
        text = f"**{text}**"
    where, minutes = "", ""
    if not score.test:
        runs = {seed: archive.read_run(recipe, score.training, seed) for seed in found}
        took = {seed: run["seconds"] / 60 for seed, run in runs.items()}
        machines = archive.by_machine(recipe, score.training, took)
        where = ", ".join(dict.fromkeys(map(notes.short, machines)))
        minutes = notes.minutes_of(archive, recipe, score.training, took)
    return {
        "what": score.label,
        "recipe": f"`{recipe}`",
        "n": str(len(found)),
        "AMI": text,
        PAPER: "{:.3f} ± {:.3f}".format(*score.paper) if score.paper else "",
        "mean": format(sample(test["ami"]["mean"] for test in tests).mean, ".3f"),
        "ARI": format(sample(test["ari"]["last"] for test in tests).mean, ".3f"),
        "minutes": minutes,
        "on": where,
    }


def spread(values, digits=3):
    """Mean and standard deviation of an `archive.Sample`; of one seed its value.

    A deviation that would be rounded to 0 is given as a bound.
    """
    text = f"{values.mean:.{digits}f}"
    if values.seeds == 1:
        return text
    least = 0.5 * 10**-digits
    if values.deviation < least:
        return f"{text} ± <{least:.{digits + 1}f}"
    return f"{text} ± {values.deviation:.{digits}f}"


def _bounds(archive, scores):
    """Figure 5: the bound of each number of objects, a row per task, K and recipe."""
    groups: dict[tuple, dict] = {}
    for recipe in reported.RECIPES:
        for score in scores:
            task, counted, components = score.label.split(", ")
            row = groups.setdefault((task, components, recipe), {})
            row[counted] = score.results(archive, recipe)
    for (task, components, recipe), row in groups.items():
        counts = sorted({len(found) for found in row.values() if found})
        if counts:
            yield {
                "task": f"{task}, {components}",
                "recipe": f"`{recipe}`",
                "n": " or ".join(map(str, counts)),
                **{x: _bound(found, counts[0]) for x, found in row.items()},
            }


def _bound(found, usual):
    """A bound over its seeds, results.json by seed; how many if it is not as usual."""
    if not found:
        return ""
    bound = sample(one["test"]["next_step_bound"] for one in found.values())
    text = spread(bound, 1)
    return text + (f" (n = {len(found)})" if len(found) != usual else "")
