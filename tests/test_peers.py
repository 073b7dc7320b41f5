"""Peers: the comparison's clips, opponents, clock and tables."""

import importlib
import json
import subprocess
import sys
import textwrap
import time
import types

import numpy as np
import pytest

from benchmarks.peers import neural_em, no_learning, run, scoring, tables, tasks, tuning
from benchmarks.peers.settings import Settings, chosen
from trainers.training import machine

command = importlib.import_module("benchmarks.peers.__main__")
TINY = {
    "slot_size": 8,
    "encoder_width": 4,
    "decoder_width": 4,
    "full_kernel": 3,
    "heads": 2,
    "batch_size": 2,
    "frames": 2,
}


def crossing():
    """Two squares of 6 x 6 that run through each other: (F, 16, 40, 1) and labels."""
    frames = np.zeros((20, 16, 40), np.float32)
    groups = np.zeros(frames.shape, int)
    for t in range(len(frames)):
        for number, column in ((1, 2 + t), (2, 32 - t)):
            frames[t, 5:11, column : column + 6] = 1
            groups[t, 5:11, column : column + 6] += number
    groups[groups == 3] = 0
    return frames[..., None], groups


def test_following_tells_objects_apart_where_they_meet():
    frames, groups = crossing()
    black = np.zeros((16, 40, 1))
    meeting = 13  # three columns of each are covered
    followed, alone = (
        no_learning.segment(
            frames[: meeting + 1], no_learning.Filter(follow=follow), black
        )
        for follow in (True, False)
    )
    assert len(np.unique(alone)) == 1
    found = scoring.score(groups[None, meeting], followed[None])
    assert found["ari"] > 0.7
    assert scoring.score(groups[None, meeting], alone[None])["ari"] == 0


def test_averages_take_noise_away():
    rng = np.random.default_rng(0)
    clean = np.zeros((15, 20, 20, 1))
    clean[:, 3:10, 3:10] = clean[:, 12:19, 12:19] = 1
    noisy = np.abs(clean - (rng.random(clean.shape) < 0.2))
    settings = no_learning.Filter(frames=0, follow=False)
    mask = no_learning.cut(noisy, settings, 0 * clean[0])[-1]
    assert np.mean(mask == clean[-1, ..., 0]) > 0.99
    once = no_learning.cut(noisy, no_learning.Filter(), 0 * clean[0])[-1]
    np.testing.assert_array_equal(once, noisy[-1, ..., 0] > 0.5)
    found = no_learning.segment(noisy, settings, 0 * clean[0])
    assert found.min() == 1 and found.max() == 2  # nothing is left to the background


@pytest.mark.parametrize("offset", [(2, -3), (-1, 4), (0, 0), (9, 0)])
def test_shifted(offset):
    mask = np.random.default_rng(0).random((5, 7)) < 0.5
    wanted = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        at = row + offset[0], column + offset[1]
        if 0 <= at[0] < 5 and 0 <= at[1] < 7:
            wanted[at] = True
    np.testing.assert_array_equal(no_learning.shifted(mask, offset), wanted)


def test_tuned_takes_the_filter_that_scores_best(monkeypatch):
    frames, groups = crossing()
    grid = {name: (values[0],) for name, values in no_learning.GRID.items()}
    monkeypatch.setattr(
        no_learning, "GRID", {**grid, "frames": (1,), "threshold": (0.5, 2.0)}
    )
    clips = np.stack([frames[:13], frames[1:14]])
    labels = np.stack([groups[12], groups[13]])

    def ari(groups, found):
        return scoring.score(groups, found)["ari"]

    best, score = no_learning.tuned(clips, labels, np.zeros((16, 40, 1)), ari)
    assert best.follow and best.threshold == 0.5
    assert score > 0.8


