"""Slot attention for video (SAVi), from the equations of its two papers.

Locatello et al., Object-Centric Learning with Slot Attention (2020), Algorithm 1, and
Kipf et al., Conditional Object-Centric Learning from Video (2022), Figure 1, here
without conditions. What differs from the smallest published configuration, made for
64 x 64 pixels:

* frames of 24 to 32 pixels a side: the decoder begins at a quarter of the side and has
  two layers of stride 2 in the place of three;
* slots begin with draws from a learned Gaussian, as in 2020, since there is no
  condition, or with a learned vector each; more iterations in the first frame are a
  setting;
* a transposed convolution of stride 2 is one of 3 x 3 to four times the channels, which
  then become pixels: the same form of layer, faster on a CPU;
* binary pixels have a Bernoulli likelihood, and others a mixture of Gaussians or the
  squared error of the papers: a setting;
* the encoder reads the noisy frame; the loss sees the clean one, as that of N-EM does.

Axes: B clips, T frames, K slots, N places of the encoder's grid, D size of a slot.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

EPSILON = 1e-8  # keeps a slot without places finite (Algorithm 1)
VARIANCE = 0.0625  # of a pixel in the mixture of Gaussians: that of N-EM's E-step
TINY = 1e-6  # of a probability
LEAST_MASK = 1e-30  # in its logarithm, whose gradient at 0 is no number


class SAVi(nn.Module):
    """Encoder, slots over time, decoder.

    Args:
        settings: `settings.Settings`.
        shape: (H, W, C) of a frame, sides that 4 divides.
        slots: K.
        binary: whether pixels are 0 or 1.
    """

    def __init__(self, settings, shape, slots, binary):
        super().__init__()
        self.settings, self.shape, self.slots = settings, shape, slots
        self.binary = binary
        size = settings.slot_size
        self.encoder = Encoder(settings, shape)
        self.attention = SlotAttention(size)
        self.predictor = Predictor(size, settings.heads)
        self.decoder = Decoder(settings, shape)
        if settings.start == "learned":
            self.first = nn.Parameter(torch.randn(slots, size))
        else:
            self.mean = nn.Parameter(torch.randn(size) / math.sqrt(size))
            self.log_sigma = nn.Parameter(torch.full((size,), math.log(settings.sigma)))
        self.apply(_begin_weights)

    def begin(self, count, generator=None):
        """Slots of the first frame, shape (B, K, D)."""
        if self.settings.start == "learned":
            return self.first.expand(count, -1, -1)
        shape = count, self.slots, self.settings.slot_size
        noise = torch.randn(shape, generator=generator)
        return self.mean + self.log_sigma.exp() * noise

    def over_time(self, frames, generator=None):
        """What the decoder takes of each frame.

        Args:
            frames: (B, T, H, W, C) in [0, 1].
            generator: of the slots' draws; None is PyTorch's own.

        Returns:
            slots (B, T, K, D): of frame t after it was seen, or, if the target is the
            next frame, what frames 0..t predict for t + 1.
        """
        keys, values = self.read(frames)
        slots = self.begin(len(frames), generator)
        found = []
        for t in range(frames.shape[1]):
            slots, after = self.step(keys[:, t], values[:, t], slots, first=t == 0)
            found.append(slots if self.settings.target == "next" else after)
        return torch.stack(found, 1)

    def read(self, frames):
        """Keys and values of all frames: (B, T, H, W, C) -> two of (B, T, N, D)."""
        features = self.encoder(frames.flatten(0, 1))
        features = features.unflatten(0, frames.shape[:2])  # (B, T, N, D)
        return self.attention.read(features)

    def step(self, keys, values, slots, first):
        """One frame: keys, values (B, N, D), slots (B, K, D) -> predicted, corrected.

        Predicted slots are those that the next frame begins with.
        """
        settings = self.settings
        count = settings.first_iterations if first else settings.iterations
        for _ in range(count):
            slots = self.attention(keys, values, slots)
        return self.predictor(slots), slots

    def loss(self, frames, clean, generator=None):
        """Mean over clips and frames; of a likelihood in nats per frame.

        Args:
            frames: (B, T, H, W, C), what is seen.
            clean: (B, T + 1, H, W, C) without noise.
        """
        slots = self.over_time(frames, generator)
        later = self.settings.target == "next"
        wanted = clean[:, 1:] if later else clean[:, :-1]
        pixels, masks = self.decoder(slots.flatten(0, 1))
        return self.of_pixels(wanted.flatten(0, 1), pixels, masks)

    def of_pixels(self, x, pixels, masks):
        """The loss of frames x (B, H, W, C) given what slots draw: see `Decoder`."""
        if self.binary:
            # log sum_k m_k P(x | psi_k) is the cross entropy of the mixture's mean.
            mean = (masks * pixels.sigmoid()).sum(1).clamp(TINY, 1 - TINY)
            each = F.binary_cross_entropy(mean, x, reduction="none")
        elif self.settings.loss == "squared":
            each = (x - (masks * pixels).sum(1)) ** 2 / (2 * VARIANCE)
        else:
            far = ((x[:, None] - pixels) ** 2).sum(-1, keepdim=True)
            logs = masks.clamp_min(LEAST_MASK).log()
            each = -torch.logsumexp(logs - far / (2 * VARIANCE), 1)
        return each.sum((1, 2, 3)).mean()

    @torch.no_grad()
    def segments(self, frames, generator=None):
        """Which slot the pixels of the last frame belong to.

        Args:
            frames: (B, T, H, W, C); T is at least 2.

        Returns:
            integers (B, H, W), 0..K-1: the slot with the largest mask.
        """
        slots = self.over_time(frames, generator)
        last = -2 if self.settings.target == "next" else -1
        _, masks = self.decoder(slots[:, last])
        return masks[..., 0].argmax(1)


class Encoder(nn.Module):
    """Four convolutions, places added, a layer norm and an MLP for each place."""

    def __init__(self, settings, shape):
        super().__init__()
        width, stride = settings.encoder_width, settings.encoder_stride
        height, across, channels = shape
        sizes = [channels, *[width] * 4]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 5, stride if i == 0 else 1, 2)
            for i, (before, after) in enumerate(zip(sizes, sizes[1:], strict=False))
        )
        grid = -(-height // stride), -(-across // stride)
        self.places = Places(grid, width)
        self.norm = nn.LayerNorm(width)
        size = settings.slot_size
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, size)
        )
        self.precision = settings.precision

    def forward(self, frames):
        """(N, H, W, C) -> (N, places, D)."""
        x = frames.permute(0, 3, 1, 2)  # stored as it was: channels last
        with _precision(self.precision):
            for convolution in self.convolutions:
                x = F.relu(convolution(x))
            x = self.places(x.permute(0, 2, 3, 1)).flatten(1, 2)
            return self.mlp(self.norm(x)).float()


class Places(nn.Module):
    """Adds a linear map of four coordinates, from each side: (..., h, w, D)."""

    def __init__(self, grid, size):
        super().__init__()
        down, across = (torch.linspace(0.0, 1.0, n) for n in grid)
        down, across = torch.meshgrid(down, across, indexing="ij")
        at = torch.stack([down, across, 1 - down, 1 - across], -1)  # (h, w, 4)
        self.register_buffer("at", at, persistent=False)
        self.linear = nn.Linear(4, size)

    def forward(self, x):
        return x + self.linear(self.at)


class SlotAttention(nn.Module):
    """An iteration of Algorithm 1: slots compete for places, and are updated."""

    def __init__(self, size):
        super().__init__()
        self.norm_inputs, self.norm_slots, self.norm_mlp = (
            nn.LayerNorm(size) for _ in range(3)
        )
        self.keys, self.values, self.queries = (
            nn.Linear(size, size, bias=False) for _ in range(3)
        )
        self.gru = nn.GRUCell(size, size)
        self.mlp = nn.Sequential(
            nn.Linear(size, 2 * size), nn.ReLU(), nn.Linear(2 * size, size)
        )
        self.scale = size**-0.5

    def read(self, features):
        """Keys and values of features, two of (..., N, D)."""
        features = self.norm_inputs(features)
        return self.keys(features), self.values(features)

    def forward(self, keys, values, slots):
        """keys, values (B, N, D), slots (B, K, D) -> slots."""
        queries = self.queries(self.norm_slots(slots)) * self.scale
        logits = keys @ queries.transpose(1, 2)  # (B, N, K)
        share = logits.softmax(-1) + EPSILON  # of each place, over slots
        weights = share / share.sum(1, keepdim=True)  # of a slot, over places
        updates = weights.transpose(1, 2) @ values  # (B, K, D)
        slots = self.gru(updates.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
        return slots + self.mlp(self.norm_mlp(slots))


class Predictor(nn.Module):
    """A transformer block over slots, normalised after each part."""

    def __init__(self, size, heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(size, heads, batch_first=True)
        self.norm_attention, self.norm_mlp = nn.LayerNorm(size), nn.LayerNorm(size)
        self.mlp = nn.Sequential(
            nn.Linear(size, 2 * size), nn.ReLU(), nn.Linear(2 * size, size)
        )

    def forward(self, slots):
        """(B, K, D) -> (B, K, D)."""
        found, _ = self.attention(slots, slots, slots, need_weights=False)
        slots = self.norm_attention(slots + found)
        return self.norm_mlp(slots + self.mlp(slots))


class Decoder(nn.Module):
    """Each slot is broadcast over a grid and drawn: pixels, and a mask against others.

    Call arguments:
        slots: (N, K, D).

    Returns:
        pixels (N, K, H, W, C), logits if they are binary, and masks (N, K, H, W, 1),
        which sum to 1 over K.
    """

    def __init__(self, settings, shape):
        super().__init__()
        height, across, channels = shape
        width, size = settings.decoder_width, settings.slot_size
        self.grid = height // 4, across // 4
        self.places = Places(self.grid, size)
        self.larger = nn.ModuleList(
            nn.Conv2d(before, 4 * width, 3, 1, 1) for before in (size, width)
        )
        kernel = settings.full_kernel
        self.full = nn.Conv2d(width, width, kernel, 1, kernel // 2) if kernel else None
        self.head = nn.Conv2d(width, channels + 1, 1)
        self.precision = settings.precision

    def forward(self, slots):
        count, components, _ = slots.shape
        x = slots.flatten(0, 1)[:, None, None]  # (N K, 1, 1, D)
        x = self.places(x.expand(-1, *self.grid, -1)).permute(0, 3, 1, 2)
        with _precision(self.precision):
            for convolution in self.larger:
                x = F.relu(F.pixel_shuffle(convolution(x), 2))
            if self.full is not None:
                x = F.relu(self.full(x))
            x = self.head(x)
        x = x.float().permute(0, 2, 3, 1).unflatten(0, (count, components))
        return x[..., :-1], x[..., -1:].softmax(1)


def _begin_weights(layer):
    """Variance 2 / fan-in in convolutions, Glorot's elsewhere; biases begin at 0."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.GRUCell):
        nn.init.xavier_uniform_(layer.weight_ih)
        nn.init.orthogonal_(layer.weight_hh)
        nn.init.zeros_(layer.bias_ih)
        nn.init.zeros_(layer.bias_hh)


def _precision(name):
    kind = torch.bfloat16
    return torch.autocast("cpu", dtype=kind, enabled=name == "bfloat16")
