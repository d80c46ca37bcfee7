"""Scores segmentations: compares predictions with label images, pixel by pixel, as in the papers on FCNs.

With n[i, j] the pixels of class i that are predicted as class j, t[i] the pixels of class i, and K classes:

    overall accuracy            Σ n[i, i] / Σ t[i]
    mean accuracy               Σ (n[i, i] / t[i]) / K
    mean IU                     Σ (n[i, i] / (t[i] + Σ n[j, i] − n[i, i])) / K
    frequency-weighted IU       Σ t[i]·IU[i] / Σ t[i]

(Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", section 5). As in the code of
its authors, a mean is over the classes for which the fraction is defined. Images are read one after the other, so that
memory does not grow with their number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.errors import PictureError
from caffe_fcn.net.shapes import show
from caffe_fcn.predict.images.label_image import ENDINGS, read_label_image
from caffe_fcn.predict.labels import read_labels
from caffe_fcn.predict.options import ScoreOptions
from caffe_fcn.wording import Command, Hint, Option, advise

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CLASSES = 4096
"""The maximum number of classes; its confusion matrix takes 128 MB."""

_BLOCK = 1 << 20
"""The number of pixels that are counted at a time."""
_VOID = 255
"""The label of pixels without a class, as in the label images of PASCAL VOC and of `run --palette`."""
_TOLD = 3


class ImagePair(NamedTuple):
    """A label image and its prediction, by their paths."""

    label: str
    prediction: str


@dataclass(frozen=True, repr=False, kw_only=True)
class SegmentationScore:
    """How well predictions agree with label images. Fractions are None if they are not defined."""

    labels: str
    """The label images, a folder or a file."""
    predictions: str
    """The predictions."""
    confusion: NDArray[Any]
    """The numbers of pixels of the class of the row that are predicted as the class of the column, K×K whole
    numbers."""
    names: tuple[str, ...]
    """The names of the classes; empty if they are unknown."""
    images: int
    """The number of pairs of images."""
    ignored: int
    """The number of pixels that do not count, because their label is ignored."""

    def __repr__(self) -> str:
        return f"<SegmentationScore of {self.images} images: mean IU {self.mean_iu:.4f}>"

    @property
    def pixels(self) -> int:
        """The number of pixels that count."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> tuple[float | None, ...]:
        """For each class, the fraction of its pixels that are predicted as such; None where it has no pixels."""
        return _fractions(self._right, self._true)

    @property
    def iu(self) -> tuple[float | None, ...]:
        """For each class, intersection over union; None where it has no pixels and is not predicted."""
        return _fractions(self._right, self._true + self.confusion.sum(0) - self._right)

    @property
    def overall_accuracy(self) -> float:
        """The fraction of all pixels that are right."""
        return float(self._right.sum() / self.pixels)

    @property
    def mean_accuracy(self) -> float:
        """The mean of the accuracies of the classes that have pixels."""
        return _mean(self.accuracy)

    @property
    def mean_iu(self) -> float:
        """The mean of the intersections over unions of the classes that have pixels or are predicted."""
        return _mean(self.iu)

    @property
    def frequency_weighted_iu(self) -> float:
        """The mean of the intersections over unions, each weighted by the pixels of its class."""
        weighted = [count * iu for count, iu in zip(self._true.tolist(), self.iu, strict=True) if iu is not None]
        return float(sum(weighted) / self.pixels)

    @property
    def _right(self) -> NDArray[Any]:
        return self.confusion.diagonal()

    @property
    def _true(self) -> NDArray[Any]:
        counts: NDArray[Any] = self.confusion.sum(1)
        return counts


def _fractions(parts: NDArray[Any], wholes: NDArray[Any]) -> tuple[float | None, ...]:
    pairs = zip(parts.tolist(), wholes.tolist(), strict=True)
    return tuple(part / whole if whole else None for part, whole in pairs)


def _mean(fractions: Sequence[float | None]) -> float:
    known = [each for each in fractions if each is not None]
    return sum(known) / len(known)


def score_images(
    labels: str,
    predictions: str,
    options: ScoreOptions,
    progress: Callable[[int], Callable[[], None]] | None = None,
) -> SegmentationScore:
    """Return the score of PREDICTIONS against LABELS, two folders or two files. PROGRESS gets the number of images and
    returns a function that is called after each.

    Raises PictureError if images do not belong together, are not label images, or have numbers that are not classes,
    and if the number of names is not the number of classes; ExtraError if pillow is not installed; OSError if a file
    cannot be read.
    """
    if options.classes is not None and not 1 < options.classes <= MOST_CLASSES:
        raise ValueError(f"classes: expected 2 to {MOST_CLASSES}, found {options.classes}")
    names = read_labels(options.names, None).names if options.names is not None else ()
    if names and len(names) != (options.classes or len(names)):
        expected, found = f"the names of {options.classes} classes, one in each line", str(len(names))
        raise PictureError(source=os.fspath(options.names or ""), expected=expected, found=found)
    pairs = list(paired(labels, predictions))
    count = _PixelCount(options.classes or len(names) or None, frozenset(options.ignore))
    done = progress(len(pairs)) if progress is not None else lambda: None
    for pair in pairs:
        count.add(pair)
        done()
    if not count.matrix.any():
        raise PictureError(source=labels, expected="pixels to compare", found="only ignored labels")
    return SegmentationScore(
        labels=labels,
        predictions=predictions,
        confusion=count.matrix,
        names=names,
        images=len(pairs),
        ignored=count.ignored,
    )