@pytest.mark.parametrize("name", tasks.TASKS)
def test_clips_to_be_scored(name):
    task = tasks.TASKS[name]
    if name == "flying_mnist":
        pytest.skip("MNIST may not be there")
    clips = tasks.held_out(name, "test", 2, seed=1)
    assert clips.noisy.shape == clips.clean.shape == (2, task.steps + 1, *task.shape)
    assert clips.groups.shape == clips.clean.shape[:-1]
    assert (clips.noisy != clips.clean).any() == (task.noise > 0)
    # A pixel of an object is labelled in its own frame.
    if task.binary:
        assert (clips.clean[..., 0][clips.groups > 0] == 1).all()


def test_batches_go_on_where_they_were():
    first = tasks.batches("static_shapes", 0, 2, 3, skip=0)
    next(first)
    noisy, clean = next(first)
    assert noisy.shape == (3, 2, 28, 28, 1) and clean.shape == (3, 3, 28, 28, 1)
    again = next(tasks.batches("static_shapes", 0, 2, 3, skip=1))
    np.testing.assert_array_equal(noisy, again[0])


def test_windows_of_sprites(tmp_path):
    clips = np.random.default_rng(0).integers(255, size=(3, 9, 4, 4, 3), dtype=np.uint8)
    np.save(tmp_path / "clips.npy", clips)
    found = tasks.batches("sprites", 0, 4, 5, 0, tmp_path / "clips.npy")
    noisy, clean = next(found)
    assert clean.shape == (5, 5, 4, 4, 3)
    np.testing.assert_array_equal(noisy, clean[:, :-1])
    flips = [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1)]
    flips += [(-1, -1, 1), (-1, 1, -1), (1, -1, -1), (-1, -1, -1)]
    known = {
        clips[i, s : s + 5][::a, ::b, ::c].tobytes()
        for i in range(3)
        for s in range(5)
        for a, b, c in flips
    }
    assert all(
        np.round(255 * clip).astype(np.uint8).tobytes() in known for clip in clean
    )
    second = next(found)[1]
    again = next(tasks.batches("sprites", 0, 4, 5, 1, tmp_path / "clips.npy"))[1]
    np.testing.assert_array_equal(second, again)


def test_scores_do_not_mind_numbers():
    groups = np.array([[[0, 1, 1, 2], [0, 1, 2, 2]]])
    assert scoring.score(groups, 7 - groups) == pytest.approx({"ami": 1, "ari": 1})
    clips = tasks.Clips(np.ones(1), np.zeros(1), groups[:, None])
    found = scoring.score_both(clips, lambda x: groups * (1 - int(x[0])), True)
    assert found["clean"]["ami"] == pytest.approx(1) and found["noisy"]["ami"] == 0
    assert scoring.score_both(clips, lambda x: groups, False)["noisy"] is None


FAKE = """
import pathlib, signal, sys, time
run = pathlib.Path(sys.argv[1])
copies = run.parent / "models"
(run / "last").mkdir(parents=True, exist_ok=True)
(run / "last" / "state-1.npz").touch()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
for epoch in range(1, 100):
    (run / "model.keras").write_text(str(epoch))
    row = f"{epoch * 0.2:.1f},{epoch * 10}\\n"
    old = (run / "log.csv").read_text() if epoch > 1 else "seconds,updates\\n"
    (run / "log.new").write_text(old + row)  # may be stopped in the middle
    (run / "log.new").rename(run / "log.csv")
    while len(list(copies.glob("*"))) < epoch:
        time.sleep(0.01)
    time.sleep(0.05)  # a file's time counts in steps
"""


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    monkeypatch.setattr(neural_em, "POLL_SECONDS", 0.05)
    copies = tmp_path / "out" / "models"

    def clock():  # of the trainer's epochs, not of the machine
        return 0.2 * len(list(copies.glob("*")))

    fake = types.SimpleNamespace(sleep=time.sleep, monotonic=clock)
    monkeypatch.setattr(neural_em, "time", fake)
    script = tmp_path / "fake.py"
    script.write_text(textwrap.dedent(FAKE))
    words = [sys.executable, str(script), str(tmp_path / "out" / "run")]
    monkeypatch.setattr(neural_em, "command", lambda *_: words)

    def made(seconds):
        (tmp_path / "out").mkdir(exist_ok=True)
        return neural_em.Trainer("static_shapes", "ours", 0, seconds, tmp_path / "out")

    return made


