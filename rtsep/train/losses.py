"""What is made small: each of (estimate, target, input), all as the network's layout has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def squares(estimate: Tensor, target: Tensor, _: Tensor) -> Tensor:
    """Return the mean squared error."""
    return (estimate - target).square().mean()


def magnitudes(estimate: Tensor, target: Tensor, _: Tensor) -> Tensor:
    """Return the mean absolute error."""
    return (estimate - target).abs().mean()


def estimated(estimate: Tensor, target: Tensor, _: Tensor) -> Tensor:
    """Return the mean absolute error of all sources but the last, which is what the others leave (SYSTEMS.md 5.2)."""
    return (estimate[:, :-1] - target[:, :-1]).abs().mean()


def dissimilar(estimate: Tensor, target: Tensor, _: Tensor, weight: float = 0.05) -> Tensor:
    """Return L_d of the first source: near the voice, and far from what is not the voice (SYSTEMS.md 5.2)."""
    voice, rest = target[:, :1], target[:, 1:].sum(1, keepdim=True)
    return (estimate[:, :1] - voice).abs().mean() - weight * (estimate[:, :1] - rest).abs().mean()


def deep_conv_sep(
    names: Sequence[str], alpha: float = 0.001, beta: float = 0.01, beta_vocals: float = 0.03
) -> Loss:
    """Make DeepConvSep's loss: squares, less what makes estimates alike or like `other` (SYSTEMS.md 5.3).

    Parameters
    ----------
    names : sequence of str
        Of the sources; terms of `other` and `vocals` fall away where there is no such source.
    alpha : float
        Weight of the distance between two estimates.
    beta, beta_vocals : float
        Weight of the distance between an estimate, or that of the vocals, and the true `other`.
    """
    other = names.index("other") if "other" in names else -1

    def loss(estimate: Tensor, target: Tensor, _: Tensor) -> Tensor:
        total = (estimate - target).square().mean(dim=tuple(range(2, estimate.ndim))).sum(1).mean()
        for one in range(len(names)):
            for two in range(len(names)):
                if one != two:
                    total = total - alpha * (estimate[:, one] - estimate[:, two]).square().mean()
            if other >= 0 and one != other:
                weight = beta_vocals if names[one] in ("vocals", "voice") else beta
                total = total - weight * (estimate[:, one] - target[:, other]).square().mean()
        return total

    return loss
