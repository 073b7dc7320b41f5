"""Flying sprites: what is drawn where, in which colours, and what the labels say."""

import numpy as np
import pytest
import tensorflow as tf

from nem_tf.data import backdrops, flying_sprites, painting
from nem_tf.data.silhouettes import ANGLES, SILHOUETTES
from tests.test_data_shapes import assert_same, collect

DISC = {"disc": SILHOUETTES["disc"]}
SMALL = {"steps": 3, "clips": 12, "size": (20, 24), "diameters": (0.2, 0.5)}


@pytest.fixture(scope="module")
def hard():
    """Twelve clips whose pixels belong to one sprite or to the background alone."""
    return collect(
        flying_sprites("test", batch_size=8, edges="hard", masks=True, **SMALL)
    )


@pytest.fixture(scope="module")
def lone():
    """One disc of one colour in each of eight clips over plain backgrounds."""
    settings = {"objects": 1, "two_tone": 0, "silhouettes": DISC, "size": (17, 40)}
    return collect(
        flying_sprites(
            "test", background="plain", steps=60, batch_size=8, clips=8, **settings
        )
    )


def test_shapes_and_types():
    dataset = flying_sprites(
        "test", objects=(1, 6), components=5, steps=3, batch_size=2, clips=3,
        size=(20, 18), channels=1, masks=True,
    )  # fmt: skip
    assert dataset.element_spec["clean"].shape == (None, 4, 20, 18, 1)
    assert dataset.element_spec["background"].shape == (None, 20, 18, 1)
    assert dataset.cardinality() == 2
    batch = next(iter(dataset))
    found = {key: (*value.shape, value.dtype.name) for key, value in batch.items()}
    assert found == {
        "noisy": (2, 3, 20, 18, 1, "float32"),
        "clean": (2, 4, 20, 18, 1, "float32"),
        "groups": (2, 4, 20, 18, "int32"),
        "masks": (2, 4, 6, 20, 18, "float32"),
        "background": (2, 20, 18, 1, "float32"),
        "pi": (2, 5, 20, 18, 1, "float32"),
        "index": (2, "int64"),
    }
    assert dataset.element_spec["masks"].shape[1:] == (4, 6, 20, 18)


def test_same_clip_in_any_batch_part_and_epoch():
    settings = {"edges": "any", "noise": 0.1, "masks": True, **SMALL}
    two = collect(flying_sprites(batch_size=12, epochs=2, **settings))
    order = np.argsort(two["index"], kind="stable").reshape(12, 2)
    first, second = ({key: x[order[:, i]] for key, x in two.items()} for i in (0, 1))
    assert np.any(first.pop("noisy") != second["noisy"])
    assert np.any(first.pop("pi") != second["pi"])
    assert_same(first, second)
    whole = {key: value[:12] for key, value in two.items()}
    part = collect(flying_sprites(batch_size=2, part=(1, 2), **settings))
    assert_same({key: value[1::2] for key, value in whole.items()}, part)


@pytest.mark.parametrize("other", [{"split": "validation"}, {"seed": 2**40}], ids=str)
def test_splits_and_seeds_have_clips_of_their_own(hard, other):
    settings = {"split": "test", "edges": "hard", "batch_size": 12, **SMALL}
    clips = collect(flying_sprites(**{**settings, **other}))["clean"]
    assert not {x.tobytes() for x in clips} & {x.tobytes() for x in hard["clean"]}
    assert not {x[0, 0, 0, 0] for x in clips} & {x[0, 0, 0, 0] for x in hard["clean"]}


def test_labels_name_the_nearest(hard):
    numbers = np.arange(1, 5)[:, None, None] * hard["masks"]  # (B, F, N, H, W)
    np.testing.assert_array_equal(hard["groups"], numbers.max(axis=2))
    assert np.any(hard["masks"].sum(axis=2) > 1)  # some cover others
    counts = hard["masks"].any(axis=(1, 3, 4)).sum(axis=1)
    assert set(counts) == {2, 3, 4}
    for clip, count in zip(hard["masks"], counts, strict=True):
        assert not clip[:, count:].any()  # those that a clip lacks are the last


