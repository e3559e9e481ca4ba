from __future__ import annotations

import json
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from factory.engines import Completion, EngineDeadError, RequestError, Sampling
from factory.methods.makers.converse import Converse, ConverseParams
from factory.store.records import Fact, RowError, Turn
from tests.methods.cases import EACH, SAMPLING, telling
from tests.methods.parts import a_row, run

BASE = {
    "mode": "turns", "turns": 6, "min_turns": 3, "roles": None, "topics": (), "openings": (), "attempts": 3,
    "candidates": 1, "keep": 0.5, "max_copy": 0.75, "relevance": 0.25, "contradiction": 0.5, "sampling": SAMPLING,
    "prompt": telling("facts", "attributes", "role", "partner_role", "topic"),
}  # fmt: skip
SCRIPT = {"mode": "script", "attempts": 5, "prompt": telling("speakers", "topic", "opening", "turns")}
MOVES = [
    {}, {"turns": 1, "attempts": 1, "candidates": EACH}, {"min_turns": 5}, {"min_turns": 9}, {"attempts": 1},
    {"openings": ("Hi!", "I ski. And you?")}, {"sampling": SAMPLING | {"max_tokens": 9}}, {"candidates": 4},
    {"roles": ("a waiter", "a guest"), "topics": ("food", "work", "pets")}, {"candidates": 4, "keep": 1.0},
    {"candidates": 4, "max_copy": 0.25, "keep": 1.0},
    {"candidates": 4, "relevance": -1.0}, {"candidates": 4, "relevance": -1.0, "contradiction": 0.1, "keep": 1.0},
    SCRIPT, SCRIPT | {"min_turns": 9},
    SCRIPT | {"openings": ("I have a dog.", "User: hi"), "roles": ("a waiter", "a guest")},
]  # fmt: skip

TALK = ["Hi, how are you?", "Fine. I walked my dog.", "I only have a cat.", "Cats are nice too.", "She sleeps all day."]
WORDS = st.text(alphabet="abcdefgh ", min_size=1).filter(str.strip)


def converse(**params):
    return Converse(ConverseParams(**params))


def alternating(said):
    return [(number % 2, text) for number, text in enumerate(said)]


def texts(row):
    return [turn.text for turn in row.turns]


@given(
    facts=st.tuples(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4)),
    history=st.lists(WORDS, max_size=7),
    roles=st.none() | st.tuples(WORDS, WORDS),
)
def test_a_speaker_sees_its_own_persona_and_its_own_side_of_the_history(facts, history, roles):
    own = [[f"I am {speaker}/{text}." for text in texts] for speaker, texts in enumerate(facts)]
    row = a_row(*own, turns=history)
    for speaker, role in zip(row.speakers, roles or (None, None), strict=True):
        speaker.role = role
        speaker.facts += [Fact(f"I am never {origin}.", origin, "x") for origin in ("extract", "augment")]
    stage = converse()
    for number in range(len(history) + 1):
        system, *rest = stage.messages(row, number)
        me = number % 2
        assert [line[2:] for line in system["content"].split("\n") if line.startswith("- I am ")] == own[me]
        if me == 0:
            start, *rest = rest
            assert start["role"] == "user"
            assert start["content"] not in history
        assert [message["content"] for message in rest] == history[:number]
        assert [message["role"] for message in rest] == ["user" if n % 2 != me else "assistant" for n in range(number)]
        if number >= 2:
            before = stage.messages(row, number - 2)
            assert stage.messages(row, number)[: len(before)] == before, "the prompt grows at its end only"


def test_two_speakers_alternate_for_so_many_turns(kit_of):
    kit = kit_of(*TALK)
    row = run(converse(turns=5), a_row(["I have a cat."], ["I have a dog."]), kit)
    assert [(turn.speaker, turn.text) for turn in row.turns] == alternating(TALK)
    assert row.turns[2] == Turn(0, TALK[2], "stop", prompt_tokens=40, completion_tokens=5, cached_tokens=1, attempts=1)
    assert [len(request.messages) for request in kit.engine.requests] == [2, 2, 4, 4, 6]


def test_end_is_taken_off_and_ends_the_dialogue_from_min_turns_on(kit_of):
    said = ["Hi! [END]", "Hello.", "I have to go. [END]", "Bye!"]
    assert texts(run(converse(min_turns=3), a_row(), kit_of(*said))) == ["Hi!", "Hello.", "I have to go."]
    assert texts(run(converse(min_turns=4, turns=4), a_row(), kit_of(*said))) == [
        "Hi!",
        "Hello.",
        "I have to go.",
        "Bye!",
    ]


