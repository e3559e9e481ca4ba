"""Methods of other packages: found by their entry points, and never in each other's way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from factory.methods import registry
from factory.methods.exports.chat import Chat

GOOD = '''
from pydantic import BaseModel, ConfigDict, Field
import pyarrow as pa
from factory.methods.exports import ExportFormat

class Params(BaseModel):
    """Options."""
    model_config = ConfigDict(extra="forbid", frozen=True)
    words: int = Field(3, description="Words at least.")

class Good(ExportFormat):
    """Good for a test."""
    name = "good"
    Params = Params
    schema = pa.schema([("text", pa.string())])
    def records(self, rows, source):
        yield from ()
'''
Install = Callable[[str, dict[str, str], dict[str, str]], Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package of other people: its modules, and its entry points of exports."""
    monkeypatch.syspath_prepend(tmp_path)

    def package(name: str, modules: dict[str, str], points: dict[str, str]) -> Path:
        for module, text in modules.items():
            (tmp_path / f"{module}.py").write_text(text, encoding="utf-8")
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{point} = {value}" for point, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[persona_factory.exports]", *lines]))
        registry._search.cache_clear()
        return tmp_path

    yield package
    registry._search.cache_clear()


def test_the_factorys_own_are_found_in_order() -> None:
    found = registry.found("exports")
    assert found["chat"] is Chat
    assert list(found) == sorted(found)
    assert registry.faults("exports") == {}


def test_an_entry_point_is_found_beside_them(install: Install) -> None:
    own = set(registry.found("exports"))
    install("one", {"one_good": GOOD}, {"good": "one_good:Good"})
    assert set(registry.found("exports")) == own | {"good"}
    assert registry.named("exports", "good").__module__ == "one_good"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import nowhere_to_be_found", "cannot be imported from {m}:Good of the package bad: ModuleNotFoundError"),
        ("raise RuntimeError('at home')", "RuntimeError: at home"),
        ("", "AttributeError"),
        ("Good = 3", "this is no class; an entry point is module:Class"),
        (GOOD.replace("schema = ", "schemas = "), "{m}.py: Good lacks `schema`: the Arrow schema of its records"),
        (GOOD.replace("def records", "def record"), "{m}.py: Good lacks `records`"),
        (GOOD.replace('    name = "good"\n', ""), "{m}.py: Good lacks `name`: what it is asked for by"),
        (GOOD.replace('"""Good for a test."""', ""), "{m}.py: Good lacks a docstring"),
        (GOOD.replace('name = "good"', 'name = "Best one"'), "name is 'Best one': use small letters"),
        (GOOD.replace('name = "good"', 'name = "better"'), "Good.name is better, and must be as the entry point's"),
        (GOOD.replace("frozen=True", "frozen=False"), "Good.Params: give it model_config"),
        (GOOD.replace('"forbid"', '"ignore"'), "Good.Params: give it model_config"),
        (GOOD.replace(', description="Words at least."', ""), "Good.Params.words lacks a description"),
        (GOOD.replace("words:", "version:"), "Good.Params.version: all methods of its kind have a version"),
        (GOOD.replace("    Params = Params", "    Params = dict"), "Good.Params is no pydantic model"),
    ],
)
def test_what_is_wrong_with_one_is_told_when_it_is_asked_for(
    install: Install, request: pytest.FixtureRequest, text: str, why: str
) -> None:
    own = set(registry.found("exports"))
    module = f"bad_{abs(hash(request.node.name))}"
    install("bad", {module: text}, {"good": f"{module}:Good"})
    assert set(registry.found("exports")) == own
    assert registry.named("exports", "chat") is Chat
    with pytest.raises(registry.MethodError) as caught:
        registry.named("exports", "good")
    assert why.format(m=module) in str(caught.value)


def test_a_name_that_two_have_belongs_to_neither(install: Install) -> None:
    chat = GOOD.replace('"good"', '"chat"')
    folder = install("one", {"one_chat": chat, "one_twin": GOOD}, {"chat": "one_chat:Good", "good": "one_twin:Good"})
    install("two", {"two_twin": GOOD}, {"good": "two_twin:Good"})
    with pytest.raises(
        registry.MethodError, match=r"chat names 2 exports, .*one_chat:Good of the package one, .*chat.py"
    ):
        registry.named("exports", "chat")
    with pytest.raises(
        registry.MethodError, match="one_twin:Good of the package one, two_twin:Good of the package two"
    ):
        registry.named("exports", "good")
    assert "plain" in registry.found("exports")
    assert folder.exists()


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(registry.MethodError, match="no chatt among the exports; there are: chat, extraction"):
        registry.named("exports", "chatt")


@pytest.fixture
def kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A kind of methods whose folder lies elsewhere."""
    import factory.methods

    folder = tmp_path / "kinds" / "trials"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text('PARTS = {"name": "its name", "Params": "its options"}\nTAKEN = frozenset()\n')
    monkeypatch.setattr(factory.methods, "__path__", [*factory.methods.__path__, str(folder.parent)])
    registry._search.cache_clear()
    yield folder
    registry._search.cache_clear()
    import sys

    for name in [name for name in sys.modules if name.startswith("factory.methods.trials")]:
        del sys.modules[name]


METHOD = '''
from factory.methods.exports import NoParams
class {cls}:
    """A method."""
    name = "{name}"
    Params = NoParams
class _Helper:
    name = "helper"
'''


def test_a_file_in_the_folder_is_all_it_takes(kind: Path) -> None:
    (kind / "one.py").write_text(METHOD.format(cls="One", name="one"))
    (kind / "several").mkdir()
    (kind / "several" / "__init__.py").write_text(METHOD.format(cls="Several", name="several"))
    (kind / "several" / "beside.py").write_text("raise RuntimeError('never looked at')")
    (kind / "helping.py").write_text("def help() -> None: ...")
    assert list(registry.found("trials")) == ["one", "several"]


def test_a_mistake_in_the_folder_is_raised_with_file_and_part(kind: Path) -> None:
    (kind / "one.py").write_text(METHOD.format(cls="One", name="one").replace('    name = "one"\n', ""))
    with pytest.raises(registry.MethodError, match="one.py: One lacks `name`: its name"):
        registry.found("trials")


def test_two_files_of_one_name_are_named(kind: Path) -> None:
    for file in ("one", "two"):
        (kind / f"{file}.py").write_text(METHOD.format(cls="One", name="one"))
    with pytest.raises(registry.MethodError, match=r"two.py: its name one is taken by .*one.py"):
        registry.found("trials")


def test_two_methods_in_one_file_are_refused(kind: Path) -> None:
    (kind / "one.py").write_text(METHOD.format(cls="One", name="one") + METHOD.format(cls="Two", name="two"))
    with pytest.raises(registry.MethodError, match="one.py: holds One and Two; give each a file"):
        registry.found("trials")
