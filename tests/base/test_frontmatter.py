from __future__ import annotations

import pytest
from huggingface_hub import DatasetCard

from factory.base.frontmatter import joined, parted


def test_what_is_written_is_read_here_and_by_the_hubs_library() -> None:
    header = {"pretty_name": "Café: 'no'", "license": "no", "language": ["en"], "configs": [{"n": 1.0, "x": None}]}
    text = joined(header, "\n# Title\n\n---\nmore\n")
    assert parted(text) == (header, "\n# Title\n\n---\nmore\n")
    card = DatasetCard(text)
    assert (card.data.pretty_name, card.data.license) == ("Café: 'no'", "no")
    assert card.text == "\n# Title\n\n---\nmore\n"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_of_any_system_are_read(end: str) -> None:
    assert parted(end.join(["---", "license: mit", "---", "Text."])) == ({"license": "mit"}, "Text.")


@pytest.mark.parametrize("text", ["", "# Title\n", "---\n- a\n---\nText.", "---\na: [\n---\nText.", "---\na: 1\n"])
def test_a_text_without_a_header_is_left_whole(text: str) -> None:
    assert parted(text) == ({}, text)


def test_an_empty_header_is_none() -> None:
    assert parted("---\n---\nText.") == ({}, "---\n---\nText.")
