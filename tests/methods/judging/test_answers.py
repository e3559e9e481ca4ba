from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.methods.judging.answers import Form
from factory.methods.judging.questions import TRAITS

SCALE = Form(("1", "2", "3", "4", "5"), numbers=True, certain=True)
CHOICE = Form(("fits", "contradicts"))
PICK = Form(("A", "B", "C"))
BIG5 = Form(("1", "2", "3", "4", "5"), TRAITS, numbers=True)


@pytest.mark.parametrize(
    ("text", "number", "certainty"),
    [
        ('{"answer": 4, "certainty": 85}', 4, 85),
        ('Sure!\n```json\n{"answer": "4", "certainty": "85%"}\n```', 4, 85),
        ('{"Answer": 4.0, "certainty": 85}', 4, 85),
        ('{"score": 4, "certainty": 85}', 4, 85),
        ('{"answer": "4/5"}', 4, None),
        ('{"answer": 4, "certainty": 0}', 4, None),
        ('{"answer": 6, "certainty": 85}', None, 85),
        ('{"answer": 4.5}', None, None),
        ('{"answer": true}', None, None),
        ('{"answer": null, "certainty": 85}', None, 85),
        ('{"answer": [4]}', None, None),
        ("4", 4, None),
        ("**4**", 4, None),
        ("Score: 4/5 (certainty: 85%)", 4, 85),
        ("I would give this a 4 out of 5. I am 85% certain.", 4, 85),
        ("The talk is flat.\nAnswer: 2\nCertainty: 70", 2, 70),
        ("Between 3 and 4.", None, None),
        ("Two speakers, 12 turns: good.", None, None),
        ("No idea.", None, None),
        ("", None, None),
        ('{"answer": 4, "cert', 4, None),
    ],
)
def test_a_number_of_a_scale_is_read_from_json_and_from_words(text, number, certainty):
    places, told = SCALE.read(text)
    assert (None if places is None else int(SCALE.labels[places[0]])) == number
    assert told == certainty


@pytest.mark.parametrize(
    ("form", "text", "label"),
    [
        (CHOICE, '{"answer": "contradicts"}', "contradicts"),
        (CHOICE, '{"answer": "Contradicts."}', "contradicts"),
        (CHOICE, "Fits!", "fits"),
        (CHOICE, "Verdict: **fits**", "fits"),
        (CHOICE, "A says she hikes.\n\ncontradicts", "contradicts"),
        (CHOICE, "It does not contradict anything", None),
        (CHOICE, '{"answer": "perhaps"}', None),
        (CHOICE, '{"answer": "fits", "verdict": "contradicts"}', "fits"),
        (PICK, '{"answer": "B"}', "B"),
        (PICK, "(B)", "B"),
        (PICK, "Option C", "C"),
        (PICK, "A better answer is there.", None),
        (PICK, "D", None),
    ],
)
def test_a_choice_is_read_where_it_is_clear(form, text, label):
    places, _ = form.read(text)
    assert (None if places is None else form.labels[places[0]]) == label


def test_traits_are_read_only_if_all_are_there():
    whole = '{"openness": 5, "conscientiousness": 1, "extraversion": 2, "agreeableness": 3, "neuroticism": 4}'
    assert BIG5.read(whole)[0] == (4, 0, 1, 2, 3)
    words = "- **Openness**: 5\n- Conscientiousness: 1\n- Extraversion is 2\n- Agreeableness = 3/5\n- Neuroticism: 4"
    assert BIG5.read(words)[0] == (4, 0, 1, 2, 3)
    assert BIG5.read(whole.replace("neuroticism", "anxiety"))[0] is None
    assert BIG5.read(words.replace("Neuroticism: 4", ""))[0] is None


@given(st.integers(1, 5), st.integers(1, 100))
def test_what_the_schema_allows_is_read_back(number, certainty):
    assert SCALE.read(f'{{"answer": {number}, "certainty": {certainty}}}') == ((number - 1,), certainty)


@given(st.text(max_size=60))
def test_any_text_is_an_answer_or_none(text):
    for form in (SCALE, CHOICE, PICK, BIG5):
        places, _ = form.read(text)
        assert places is None or all(0 <= place < len(form.labels) for place in places)


def test_the_schema_and_its_words_say_the_same():
    assert SCALE.schema["properties"] == {
        "answer": {"enum": [1, 2, 3, 4, 5]},
        "certainty": {"type": "integer", "minimum": 1, "maximum": 100},
    }
    assert "one of 1, 2, 3, 4, 5" in SCALE.told
    assert '"certainty"' in SCALE.told
    assert CHOICE.schema["properties"] == {"answer": {"enum": ["fits", "contradicts"]}}
    assert CHOICE.told.index("fits") < CHOICE.told.index("contradicts")
    assert [*BIG5.schema["properties"]] == list(TRAITS)
