"""The whole segmentation: the passes of `caffe-fcn segment`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import objection_notes
from caffe_fcn.model.passing import Result
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.in_use import inputs, trains
from caffe_fcn.net.layers.convolutions import DECONVOLUTIONS
from caffe_fcn.passes.alone import alone, only_net
from caffe_fcn.passes.channels import change_channels
from caffe_fcn.passes.conversion import Settings, converted
from caffe_fcn.passes.convolutionalize import renamed_outputs
from caffe_fcn.passes.deploy_options import DeployOptions
from caffe_fcn.passes.deploying import deploying
from caffe_fcn.passes.segment import (
    Bilinear,
    Classifier,
    Rescored,
    Scoring,
    Skip,
    Upsampled,
    asked,
    check_before,
    find,
    of_style,
    parse_skip,
    rescore,
    trim,
    upsample,
)
from caffe_fcn.passes.segment.geometry import score_maps
from caffe_fcn.passes.segment_options import PADS, SegmentOptions
from caffe_fcn.wording import Command, Hint, Option, advise, option

_SEEDS = 1 << 32
_FEWEST = 2
"""The minimum number of classes, with the background."""


@dataclass(frozen=True)
class Segmentation:
    """The user's choices. Raises ValueError for options that exclude each other, and for invalid values."""

    options: SegmentOptions

    def __post_init__(self) -> None:
        options = self.options
        if options.keep_classifier == (options.classes is not None):
            raise ValueError(f"expected either {option('classes')} or {option('keep_classifier')}")
        if options.classes is not None and options.classes < _FEWEST:
            raise ValueError(f"{option('classes')}: expected at least {_FEWEST}, found {options.classes}")
        if options.style is not None and options.skip:
            raise ValueError(f"{option('style')} chooses the skips; leave out {option('skip')}")
        if options.keep_classifier and options.expand_score:
            raise ValueError(f"{option('keep_classifier')} keeps the old classes; leave out {option('expand_score')}")
        if options.seed and options.init != "xavier":
            raise ValueError(f"{option('seed')} is for random scores; give {option('init', 'xavier')} too")
        if options.init == "xavier" and options.keep_classifier and not options.skip and options.style in (None, "32s"):
            raise ValueError(f"{option('init')}: no scores are new with {option('keep_classifier')} and without skips")
        pad = options.pad
        if pad not in PADS and not (isinstance(pad, int) and pad >= 0):
            raise ValueError(f"{option('pad')}: expected {', '.join(PADS)} or a number of pixels, found {pad!r}")
        if not 0 <= options.seed < _SEEDS:
            raise ValueError(f"{option('seed')}: expected 0 to {_SEEDS - 1}, found {options.seed}")
        for text in options.skip:
            parse_skip(text)

    def passes(self, model: Model) -> Iterator[Result]:
        """The passes that make a segmentation net of MODEL."""
        options = self.options
        if options.expand_score and model.weights is None:
            raise SurgeryError(
                "there are no old classes without weights", source=model.source.name, place=Option("expand_score", True)
            )
        alone_in_file = tuple(_one_net(model, options))
        yield from alone_in_file
        model = alone_in_file[-1].model if alone_in_file else only_net(model, "segment")
        taken = {blob.name for blob in model.graph.producer}
        skips = [Skip(text, Option("skip", [text])) if text in taken else parse_skip(text) for text in options.skip]
        blobs = asked(model.graph, skips)
        classifier = find(model.graph, options.at, blobs)
        check_before(model.graph, classifier.head, skips, blobs)
        yield (trimmed := trim(model, classifier, blobs))
        made = _converted(trimmed.model)
        yield from made
        names = {old: new for result in made for old, new in result.decision.new_names.items()}
        tops = {old: new for result in made for old, new in result.decision.new_tops.items()}
        skips = [skip._replace(blob=tops.get(skip.blob, skip.blob)) for skip in skips]
        at = names.get(classifier.head.name, classifier.head.name)
        _check_head(classifier, made[-1])
        model = made[-1].model
        if options.input_channels is not None:
            yield (changed := change_channels(model, options.input_channels))
            model = changed.model
        yield from _segmented(model, find(model.graph, at), skips, options)


def _one_net(model: Model, options: SegmentOptions) -> Iterator[Result]:
    """The passes that make MODEL one net with inputs: of a net that trains, its deploy net."""
    graph = model.graph
    if trains(graph) or any(graph.producer[blob].type != "Input" for blob in inputs(graph.nodes)):
        yield from deploying(model, DeployOptions(keep_heads=options.at is not None))
    elif model.selection.phase is not None:
        yield alone(model)


def _converted(model: Model) -> list[Result]:
    """Return MODEL, fully convolutional. If that is refused, the error names the options of `convert` that help.
    Outputs have other names, but are not outputs of the segmentation net."""
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
    """Return the results of the passes that give MODEL, converted, scores of every pixel."""
    maps = score_maps(model.graph, model.shapes[model.phase], classifier.scores, ())
    if options.style is not None:
        skips = [Skip(blob.name, Option("style", options.style)) for blob in of_style(maps, options.style)]
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
    made = upsample(
        result.model,
        Upsampled(
            scores,
            tuple(skips),
            options.pad,
            options.prefix,
            options.input_size,
            scoring,
            bilinear,
            options.keep_classifier,
        ),
    )
    objected = objection_notes(made.model.graph, made.model.shapes[made.model.phase])
    yield replace(made, decision=replace(made.decision, notes=(*made.decision.notes, *objected)))


def _check_head(classifier: Classifier, made: Result) -> None:
    """Raise SurgeryError if the classifier could not be converted."""
    for entry in made.left_alone:
        if entry.layer == classifier.head.name and classifier.head.type == "InnerProduct":
            raise SurgeryError(
                f"the classifier {entry.layer!r} stays an InnerProduct: {entry.reason}",
                layer=entry.layer,
                layer_type=entry.type,
            )


def shows(model: Model, twin: Model) -> bool:
    """Return whether the new net TWIN upsamples maps, and MODEL does not."""
    return any(map(_upsamples, twin.graphs.values())) and not any(map(_upsamples, model.graphs.values()))


def _upsamples(graph: Graph) -> bool:
    return any(node.type in DECONVOLUTIONS for node in graph.nodes)
