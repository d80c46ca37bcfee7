"""New names: the suffix, the rules, and names that are taken."""

from __future__ import annotations

import pytest

from caffe_fcn.errors import SurgeryError
from caffe_fcn.passes.convolutionalize.naming import DEFAULT_SUFFIX, Naming, check_names, parse_rule


def naming(*rules: str, suffix: str = DEFAULT_SUFFIX) -> Naming:
    return Naming(suffix, tuple(map(parse_rule, rules)))


def test_the_suffix() -> None:
    assert Naming()("fc6") == "fc6-conv"
    assert naming(suffix="")("fc6") == "fc6"
    assert naming(suffix="/x")("") == "/x"


@pytest.mark.parametrize(
    ("rule", "name", "expected"),
    [
        (r"fc(\d+)=conv\1", "fc6", "conv6"),
        (r"fc(\d+)=conv\1", "fc6_new", "fc6_new-conv"),
        (r"fc(\d+)=conv\1", "my_fc6", "my_fc6-conv"),
        (r"(?P<head>.*)/ip=\g<head>/conv", "a/b/ip", "a/b/conv"),
        (r".*=\g<0>!", "fc", "fc!"),
        ("fc6=a=b", "fc6", "a=b"),
        ("(?i)FC6=x", "fc6", "x"),
        (r"fc(?=6)\d=x", "fc6", "x"),
        (r"fc(?!6)\d=x", "fc6", "fc6-conv"),
        (r"(a)|(b)=<\1>", "a", "<a>"),
        (r"(a)|(b)=<\1>", "b", "<>"),
        ("a|b=x", "b", "x"),
        (r"fc\=6=x", "fc=6", "x"),
        ("é(.)=😀\\1", "é1", "😀1"),
    ],
)
def test_a_rule_matches_the_whole_name(rule: str, name: str, expected: str) -> None:
    assert naming(rule)(name) == expected


def test_the_first_rule_that_matches_decides() -> None:
    assert naming("a.=first", "ab=second", "c=third")("ab") == "first"
    assert naming("a.=first", "ab=second", "c=third")("c") == "third"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("fc6", "is not PATTERN=REPLACEMENT"),
        ("", "is not PATTERN=REPLACEMENT"),
        ("=x", "is not PATTERN=REPLACEMENT"),
        ("fc6=", "is not PATTERN=REPLACEMENT"),
        ("fc(6=x", "missing \\)"),
        ("*=x", "nothing to repeat"),
        (r"fc=\1", "invalid group reference"),
        (r"(f)c=\2", "invalid group reference"),
        (r"fc=\g<head>", "head"),
        (r"fc=\g<head", "missing >"),
        ("fc=\\", "bad escape"),
        (r"fc=\q", "bad escape"),
    ],
)
def test_rules_that_are_none(rule: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as caught:
        parse_rule(rule)
    assert "\n" not in str(caught.value)


def test_names_that_are_free() -> None:
    check_names("layer", {"a": "a-conv", "b": "a"}, ["data", "c"])


def test_a_name_that_the_net_has() -> None:
    with pytest.raises(
        SurgeryError, match=r"layer 'a' would become 'c', but the net has a layer of this name already.*suffix"
    ):
        check_names("layer", {"a": "c"}, ["data", "c"])


def test_one_name_for_two() -> None:
    with pytest.raises(SurgeryError, match=r"blobs 'a' and 'b' would both become 'x'; correct the rules of `rename`"):
        check_names("blob", {"a": "x", "b": "x"}, [])


def test_no_name_at_all() -> None:
    with pytest.raises(SurgeryError, match=r"'a'.*rename"):
        check_names("layer", {"a": ""}, [])
