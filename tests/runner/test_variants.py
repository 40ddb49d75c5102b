"""`--set`: sweeps, wildcards, JSON values, and names that are nearly right."""

from __future__ import annotations

from typing import Any

import pytest
from faces import Alpha, Beta
from hypothesis import given
from hypothesis import strategies as st

from unfed.console.runner.variants import MAX_VARIANTS, make_variants, split_values
from unfed.plugins import UnfedError


def ids(*sets: str, defaults: Any = None) -> list[str]:
    return [variant.id for variant in make_variants([Alpha, Beta], sets, defaults)]


def test_defaults_alone() -> None:
    alpha, beta = make_variants([Alpha, Beta])
    assert (alpha.id, beta.id) == ("alpha", "beta")
    assert alpha.settings == {"shards": 3, "wire": "fp32", "names": [], "cap": None, "fast": False}


def test_one_value_sets_and_several_sweep() -> None:
    alpha, _ = make_variants([Alpha, Beta], ["alpha.shards=2"])
    assert (alpha.id, alpha.settings["shards"]) == ("alpha", 2)
    assert ids("alpha.shards=2,3") == ["alpha[shards=2]", "alpha[shards=3]", "beta"]


def test_sweeps_multiply_and_ids_are_in_order_of_names() -> None:
    assert ids("alpha.wire=fp32,fp16", "alpha.shards=1,2") == [
        "alpha[shards=1,wire=fp32]",
        "alpha[shards=2,wire=fp32]",
        "alpha[shards=1,wire=fp16]",
        "alpha[shards=2,wire=fp16]",
        "beta",
    ]


def test_star_means_every_chosen_backend_that_has_the_option() -> None:
    both = make_variants([Alpha, Beta], ["*.wire=fp32"])
    assert [variant.settings["wire"] for variant in both] == ["fp32", "fp32"]
    alpha, beta = make_variants([Alpha, Beta], ["*.noise=0.5"])
    assert "noise" not in alpha.settings and beta.settings["noise"] == 0.5


def test_name_goes_before_star_whatever_the_order() -> None:
    for sets in (["*.wire=fp32", "alpha.wire=fp16"], ["alpha.wire=fp16", "*.wire=fp32"]):
        assert make_variants([Alpha], sets)[0].settings["wire"] == "fp16"


def test_profile_lies_below_and_is_no_sweep() -> None:
    defaults = {"alpha": {"shards": 4, "names": ["a", "b"]}}
    (alpha,) = make_variants([Alpha], ["alpha.wire=fp16"], defaults)
    assert (alpha.id, alpha.settings["shards"], alpha.settings["names"], alpha.settings["wire"]) == (
        "alpha", 4, ["a", "b"], "fp16",
    )  # fmt: skip
    assert make_variants([Alpha], ["alpha.shards=1"], defaults)[0].settings["shards"] == 1


def test_json_is_one_value() -> None:
    (alpha,) = make_variants([Alpha], ['alpha.names=["a,b","c"]'])
    assert alpha.settings["names"] == ["a,b", "c"]
    swept = make_variants([Alpha], ['alpha.names=["a"],["b","c"]'])
    assert [variant.id for variant in swept] == ['alpha[names=["a"]]', 'alpha[names=["b","c"]]']
    assert make_variants([Alpha], ["alpha.cap=null"])[0].settings["cap"] is None
    assert make_variants([Alpha], ["alpha.fast=true"])[0].settings["fast"] is True


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", [""]),
        ("1", ["1"]),
        ("1, 2 ,3", ["1", "2", "3"]),
        ('"a,b",c', ["a,b", "c"]),
        ("[1,[2,3]],[4]", [[1, [2, 3]], [4]]),
        ('{"a": "],"},x', [{"a": "],"}, "x"]),
        ('"quote \\" comma ,",1', ['quote " comma ,', "1"]),
        ("a[0],b", ["a[0]", "b"]),
        ('say "x,y"', ['say "x', 'y"']),
        ("null,0", [None, "0"]),
    ],
)
def test_commas_separate_outside_json(text: str, values: list[Any]) -> None:
    assert split_values(text) == values


@given(st.text(alphabet='[]{}",\\ a1:', max_size=30))
def test_any_value_is_read_or_refused_with_words(text: str) -> None:
    try:
        assert split_values(text)
    except UnfedError as error:
        assert "JSON" in str(error)


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["alpha.shard=2"], "backend alpha has no option 'shard' .did you mean 'shards'"),
        (["alphaa.shards=2"], "backend 'alphaa' is not chosen .did you mean 'alpha'"),
        (["*.nois=2"], "no chosen backend has an option 'nois' .did you mean 'noise'"),
        (["alpha.shards=0"], "alpha.shards = '0': .*greater than or equal to 1"),
        (["alpha.shards=two"], "alpha.shards = 'two': .*integer"),
        (["alpha.wire=fp8"], "alpha.wire = 'fp8': .*'fp32' or 'fp16'"),
        (["alpha.shards"], "not of the form backend.option=value"),
        (["shards=2"], "not of the form backend.option=value"),
        ([".shards=2"], "not of the form"),
        (["alpha.=2"], "not of the form"),
        (["=2"], "not of the form"),
        (["alpha.shards=1", "alpha.shards=2"], "alpha.shards is set twice"),
        (["alpha.shards=2,2"], r"the sweep names alpha\[shards=2\] twice"),
        (["alpha.shards=2, 2"], "twice"),
        (["alpha.names=[1"], "begins like JSON and is none"),
        (["alpha.shards=1,2,3,4,5,6,7,8,9", "alpha.cap=1,2,3,4,5,6,7,8"], f"more than {MAX_VARIANTS} variants"),
    ],
)
def test_what_does_not_fit_is_named(sets: list[str], said: str) -> None:
    with pytest.raises(UnfedError, match=said) as caught:
        make_variants([Alpha, Beta], sets)
    assert caught.value.failure.kind == "bad-input"


def test_backend_chosen_twice() -> None:
    with pytest.raises(UnfedError, match="backend 'alpha' is chosen twice"):
        make_variants([Alpha, Alpha])