def test_the_background_is_what_no_sprite_covers(hard):
    behind = np.broadcast_to(hard["background"][:, None], hard["clean"].shape)
    free = hard["groups"] == 0
    np.testing.assert_array_equal(hard["clean"][free], behind[free])
    away = np.square(hard["clean"] - behind).mean(axis=-1)[~free]
    assert away.min() >= backdrops.MARGIN**2 - 1e-6
    assert hard["clean"].min() >= 0 and hard["clean"].max() <= 1


def test_a_sprite_keeps_its_one_or_two_colours(hard):
    kinds = set()
    for clip, groups in zip(hard["clean"], hard["groups"], strict=True):
        for number in range(1, groups.max() + 1):
            colours = np.unique(clip[groups == number].round(4), axis=0)
            kinds.add(len(colours))
    assert kinds == {1, 2}


def test_a_disc_flies_straight_by_parts_of_pixels_and_stays_in_the_frame(lone):
    share = np.abs(lone["clean"] - lone["background"][:, None]).sum(axis=-1)
    area = share.sum(axis=(2, 3))  # (B, F)
    np.testing.assert_allclose(area, np.repeat(area[:, :1], 61, axis=1), rtol=1e-4)
    rows, columns = np.mgrid[:17, :40]
    for along, length in ((rows, 17), (columns, 40)):
        middle = (share * along).sum(axis=(2, 3)) / area  # (B, F)
        steps = np.abs(np.diff(middle, axis=1))
        # In 1/64 pixel, the same in each frame, whichever way.
        np.testing.assert_allclose(steps, steps[:, :1].repeat(60, 1), atol=2e-3)
        np.testing.assert_allclose(steps * 64, np.rint(steps * 64), atol=0.1)
        assert steps.max() <= 2.002 and len(set(steps[:, 0].round(2))) > 4
        turned = np.sign(np.diff(middle, axis=1))
        assert np.any(turned[:, 1:] != turned[:, :-1])  # at walls
        assert middle.min() < length / 3 and middle.max() > length / 2


def test_diameters_are_drawn_from_their_range(lone):
    share = np.abs(lone["clean"] - lone["background"][:, None]).sum(axis=-1)
    area = share[:, 0].sum(axis=(1, 2)) / share.max(axis=(1, 2, 3))  # pixels
    diameter = np.sqrt(4 / np.pi * area)
    assert 0.2 * 17 - 0.2 <= diameter.min() and diameter.max() <= 0.4 * 17 + 0.2
    assert np.ptp(diameter) > 0.1 * 17


def test_a_pixel_at_a_smooth_edge_is_a_mixture(lone):
    behind, colour = lone["background"][0, 0, 0], lone["clean"][0, 0]
    away = colour - behind
    sprite = away[np.unravel_index(np.abs(away).sum(-1).argmax(), away.shape[:2])]
    share = (away @ sprite) / (sprite @ sprite)
    np.testing.assert_allclose(away, share[..., None] * sprite, atol=1e-5)
    assert np.any((share > 0.05) & (share < 0.95))
    np.testing.assert_array_equal(lone["groups"][0, 0], share > 0.5 - 1e-4)


AREAS = {
    "disc": np.pi,
    "ring": np.pi * 3 / 4,
    "ellipse": np.pi / 2,
    "square": 2.0,
    "triangle": 3**1.5 / 4,
    "hexagon": 3**1.5 / 2,
}


@pytest.mark.parametrize("name", AREAS)
def test_silhouettes_have_the_area_of_their_shape(name):
    inner, outer = SILHOUETTES[name]
    area = np.pi / ANGLES * (outer**2 - inner**2).sum()
    assert area == pytest.approx(AREAS[name], rel=2e-4)


