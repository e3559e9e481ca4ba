"""Packages that are not installed: one line that says which one, who needs it, and what to install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = {"backports": "backports-zstd", "smart_open": "'smart-open[http]'", "yaml": "pyyaml"}
"""What to give pip for a module of every install, where that is not the module's name."""

_EXTRAS = {
    "local": (
        "persona_factory_models",
        "phonenumbers",
        "profanex",
        "sentence_transformers",
        "sklearn",
        "torch",
        "transformers",
    ),
    "report": ("markupsafe", "matplotlib", "scipy"),
    "train": ("accelerate", "peft"),
    "hub": ("datasets", "huggingface_hub"),
    "gpu": ("vllm",),
    "cluster": ("pandas",),  # which ray.data is the first to import
}
"""The modules that each extra of persona-factory is there for."""
_PROCESSOR = ", or 'persona-factory[cpu]'"


class MissingPackageError(ImportError):
    """A package is not installed, or cannot be imported: one readable message that says who needs it and what to do."""


def install(module: str, extra: str | None = None) -> str:
    """The command that brings a module: with an extra of persona-factory, that of whoever needs it if it has one of its
    own; alone, if it belongs to every install."""
    found = next((name for name, modules in _EXTRAS.items() if module in modules), None)
    if found is None:
        return f"pip install {_NAMES.get(module, module)}"
    wanted = extra or found
    return f"pip install 'persona-factory[{wanted}]'{_PROCESSOR if wanted == 'gpu' else ''}"


def explain_missing(error: ImportError, needed_by: str, extra: str | None = None) -> str:
    """The line for an import that failed; `extra` is that of persona-factory which brings all that is needed."""
    if isinstance(error, MissingPackageError):
        return str(error)
    beneath: BaseException | None = error
    while beneath is not None:  # transformers hides what was missing behind an error of its own
        if isinstance(beneath, ModuleNotFoundError) and beneath.name and "." not in beneath.name:
            how = install(beneath.name, extra)
            return f"{needed_by} needs the package {beneath.name}, which is not installed; {how}"
        beneath = beneath.__cause__ or beneath.__context__
    said = " ".join(str(error).split())
    return f"{needed_by} needs a package that cannot be imported: {said}; reinstall it, in the version asked for"


@contextmanager
def needing(who: str, extra: str | None = None) -> Iterator[None]:
    """Turn an import of the body that fails into a MissingPackageError. `who` needs it: `scores.consistency`."""
    try:
        yield
    except ImportError as error:
        raise MissingPackageError(explain_missing(error, who, extra)) from error