def test_a_bare_end_ends_the_dialogue_without_a_turn_once_it_may(kit_of):
    assert texts(run(converse(min_turns=2), a_row(), kit_of(*TALK[:2], "[END]"))) == TALK[:2]
    assert texts(run(converse(min_turns=3, turns=3), a_row(), kit_of(*TALK[:2], "[END]", TALK[2]))) == TALK[:3]


def test_an_opening_is_said_without_a_call_and_heard_by_both(kit_of):
    kit = kit_of("I am well.", "Good.")
    row = run(converse(turns=3, openings=["How are you today?"]), a_row(), kit)
    assert texts(row) == ["How are you today?", "I am well.", "Good."]
    assert (row.opening, row.turns[0].attempts) == ("How are you today?", 0)
    partner, opener = kit.engine.requests
    assert partner.messages[1:] == ({"role": "user", "content": "How are you today?"},)
    assert [message["role"] for message in opener.messages] == ["system", "user", "assistant", "user"]


def test_topics_and_openings_are_drawn_by_pair_and_its_samples_share_them(kit_of):
    stage = converse(turns=1, topics=["food", "work", "music"], openings=["Hi.", "Hello."])

    def drawn(pair, sample):
        row = a_row(["I ski."], ["I cook."], row_id=f"{pair}/{sample}")
        row.sample, row.seeds[0].id = sample, f"p{pair}"
        run(stage, row, kit_of())
        return row.topic, row.opening

    first = [drawn(pair, 0) for pair in range(60)]
    assert set(first) == {(topic, opening) for topic in ("food", "work", "music") for opening in ("Hi.", "Hello.")}
    assert all([drawn(pair, sample) for pair in range(60)] == first for sample in (1, 2))


def test_an_opening_that_a_seed_gave_is_said_and_stays(kit_of):
    row = a_row([], ["I have a cat."])
    row.opening = "What do you do?"
    for _ in range(2):
        run(converse(turns=2, openings=["Hi."]), row, kit_of("I work in a library."))
        assert (row.opening, texts(row)) == ("What do you do?", ["What do you do?", "I work in a library."])
    asker, character = (converse().messages(row, number)[0]["content"] for number in (0, 1))
    assert "About you" not in asker
    assert "About you:\n- I have a cat." in character
    drawn = run(converse(turns=1, openings=["Hi."]), a_row(["I ski."], ["I cook."]), kit_of())
    Converse.clear(drawn)
    assert drawn.opening is None


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (["She is a nurse.", "I ski."], 'About you, as someone else tells it ("she" is you):'),
        (["They're old."], 'About you, as someone else tells it ("they" is you):'),
        (["They say I am funny."], "About you:"),
        (["His name is Rex, my dog."], "About you:"),
        (["I have a son.", "He swims."], "About you:"),
        (["Heather is my name."], "About you:"),
    ],
)
def test_a_persona_that_someone_else_tells_is_said_to_be_the_speaker(facts, told):
    system, *_ = converse().messages(a_row(facts, ["I am a cook."]), 0)
    assert told in system["content"].splitlines()


def test_roles_and_topic_reach_the_prompts(kit_of):
    kit = kit_of(*TALK)
    row = run(converse(turns=2, roles=("a waiter", "a guest"), topics=["the menu"]), a_row(), kit)
    systems = [request.messages[0]["content"] for request in kit.engine.requests]
    assert [speaker.role for speaker in row.speakers] == ["a waiter", "a guest"]
    assert "Your role: a waiter" in systems[0]
    assert "Your role: a guest" in systems[1]
    assert all("the menu" in system for system in systems)


def test_a_broken_turn_is_tried_again_and_all_calls_are_counted(kit_of):
    row = run(converse(turns=2), a_row(), kit_of(TALK[0], "", TALK[0], TALK[1]))
    assert texts(row) == TALK[:2]
    assert (row.turns[1].attempts, row.turns[1].prompt_tokens) == (3, 60)
    assert row.turns[1].completion_tokens == sum(len(text.split()) for text in ("", TALK[0], TALK[1]))


def test_a_row_fails_with_what_is_wrong_with_its_turn(kit_of):
    with pytest.raises(RowError) as raised:
        run(converse(), a_row(), kit_of(TALK[0], "User: hi", "", TALK[0]))
    assert (raised.value.reason, raised.value.attempts) == ("turn_repeat", 3)
    assert "turn 1" in raised.value.detail
    assert "how are you" in raised.value.detail
    with pytest.raises(RowError, match="turn_truncated"):
        run(converse(attempts=1), a_row(), kit_of(Completion("I have a", 64, "length")))


