"""The parts of shoal.partd that compress: alone, in any order, and byte for byte beside the real partd's."""

import itertools

import numpy as np
import partd as real
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shoal.partd as partd

CODECS = ["ZLib", "BZ2", "Snappy", "Blosc", "LZ4", "Zstd"]
VALUES = st.one_of(st.binary(max_size=200), st.integers(0, 30_000).map(lambda size: b"shoal " * size))


@pytest.mark.parametrize("name", CODECS)
def test_a_codec_holds_what_a_dictionary_holds(name):
    @settings(max_examples=40)
    @given(st.lists(st.dictionaries(st.sampled_from(["a", ("b", 1), 2]), VALUES, max_size=3), max_size=4))
    def check(history):
        with getattr(partd, name)(partd.Dict()) as part:
            model = {}
            for data in history:
                part.append(data)
                for key, value in data.items():
                    model[key] = model.get(key, b"") + value
            assert part.get(list(model)) == list(model.values())
            assert part.pop(list(model)) == list(model.values())
            assert part.get(list(model)) == [b""] * len(model)

    check()


@pytest.mark.parametrize("name", CODECS)
def test_a_codec_makes_less_of_what_repeats_and_takes_any_bytes(name):
    value = b"0123456789abcdef" * 65_536
    with partd.Dict() as inner:
        part = getattr(partd, name)(inner)
        for key, given_as in (("bytes", value), ("bytearray", bytearray(value)), ("memoryview", memoryview(value))):
            part.append({key: given_as})
            assert part.get(key) == value
            assert len(inner.get(key)) < len(value) // 4


def test_codecs_go_around_each_other():
    for outer, inner in itertools.permutations(CODECS, 2):
        with getattr(partd, outer)(getattr(partd, inner)(partd.Dict())) as part:
            part.append({"x": b"abc" * 100})
            part.append({"x": b"", "y": b"def"})
            assert part.get(["x", ["y", "never"]]) == [b"abc" * 100, [b"def", b""]], (outer, inner)


@pytest.mark.parametrize("name", CODECS)
def test_codecs_go_between_a_file_and_what_encodes(name, tmp_path):
    codec = getattr(partd, name)
    kinds = {"Pickle": [1, "a", None], "Python": [1, "a", None], "Numpy": np.arange(5.0)}
    for kind, value in kinds.items():
        with getattr(partd, kind)(codec(partd.File(str(tmp_path / kind)))) as part:
            part.append({"x": value})
            part.append({"x": value})
            assert list(part.get("x")) == [*value, *value]
    with codec(str(tmp_path / "by path")) as part:
        part.append({"x": b"1"})
        assert part.get("x") == b"1"


@pytest.mark.parametrize("name", ["ZLib", "BZ2", "Snappy", "Blosc", "Pickle"])
def test_the_bytes_are_those_that_the_real_partd_makes_and_each_reads_the_others(name):
    values = [[1, "a"], [None]] if name == "Pickle" else [b"one" * 1000, b""]
    ours, theirs = real.Dict(), real.Dict()
    for module, inner in ((partd, ours), (real, theirs)):
        part = getattr(module, name)(inner)
        for value in values:
            part.append({"x": value})
    assert ours.get("x") == theirs.get("x")
    assert getattr(real, name)(ours).get("x") == getattr(partd, name)(theirs).get("x")


@pytest.mark.parametrize("name", CODECS)
def test_what_is_damaged_is_an_error(name):
    with partd.Dict() as inner:
        part = getattr(partd, name)(inner)
        part.append({"x": bytes(range(256)) * 10})
        stored = bytearray(inner.get("x"))
        stored[8:12] = b"\xff\xfe\xfd\xfc"  # behind the length
        inner.append({"y": stored})
        with pytest.raises(Exception) as raised:
            part.get("y")
        assert not isinstance(raised.value, MemoryError)
