from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from factory.base.fingerprint import fraction
from factory.models import resolve
from factory.planning.recipes import kept
from factory.store.corpus import Corpus
from factory.store.records import Fact, Row
from factory.training import TrainingError
from factory.training.chats import (
    IGNORED,
    Chat,
    ChatFiles,
    ChatSource,
    Tokens,
    chats_of,
    drawn_chats,
    epoch,
    is_held,
    pad,
    prompt_facts,
    read_chats,
    rows_of,
)
from factory.training.templates import Templates
from factory.views.explain import sent_prompts
from tests import rehearsal
from tests.rehearsal import Rehearsal, job_in, some_personas, write_seeds
from tests.tiny import tiny_model
from tests.training.corpora import dialogue, write_corpus

# As Qwen3's: only the last answer is rendered with its thoughts.
THINKING = (
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' and loop.last %}[thought]{% endif %}"
    "{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(AutoTokenizer.from_pretrained(tiny_model()), 256)


def sides(row: Row) -> list[Chat]:
    return chats_of(row, prompt_facts(row, ChatSource(corpus="c", facts=("seed",))), Templates(Corpus("c")))


def learned(tokens: Tokens, encoded: dict[str, list[int]]) -> str:
    return str(tokens.tokenizer.decode([label for label in encoded["labels"] if label != IGNORED]))


def test_each_side_sees_its_own_facts_and_learns_its_own_turns(tokens: Tokens) -> None:
    first, second = sides(dialogue(3))
    assert "hens" in first[0]["content"] != second[0]["content"]
    assert "house" not in first[0]["content"]
    assert learned(tokens, tokens(first)) == "Hi!<|end|>I have 3 hens.<|end|>"
    assert learned(tokens, tokens(second)) == "Hello.<|end|>Nice.<|end|>"


def test_a_template_that_renders_earlier_turns_anew_gives_one_chat_a_turn(tokens: Tokens) -> None:
    chat = sides(dialogue(3))[0]
    assert tokens.parts(chat) == [chat]
    tokens.tokenizer.chat_template = THINKING
    parts = tokens.parts(chat)
    assert [learned(tokens, tokens(part)).strip() for part in parts] == ["[thought]Hi!", "[thought]I have 3 hens."]


def test_long_chats_are_cut(tokens: Tokens) -> None:
    chat = sides(dialogue(3))[0]
    short = Tokens(tokens.tokenizer, 20)(chat)
    assert short == {name: values[:20] for name, values in tokens(chat).items()}


def test_a_tokenizer_without_a_chat_template_is_refused() -> None:
    with pytest.raises(TrainingError, match="no chat template"):
        Tokens(AutoTokenizer.from_pretrained(resolve("minilm")), 64)


def test_rows_are_split_by_seed_and_decision(tmp_path: Path) -> None:
    rows = [dialogue(number) for number in range(60)]
    for row in rows[:10]:
        row.decision = "reject"
    write_corpus(tmp_path, rows)
    source = ChatSource(corpus=str(tmp_path), held=0.3)
    sides = [{row.row_id for row in rows_of(source, held=held)} for held in (False, True)]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == {row.row_id for row in rows[10:]}
    assert 5 < len(sides[1]) < 40
    grown = dialogue(7)
    assert is_held(grown, 0.3) <= is_held(grown, 0.5), "a larger share holds all that a smaller one does"


def test_an_epoch_is_each_chat_once_in_a_drawn_order(tmp_path: Path, tokens: Tokens) -> None:
    write_corpus(tmp_path, [dialogue(number) for number in range(20)])
    source = ChatSource(corpus=str(tmp_path), held=0)
    one, same, other = (list(epoch(source, tokens, random.Random(seed))) for seed in (1, 1, 2))
    assert one == same != other
    assert sorted(map(str, one)) == sorted(map(str, other))
    assert len(one) == 40


def test_chats_hold_the_prompts_that_generation_sent(tmp_path: Path, tokens: Tokens) -> None:
    write_seeds(tmp_path, some_personas(3))
    (tmp_path / "turn.j2").write_text(
        "{% block system %}Be kind. {{ facts }}{% endblock %}{% block user %}Begin.{% endblock %}"
    )
    job = job_in(tmp_path, "makers.converse.prompt=turn.j2")
    Rehearsal().run(job)
    source = ChatSource(corpus=job.corpus, held=0, decisions=("accept", "flag", "reject"))
    found = {message for chat in epoch(source, tokens, random.Random(1)) for message in map(str, _prompts(chat))}
    sent: set[str] = set()
    for row in rehearsal.rows_of(job).values():
        (recipe,) = (kept(Corpus(job.corpus), record.recipe)[0] for record in row.stages if record.stage == "converse")
        sent |= {str(messages) for _, messages in sent_prompts(recipe, row)}
    assert found == sent
    assert "Be kind." in next(iter(sent))


def test_a_dialogue_that_a_speaker_ended_ends_so_in_training(tmp_path: Path, tokens: Tokens) -> None:
    write_seeds(tmp_path, some_personas(3))
    job = job_in(tmp_path, "makers.converse.turns=4")
    Rehearsal().run(job)
    templates = Templates(Corpus(job.corpus))
    for row in rehearsal.rows_of(job).values():
        for turns, end in ((row.turns, ""), (row.turns[:3], " [END]")):
            row.turns = turns
            last = [chat[-1]["content"] for chat in chats_of(row, [[], []], templates)]
            assert last == [turns[-2].text, turns[-1].text + end]


def test_no_prompt_to_train_on_holds_what_a_held_out_seed_said(tmp_path: Path) -> None:
    rows = [dialogue(number) for number in range(40)]
    said = {row.seeds[0].id: row.speakers[0].facts[0].text for row in rows}
    for row, other in zip(rows, [*rows[1:], rows[0]], strict=True):
        donor = other.seeds[0].id
        row.speakers[0].facts.append(Fact(said[donor], "augment", donor))
    source = ChatSource(corpus="c", facts=("seed", "augment"), held=0.3)
    held_out = {text for seed, text in said.items() if fraction("held", seed) < 0.3}
    trained = {text for row in rows if not is_held(row, 0.3) for text in prompt_facts(row, source)[0]}
    tested = {text for row in rows if is_held(row, 0.3) for text in prompt_facts(row, source)[0]}
    assert trained
    assert not trained & held_out
    assert tested > held_out


def test_a_corpus_without_decisions_is_trained_on_as_a_whole(tmp_path: Path) -> None:
    rows = [dialogue(number) for number in range(4)]
    for row in rows:
        row.decision = None
    write_corpus(tmp_path, rows)
    assert len(list(rows_of(ChatSource(corpus=str(tmp_path), held=0), held=False))) == 4
    assert not list(rows_of(ChatSource(corpus=str(tmp_path), held=0, decisions=("flag",)), held=False))


def _prompts(chat: Chat) -> Iterator[Chat]:
    """What each of the chat's answers answers."""
    return (chat[:number] for number, message in enumerate(chat) if message["role"] == "assistant")


def test_a_corpus_without_such_rows_is_named(tmp_path: Path, tokens: Tokens) -> None:
    write_corpus(tmp_path, [dialogue(1)])
    with pytest.raises(TrainingError, match="holds no dialogue to train on"):
        list(epoch(ChatSource(corpus=str(tmp_path), decisions=("flag",)), tokens, random.Random(1)))


def test_padding_is_not_learned() -> None:
    batch = pad([{"input_ids": [1, 2, 3], "labels": [IGNORED, 2, 3]}, {"input_ids": [4], "labels": [4]}], 9)
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 9, 9]]
    assert batch["labels"].tolist() == [[IGNORED, 2, 3], [4, IGNORED, IGNORED]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def chat_line(name: str, *said: str, **last: object) -> str:
    roles = ["system", *["user", "assistant"] * len(said)]
    messages = [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]
    return json.dumps({"id": name, "messages": [*messages[:-1], messages[-1] | last]})


def test_chats_of_files_are_split_by_their_ids(tmp_path: Path, tokens: Tokens) -> None:
    lines = [chat_line(f"d{number // 2}", "Be kind.", f"Hi {number}.", "Hello.") for number in range(60)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines[:20]))
    (tmp_path / "b.jsonl").write_text("\n".join(lines[20:]))
    source = ChatFiles(files=(f"{tmp_path}/*.jsonl",), held=0.3)
    trained, held = ([chat[1]["content"] for chat in read_chats(source, held=side)] for side in (False, True))
    assert sorted(trained + held) == sorted(f"Hi {number}." for number in range(60))
    assert 0 < len(held) < len(trained)
    numbers = {int(text[3:-1]) for text in held}
    assert all(number ^ 1 in numbers for number in numbers), "chats of one origin stay on one side"
    epochs = [[chat[1]["content"] for chat in drawn_chats(source, tokens, random.Random(n))] for n in (1, 1, 2)]
    assert epochs[0] == epochs[1] != epochs[2]
    assert sorted(epochs[2]) == sorted(trained)


