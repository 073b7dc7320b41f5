"""The table and the figure of all runs, from their results."""

import json
import pathlib

import numpy as np

from benchmarks.peers.tasks import TASKS
from trainers.paper.archive import sample
from trainers.paper.tables import spread
from trainers.training.files import replacing

NAMES = {  # as rows and curves are called
    "ours": "N-EM, ours",
    "paper": "N-EM, the paper's recipe",
    "slot_attention": "slot attention (SAVi)",
    "no_learning": "no learning",
}
COLOURS = dict(zip(NAMES, ("#0072b2", "#56b4e9", "#d55e00", "#666666"), strict=True))
SCORES = (  # kind of clips, key, heading
    ("noisy", "ami", "AMI, noise"),
    ("noisy", "ari", "ARI, noise"),
    ("clean", "ami", "AMI, clean"),
    ("clean", "ari", "ARI, clean"),
)
COSTS = (  # key, heading, how it is written
    ("minutes", "minutes", "{:.1f}"),
    ("parameters", "parameters", "{:,.0f}"),
    ("ms_update", "ms an update", "{:.0f}"),
    ("ms_frame", "ms a frame", "{:.2f}"),
    ("memory_mb", "memory, MB", "{:.0f}"),
)


def read(folder):
    """The results of all runs in a folder, a list of dicts."""
    paths = sorted(pathlib.Path(folder).glob("*/*-seed*.json"))
    return [json.loads(path.read_text()) for path in paths]


def write(found, folder):
    """Write table.md and figure.png; the lines of the table."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = list(table(found))
    with replacing(folder / "table.md") as beside:
        beside.write_text("\n".join(lines) + "\n")
    if found:
        with replacing(folder / "figure.png") as beside:
            draw(found, beside)
    return lines


def table(found):
    """The table in Markdown: means and standard deviations over seeds.

    The best of each data set is in bold, by AMI with noise or, where there is none,
    without. If that is not ours, its row comes first and says so.
    """
    headings = [heading for *_, heading in SCORES] + [h for _, h, _ in COSTS]
    yield f"| data | method | {' | '.join(headings)} | seeds |"
    yield "|---" * (len(headings) + 3) + "|"
    for data, task in TASKS.items():
        groups = {
            method: [r for r in found if (r["data"], r["method"]) == (data, method)]
            for method in NAMES
        }
        groups = {method: runs for method, runs in groups.items() if runs}
        if not groups:
            continue
        best = max(groups, key=lambda method: main_ami(groups[method]))
        order = list(groups)
        lost = best != "ours" and "ours" in groups
        if lost:
            order = [best, *(method for method in order if method != best)]
        for method in order:
            name = NAMES[method]
            if method == best:
                name = f"**wins: {name}**" if lost else f"**{name}**"
            cells = [_score(groups[method], kind, key) for kind, key, _ in SCORES]
            if method == best:
                cells = [f"**{cell}**" if cell else "" for cell in cells]
            cells += [_cost(groups[method], key, form) for key, _, form in COSTS]
            yield (
                f"| {task.title} | {name} | {' | '.join(cells)} | "
                f"{len(groups[method])} |"
            )


def main_ami(runs):
    """The AMI that methods are compared by."""
    return np.mean([(r["test"]["noisy"] or r["test"]["clean"])["ami"] for r in runs])


def _score(runs, kind, key):
    values = [r["test"][kind][key] for r in runs if r["test"][kind]]
    return spread(sample(values)) if values else ""


def _cost(runs, key, form):
    if key == "minutes":
        values = [r["seconds"] * r["cores"] / 120 for r in runs if r.get("seconds")]
    else:
        values = [r[key] for r in runs if r.get(key) is not None]
    return form.format(np.mean(values)) if values else ""


def draw(found, path):
    """A panel for each data set: AMI of validation clips against minutes.

    With noise where there is some. Lines are means over seeds, bands from the lowest to
    the highest; what needs no learning is a line across, of the test clips.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [name for name in TASKS if any(r["data"] == name for r in found)]
    size = max(3.1 * len(shown), 5.0), 3.4
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    for panel, data in zip(panels, shown, strict=True):
        kind = "noisy" if TASKS[data].noise else "clean"
        for method, name in NAMES.items():
            runs = [r for r in found if (r["data"], r["method"]) == (data, method)]
            how = {"color": COLOURS[method], "label": name}
            if runs and method == "no_learning":
                level = np.mean([r["test"][kind]["ami"] for r in runs])
                panel.axhline(level, linestyle=":", **how)
            elif runs:
                minutes, values = curves(runs, kind)
                panel.plot(minutes, values.mean(0), marker="o", markersize=3, **how)
                panel.fill_between(
                    minutes, values.min(0), values.max(0), color=how["color"], alpha=0.2
                )
        panel.set(
            title=TASKS[data].title, xlabel="minutes of two cores", ylim=(-0.02, 1.02)
        )
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("AMI, validation clips")
    handles, labels = {}, []
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    labels = [name for name in NAMES.values() if name in handles]
    shown_handles = [handles[name] for name in labels]
    columns = 4 if shown[2:] else 2
    figure.legend(shown_handles, labels, loc="outside lower center", ncols=columns)
    figure.savefig(path, dpi=120)


def curves(runs, kind):
    """Curves of several seeds at the same minutes, between the first and the last.

    Returns:
        minutes (P,) and AMI (seeds, P): those that all seeds have reached, by straight
        lines between the points of each.
    """
    each = [
        (
            [point["minutes"] for point in r["curve"]],
            [point[kind]["ami"] for point in r["curve"]],
        )
        for r in runs
        if r["curve"]
    ]
    if not each:
        return np.zeros(0), np.zeros((1, 0))
    minutes = np.unique(np.concatenate([m for m, _ in each]))
    first, last = max(m[0] for m, _ in each), max(m[-1] for m, _ in each)
    minutes = minutes[(minutes >= first) & (minutes <= last)]
    return minutes, np.array([np.interp(minutes, m, values) for m, values in each])
