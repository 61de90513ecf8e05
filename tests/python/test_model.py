"""A store against a plain dictionary of lists of records: whatever is done to both, they hold the same."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

import shoal
from conftest import MIB

KEYS = st.one_of(st.sampled_from([b"", "a", b"a", "1", "\u00e9"]), st.binary(max_size=12), st.text("xyz", max_size=3))
RECORDS = st.one_of(st.binary(max_size=40), st.integers(0, 300_000).map(lambda size: bytes([size % 251]) * size))


def as_bytes(key):
    return key.encode() if isinstance(key, str) else key


class StoreAgainstDictionary(RuleBasedStateMachine):
    """The operations, each done to both."""

    spills = False
    keys = Bundle("keys")

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp())
        options = {"memory_limit_bytes": 64 * MIB}
        if self.spills:
            (self.folder / "spill").mkdir()
            options = {"memory_limit_bytes": 16 * MIB, "spill_dir": self.folder / "spill", "codec": "lz4"}
        self.store = shoal.Store(self.folder / "store", temporary=True, **options)
        self.model = {}

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)

    @rule(target=keys, key=KEYS)
    def a_key(self, key):
        return key

    @rule(key=keys, record=RECORDS)
    def append(self, key, record):
        self.store.append(key, record)
        self.model.setdefault(as_bytes(key), []).append(record)

    @rule(mapping=st.dictionaries(KEYS, RECORDS, max_size=6))
    def append_mapping(self, mapping):
        self.store.append({key: bytearray(record) for key, record in mapping.items()})
        for key, record in mapping.items():
            self.model.setdefault(as_bytes(key), []).append(record)

    @rule(pairs=st.lists(st.tuples(KEYS, RECORDS), max_size=8))
    def extend_pairs(self, pairs):
        self.store.extend(pairs)
        for key, record in pairs:
            self.model.setdefault(as_bytes(key), []).append(record)

    @rule(key=keys, records=st.lists(RECORDS, max_size=8))
    def extend(self, key, records):
        self.store.extend(key, records)
        if records:
            self.model.setdefault(as_bytes(key), []).extend(records)

    @rule(key=keys, value=RECORDS)
    def iset(self, key, value):
        assert self.store.iset(key, value) == (as_bytes(key) not in self.model)
        self.model.setdefault(as_bytes(key), [value])

    @rule(key=keys)
    def delete(self, key):
        assert self.store.delete(key) == (self.model.pop(as_bytes(key), None) is not None)

    @rule()
    def drop(self):
        self.store.drop()
        self.model.clear()

    @rule()
    def spill(self):
        if self.spills:
            self.store.spill()

    @rule(key=keys)
    def read_one(self, key):
        records = self.model.get(as_bytes(key))
        value = None if records is None else b"".join(records)
        assert (key in self.store) == (records is not None)
        assert self.store.get(key) == value
        if records is not None:
            assert self.store.records(key) == records
            assert [bytes(record) for record in self.store.view_records(key)] == records
            assert b"".join(self.store.view(key)) == value
            memory = bytearray(len(value))
            assert self.store.get_into(key, memory) == len(value) and memory == value
            assert self.store.size(key) == shoal.ValueSize(bytes=len(value), records=len(records))

    @rule(keys=st.lists(KEYS, max_size=5))
    def read_many(self, keys):
        values = [b"".join(self.model[as_bytes(key)]) if as_bytes(key) in self.model else None for key in keys]
        assert self.store.get([keys, keys]) == [values, values]

    @invariant()
    def the_keys_are_the_models(self):
        if hasattr(self, "store"):
            assert sorted(self.store) == sorted(self.model)


class SpillingStoreAgainstDictionary(StoreAgainstDictionary):
    """The same with what is closed in files."""

    spills = True


@pytest.mark.parametrize("machine", [StoreAgainstDictionary, SpillingStoreAgainstDictionary])
def test_a_store_holds_what_a_dictionary_of_lists_of_records_holds(machine):
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
