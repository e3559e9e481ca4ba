"""`eval-lm`: measures against cases computed by hand, likelihoods against the plain way, and the command."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from factory.cli import app
from factory.engines import Message
from factory.scorers.nli import Probabilities
from factory.store.records import Candidate, Fact, Row
from factory.training import TrainingError, eval_lm
from factory.training.chats import IGNORED, ChatSource, Tokens, pad
from factory.training.eval_lm import evaluate
from factory.training.held_out import HeldOut, held_out
from factory.training.likelihoods import Likelihoods, generated
from factory.training.reply_measures import held, token_f1
from tests.tiny import tiny_model
from tests.training.corpora import dialogue, write_corpus

PROMPT: tuple[Message, ...] = (
    {"role": "system", "content": "You talk."},
    {"role": "user", "content": "apple baker."},
    {"role": "assistant", "content": "cello dance."},
    {"role": "user", "content": "eagle?"},
)


def opened() -> tuple[Any, Tokens]:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model())
    model = AutoModelForCausalLM.from_pretrained(tiny_model(), dtype=torch.float32).eval()
    return model, Tokens(tokenizer, 2048)


@pytest.mark.parametrize(
    ("reply", "true", "f1"),
    [
        ("I like the dogs.", "i like dogs !", 1.0),  # 'the' and punctuation count for nothing
        ("I like cats", "I like dogs", 2 / 3),
        ("dog dog dog", "dog cat", 2 * 1 / 5),  # a word counts as often as both have it
        ("dog dog cat", "dog dog", 2 * 2 / 5),
        ("yes", "no", 0.0),
        ("", "no", 0.0),
    ],
)
def test_f1_is_that_of_convai2(reply: str, true: str, f1: float) -> None:
    assert token_f1(reply, true) == pytest.approx(f1)
    assert token_f1(true, reply) == pytest.approx(f1)


def test_the_c_score_adds_up_the_labels_of_all_facts() -> None:
    entails, neutral, against = (Probabilities(*one) for one in ((0.8, 0.1, 0.1), (0.3, 0.4, 0.3), (0.1, 0.1, 0.8)))
    assert held([entails, entails, neutral, against]) == (1, True, True)
    assert held([neutral, against, against]) == (-2, False, True)
    assert held([neutral]) == (0, False, False)


def test_likelihoods_are_those_of_each_reply_by_itself() -> None:
    model, tokens = opened()
    likely = Likelihoods(model, tokens)
    longer = (*PROMPT, Message(role="assistant", content="garden."), Message(role="user", content="fiddle?"))
    for prompt in (PROMPT, longer, PROMPT[:2], longer):
        replies = ["harbour island jungle.", "harbour.", "zebra zebra zebra zebra."]
        for reply, (found, count) in zip(replies, likely(prompt, replies), strict=True):
            batch = pad([tokens.reply(prompt, reply)], 0)
            labels = batch.pop("labels")[0, 1:]
            with torch.no_grad():
                logits = model(**batch).logits[0, :-1].log_softmax(-1)
            whole = sum(float(logits[at, label]) for at, label in enumerate(labels) if label != IGNORED)
            assert found == pytest.approx(whole, rel=1e-4)
            assert count == int((labels != IGNORED).sum())


def test_what_is_generated_does_not_depend_on_what_else_is() -> None:
    model, tokens = opened()
    prompts = [tokens.prompt(PROMPT), tokens.prompt(PROMPT[:2])]
    done: list[int] = []
    both = generated(model, tokens, prompts, 20, done.append)
    alone = [generated(model, tokens, [one], 20, lambda _: None)[0] for one in prompts]
    assert both == alone
    assert done == [2]
    assert all(text and "<|" not in text for text in both)


class Planted:
    """A model of which each token has its own likelihood, whatever came before: as the weights say."""

    def __init__(self, words: dict[str, float]) -> None:
        self.model, self.tokens = opened()
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    weight.zero_()  # so that nothing is added to the vector of a token
            self.model.model.embed_tokens.weight.fill_(1.0)
            self.model.lm_head.weight.zero_()
            for word, logit in words.items():
                ids = self.tokens.tokenizer(f"{word} {word}", add_special_tokens=False)["input_ids"]
                self.model.lm_head.weight[ids] = logit / self.model.lm_head.weight.shape[1]

    @property
    def tokenizer(self) -> Any:
        return self.tokens.tokenizer


class Agreeable:
    """NLI by hand: a reply entails a fact that it holds, and contradicts one of which it says "not"."""

    def __init__(self, _: object) -> None: ...

    async def score(self, pairs: list[tuple[str, str]]) -> list[Probabilities]:
        return [
            Probabilities(0.9, 0.1, 0.0) if fact in reply else Probabilities(0.0, 1.0, 0.0) for fact, reply in pairs
        ]

    def close(self) -> None: ...


def held_of(*rows: Row, origins: tuple[str, ...] = ("seed",)) -> HeldOut:
    template = "{% block system %}{{ facts | join(' ') }}{% endblock %}{% block user %}Start.{% endblock %}"
    return HeldOut(rows, [template] * len(rows), [False] * len(rows), origins, None, Counter())


def row_of(number: int, said: list[str], others: list[str] | None = None) -> Row:
    row = dialogue(number)
    row.kind = "imported"
    for turn, text in zip(row.turns, said, strict=True):
        turn.text = text
        turn.candidates = [Candidate(text, True), *(Candidate(one, False) for one in others or ())]
    return row


def test_hits_are_by_the_mean_likelihood_of_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eval_lm, "Nli", Agreeable)
    planted = Planted({"zebra": 6.0, "apple": 2.0})
    others = [f" apple{' apple' * number}" for number in range(19)]
    # Of the four turns two are of the likeliest word: one of them long, of which the sum is lower than of any other.
    rows = [row_of(n, [" zebra", " zebra" * 30, " apple", " velvet"], others) for n in (0, 1)]
    asked, figures, _ = evaluate(planted.model, planted.tokenizer, held_of(*rows), eval_lm.NliModel(name="nli-small"))
    assert len(asked) == 8
    assert all(one.given for one in asked)
    assert [figures["hits_at_1"][persona].value for persona in eval_lm.PERSONAS] == [0.5] * 3
    tokens = Tokens(planted.tokenizer, 2048)
    lengths = [tokens.reply(one.prompts["none"], one.reply)["labels"] for one in asked]
    flat = [label for labels in lengths for label in labels if label != IGNORED]
    logits = planted.model.lm_head.weight.detach().sum(dim=1)
    lost = sum(float(logits.logsumexp(0) - logits[label]) for label in flat) / len(flat)
    assert figures["perplexity"]["own"].value == pytest.approx(math.exp(lost), rel=1e-3)


def test_a_stranger_shares_nobody_and_other_replies_are_of_others() -> None:
    rows = [dialogue(number // 2) for number in range(40)]
    for row in rows:
        row.turns[0].text, row.turns[1].text = f"I am of {row.seeds[0].id}", f"We are of {row.seeds[0].id}"
    data = held_of(*rows)
    asked = data.asked()
    assert len(asked) == 160
    for one in asked:
        row = rows[one.dialogue]
        own = {fact.text for speaker in row.speakers for fact in speaker.facts}
        shown = {persona: " ".join(part["content"] for part in one.prompts[persona][:1]) for persona in one.prompts}
        assert any(fact in shown["own"] for fact in own)
        assert not any(fact in shown["stranger"] for fact in own)
        assert "hens" in shown["stranger"] or "house" in shown["stranger"]
        assert not any(word in shown["none"] for word in ("hens", "house"))
        assert len(set(one.others)) == 19
        assert not [text for text in one.others if text.endswith(f"of {row.seeds[0].id}")]
        assert not one.given
    again = held_of(*rows[:30]).asked()
    assert sum(set(one.others) == set(two.others) for one, two in zip(asked, again, strict=False)) < 160


def test_no_fact_that_a_reply_gives_stands_in_its_prompt() -> None:
    rows = [dialogue(number) for number in range(3)]
    for row in rows:
        row.speakers[0].facts = [Fact("I ski.", "extract", "a", 2), Fact("I sew.", "augment", "b")]
        row.speakers[1].facts = [Fact("I cook.", "extract", "a", 1)]
    data = held_of(*rows, origins=("extract", "augment"))
    shown = {
        (one.dialogue, one.reply): (one.prompts["own"][0]["content"].split("  ")[0], one.facts) for one in data.asked()
    }
    assert shown[0, "Hi!"] == ("I sew. ".strip(), ())
    assert shown[0, "I have 0 hens."] == ("I sew.", ())
    assert shown[0, "Nice."] == ("I cook.", ("I cook.",))
    assert (0, "Hello.") not in shown
    assert data.left_out == {"turns of speakers without facts": 3}


def test_a_planted_persona_is_told_from_a_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that says the first fact of its prompt: its own are entailed by the truth, a stranger's are not."""
    monkeypatch.setattr(eval_lm, "Nli", Agreeable)
    rows = [row_of(number, ["Hi.", "Hello.", f"I have {number} hens.", "Nice."]) for number in range(12)]

    def parrot(_: object, tokens: Tokens, prompts: list[list[int]], *__: object) -> list[str]:
        texts = [tokens.tokenizer.decode(one) for one in prompts]
        return [text.partition("<|system|>")[2].partition(".")[0].strip() + "." for text in texts]

    monkeypatch.setattr(eval_lm, "generated", parrot)
    model, tokens = opened()
    _, figures, _ = evaluate(model, tokens.tokenizer, held_of(*rows), eval_lm.NliModel(name="nli-small"))
    found = {persona: figures["c_score"][persona] for persona in eval_lm.PERSONAS}
    assert (found["own"].value, found["stranger"].value, found["none"].value) == (1.0, 0.0, 0.0)
    assert (found["stranger"].differs, found["own"].differs) == (True, None)
    assert figures["entailed_share"]["own"].value == 1.0
    assert figures["contradicted_share"]["own"].value == 0.0
    assert figures["hits_at_1"]["own"].value is None  # there are too few replies to rank among
    assert figures["f1"]["own"].value > figures["f1"]["stranger"].value


