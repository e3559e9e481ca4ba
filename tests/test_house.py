"""How the package is built: imports run one way, no modules import each other in a circle, no file is long, and the
core names no method.

Imports within functions and for type checkers count like any others. What is named as KNOWN is to be mended; a line of
it that is no longer needed fails the test, so that it goes with its cause.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from factory.methods.registry import found

ROOT = Path(__file__).parents[1]
FOLDERS = (
    "base", "models", "engines", "scorers", "store", "seeds", "methods", "spec", "planning", "running", "training",
    "views", "export", "cli",
)  # fmt: skip
"""Each may import from itself and from those before it."""
KNOWN_IMPORTS: set[tuple[str, str]] = set()
LINES = 400
KNOWN_LONG = {"tests/engines/test_openai.py", "tests/seeds/test_source.py"}


def name_of(file: Path) -> str:
    """A module's name without the package's."""
    parts = file.relative_to(ROOT / "factory").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in sorted((ROOT / "factory").rglob("*.py"))}


def imported(source: str) -> Iterator[str]:
    """The package's modules that a source imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "factory":
                yield rest if rest in MODULES else rest.rpartition(".")[0]


IMPORTS = {
    (name, other) for name, file in MODULES.items() for other in imported(file.read_text("utf-8")) if other != name
}
CORE = ("spec", "planning", "running", "store", "views", "export", "cli")
"""Folders that work for any method, and so name none."""
PASSES = {file.stem for file in (ROOT / "factory" / "methods" / "passes").glob("[a-z]*.py")}
METHODS = {*found("makers"), *found("scores"), *PASSES}
KNOWN_NAMES = {
    ("spec.job", "near_duplicates"): "there is one pass, and a field of the job file for it",
    ("spec.pairing", "near_duplicates"): "a field of the job file of the same name as the one pass",
    ("planning.duplicates", "near_duplicates"): "finds what the one pass looks for",
    ("planning.duplicate_seeds", "near_duplicates"): "leaves out seeds that the one pass would find",
    ("planning.signatures", "near_duplicates"): "keeps what the one pass compares",
    ("running.passes", "near_duplicates"): "runs the one pass",
    ("views.pairs", "consistency"): "shows pairs, which no other score stores; the one file that knows them",
    ("views.report.diversity", "near_duplicates"): "a figure of this name, counted by the report itself",
    ("views.report.summary", "near_duplicates"): "that figure in a sentence",
    ("views.report.tables", "near_duplicates"): "that figure in a table",
    ("export.source", "augment"): "the origin of distractors, which stay on their side of a split",
    ("views.draft", "profile"): "a word that names a column of personas",
    ("cli.options", "converse"): "an example of an override, in the help",
}


def place(module: str) -> int:
    """Where a module's folder stands; what lies beside the folders may import all."""
    folder = module.partition(".")[0]
    return FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)


def circle(imports: set[tuple[str, str]]) -> list[str]:
    """Modules that import each other in a circle, if there are any."""
    graph = TopologicalSorter[str]()
    for name, other in sorted(imports):
        graph.add(name, other)
    try:
        graph.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_folder_has_its_place():
    paths = [file.relative_to(ROOT / "factory") for file in MODULES.values()]
    assert {path.parts[0] for path in paths if len(path.parts) > 1} == set(FOLDERS)


def test_imports_run_one_way():
    upward = {(name, other) for name, other in IMPORTS if place(name) < place(other)}
    assert sorted(upward - KNOWN_IMPORTS) == []


def test_no_modules_import_each_other_in_a_circle():
    assert circle(IMPORTS - KNOWN_IMPORTS) == []
    assert sorted(circle({("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")})) == ["a", "a", "b", "c"]


def methods_named(source: str) -> set[str]:
    """The methods that a source names, as a word of a text that is no docstring, or as a part of an import."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    said: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            said.append(node.value)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            said += [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
    return METHODS.intersection(word for text in said for word in re.findall(r"\w+", text))


def test_the_core_names_no_method():
    named = {
        (module, method)
        for module, file in MODULES.items()
        if module.partition(".")[0] in CORE
        for method in methods_named(file.read_text("utf-8"))
    }
    assert sorted(named - KNOWN_NAMES.keys()) == []
    assert sorted(KNOWN_NAMES.keys() - named) == []


def test_a_method_is_seen_in_texts_and_imports_and_not_in_docstrings():
    source = (
        '"""Runs converse."""\n'
        "from factory.methods.scores import consistency\nimport factory.methods.makers.augment\n"
        'def f():\n    """Reads what extract wrote."""\n    return f"add makers.expand to {1}", "extracted"\n'
    )
    assert methods_named(source) == {"consistency", "augment", "expand"}


def test_no_file_is_long():
    files = [file for folder in ("factory", "tests", "benchmarks") for file in (ROOT / folder).rglob("*.py")]
    long = {str(file.relative_to(ROOT)) for file in files if len(file.read_text("utf-8").splitlines()) > LINES}
    assert long == KNOWN_LONG


def test_what_is_known_is_still_so():
    assert sorted(KNOWN_IMPORTS - IMPORTS) == []
    needless = {
        one for one in KNOWN_IMPORTS if place(one[0]) >= place(one[1]) and not circle(IMPORTS - KNOWN_IMPORTS | {one})
    }
    assert sorted(needless) == []


def test_an_import_is_seen_wherever_it_stands():
    source = (
        "def f():\n    from factory.store import corpus, table\n    from factory.spec.job import Job\n    import json\n"
    )
    assert list(imported(source)) == ["store.corpus", "store.table", "spec.job"]
