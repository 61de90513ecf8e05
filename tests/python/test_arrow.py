"""shoal.partd.Arrow: tables go in by pieces and come out as one."""

import pickle

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal.partd as partd

TABLES = st.builds(
    lambda rows: pa.table({"a": [number for number, _ in rows], "b": [text for _, text in rows]}, SCHEMA),
    st.lists(st.tuples(st.one_of(st.none(), st.integers(-9, 9)), st.one_of(st.none(), st.text(max_size=3))), max_size=4),
)
SCHEMA = pa.schema({"a": pa.int64(), "b": pa.string()})


@given(st.lists(st.dictionaries(st.sampled_from(["x", "y", 1]), TABLES), max_size=5))
def test_a_key_has_the_rows_of_all_its_tables_in_their_order(history):
    with partd.Arrow(partd.Dict()) as part:
        model = {}
        for tables in history:
            part.append(tables)
            for key, table in tables.items():
                model.setdefault(key, []).append(table)
        assert part.get(list(model)) == [pa.concat_tables(tables) for tables in model.values()]
        assert part.get("none").num_columns == 0


def test_record_batches_categories_and_nested_columns_go_through_other_parts():
    batch = pa.record_batch({"kind": pa.array(["u", "v", "u"]).dictionary_encode(), "list": [[1], None, [2, 3]]})
    with partd.Arrow(partd.ZLib(partd.Buffer(partd.Dict(), partd.File()))) as part:
        part.append({"x": batch[:1]})
        part.append({"x": batch[1:]})
        assert part.get("x").to_pylist() == batch.to_pylist()
        assert part.get("x", columns=["list"]).column_names == ["list"]
        assert pickle.loads(pickle.dumps(part)).get("x") == part.get("x")
        assert part.pop("x", columns=["kind"]).to_pydict() == {"kind": ["u", "v", "u"]}
        assert part.get("x").num_rows == 0


def test_data_frames_come_back_with_index_and_types():
    df = pd.DataFrame(
        {
            "when": pd.to_datetime(["2020-01-01", None]).tz_localize("UTC"),
            "kind": pd.Categorical(["x", "y"]),
            "number": pd.array([1, None], dtype="Int64"),
        },
        index=pd.Index([10, 11], name="id"),
    )
    with partd.Arrow(partd.Dict()) as part:
        part.append({"x": df[:1], "y": df})
        part.append({"x": df[1:]})
        pd.testing.assert_frame_equal(part.get("x", pandas=True), df)
        pd.testing.assert_frame_equal(part.get("x", columns=["kind"], pandas=True), df[["kind"]])
        assert [frame.shape for frame in part.get(["x", "y", "none"], pandas=True)] == [(2, 3), (2, 3), (0, 0)]


def test_columns_that_some_tables_lack_are_null_and_other_types_an_error():
    with partd.Arrow(partd.Dict()) as part:
        part.append({"x": pa.table({"a": [1]}), "y": pa.table({"a": [1]})})
        part.append({"x": pa.table({"a": pa.nulls(1), "b": ["u"]}), "y": pa.table({"a": ["text"]})})
        assert part.get("x").to_pydict() == {"a": [1, None], "b": [None, "u"]}
        with pytest.raises(pa.ArrowException):
            part.get("y")
