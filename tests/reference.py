"""The paper as nested loops over NumPy arrays: slow, and obvious.

Shapes are those of one clip, without B: x (H, W, C), psi (K, H, W, C) and gamma
(K, H, W, 1).
"""

import math

import numpy as np

FLOOR = 1e-6


def probability(likelihood, x, psi):
    """P(x | psi) of one channel of one pixel."""
    if likelihood == "bernoulli":
        return psi if x == 1 else 1 - psi
    sigma = 0.25
    scaled = (x - psi) / sigma
    return math.exp(-(scaled**2) / 2) / (sigma * math.sqrt(2 * math.pi))


def e_step(likelihood, x, psi, pi):
    """Eq. 3, pixel by pixel."""
    components, height, width, channels = psi.shape
    gamma = np.zeros((components, height, width, 1))
    for row in range(height):
        for column in range(width):
            weights = []
            for k in range(components):
                weight = pi[k, row, column, 0]
                for c in range(channels):
                    pixel, predicted = x[row, column, c], psi[k, row, column, c]
                    weight *= probability(likelihood, pixel, predicted) + FLOOR
                weights.append(weight)
            for k in range(components):
                gamma[k, row, column, 0] = weights[k] / sum(weights)
    return gamma


def loss(likelihood, x, psi, gamma):
    """Both terms of Eq. 5 for one frame, unweighted."""
    intra = inter = 0.0
    components, height, width, channels = psi.shape
    for k in range(components):
        for row in range(height):
            for column in range(width):
                g = gamma[k, row, column, 0]
                for c in range(channels):
                    pixel, predicted = x[row, column, c], psi[k, row, column, c]
                    if likelihood == "bernoulli":
                        nll = -math.log(predicted if pixel == 1 else 1 - predicted)
                        kl = -math.log(1 - predicted)
                    else:
                        nll, kl = (pixel - predicted) ** 2 / 2, predicted**2 / 2
                    intra += g * nll
                    inter += (1 - g) * kl
    return intra, inter


def original_order(m_step, likelihood, clean, noisy, gamma, theta, psi):
    """A clip in the order of the original's program: M-step first, then the E-step.

    Args:
        m_step: function (delta, theta) -> (theta, psi) of one clip.
        clean, noisy: (T+1, H, W, C) and (T, H, W, C).
        gamma: the random start (K, H, W, 1).
        theta, psi: the zeros to begin with.

    Returns:
        lists of psi and gamma after each step.
    """
    psis, gammas = [], []
    components = len(psi)
    uniform = np.full_like(gamma, 1 / components)
    for step in range(len(noisy)):
        delta = gamma * (noisy[step] - psi)
        theta, psi = m_step(delta, theta)
        gamma = e_step(likelihood, clean[step + 1], psi, uniform)
        psis.append(psi)
        gammas.append(gamma)
    return psis, gammas


def up_convolution(images, kernel, bias):
    """Nearest-neighbour upsampling by 2, then a 4 x 4 convolution, as it is written.

    "Same" padding of 4 taps is one pixel before and two after.
    """
    large = images.repeat(2, axis=1).repeat(2, axis=2)
    padded = np.pad(large, ((0, 0), (1, 2), (1, 2), (0, 0)))
    batch, height, width, _ = large.shape
    out = np.zeros((batch, height, width, kernel.shape[-1]))
    for row in range(height):
        for column in range(width):
            patch = padded[:, row : row + 4, column : column + 4]
            out[:, row, column] = np.einsum("nabi,abio->no", patch, kernel)
    return out + bias
