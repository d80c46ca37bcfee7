"""Recognizes files that are certainly not a model by their first bytes; their names are not used."""

from __future__ import annotations

import re

from caffe_fcn.errors import CaffemodelError
from caffe_fcn.files.wire import LEN, VARINT, WireError, reader_of

HEAD = 1024
"""The number of bytes that are looked at."""

_SIGNATURES = {
    b"\x89PNG\r\n": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"PK\x03\x04": "a zip archive; unpack it first; if it is a PyTorch model, convert it to Caffe",
    b"BZh": "a bzip2 archive; unpack it first",
    b"\xfd7zXZ\x00": "an xz archive; unpack it first",
    b"version https://git-lfs": "a Git LFS pointer; get the file itself with `git lfs pull`",
}
_FIRST, _OF_ONNX = (1, VARINT), {(6, LEN), (7, LEN), (8, LEN)}
"""The version with which an ONNX file begins, and its text, graph and operators: Caffe's messages that begin with a
number have none of these at the top. Fields by number and wire type."""
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|!--|html|head|body|\?xml)", re.IGNORECASE)


def kind_of(head: bytes) -> str | None:
    """Return what a file that begins with HEAD is, with the next step if there is one; None if it may be a model."""
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return kind
    if _is_onnx(head):
        return "an ONNX file; give the Caffe net from which it was made"
    return "a web page; download the file itself (on GitHub: Raw)" if _PAGE.match(head) else None


def _is_onnx(head: bytes) -> bool:
    """Return whether HEAD begins an ONNX file."""
    reader, start, end = reader_of(head), 0, 1 << 62  # fields may end after the head
    try:
        while start < len(head):
            field = reader.field(start, end)
            if (start == 0) != ((field.number, field.wire) == _FIRST):
                return False
            if (field.number, field.wire) in _OF_ONNX:
                return True
            start = field.end
    except WireError:
        pass
    return False


def refuse_others(head: bytes, name: str) -> None:
    """Raise CaffemodelError if a file that begins with HEAD is certainly not a prototxt or weights. Messages call it
    NAME."""
    kind = kind_of(head)
    if kind is not None:
        raise CaffemodelError(source=name, expected="a prototxt or weights", found=kind)
