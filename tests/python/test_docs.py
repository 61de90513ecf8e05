"""The examples of docstrings, and that everything public has one."""

import doctest
import inspect
import re
from pathlib import Path

import pytest

import shoal
import shoal.errors
import shoal.reports


def documented():
    yield "shoal", shoal
    for name in shoal.__all__:
        kind = getattr(shoal, name)
        yield name, kind
        for method in vars(kind) if isinstance(kind, type) else ():
            if not method.startswith("_") and kind in (shoal.Store, shoal.View):
                yield f"{name}.{method}", inspect.getattr_static(kind, method)


DOCUMENTED = dict(documented())


@pytest.mark.parametrize("name", DOCUMENTED)
def test_has_a_docstring(name):
    assert inspect.getdoc(DOCUMENTED[name])


@pytest.mark.parametrize("name", [name for name, what in DOCUMENTED.items() if ">>>" in (what.__doc__ or "")])
def test_the_examples_of(name, tmp_path):
    with shoal.Store(tmp_path / "examples", temporary=True) as store:
        names = {"shoal": shoal, "store": store, "tmp": tmp_path}
        examples = doctest.DocTestParser().get_doctest(DOCUMENTED[name].__doc__, names, name, None, None)
        assert examples.examples
        failures = []
        doctest.DocTestRunner().run(examples, out=failures.append)
        assert "".join(failures) == ""
        for made in examples.globs.values():
            if isinstance(made, shoal.Store):
                made.close()


def test_the_readmes_example_does_what_its_comments_say(path):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    example = re.search(r"^```python\n(.*?)^```$", readme, re.M | re.S)[1].replace("/tmp/words", str(path))
    shown = re.findall(r"^    (store.*?)  # (b'.*?'|\[.*?\])", example, re.M)
    assert len(shown) == 2
    exec(example, {})
    with shoal.Store.attach(path) as store:
        for expression, result in shown:
            assert repr(eval(expression, {"store": store})) == result
