"""What a pickled `Store` is: a call of `reattach`."""

from ._native import Store


def reattach(path, options):
    """The store at `path`, opened in this process too."""
    return Store.attach(path, **options)
