"""What a net gets where there is no picture: a test pattern, or waves for inputs that are no pictures."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pattern(size: tuple[int, int], channels: int) -> NDArray[Any]:
    """Return a picture of SIZE with CHANNELS, H×W×C in bytes: slow changes of colour, rings from coarse to fine around
    the middle, and in the corners a bright disc, a dark one, stripes and a chessboard."""
    import numpy as np

    high, wide = size
    y, x = np.mgrid[0:high, 0:wide] + 0.5
    y, x = y / high, x / wide
    away = np.hypot(y - 0.5, x - 0.5)
    rings = 0.5 + 0.5 * np.cos(60 * away * away)
    planes = []
    for channel in range(channels):
        turn = channel * 2.1
        slope = 0.5 + 0.4 * np.sin(2.2 * (x * np.cos(turn) + y * np.sin(turn)) + turn)
        plane = np.where(away < 0.33, 0.35 * slope + 0.65 * rings, slope)
        plane = np.where(np.hypot(y - 0.16, x - 0.16) < 0.11, (1.0, 0.85, 0.2)[channel % 3], plane)
        plane = np.where(np.hypot(y - 0.84, x - 0.84) < 0.11, (0.05, 0.1, 0.3)[channel % 3], plane)
        plane = np.where((y < 0.27) & (x > 0.73), np.floor(x * 32) % 2 * 0.9, plane)
        plane = np.where((y > 0.73) & (x < 0.27), (np.floor(x * 26) + np.floor(y * 26)) % 2 * 0.8 + 0.1, plane)
        planes.append(plane)
    made: NDArray[Any] = np.rint(255 * np.clip(np.stack(planes, 2), 0, 1)).astype(np.uint8)
    return made


def waves(shape: tuple[int, ...]) -> NDArray[Any]:
    """Return values between -1 and 1 of SHAPE, no two neighbours alike."""
    import numpy as np

    made: NDArray[Any] = np.sin(np.arange(prod(shape), dtype=np.float64) * 0.7).astype(np.float32)
    return made.reshape(shape)