def test_answers_of_weight_0_are_not_learned(tmp_path: Path, tokens: Tokens) -> None:
    messages = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "An example.", "weight": 0},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "An answer."},
    ]
    (tmp_path / "chats.jsonl").write_text(json.dumps({"messages": messages}))
    (chat,) = read_chats(ChatFiles(files=(str(tmp_path / "chats.jsonl"),), held=0), held=False)
    found = tokens(chat)
    learned = [token for token in found["labels"] if token != IGNORED]
    assert tokens.tokenizer.decode(learned) == "An answer.<|end|>"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "line 1: "),
        ('{"chat": []}', "line 1: messages: Input should be a valid tuple"),
        (chat_line("a", "Be kind."), "line 1: messages: Tuple should have at least 2 items"),
        (chat_line("a", "Be kind.", "Hi."), "line 1: the chat does not end with an answer to learn"),
        (chat_line("a", "Be kind.", "Hi.", "Hello.", weight=0), "does not end with an answer to learn"),
        (chat_line("a", "Be kind.", "Hi.", "Hello.", role="bot"), "line 1: messages.2.role: Input should be"),
    ],
)
def test_a_line_that_is_no_chat_is_named(tmp_path: Path, line: str, why: str) -> None:
    (tmp_path / "chats.jsonl").write_text(line)
    with pytest.raises(TrainingError, match=re.escape(why)):
        read_chats(ChatFiles(files=(str(tmp_path / "chats.jsonl"),)), held=False)