def test_trainers_end_by_the_clock(trainer):
    first = trainer(0.8)
    assert first.run()
    kept = neural_em.models(first.folder)
    assert len(kept) in (4, 5) and kept == sorted(kept)
    clock = json.loads((first.folder / "clock.json").read_text())
    assert clock == 0.8
    found = neural_em.progress(first.run_folder)
    assert found["ms_update"] == pytest.approx(20, rel=0.1)
    assert trainer(0.8).run()  # it was over: nothing was started
    assert json.loads((first.folder / "clock.json").read_text()) == clock


def test_stopped_trainers_are_not_over(trainer):
    first = trainer(60)
    first.stop = True
    assert not first.run()


def test_failing_trainers_are_told(trainer, monkeypatch):
    one = trainer(1)
    one.command = [sys.executable, "-c", "import sys; sys.exit('no such clips')"]
    with pytest.raises(RuntimeError, match="no such clips"):
        one.run()


@pytest.mark.parametrize("name", tasks.TASKS)
@pytest.mark.parametrize("recipe", ["ours", "paper"])
def test_commands_are_what_trainers_take(name, recipe, tmp_path):
    if (recipe, name) in command.NOT_OF:
        return
    sprites = tmp_path / "a.npy" if name == "sprites" else None
    words = neural_em.command(name, recipe, 3, tmp_path / "new", sprites)
    flags = words[3:]
    module = importlib.import_module(words[2])
    experiments = [x for x in vars(module).values() if isinstance(x, type)]
    kind = next(
        x
        for x in experiments
        if getattr(x, "__module__", "") == words[2] and hasattr(x, "recipes")
    )
    assert flags[flags.index("--recipe") + 1] in kind.recipes
    known = {
        field.name.replace("_", "-")
        for part in (
            kind.Settings().clips,
            kind.Settings().training,
            kind.Settings().run,
        )
        for field in part.__dataclass_fields__.values()
    }
    assert {word[2:] for word in flags if word.startswith("--")} <= known


def result(method, ami, seed=0, data="flying_shapes3", noisy=True):
    score = {"ami": ami, "ari": ami / 2}
    return {
        "method": method,
        "data": data,
        "seed": seed,
        "cores": 1,
        "seconds": 1800.0,
        "parameters": 12345,
        "curve": [
            {"minutes": m, "noisy": score, "clean": score} for m in (1 + seed, 15)
        ],
        "test": {"noisy": score if noisy else None, "clean": score},
    }


def test_a_peer_that_wins_is_said_first(tmp_path):
    found = [
        result("ours", 0.9),
        result("ours", 0.7, 1),
        result("slot_attention", 0.85),
    ]
    lines = tables.write(found, tmp_path)
    assert lines[2].startswith(
        "| three flying shapes | **wins: slot attention (SAVi)**"
    )
    assert "0.800 ± 0.141" in lines[3] and "| 15.0 | 12,345 |" in lines[3]
    assert (tmp_path / "figure.png").stat().st_size > 5000
    assert (tmp_path / "table.md").read_text().splitlines() == lines
    ours = tables.write([result("ours", 0.9), result("no_learning", 0.5)], tmp_path)
    assert ours[2].startswith("| three flying shapes | **N-EM, ours** | **0.900**")


def test_curves_of_seeds_meet():
    found = [result("ours", 0.9), result("ours", 0.7, 1)]
    found[0]["curve"][0]["noisy"] = {"ami": 0.2}
    minutes, values = tables.curves(found, "noisy")
    np.testing.assert_allclose(minutes, [2, 15])
    np.testing.assert_allclose(values, [[0.25, 0.9], [0.7, 0.7]])