def paired(labels: str, predictions: str) -> Iterator[ImagePair]:
    """Return the files LABELS and PREDICTIONS. If both are folders, return the files in them with the same name,
    without its ending. Raises PictureError if a file has no partner."""
    folders = os.path.isdir(labels), os.path.isdir(predictions)
    if not any(folders):
        yield ImagePair(labels, predictions)
        return
    if not all(folders):
        other = predictions if folders[0] else labels
        os.stat(other)  # OSError where there is none
        raise PictureError(source=other, expected="a folder, because the other one is a folder", found="a file")
    ours, theirs = _in_folder(labels), _in_folder(predictions)
    _check_partners(labels, ours, predictions, theirs)
    _check_partners(predictions, theirs, labels, ours)
    yield from (ImagePair(ours[name], theirs[name]) for name in sorted(ours))


def _in_folder(folder: str) -> dict[str, str]:
    """Return the paths of the label images in FOLDER by their names without ending."""
    found: dict[str, str] = {}
    for name in sorted(os.listdir(folder)):
        stem, ending = os.path.splitext(name)
        if ending.lower() not in ENDINGS:
            continue
        if stem in found:
            raise PictureError(
                source=folder,
                expected=f"one label image for {stem!r}",
                found=f"{os.path.basename(found[stem])} and {name}",
                hint="remove one of them",
            )
        found[stem] = os.path.join(folder, name)
    if not found:
        raise PictureError(source=folder, expected="a folder with label images", found=f"none ({', '.join(ENDINGS)})")
    return found


def _check_partners(folder: str, names: Collection[str], other: str, others: Collection[str]) -> None:
    lone = [name for name in names if name not in others]
    if lone:
        some = ", ".join(map(repr, lone[:_TOLD])) + (f" and {len(lone) - _TOLD} more" if len(lone) > _TOLD else "")
        raise PictureError(
            source=other, expected="an image for each one in the other folder", found=f"none for {some} of {folder}"
        )


class _PixelCount:
    """The confusion matrix of images. CLASSES is their number, None for the number that is found; pixels whose label is
    in IGNORE do not count."""

    def __init__(self, classes: int | None, ignore: Collection[int]) -> None:
        import numpy as np

        self._classes, self._ignore = classes, np.array(sorted(ignore), np.int64)
        self.matrix = np.zeros((classes or 0,) * 2, np.int64)
        self.ignored = 0

    def add(self, pair: ImagePair) -> None:
        """Count the pixels of PAIR."""
        labels, predictions = map(read_label_image, pair)
        if labels.shape != predictions.shape:
            raise PictureError(
                source=pair.prediction,
                expected=f"{show(labels.shape)} pixels, as in {pair.label}",
                found=show(predictions.shape),
            )
        rows = max(1, _BLOCK // labels.shape[1])
        for first in range(0, labels.shape[0], rows):
            self._block(pair, first, labels[first : first + rows], predictions[first : first + rows])

    def _block(self, pair: ImagePair, first: int, labels: NDArray[Any], predictions: NDArray[Any]) -> None:
        """Count the rows of PAIR from FIRST on: LABELS and PREDICTIONS."""
        import numpy as np

        counts = ~np.isin(labels, self._ignore)
        self.ignored += int(counts.size - counts.sum())
        self._check(pair.label, labels, counts, first, self._of_labels)
        self._check(pair.prediction, predictions, counts, first, _of_predictions)
        true, predicted = labels[counts].astype(np.int64), predictions[counts].astype(np.int64)
        if self._classes is None and true.size:
            self._grow(int(max(true.max(), predicted.max())) + 1)
        size = len(self.matrix)
        self.matrix += np.bincount(true * size + predicted, minlength=size**2).reshape(size, size)

    def _grow(self, size: int) -> None:
        import numpy as np

        more = size - len(self.matrix)
        if more > 0:
            self.matrix = np.pad(self.matrix, (0, more))

    def _check(
        self, path: str, values: NDArray[Any], counts: NDArray[Any], first: int, advised: Callable[[int], Hint | None]
    ) -> None:
        """Raise PictureError if a counted number in VALUES is not a class; COUNTS marks the counted ones. FIRST is the
        row of the first in the image at PATH. ADVISED gives the hint for a number."""
        import numpy as np

        most = MOST_CLASSES if self._classes is None else self._classes
        wrong = counts & ((values < 0) | (values >= most))
        if self._classes is None:
            wrong |= counts & (values == _VOID)  # 255 is rarely the 256th class
        if not wrong.any():
            return
        row, column = (int(place) for place in np.argwhere(wrong)[0])
        found = int(values[row, column])
        void = found == _VOID
        raise PictureError(
            source=path,
            place=f"row {first + row}, column {column}",
            expected="a class" if void and self._classes is None else f"a class from 0 to {most - 1}",
            found=f"{found}, which marks pixels without a class" if void else str(found),
            hint=advised(found),
        )

    def _of_labels(self, found: int) -> Hint:
        """The hint for a label FOUND that is not a class."""
        more = () if self._classes is not None else (", or say how many classes there are with ", Option("classes"))
        return advise("leave such pixels out with ", Option("ignore", found), *more)


def _of_predictions(found: int) -> Hint | None:
    """The hint for a prediction FOUND that is not a class."""
    return advise("a net made by ", Command("segment"), " labels every pixel") if found == _VOID else None