def test_silhouettes_are_different_and_fit_in_a_disc():
    tables = np.stack(list(SILHOUETTES.values()))
    assert len(tables) >= 8 and tables.dtype == np.float32
    assert tables.max() <= 1 and tables[:, 1].max(axis=1).min() > 0.99
    assert np.all(tables[:, 0] < tables[:, 1]) and tables.min() >= 0
    away = np.abs(tables[:, None] - tables[None]).max(axis=(2, 3))
    assert away[~np.eye(len(tables), dtype=bool)].min() > 0.1


def drawn(kind, diameter, turn, pattern, side=24):
    table = SILHOUETTES[kind][None]
    arguments = [0], tf.constant([diameter]), [turn], tf.constant([pattern]), side
    return [np.asarray(x)[0] for x in painting.bitmaps(table, *arguments)]


def test_bitmaps_are_as_large_as_said_turned_and_toned():
    cover, tone = drawn("disc", 10.0, 0, 1)
    assert cover.sum() / 4 == pytest.approx(25 * np.pi, rel=0.02)  # pixels
    assert tone.sum() == pytest.approx(cover.sum() / 2, rel=0.02)
    assert not tone[12:].any()  # the upper half
    core = drawn("disc", 10.0, 0, 2)[1]
    assert core.sum() == pytest.approx(0.36 * cover.sum(), rel=0.05)
    assert not drawn("disc", 10.0, 0, 0)[1].any()
    arrow = drawn("arrow", 10.0, 0, 0)[0]
    left = drawn("arrow", 10.0, ANGLES // 4, 0)[0]
    assert np.abs(np.rot90(arrow) - left).sum() < 0.05 * arrow.sum()
    rows = np.flatnonzero(arrow.sum(axis=1))
    assert arrow[rows[1]].sum() < arrow[rows[-2]].sum() / 2  # it points up


def test_a_pixel_has_the_share_that_cells_cover_of_it():
    cells = drawn("heart", 9.0, 50, 2)
    path = [[64, 128], [65, 128], [96, 149]]
    layers = painting._place(
        *(tf.constant(x[None]) for x in cells), tf.constant([path]), (16, 20)
    ).numpy()[0]  # (F, H, 2, W)
    for layer, bitmap in enumerate(cells):
        fine = np.kron(bitmap, np.ones((32, 32)))  # 64 x 64 a pixel
        for frame, (row, column) in zip(layers, path, strict=True):
            whole = np.zeros((16 * 64, 20 * 64))
            whole[row : row + len(fine), column : column + len(fine)] = fine
            shares = whole.reshape(16, 64, 20, 64).mean(axis=(1, 3))
            np.testing.assert_array_equal(frame[:, layer], shares)


@pytest.mark.parametrize("mapped", [False, True], ids=["direct", "map"])
def test_the_nearer_covers_the_farther(mapped):
    ones = tf.ones((2, 2, 2))  # a pixel each
    colours = tf.constant([[[0.9], [0.0]], [[0.2], [0.0]]])  # (N, 2, 1)
    path = tf.constant([[[0, 0]], [[0, 16]]])  # the nearer is 1/4 pixel to the right
    behind = tf.fill((2, 3, 1), 0.5)

    def painted(hard):
        return painting.paint(ones, 0 * ones, colours, path, behind, hard)

    found = [painted(tf.constant(hard)) for hard in (False, True)]
    if mapped:
        found = list(tf.data.Dataset.from_tensor_slices([False, True]).map(painted))
    (soft, covers), (hard, again) = found
    mixed = [0.75 * 0.2 + 0.25 * 0.9, 0.25 * 0.2 + 0.75 * 0.5, 0.5]
    np.testing.assert_allclose(soft[0, 0, :, 0], mixed, atol=1e-6)
    np.testing.assert_allclose(hard[0, 0, :, 0], [0.2, 0.5, 0.5], atol=1e-6)
    np.testing.assert_array_equal(covers, again)
    np.testing.assert_array_equal(covers[:, 0, 0], [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(painting.nearest(covers)[0], [[2, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_far_from_every_mixture_of_the_background(channels, rng):
    draws = rng.integers(2**32, size=(50, 3, 2, 7, channels))
    for one in tf.constant(draws):
        ends = backdrops.two_colours(one[0, :, 0])
        assert np.abs(ends[0] - ends[1]).max() <= backdrops.CONTRAST + 1e-6
        mixtures = np.linspace(*ends.numpy(), 30)  # (30, C)
        away = backdrops.sprite_colours(one, ends).numpy()[:, :, None] - mixtures
        assert np.sqrt(np.square(away).mean(-1)).min() >= backdrops.MARGIN - 1e-5


@pytest.mark.parametrize("background", backdrops.BACKGROUNDS)
def test_backgrounds(background):
    batch = next(
        iter(flying_sprites("test", background=background, batch_size=12, **SMALL))
    )
    behind = batch["background"].numpy()  # (B, H, W, C)
    spread = np.ptp(behind, axis=(1, 2)).max(axis=1)  # (B,)
    assert spread.max() <= backdrops.CONTRAST
    bend = np.abs(np.diff(behind, 2, axis=1)).max(axis=(1, 2, 3))
    if background == "plain":
        assert not spread.any()
    elif background == "gradient":
        assert spread.min() > 0.05 and bend.max() < 1e-5
    else:
        assert spread.min() > 0.03 and np.median(bend) > 0.01


def test_no_speed_is_a_repeated_frame_and_one_tone_one_colour():
    settings = {"speed": 0, "two_tone": 0, "edges": "hard", "objects": 1, "noise": 0.2}
    batch = collect(
        flying_sprites("test", background="plain", batch_size=12, **settings, **SMALL)
    )
    for key in ("clean", "groups"):
        frames = batch[key]
        np.testing.assert_array_equal(frames, np.repeat(frames[:, :1], 4, axis=1))
    for clip in batch["clean"]:
        assert len(np.unique(clip.reshape(-1, 3), axis=0)) == 2
    changed = np.mean(batch["noisy"] != batch["clean"][:, :-1])
    assert changed == pytest.approx(0.2, abs=0.01)


BAD = [
    ({"split": "dev"}, "split: expected one of"),
    ({"objects": 9}, r"objects: expected a number from 1 to 8, .* received 9"),
    ({"objects": (3, 2)}, r"objects: .* received \(3, 2\)"),
    ({"objects": 2.5}, "objects: .* received 2.5"),
    ({"objects": True}, "objects: .* received True"),
    ({"size": 15}, "size: expected 16 to 128 pixels a side, received 15 x 15"),
    ({"size": (64, 129)}, "size: expected 16 to 128 pixels a side"),
    ({"channels": 4}, "channels: expected 3 or 1, received 4"),
    ({"background": "sky"}, "background: expected plain, gradient, texture or any"),
    ({"edges": None}, "edges: expected smooth, hard or any, received None"),
    ({"noise_kind": "snow"}, "noise_kind: expected one of"),
    ({"noise": 2}, "noise: expected a probability"),
    ({"two_tone": 1.5}, "two_tone: expected a probability"),
    ({"diameters": "big"}, "diameters: .* received 'big'"),
    ({"diameters": (0.2, 1.5)}, "diameters: expected a number from 0 to 1"),
    ({"diameters": 0.02}, "diameters: expected at least 3 pixels, received 1.28 of 64"),
    ({"speed": -1}, "speed: expected 0 to 19 pixels per frame"),
    ({"speed": float("nan")}, "speed: expected 0 to 19 pixels per frame"),
    ({"size": 16, "speed": 6}, "speed: expected 0 to 4.5 pixels per frame"),
    ({"silhouettes": {}}, "silhouettes: expected a mapping"),
    ({"silhouettes": ["disc"]}, "silhouettes: expected a mapping"),
    ({"silhouettes": {"dot": [[2]]}}, "silhouettes: expected 'dot' to be radii"),
    ({"steps": 0}, "steps: expected"),
    ({"clips": 0}, "clips: expected"),
    ({"components": 0}, "components: expected"),
]


@pytest.mark.parametrize("arguments, message", BAD, ids=[str(a) for a, _ in BAD])
def test_wrong_arguments_are_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        flying_sprites(**arguments)
    assert "\n" not in str(error.value) and ";" in str(error.value)