def test_results_are_read_back(tmp_path):
    path = tmp_path / "sprites" / "ours-seed0.json"
    path.parent.mkdir()
    path.write_text(json.dumps(result("ours", 0.5, data="sprites", noisy=False)))
    (tmp_path / "tuning.json").write_text("[]")
    assert [r["data"] for r in tables.read(tmp_path)] == ["sprites"]
    assert command.main(["--tables-only", "--results", str(tmp_path)]) == 0


def test_two_commands_share_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(command.machine, "cores", lambda: {0, 1})
    with command.cores(tmp_path, 1) as first, command.cores(tmp_path, 1) as second:
        assert sorted(first + second) == [0, 1]
        with pytest.raises(SystemExit, match="found 0"):
            with command.cores(tmp_path, 1):
                pass
    with command.cores(tmp_path, 2) as both:
        assert both == [0, 1]


def test_wrong_numbers_are_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["--minutes", "0"])
    assert (
        "--minutes: expected a number above 0, received 0.0" in capsys.readouterr().err
    )


def test_filters_are_tuned_once(tmp_path):
    path = tmp_path / "filters.json"
    kept = {"frames": 3, "sigma": 1.0, "validation_ami": 0.5}
    path.write_text(json.dumps({"flying_shapes3": {"noisy": kept}}))
    found = run.tuned_filters("flying_shapes3", 1, path)
    assert found == {"noisy": no_learning.Filter(frames=3, sigma=1.0)}


def test_tunings_table_begins_with_the_best():
    curve = [{"noisy": {"ami": 0.1}, "clean": {"ami": 0.2}, "validation_loss": 3.0}]
    row = {"data": "flying_shapes3", "minutes": 3.0, "of": 3.0, "seed": 0, "updates": 7}
    row["curve"] = curve
    better = [{**curve[0], "noisy": {"ami": 0.4}}]
    failed = {key: row[key] for key in ("data", "minutes", "of", "seed")}
    rows = [
        {**failed, "setting": "c", "failed": "loss"},
        {**row, "setting": "a"},
        {**row, "setting": "b", "curve": better},
    ]
    lines = list(tuning.lines(rows))[2:]
    assert [line.split(" | ")[1] for line in lines] == ["b", "a", "c"]


def test_the_document_has_the_table_of_the_results():
    rows = list(tables.table(tables.read(command.RESULTS)))
    assert (command.RESULTS / "table.md").read_text().splitlines() == rows
    document = (command.RESULTS.parents[1] / "RESULTS.md").read_text()
    assert "\n".join(rows) in document


def test_the_front_page_has_its_scores():
    """README: a row a method, AMI in noise or, where there is none, without."""
    front = (command.RESULTS.parents[1] / "README.md").read_text()
    said = front.partition("Beside what people would pick instead")[2]
    rows = [line for line in said.splitlines() if line.startswith("|")][2:5]
    methods = "ours", "slot_attention", "no_learning"
    shapes = "flying_shapes3", "flying_shapes5", "static_shapes"
    data = *shapes, "flying_mnist", "sprites"
    found = tables.read(command.RESULTS)
    for method, row in zip(methods, rows, strict=True):
        for name, cell in zip(data, row.split("|")[2:-1], strict=True):
            runs = [r for r in found if (r["data"], r["method"]) == (name, method)]
            assert cell.strip(" *") == f"{tables.main_ami(runs):.3f}"


DATA_TUNED = ["static_shapes", "flying_shapes3", "flying_mnist", "sprites"]


@pytest.mark.parametrize("data", DATA_TUNED)
def test_the_best_of_many_settings_was_chosen(data):
    """By validation clips."""
    candidates = {name: Settings(**x) for name, x in tuning.CANDIDATES.items()}
    kept = [x for x in tuning.kept() if x["data"] == data]
    assert len(kept) >= 8
    assert candidates[tuning.best(kept)] == chosen(data)


