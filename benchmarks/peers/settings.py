"""Settings of slot attention: sizes and training, and those that were chosen."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Settings:
    """Sizes and training; those of the papers unless `peers.settings` says more."""

    slot_size: int = 128  # D
    spare_slots: int = 1  # more than N-EM has components: for the background
    encoder_width: int = 32  # channels of its four layers
    encoder_stride: int = 2  # of its first layer
    decoder_width: int = 64  # channels of its layers
    full_kernel: int = 5  # of its layer at full resolution; 0: there is none
    heads: int = 4  # of the predictor
    iterations: int = 1  # of slot attention in a frame
    first_iterations: int = 1  # the same in the first frame
    start: str = "drawn"  # slots: from one Gaussian; or a learned vector for each
    sigma: float = 1.0  # of the slots' Gaussian before training
    target: str = "present"  # the frame that slots decode: this one, or the next
    loss: str = "likelihood"  # or the squared error
    rate: float = 2e-4  # Adam's step size after warm-up
    warmup: float = 0.025  # share of the schedule
    clip_norm: float = 0.05  # longest gradient
    batch_size: int = 64
    frames: int = 6  # of a clip that is trained on
    precision: str = "float32"  # of convolutions; or bfloat16


NARROW: dict = {  # what all candidates of `tuning` change, but for the published sizes
    "slot_size": 64,
    "spare_slots": 0,
    "decoder_width": 32,
    "full_kernel": 0,
    "first_iterations": 3,
    "rate": 1e-3,
    "clip_norm": 1.0,
    "batch_size": 16,
    "precision": "bfloat16",
}
CHOSEN: dict = {**NARROW, "batch_size": 8, "frames": 3, "start": "learned"}
OF_DATA: dict = {  # what is otherwise on some clips
    "flying_mnist": {"loss": "squared"},
    "sprites": {"loss": "squared"},
}


def chosen(data):
    """The `Settings` that were best on validation clips: results/peers/tuning.json."""
    return Settings(**{**CHOSEN, **OF_DATA.get(data, {})})