def test_the_command_on_a_file_and_on_what_training_holds_out(tmp_path: Path) -> None:
    lines = [
        line
        for number in range(6)
        for line in (
            f"1 your persona: i have {number} cats.", f"2 hi {number}\thello {number} there",
            f"3 what do you do ?\ti feed {number} cats", "4 nice\tyes it is",
        )
    ]  # fmt: skip
    (tmp_path / "d.txt").write_text("\n".join(lines) + "\n")
    ended = CliRunner().invoke(app, ["eval-lm", tiny_model(), str(tmp_path / "d.txt"), "--limit", "5", "--json"])
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    assert (found["dialogues"], found["turns"], found["given"], found["version"]) == (5, 15, 0, None)
    assert found["left_out"] == {"turns of speakers without facts": 15}
    assert set(found["figures"]) == {*eval_lm.RATIOS, "distinct_1", "distinct_2"}
    one = found["figures"]["perplexity"]["own"]
    assert 1 < one["least"] <= one["value"] <= one["most"]
    write_corpus(tmp_path / "corpus", [dialogue(number) for number in range(30)])
    shown = CliRunner().invoke(app, ["eval-lm", tiny_model(), str(tmp_path / "corpus"), "--held", "0.3"])
    assert shown.exit_code == 0, shown.output
    assert "C score" in shown.stdout
    assert "(version " in shown.stdout


def test_what_cannot_be_evaluated_is_told(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"turns": ["Hi.", "Hello."]}\n{"turns": 3}\n')
    data = held_out(str(tmp_path / "d.jsonl"), ChatSource(corpus="-"), 10)
    assert data.left_out == {"rows that cannot be read": 1}
    model, tokens = opened()
    with pytest.raises(TrainingError, match="no turn to evaluate; left out: .* 2 turns of speakers without facts"):
        evaluate(model, tokens.tokenizer, data, eval_lm.NliModel(name="nli-small"))
    (tmp_path / "p.jsonl").write_text('{"persona": "I ski."}\n')
    with pytest.raises(TrainingError, match="holds no dialogue"):
        held_out(str(tmp_path / "p.jsonl"), ChatSource(corpus="-"), 10)
    with pytest.raises(TrainingError, match="there is no corpus here"):
        held_out(str(tmp_path), ChatSource(corpus=str(tmp_path)), 10)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(TrainingError, match="is an adapter: name the model that it belongs to, and --adapter"):
        eval_lm.opened(str(tmp_path / "adapter"), None, None)
