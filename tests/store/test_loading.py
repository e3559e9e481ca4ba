"""A corpus as polars, datasets, Ray Data and PyTorch load it: each row once, whatever the ranks; resumed exactly."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.base.fingerprint import blake
from factory.store import loading
from factory.store.corpus import Corpus
from factory.store.loading import CorpusDataset
from factory.store.records import ROWS, Row, SeedRef, Speaker, Turn, rows_to_table
from factory.store.table import CorpusError

DECISIONS = ("accept", "flag", "reject")


def a_row(number: int) -> Row:
    return Row(
        row_id=blake("row", str(number)),
        kind="generated",
        sample=0,
        seeds=[SeedRef("s", ["f", "t", "a"], "a.jsonl", number)],
        speakers=[Speaker("s", "s"), Speaker("t", "t")],
        turns=[Turn(0, f"Hello {number}."), Turn(1, "Hi.")],
        decision=DECISIONS[number % 3],
    )


def grown(root: str, sizes: list[int]) -> Corpus:
    """A corpus that has these shards more."""
    corpus = Corpus(root)
    corpus.table.shards()
    before = sum(shard.rows for shard in corpus.table.shards())
    shards = []
    for size in sizes:
        shards.append(corpus.table.write(rows_to_table([a_row(before + number) for number in range(size)], {})))
        before += size
    corpus.table.commit(shards, [], "more")
    return corpus


def numbers(rows: Any) -> list[int]:
    return [row["seeds"][0]["line"] for row in rows]


@pytest.fixture(params=["local", "s3"])
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> Corpus:
    if request.param == "local":
        return grown(str(tmp_path / "corpus"), [3, 4])
    return grown(f"{request.getfixturevalue('bucket')}/{tmp_path.name}", [3, 4])


def stored(corpus: Corpus, version: int | None = None) -> list[dict[str, Any]]:
    rows = ROWS.dump_python(list(corpus.rows(version=version)))
    return by_id([row | row.pop("scores") for row in rows])


def by_id(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: row["row_id"])


def test_polars_loads_the_rows(corpus: Corpus) -> None:
    frame = corpus.to_polars()
    grown(corpus.root, [2])
    assert by_id(frame.collect().to_dicts()) == stored(corpus, 0)
    chosen = corpus.to_polars(columns=["row_id", "seeds"], decisions=["accept"], version=0).collect()
    assert chosen.columns == ["row_id", "seeds"]
    assert sorted(numbers(chosen.to_dicts())) == [0, 3, 6]


def test_datasets_loads_the_rows(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    assert by_id(list(corpus.to_datasets())) == stored(corpus)
    grown(corpus.root, [2])
    assert len(corpus.to_datasets()) == 9
    chosen = corpus.to_datasets(columns=["seeds"], decisions=["accept"], version=0)
    assert chosen.column_names == ["seeds"]
    assert sorted(numbers(chosen)) == [0, 3, 6]


@pytest.fixture(scope="module")
def some_ray() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    yield
    ray.shutdown()


@pytest.mark.usefixtures("some_ray")
def test_ray_data_loads_the_rows(corpus: Corpus) -> None:
    ray.data.DataContext.get_current().enable_progress_bars = False
    whole = corpus.to_ray()
    grown(corpus.root, [2])
    assert by_id(whole.take_all()) == stored(corpus, 0)
    chosen = corpus.to_ray(columns=["seeds"], decisions=["accept"], version=0).take_all()
    assert [list(row) for row in chosen] == [["seeds"]] * 3
    assert sorted(numbers(chosen)) == [0, 3, 6]


def test_torch_loads_the_rows(corpus: Corpus) -> None:
    assert by_id(list(corpus.to_torch())) == stored(corpus)
    chosen = list(corpus.to_torch(columns=["seeds"], decisions=["accept", "flag"]))
    assert [list(row) for row in chosen] == [["seeds"]] * 5
    assert sorted(numbers(chosen)) == [0, 1, 3, 4, 6]


SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=5)


@settings(max_examples=30, deadline=None)
@given(
    sizes=SIZES,
    world=st.integers(1, 4),
    seed=st.integers(0, 3),
    epoch=st.integers(0, 3),
    pool=st.integers(1, 8),
    decisions=st.sampled_from([None, ["accept"], ["accept", "reject"]]),
    cut=st.floats(0, 1),
)
def test_each_row_is_in_one_rank_once_and_each_rank_goes_on_where_it_stood(
    sizes: list[int], world: int, seed: int, epoch: int, pool: int, decisions: Any, cut: float
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "_POOL", pool)
        corpus = grown(folder, sizes)
        options = {"world_size": world, "seed": seed, "epoch": epoch, "columns": ["seeds"], "decisions": decisions}
        ranks = [corpus.to_torch(rank=rank, **options) for rank in range(world)]
        given = [numbers(rank) for rank in ranks]
        wanted = [n for n in range(sum(sizes)) if decisions is None or DECISIONS[n % 3] in decisions]
        assert sorted(number for rank in given for number in rank) == wanted
        assert [len(rank) for rank in ranks] == [len(rank) for rank in given]
        assert max(map(len, given)) - min(map(len, given)) <= 1

        grown(folder, [2])
        for rank, all_rows in zip(ranks, given, strict=True):
            some = round(cut * len(all_rows))
            assert numbers(islice(rank, some)) == all_rows[:some]
            state = pickle.loads(pickle.dumps(rank.state_dict()))
            later = Corpus(folder).to_torch(**options | {"rank": state["rank"], "seed": 9, "epoch": 9})
            later.load_state_dict(state)
            assert later.state_dict() == state
            assert numbers(later) == all_rows[some:]
            assert numbers(later) == all_rows


def test_seeds_and_epochs_have_orders_of_their_own_over_all_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_POOL", 60)
    corpus = grown(str(tmp_path), [20] * 10)
    first = corpus.to_torch(seed=1)
    orders = [numbers(first), numbers(corpus.to_torch(seed=2)), numbers(corpus.to_torch(seed=1, epoch=1))]
    first.set_epoch(1)
    again = corpus.to_torch(seed=1)
    again.load_state_dict(first.state_dict())
    assert numbers(first) == numbers(again) == orders[2]
    assert len({tuple(order) for order in [*orders, sorted(orders[0])]}) == 4
    first_pools = [{number // 20 for number in order[:60]} for order in orders]
    assert [len(pool) for pool in first_pools] == [3, 3, 3]
    assert len(set(map(frozenset, first_pools))) == 3
    assert all(len({number // 20 for number in order[:20]}) == 3 for order in orders)


def test_the_workers_of_a_loader_share_the_rows_of_their_rank(tmp_path: Path) -> None:
    corpus = grown(str(tmp_path), [5, 7, 9])

    def loaded(rank: int) -> list[int]:
        dataset = corpus.to_torch(rank=rank, world_size=2, columns=["seeds"])
        loader = torch.utils.data.DataLoader(
            dataset, batch_size=4, num_workers=2, collate_fn=list, multiprocessing_context="spawn"
        )
        return [number for batch in loader for number in numbers(batch)]

    assert sorted(loaded(0) + loaded(1)) == list(range(21))


def test_what_cannot_be_loaded_is_said(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no corpus here yet"):
        Corpus(str(tmp_path / "nothing")).to_torch()
    corpus = grown(str(tmp_path / "corpus"), [2])
    with pytest.raises(CorpusError, match="no column trun; there are row_id, "):
        corpus.to_polars(columns=["trun"])
    with pytest.raises(CorpusError, match="no version 7"):
        corpus.to_ray(version=7)
    with pytest.raises(ValueError, match="rank 2 is not one of 2"):
        corpus.to_torch(rank=2, world_size=2)
    with pytest.raises(ValueError, match="of world_size 1, not 2"):
        corpus.to_torch(world_size=2).load_state_dict(corpus.to_torch().state_dict())
    dataset: CorpusDataset = corpus.to_torch()
    for file in (tmp_path / "corpus" / "shards").iterdir():
        file.unlink()
    with pytest.raises(CorpusError, match=r"gone \(factory gc or forget, or another"):
        list(dataset)
