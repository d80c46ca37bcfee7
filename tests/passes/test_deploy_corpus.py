"""Deploy nets of the training nets of the corpus, beside those that were published with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from caffe_fcn.errors import CaffeFcnError, NetError
from caffe_fcn.model.opening import meet
from caffe_fcn.net.in_use import reads_data, trains
from caffe_fcn.net.options import Selection
from caffe_fcn.net.problems import examine
from caffe_fcn.net.rules import named
from caffe_fcn.net.selection import graph_of
from caffe_fcn.net.shapes import Shape
from caffe_fcn.net.source import SourceNet, read_net
from caffe_fcn.net.upgrade import upgrade
from caffe_fcn.passes.deploying import deploying
from caffe_fcn.passes.planning import Plan, planned
from caffe_fcn.schema import Message
from tests.net.test_corpus_shapes import ENTRIES, needs_corpus
from tests.paths import CORPUS

BVLC, C3D, PLACES = "BVLC+caffe", "facebook+C3D", "CSAILVision+places365"
SYNOPSYS = "foss-for-synopsys-dwc-arc-processors+synopsys-caffe-models"
PAIRS: list[tuple[str, str, Shape | None]] = [
    (f"{BVLC}/358ceecf-lenet_train_test", f"{BVLC}/ac45e6da-lenet", (1, 1, 28, 28)),
    (f"{BVLC}/06ee8727-cifar10_quick_train_test", f"{BVLC}/7a6bb8d0-cifar10_quick", (1, 3, 32, 32)),
    (f"{BVLC}/6e53d518-cifar10_full_train_test", f"{BVLC}/2d764cc0-cifar10_full", (1, 3, 32, 32)),
    (f"{BVLC}/5ee47872-train_val", f"{BVLC}/7060345c-deploy", None),
    ("LisaAnne+lisa-caffe-public/a4e649a1-train_val", "LisaAnne+lisa-caffe-public/328c5d40-deploy", None),
    (f"{SYNOPSYS}/ee69aeda-train_val", f"{SYNOPSYS}/dec4a600-deploy", None),
    (f"{PLACES}/0634fae0-train_val_alexnet", f"{PLACES}/197ffb71-deploy_alexnet_places365", None),
    (f"{PLACES}/44e45216-train_val_vgg16", f"{PLACES}/899d84fb-deploy_vgg16_places365", None),
    ("forresti+SqueezeNet/91587000-train_val", "forresti+SqueezeNet/733249be-deploy", None),
    (f"{C3D}/f9e9a33d-cifar10_quick_train", f"{C3D}/2a1ed6a2-cifar10_quick", (1, 3, 32, 32)),
    (f"{C3D}/3868a23c-cifar10_quick_test", f"{C3D}/2a1ed6a2-cifar10_quick", (1, 3, 32, 32)),
    (f"{C3D}/0b6877a5-imagenet_train", f"{C3D}/68a5983a-imagenet_deploy", None),
    (f"{C3D}/56354c68-alexnet_train", f"{C3D}/1ac2d5ff-alexnet_deploy", None),
]
"""A training net, the deploy net published with it, and the shape of `data` where the training net tells none."""


def read(name: str) -> SourceNet:
    return read_net(CORPUS / f"{name}.prototxt")


def made(source: SourceNet, selection: Selection) -> Plan:
    return planned(meet(source, None, replace(selection, phase=selection.phase or "TEST")), deploying)


def compared(net: Message) -> Message:
    """NET without what two people write differently: names of net and layers, the batch, fillers, rates."""
    plain = upgrade(net)
    for field in ("name", "force_backward"):
        plain.ClearField(field)
    for layer in plain.layer:
        for field in ("name", "param"):
            layer.ClearField(field)
        for param in ("convolution_param", "inner_product_param"):
            if layer.HasField(param):
                getattr(layer, param).ClearField("weight_filler")
                getattr(layer, param).ClearField("bias_filler")
        for shape in layer.input_param.shape:
            shape.dim[0] = 1
    return plain


@pytest.mark.thorough
@needs_corpus
@pytest.mark.parametrize(("train", "deploy", "shape"), PAIRS, ids=[train for train, _, _ in PAIRS])
def test_a_deploy_net_is_the_published_one(train: str, deploy: str, shape: Shape | None) -> None:
    plan = made(read(train), Selection(shapes={"data": shape} if shape else None))
    assert compared(plan.net) == compared(read(deploy).net)


SHAPES: Mapping[str, Shape] = {
    "cifar10": (1, 3, 32, 32),
    "hdf5_classification": (1, 4),
    "mnist": (1, 1, 28, 28),
    "mnist_siamese": (1, 2, 28, 28),
    "/classification/": (1, 1, 28, 28),
    "inception": (1, 3, 299, 299),
    "LRCN": (48, 3, 227, 227),
    "coco_": (100, 3, 227, 227),
    "googlenet": (1, 3, 224, 224),
    "crfrnn": (1, 3, 500, 500),
    "rcnn": (1, 3, 600, 800),
    "CaffeNet": (1, 3, 600, 800),
    "VGG": (1, 3, 600, 800),
    "nyud": (1, 3, 480, 640),
}
"""The shape of images that a training net does not tell, by a part of its path; the last that is found counts."""
FURTHER: Mapping[str, Shape] = {
    "rois": (1, 5),
    "im_info": (1, 3),
    "gt_boxes": (1, 5),
    "clip_markers": (48, 1, 1, 1),
    "cont_sentence": (20, 100),
    "input_sentence": (20, 100),
}


def attempts(source: SourceNet, path: str) -> Iterator[Selection]:
    """What a user may say of SOURCE, from PATH, to get one net out of it, the less the earlier."""
    stages = [(), *((stage,) for stage in reversed(named(source.net).stages))]
    for selection in (Selection(phase=phase, stages=each) for phase in ("TEST", "TRAIN") for each in stages):
        try:
            graph = graph_of(source.net, source, selection, selection.phase or "")
        except NetError:
            continue
        sources = [blob.name for node in graph.nodes if reads_data(node) for blob in node.tops]
        image = [shape for part, shape in SHAPES.items() if part in f"/{path}"][-1:]
        shapes = {name: FURTHER[name] for name in sources if name in FURTHER}
        shapes |= {name: image[0] for name in sources if image and name not in FURTHER and "label" not in name}
        yield from (selection, replace(selection, shapes=shapes))
        return


@pytest.mark.slow
@needs_corpus
def test_every_training_net_of_the_corpus() -> None:
    """Each becomes a net that check accepts, and is left alone after that, or is refused in one line."""
    done, refused = 0, {}
    for entry in ENTRIES:
        try:
            source = read_net(CORPUS / entry["file"])
        except CaffeFcnError:
            continue
        for selection in attempts(source, entry["path"]):
            try:
                plan = made(source, selection)
            except CaffeFcnError as error:
                refused[entry["file"]] = str(error)
                continue
            refused.pop(entry["file"], None)
            if trains(plan.before.graph):
                done += 1
                assert examine(bytes(plan.document), "made").errors == (), entry["file"]
                assert not trains(plan.model.graph), entry["file"]
                assert not [change for change in planned(plan.model, deploying).changes if change.kind]
            break
    assert not any("\n" in each for each in refused.values())
    assert (done, len(refused)) == (106, 0), refused