def test_the_longest_schedule_decides_on_settings():
    def row(setting, of, seed, ami, minutes=3.0):
        curve = [{"noisy": {"ami": ami}}]
        row = {"setting": setting, "of": of, "seed": seed, "minutes": minutes}
        return {**row, "curve": curve}

    short = [row("a", 3.0, 0, 0.9), row("b", 3.0, 0, 0.8)]
    alone = [row("a", 60.0, 0, 0.9)]
    long = [row("a", 30.0, 0, 0.5), row("a", 30.0, 1, 0.0), row("b", 30.0, 0, 0.4)]
    assert tuning.best([*short, *alone]) == "a"
    assert tuning.best([*short, *alone, *long]) == "a"  # on more seeds
    assert tuning.best([*short, *alone, *long, row("b", 30.0, 1, 0.3)]) == "b"
    again = [row("b", 30.0, 0, 0.6, minutes=2.0), *long]  # no other seed, and shorter
    assert tuning.best([*short, *alone, *again]) == "a"
    assert tuning.best([row("b", 30.0, 0, 0.4), *again[:2]]) == "a"


# What needs PyTorch, which is no dependency.


pytestmark = pytest.mark.filterwarnings("ignore:CUDA initialization:UserWarning")


@pytest.fixture
def slots():
    pytest.importorskip("torch")
    return importlib.import_module("benchmarks.peers.slot_attention")


