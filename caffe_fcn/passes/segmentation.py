"""The whole segmentation, up to the point of writing: a classifier in its files, a plan out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from caffe_fcn.errors import SurgeryError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Result
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.source import SourceNet
from caffe_fcn.passes.alone import alone, refuse_others
from caffe_fcn.passes.conversion import Settings, converted
from caffe_fcn.passes.convolutionalize import renamed_outputs
from caffe_fcn.passes.options import SegmentOptions
from caffe_fcn.passes.planning import Plan, planned, planned_for
from caffe_fcn.passes.segment import (
    AddHead,
    Bilinear,
    Classifier,
    Rescored,
    Scoring,
    Skip,
    Upsampled,
    asked,
    find,
    of_style,
    parse_skip,
    rescore,
    trim,
    upsample,
)
from caffe_fcn.passes.segment.geometry import score_maps
from caffe_fcn.wording import Command, Hint, Option, advise


class SegmentPlan(Plan):
    """A segmentation decided on."""

    __slots__ = ()

    @property
    def head(self) -> AddHead:
        """What was added."""
        return next(change for change in self.changes if isinstance(change, AddHead))


def plan(
    source: SourceNet, weights: WeightFile | None, options: SegmentOptions, selection: Selection = ANY_NET
) -> SegmentPlan:
    """Decide how the net of SOURCE that SELECTION means becomes a segmentation net, and its WEIGHTS. Raises
    CaffeFcnError where that cannot be done, ValueError for OPTIONS that exclude each other."""
    resized = options.input_size is not None
    return SegmentPlan(*planned(source, weights, selection, _passes(options), resized=resized))


def plan_model(model: Model, options: SegmentOptions) -> SegmentPlan:
    """The same for a MODEL, which was opened with a selection."""
    return SegmentPlan(*planned_for(model, _passes(options), resized=options.input_size is not None))


def check_options(options: SegmentOptions) -> None:
    """Raise ValueError for OPTIONS that exclude each other, or that are none."""
    if options.keep_classifier == (options.classes is not None):
        raise ValueError("expected one of classes and keep_classifier")
    if options.classes is not None and options.classes < 2:
        raise ValueError(f"classes: expected at least 2, with the background, found {options.classes}")
    if options.style is not None and options.skip:
        raise ValueError("expected one of style and skip")
    if options.keep_classifier and options.expand_score:
        raise ValueError("expand_score is for new classes, and keep_classifier keeps the old ones")
    if isinstance(options.pad, int) and options.pad < 0:
        raise ValueError(f"pad: expected 0 or more, found {options.pad}")
    if isinstance(options.pad, str) and options.pad not in ("auto", "least", "keep"):
        raise ValueError(f"pad: expected auto, least, keep or a number, found {options.pad!r}")
    if options.seed < 0:
        raise ValueError(f"seed: expected 0 or more, found {options.seed}")
    for text in options.skip:
        parse_skip(text)


def _passes(options: SegmentOptions) -> Callable[[Model], Iterator[Result]]:
    check_options(options)

    def passes(model: Model) -> Iterator[Result]:
        if model.selection.phase is not None:
            yield (one := alone(model))
            model = one.model
        else:
            refuse_others(model, "segment")
        skips = [parse_skip(text) for text in options.skip]
        classifier = find(model.graph, options.at)
        yield (trimmed := trim(model, classifier, asked(model.graph, skips)))
        made = _converted(trimmed.model)
        yield from made
        names = {old: new for result in made for old, new in result.decision.new_names.items()}
        at = names.get(classifier.head.name, classifier.head.name)
        _check_head(classifier, made[-1])
        yield from _segmented(made[-1].model, find(made[-1].model.graph, at), skips, options)

    return passes


def _converted(model: Model) -> list[Result]:
    """MODEL, fully convolutional. Where that is refused, `convert` has options that help. Outputs have other names, but
    are none of the segmentation net."""
    try:
        made = converted(model, Settings())
    except SurgeryError as error:
        if isinstance(error.hint, Hint) and any(isinstance(each, Option) for each in error.hint.advised):
            error.hint = advise("first convert the net with ", Command("convert"), ", which has options for this")
        raise
    renamed = {note for graph in model.graphs.values() for note in renamed_outputs(graph, made[-1].decision)}
    notes = tuple(note for note in made[-1].decision.notes if note not in renamed)
    return [*made[:-1], replace(made[-1], decision=replace(made[-1].decision, notes=notes))]


def _segmented(
    model: Model, classifier: Classifier, skips: Sequence[Skip], options: SegmentOptions
) -> Iterator[Result]:
    """The passes that give MODEL, converted, scores of every pixel."""
    maps = score_maps(model.graph, model.shapes[model.phase], classifier.scores, ())
    if options.style is not None:
        skips = [Skip(blob.name) for blob in of_style(maps, options.style)]
    classes, trained = options.classes, model.weights is not None
    if classes is None:
        classes = maps.shape(classifier.scores)[1]
    scoring = Scoring(classes=classes, seed=options.seed if options.init == "xavier" else None, trained=trained)
    rescored = Rescored(
        classifier,
        tuple(asked(model.graph, skips)),
        f"{options.prefix}score_fr",
        None if options.keep_classifier else scoring,
        options.drop_pooling,
        options.expand_score,
    )
    result, scores = rescore(model, rescored)
    yield result
    bilinear = Bilinear(
        channels=classes, learned=options.learn_upsampling, dense=options.dense_upsampling, trained=trained
    )
    yield upsample(
        result.model,
        Upsampled(scores, tuple(skips), options.pad, options.prefix, options.input_size, scoring, bilinear),
    )


def _check_head(classifier: Classifier, made: Result) -> None:
    """Raise SurgeryError where the classifier is one that could not be converted."""
    for entry in made.left_alone:
        if entry.layer == classifier.head.name and classifier.head.type == "InnerProduct":
            raise SurgeryError(
                f"the classifier stays an InnerProduct: {entry.reason}", layer=entry.layer, layer_type=entry.type
            )
