"""shoal.partd has what partd has: its modules, names and parameters, but for those that are listed here, and why."""

import importlib
import inspect
import os
import pkgutil
from functools import partial
from types import ModuleType

import partd as real
import pytest

import shoal.partd as partd

MODULES = [module.name for module in pkgutil.iter_modules(real.__path__) if not module.name.startswith("_")]

KEYS_AS_FILES = "a key is not made into the name of a file"
BYTES = "how bytes are made is each package's own; both read only what they have written"

# What users of partd have no use for here.
ABSENT = {
    "core": dict.fromkeys(["escape_filename", "filename", "token", "valid_chars"], KEYS_AS_FILES),
    "file": {
        **dict.fromkeys(["escape_filename", "filename", "token", "valid_chars", "File.filename"], KEYS_AS_FILES),
        "cleanup": "parts without a path go with their last owner",
    },
    "numpy": dict.fromkeys(["compress", "decompress"], BYTES),
    "pandas": dict.fromkeys(
        [
            "block_from_header_bytes",
            "block_to_header_bytes",
            "dumps",
            "index_from_header_bytes",
            "index_to_header_bytes",
        ]
        + ["is_extension_array"],
        BYTES,
    ),
    "zmq": {
        "Client.send": "the form of a message is no user's",
        "Server.ack": "the same",
        "Server.send_to_client": "the same",
        "logerrors": "the server logs errors and goes on",
        "tuple_sep": "the separator of keys is wire.SEPARATOR",
    },
    "buffer": {"zero": "the default of a counter"},
    "compressed": {"bytes_concat": "it is bytes' own join"},
}


def own_names(module):
    """What a module defines, and the methods of its classes."""
    for name, value in vars(module).items():
        if name.startswith("_") or isinstance(value, ModuleType):
            continue
        if isinstance(value, partial) or getattr(value, "__module__", None) == module.__name__:
            yield name, value
            if inspect.isclass(value):
                for method, function in vars(value).items():
                    if inspect.isfunction(function) and (not method.startswith("_") or method == "__init__"):
                        yield f"{name}.{method}", function
        elif isinstance(value, (list, str, tuple, bytes)):
            yield name, value


def there(module, name):
    found = module
    for step in name.split("."):
        found = getattr(found, step, None)
    return found


def pairs():
    for module in MODULES:
        theirs = importlib.import_module(f"partd.{module}")
        for name, value in own_names(theirs):
            yield module, name, value


PAIRS = list(pairs())


@pytest.mark.parametrize("module", MODULES)
def test_has_every_name_of(module):
    ours = importlib.import_module(f"shoal.partd.{module}")
    missing = {name for of, name, _ in PAIRS if of == module and there(ours, name) is None}
    assert missing == set(ABSENT.get(module, ()))


def parameters(function):
    """Of a call, without self."""
    found = inspect.signature(function).parameters
    return {name: parameter for name, parameter in found.items() if name != "self"}


def differences(theirs, ours, is_method):
    """The parameters of theirs that ours do not take in the same way."""
    kinds = inspect.Parameter
    positional = [name for name in ours if ours[name].kind is kinds.POSITIONAL_OR_KEYWORD]
    takes_any = any(parameter.kind is kinds.VAR_KEYWORD for parameter in ours.values())
    for place, (name, parameter) in enumerate(theirs.items()):
        if name in ours and parameter.kind is not kinds.VAR_KEYWORD:
            same_place = parameter.kind is kinds.KEYWORD_ONLY or positional.index(name) == place
            if not same_place or ours[name].default != parameter.default:
                yield name
        elif not (takes_any if is_method else place < len(positional)):  # helpers' names are their own
            yield name


@pytest.mark.parametrize("module", MODULES)
def test_takes_the_arguments_that_they_take_in(module):
    theirs, ours = (importlib.import_module(f"{package}.{module}") for package in ("partd", "shoal.partd"))
    compared = [
        name
        for of, name, value in PAIRS
        if of == module and (inspect.isfunction(value) or isinstance(value, partial)) and name not in ABSENT.get(of, ())
    ]
    assert compared
    for name in compared:
        found = [parameters(there(package, name)) for package in (theirs, ours)]
        assert list(differences(*found, is_method="." in name)) == [], name


def test_the_names_at_the_top_are_there():
    missing = {name for name in vars(real) if not name.startswith("_")} - set(vars(partd))
    assert missing == set()
    assert partd.__version__ == real.__version__
    assert set(partd.__all__) >= {"Client", "Server", "Snappy", "Blosc", "LZ4", "Zstd", "PandasColumns"}


def test_the_helpers_give_what_partds_give(tmp_path):
    theirs, ours = real.utils, partd.utils
    for n, value in ((2, b"Hello"), (9, b"Hello"), (1, b""), (5, b"Hello")):
        assert list(ours.partition_all(n, value)) == list(theirs.partition_all(n, value))
    for key in ("x", ("a", "b"), 1, ("a", 1)):
        assert ours.suffix(key, ".dtype") == theirs.suffix(key, ".dtype")
        for term in ("y", 1, ("y", "z")):
            assert ours.extend(key, term) == theirs.extend(key, term)
    for index in (1, [1, 0], [[1, 0], [0, 1], 2]):
        assert ours.nested_get(index, "abc") == theirs.nested_get(index, "abc")
    assert list(ours.nested_get([1, 0], "abc", lazy=True)) == ["b", "a"]
    assert list(ours.flatten([[1, [2]], (3, 4)])) == list(theirs.flatten([[1, [2]], (3, 4)]))
    assert ours.frame(b"Hello") == theirs.frame(b"Hello")
    assert list(ours.framesplit(theirs.frame(b"Hello") * 2)) == [b"Hello", b"Hello"]
    assert partd.buffer.keys_to_flush({"a": 1}) == real.buffer.keys_to_flush({"a": 1}) == ["a"]
    with ours.tmpfile("txt") as path:
        assert path.endswith(".txt") and not os.path.exists(path)
        os.mkdir(path)
    assert not os.path.exists(path)