def test_a_turn_that_cannot_be_mended_ends_a_dialogue_that_is_long_enough(kit_of):
    kit = kit_of(*TALK[:4], "", "User: hi", TALK[0])
    assert texts(run(converse(min_turns=4), a_row(), kit)) == TALK[:4]
    assert not kit.engine.answers, "all attempts were made"
    with pytest.raises(RowError, match="turn 4"):
        run(converse(min_turns=5), a_row(), kit_of(*TALK[:4], "", "User: hi", TALK[0]))


@pytest.mark.parametrize(
    "sign",
    [
        "Me too! Do you live near the river now?",
        "I ski, I sew clothes, I keep hens.",
        "Hello! How can I help you today?",
    ],
)
def test_a_turn_with_a_sign_of_bad_talk_is_asked_for_again_and_said_if_no_other_comes(kit_of, sign):
    facts = ["I ski.", "I sew clothes.", "I keep hens."]
    stage, opening = converse(turns=2, min_turns=2, attempts=2), "Do you live near the river now?"
    row = run(stage, a_row([], facts), kit_of(opening, sign, "I do, and you?"))
    assert [(turn.text, turn.attempts) for turn in row.turns[1:]] == [("I do, and you?", 2)]
    for after in (sign, ""):
        row = run(stage, a_row([], facts), kit_of(opening, sign, after))
        assert [(turn.text, turn.attempts) for turn in row.turns[1:]] == [(sign, 2)]


def test_of_candidates_those_without_a_sign_are_chosen_from(kit_of):
    stage = converse(turns=1, min_turns=1, candidates=3, keep=1.0)
    row = run(stage, a_row(["I ski."]), kit_of(["How can I help you today?", "I ski.", "I sail."]))
    assert [candidate.text for candidate in row.turns[0].candidates] == ["I ski.", "I sail."]


def test_thoughts_are_kept_with_their_turn_and_are_in_no_prompt(kit_of):
    thinking = Completion(TALK[1], 30, "stop", reasoning="He greets me.", reasoning_tokens=25)
    kit = kit_of(TALK[0], Completion("", 64, "length", reasoning="Hm", reasoning_tokens=64), thinking, TALK[2])
    row = run(converse(turns=3), a_row(), kit)
    assert [turn.reasoning for turn in row.turns] == [None, "He greets me.", None]
    assert (row.turns[1].reasoning_tokens, row.turns[1].completion_tokens) == (89, 94)
    sent = [message["content"] for request in kit.engine.requests for message in request.messages]
    assert not any("He greets me" in text for text in sent)


def test_a_model_that_only_thinks_is_told_apart_from_an_empty_turn(kit_of):
    with pytest.raises(RowError, match="turn_thought") as raised:
        run(converse(attempts=1), a_row(), kit_of(Completion("", 64, "length", reasoning="Hm", reasoning_tokens=64)))
    assert "max_tokens" in raised.value.detail


def test_labels_of_the_job_s_roles_are_no_part_of_a_turn(kit_of):
    said = ["Waiter: " + TALK[0], "**Guest:** " + TALK[1] + "\nWaiter: And to drink?"]
    row = run(converse(turns=2, roles=("waiter", "guest")), a_row(), kit_of(*said))
    assert texts(row) == TALK[:2]


@pytest.mark.parametrize("error", [EngineDeadError("gone"), RequestError("too long")])
def test_an_engine_that_fails_is_not_a_matter_of_the_stage(kit_of, error):
    with pytest.raises(type(error)):
        run(converse(), a_row(), kit_of(TALK[0], error))


def test_of_several_candidates_one_is_said_and_the_sound_ones_are_kept(kit_of):
    sound = ["I don't have any pets.", "Yes, I have a dog.", "That is nice."]
    kit = kit_of(["Do you have pets?"] * 4, ["User: hi", *sound])
    row = run(converse(turns=2, candidates=4, keep=1), a_row([], ["I have a dog."]), kit)
    turn = row.turns[1]
    assert all(request.n == 4 for request in kit.engine.requests)
    assert [candidate.text for candidate in turn.candidates] == sound
    assert (
        [candidate.text for candidate in turn.candidates if candidate.chosen] == [turn.text] == ["Yes, I have a dog."]
    )
    assert turn.completion_tokens == 2 + 5 + 5 + 3
    assert row.turns[0].candidates[0].entailment == 0, "no facts, nothing entailed"


def test_a_candidate_that_takes_the_partners_fact_is_not_said(kit_of):
    takes, own = "Oh, I work as a nurse too!", "I like to cook soup."
    row = run(
        converse(turns=2, candidates=2, keep=1.0),
        a_row(["I am a nurse."], ["I cook soup."]),
        kit_of(["I'm a nurse.", "I am a nurse, you know."], [takes, own]),
    )
    assert row.turns[1].text == own
    assert [candidate.taken > 0.5 for candidate in row.turns[1].candidates] == [True, False]


