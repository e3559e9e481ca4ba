from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.base.sentences import ends_sentence, parts_of, split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("I ski. i cook! Do I? Yes.", ["I ski.", "i cook!", "Do I?", "Yes."]),
        ("I know Dr. Lee and J. K. Rowling.", ["I know Dr. Lee and J. K. Rowling."]),
        ("I moved to the U.S. in 2001. I teach A.I. there.", ["I moved to the U.S. in 2001.", "I teach A.I. there."]),
        ("I like tea, milk, etc. and more... always. No. 9 is mine.",
         ["I like tea, milk, etc. and more... always.", "No. 9 is mine."]),
        ('He asked "Why?" and left. "Fine." I stayed.', ['He asked "Why?" and left.', '"Fine."', "I stayed."]),
        ("我是教练。我喜欢茶！", ["我是教练。", "我喜欢茶！"]),
        ("a chef at 3.5 stars", ["a chef at 3.5 stars"]),
        ("We met at St. Mary's! ok. i like tea", ["We met at St. Mary's!", "ok.", "i like tea"]),
        (" \t ", []),
    ],
)  # fmt: skip
def test_a_text_is_split_where_sentences_end(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@given(st.text(alphabet=st.sampled_from("aI .!?…。\"'”)\n∯&"), max_size=60))
def test_no_character_is_lost(text: str) -> None:
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


@pytest.mark.parametrize("text", ["I ski.", "I ski!) ", 'He said "go."', "*waves.*", "我喜欢茶。", "And then…"])
def test_a_whole_sentence_is_known_by_its_end(text: str) -> None:
    assert ends_sentence(text)
    assert not ends_sentence(f"{text} I like")


@given(st.text(alphabet="ab .!?\n", max_size=200), st.integers(1, 9))
def test_parts_are_short_enough_and_hold_every_word(text: str, words: int) -> None:
    parts = parts_of(text, words)
    assert " ".join(parts).split() == text.split()
    assert all(len(part.split()) <= words for part in parts)
    if len(text.split()) <= words:
        assert parts == [text]


def test_a_part_ends_with_a_sentence_where_one_fits() -> None:
    text = "I am old. I sew a lot. " + "very " * 7 + "long."
    assert parts_of(text, 6) == ["I am old.", "I sew a lot.", "very " * 5 + "very", "very long."]
