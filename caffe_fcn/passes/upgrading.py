"""The whole upgrade of a net and its weights that are open as one model: the passes, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from caffe_fcn.model.changes import Decision
from caffe_fcn.model.entries import with_current_headers, with_current_shapes
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Result
from caffe_fcn.passes.crop_offsets import crop_offsets
from caffe_fcn.passes.old import for_old
from caffe_fcn.passes.options import UpgradeOptions
from caffe_fcn.passes.splitting import Split, find_splits, split_batch_norms
from caffe_fcn.passes.upgrade import Upgraded, check_alone, upgrade
from caffe_fcn.passes.upgrade_changes import blob_changes


def upgrading(options: UpgradeOptions) -> Callable[[Model], Iterator[Result]]:
    """The passes that bring a model to the current format, as OPTIONS say."""

    def passes(model: Model) -> Iterator[Result]:
        splits = _splits(model) if options.target == "bvlc" else {}
        yield (made := crop_offsets(model))
        yield (made := upgrade(made.model, fields=options.target != "old"))
        yield (made := _upgraded_blobs(made.model))
        if splits:
            yield split_batch_norms(made.model, splits)
        if options.target == "old":
            yield for_old(made.model)

    return passes


def _splits(model: Model) -> Mapping[str, Split]:
    """The BatchNorm layers of MODEL that BVLC Caffe does not support. Raises NetError where there are some, and no
    weights to split."""
    if model.weights is not None:
        return find_splits(model.source, model.weights)
    check_alone(model.source)
    return {}


def _upgraded_blobs(model: Model) -> Result:
    """MODEL with a header in the current format for each layer of the weights, and a shape for each blob."""
    layers = with_current_headers(model.held, model.types)
    told = blob_changes(model.weights.layers) if model.weights is not None else ()
    return Result(
        before=model,
        model=replace(model, held=with_current_shapes(layers, model.types, model.params)),
        decision=Decision(tuple(Upgraded(-1, "", each) for each in told)),
        claim=Claim.SAME_BITS,
        origins=tuple(range(len(model.net.layer))),
    )