def test_needs_follow_the_candidates():
    assert converse().needs == {"language"}
    assert converse(candidates=2).needs == {"language", "nli", "embedding"}


def test_running_again_is_running_once(kit_of):
    stage = converse(turns=5, topics=["pets", "food"], roles=("a", "b"))
    once = run(stage, a_row(["I have a cat."]), kit_of(*TALK))
    assert run(stage, deepcopy(once), kit_of(*TALK)) == once
    without = run(converse(turns=5), deepcopy(once), kit_of(*TALK))
    assert (without.topic, [speaker.role for speaker in without.speakers]) == (None, [None, None])


def script(*said, speakers=(1, 2)):
    return json.dumps({"turns": [{"speaker": speakers[n % 2], "text": text} for n, text in enumerate(said)]})


def test_a_script_is_one_guided_call(kit_of):
    kit = kit_of(script(*TALK))
    row = run(converse(mode="script", turns=5), a_row(["I have a cat."], ["I have a dog."]), kit)
    (request,) = kit.engine.requests
    assert [(turn.speaker, turn.text) for turn in row.turns] == alternating(TALK)
    assert [turn.prompt_tokens for turn in row.turns] == [20, 0, 0, 0, 0]
    assert request.sampling.max_tokens == 5 * 64
    assert request.json_schema["properties"]["turns"]["maxItems"] == 5
    assert all(fact in request.messages[1]["content"] for fact in ("I have a cat.", "I have a dog."))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Here is a conversation", "script_format"),
        (script(*TALK)[:-9], "script_format"),
        (script(*TALK, speakers=(1, 1)), "script_format"),
        (script(*TALK, speakers=(2, 1)), "script_format"),
        (script(*TALK[:3]), "script_format"),
        (script(*TALK, *TALK), "script_format"),
        (script(*TALK[:3], "", TALK[4]), "turn_empty"),
        (script(*TALK[:4], TALK[0]), "turn_repeat"),
        (script(*TALK[:4], "As an AI, I must stop."), "turn_refusal"),
    ],
)
def test_a_broken_script_is_tried_again(kit_of, answer, reason):
    row = run(converse(mode="script", turns=5), a_row(), kit_of(answer, script(*TALK)))
    assert (texts(row), row.turns[0].attempts) == (TALK, 2)
    with pytest.raises(RowError) as raised:
        run(converse(mode="script", turns=5, attempts=2), a_row(), kit_of(answer, answer))
    assert (raised.value.reason, raised.value.attempts) == (reason, 2)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda said: f"```json\n{said}\n```",
        lambda said: f"Sure! Here is the conversation:\n\n{said}\n\nI hope that helps.",
        lambda said: said.replace('"speaker": 1', '"speaker": "1"').replace('"speaker": 2', '"speaker": "Speaker 2"'),
        lambda said: json.dumps(json.loads(said)["turns"]),
    ],
)
def test_a_script_is_read_wherever_a_model_puts_it(kit_of, wrapped):
    row = run(converse(mode="script", turns=5, attempts=1), a_row(), kit_of(wrapped(script(*TALK))))
    assert [turn.text for turn in row.turns] == list(TALK)


def test_an_opening_is_the_first_turn_of_a_script(kit_of):
    kit = kit_of(script(*TALK))
    row = run(converse(mode="script", turns=5, openings=["Good evening."]), a_row(), kit)
    assert texts(row) == ["Good evening.", *TALK[1:]]
    assert "Good evening." in kit.engine.requests[0].messages[1]["content"]


def test_a_template_of_the_job_takes_the_place_of_the_bundled_one(kit_of):
    kit = kit_of(*TALK)
    prompt = "{% block system %}Be {{ facts[0] }}{% endblock %}{% block user %}Go.{% endblock %}"
    run(converse(turns=2, prompt=prompt), a_row(["a cat"], ["a dog"]), kit)
    assert [request.messages[0]["content"] for request in kit.engine.requests] == ["Be a cat", "Be a dog"]


def test_what_a_job_leaves_out_of_sampling_is_the_default_of_the_stage():
    params = ConverseParams.model_validate({"sampling": {"temperature": 1.2}})
    assert params.sampling == Sampling(temperature=1.2, max_tokens=64)


def test_a_script_has_no_candidates():
    with pytest.raises(ValidationError, match="leave candidates at 1"):
        ConverseParams(mode="script", candidates=2)