def test_slot_attention_is_algorithm_1(slots):
    import torch

    torch.manual_seed(0)
    layer = slots.SlotAttention(5)
    features, before = torch.randn(2, 7, 5), torch.randn(2, 3, 5)
    with torch.no_grad():
        keys, values = layer.read(features)
        found = layer(keys, values, before)
        for b in range(2):
            queries = layer.queries(layer.norm_slots(before[b]))
            for k in range(3):
                share = []
                for n in range(7):
                    logits = [float(keys[b, n] @ q) / 5**0.5 for q in queries]
                    share.append(np.exp(logits[k]) / np.exp(logits).sum())
                update = sum(s * values[b, n] for n, s in enumerate(share)) / sum(share)
                slot = layer.gru(update[None].float(), before[b, k][None])
                slot = slot + layer.mlp(layer.norm_mlp(slot))
                torch.testing.assert_close(found[b, k], slot[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("target", ["present", "next"])
@pytest.mark.parametrize("shape, binary", [((8, 12, 1), True), ((8, 12, 3), False)])
@pytest.mark.parametrize("loss", ["likelihood", "squared"])
@pytest.mark.parametrize("start", ["drawn", "learned"])
def test_savi_learns_with_all_of_it(slots, target, shape, binary, loss, start):
    import torch

    torch.manual_seed(0)
    settings = Settings(**TINY, target=target, loss=loss, start=start)
    model = slots.SAVi(settings, shape, 3, binary)
    frames, clean = torch.rand(2, 3, *shape), torch.rand(2, 4, *shape).round()
    model.loss(frames, clean).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert not without
    assert model.segments(frames).shape == (2, 8, 12)
    pixels, masks = model.decoder(torch.randn(2, 3, 8))
    assert pixels.shape == (2, 3, *shape)
    torch.testing.assert_close(masks.sum(1), torch.ones(2, *shape[:2], 1))


def test_slots_begin_each_with_its_vector_or_with_draws(slots):
    import torch

    learned = slots.SAVi(Settings(**TINY, start="learned"), (8, 8, 1), 3, True)
    first = learned.begin(2)
    assert first.shape == (2, 3, 8)
    torch.testing.assert_close(first[0], first[1], rtol=0, atol=0)
    assert (first[0, 0] - first[0, 1]).abs().max() > 0
    drawn = slots.SAVi(Settings(**TINY), (8, 8, 1), 3, True).begin(2)
    assert (drawn[0] - drawn[1]).abs().max() > 0


def test_losses_of_savi(slots):
    import torch

    model = slots.SAVi(Settings(**TINY), (4, 4, 1), 2, True)
    pixels, masks = torch.randn(1, 2, 4, 4, 1), torch.rand(1, 2, 4, 4, 1)
    masks = masks / masks.sum(1, keepdim=True)
    x = torch.rand(1, 4, 4, 1).round()
    p = torch.where(x[:, None] == 1, pixels.sigmoid(), 1 - pixels.sigmoid())
    wanted = -(masks * p).sum(1).log().sum()
    torch.testing.assert_close(model.of_pixels(x, pixels, masks), wanted)
    model.binary = False
    p = torch.exp(-((x[:, None] - pixels) ** 2) / (2 * slots.VARIANCE))
    wanted = -(masks * p).sum(1).log().sum()
    torch.testing.assert_close(model.of_pixels(x, pixels, masks), wanted)


def test_a_slot_without_a_pixel_has_a_gradient(slots):
    """Its mask is 0 there, the logarithm of which is no number."""
    import torch

    model = slots.SAVi(Settings(**TINY), (4, 4, 1), 2, False)
    logits = torch.tensor([0.0, -200.0]).view(1, 2, 1, 1, 1).expand(1, 2, 4, 4, 1)
    logits = logits.clone().requires_grad_()
    model.of_pixels(torch.ones(1, 4, 4, 1), logits * 0, logits.softmax(1)).backward()
    assert logits.grad.isfinite().all()


GOES_ON = """
import json, sys
from benchmarks.peers import slot_training
from benchmarks.peers.settings import Settings

folder, settings = sys.argv[1], json.loads(sys.argv[2])
slot_training.torch.set_num_threads(1)

def train(name, updates, settings):
    training = slot_training.Training(
        "static_shapes", Settings(**settings), 0, 1e6, [0.0], f"{folder}/{name}.pt",
        validation=2,
    )
    update = training._update
    training._schedule = lambda: 1.0

    def counted(*batch):
        training.stop = training.at.updates + 1 >= updates
        return update(*batch)

    training._update = counted
    try:
        training.run()
    except slot_training.Stopped:
        at = training.at
        weights = [p.double().sum().item() for p in training.model.parameters()]
        return at.updates, len(at.curve), weights

found = {"whole": train("whole", 4, settings), "first": train("parts", 2, settings)}
found["parts"] = train("parts", 4, settings)
try:
    train("parts", 5, {**settings, "rate": 1.0})
except ValueError as error:
    found["refused"] = str(error)
print(json.dumps(found))
"""


def test_a_stopped_training_goes_on(slots, tmp_path):
    # A process of its own: PyTorch's optimizers crash after an import of TensorFlow.
    words = [sys.executable, "-c", GOES_ON, str(tmp_path), json.dumps(TINY)]
    root = command.RESULTS.parents[1]
    done = subprocess.run(words, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["first"][:2] == [2, 1]
    assert found["parts"][:2] == found["whole"][:2] == [4, 1]
    np.testing.assert_allclose(found["parts"][2], found["whole"][2], rtol=1e-6)
    assert "was made with other settings" in found["refused"]


def test_a_training_of_settings_that_were_not_chosen(slots, tmp_path):
    words = [sys.executable, "-m", "benchmarks.peers.run", "slot_attention"]
    words += ["static_shapes", "0", "--seconds", "1", "--settings", "decoder 16"]
    words += ["--validation", "2", "--test", "2", "--cores", str(min(machine.cores()))]
    words += ["--out", str(tmp_path), "--result", str(tmp_path / "found.json")]
    root = command.RESULTS.parents[1]
    done = subprocess.run(words, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["updates"] >= 1 and found["test"]["noisy"]
    assert Settings(**found["settings"]) == Settings(**tuning.CANDIDATES["decoder 16"])
