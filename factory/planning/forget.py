"""A seed forgotten: its rows, its dead letters, what is kept of its file, and every file that holds any of it.

A row goes if it is of the seed, or if a fact of the seed was put into it: the next run makes such a row again, without
it. A row for which the fact was only drawn loses no more than that. Files of older versions and of no version go if
they hold the seed, and so those versions can no longer be restored. What names the seed goes last, so that the same
call goes on after a kill. At the end all files are read again, to see that none is left.
Limitations: no run may write meanwhile (one that does ends with a conflict, but may leave staged files); what is said
alike in rows that have nothing of the seed stays there; ids of its rows, which are hashes, stand in the column
`near_duplicates` of rows that repeat them until the next run. Copies outside the corpus, and those that a bucket keeps
of deleted objects, are not reached.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import polars as pl
import pyarrow as pa

from factory.planning.duplicate_seeds import FILE
from factory.planning.ledger import LEDGER, Ledger
from factory.planning.letters import Letters
from factory.planning.remembered import REMEMBERED
from factory.planning.shard import STAGING
from factory.planning.signatures import FOLDER, PASSES, Signatures
from factory.seeds.store import SEEDS
from factory.store.corpus import Corpus
from factory.store.holding import Holding, Sought, holding, tables_in
from factory.store.records import ROW_SCHEMA, ROWS, Row, place_of, rows_from_table, rows_to_table, score_columns
from factory.store.shards import Shard
from factory.store.table import CorpusError

_SHARDS = ("shards/", "_dead_letters/shards/")
_CACHES = tuple(f"{folder}/" for folder in (STAGING, SEEDS, PASSES, LEDGER.partition("/")[0]))
_SIMILAR = 5
"""Ids that are told where none is the one that was asked for."""


@dataclass(slots=True)
class Forgotten:
    """What a corpus holds of a seed, and once it is `erased`, what went.

    `places` say where the seed stands, file and line. `rows` go, `trimmed` rows lose a fact that was drawn for them and
    not used; `held` are the files that name the seed. `files` were read at the end, `texts` of the seed were sought in
    them, of which `shared` are also said by rows that have nothing of it; `left` are the files that hold the seed
    still. `similar` are ids that begin as the one that was not found.
    """

    seed: str
    places: list[str] = field(default_factory=list)
    rows: int = 0
    trimmed: int = 0
    dead_letters: int = 0
    held: list[str] = field(default_factory=list)
    erased: bool = False
    version: int | None = None
    files: int = 0
    texts: int = 0
    shared: int = 0
    left: list[str] = field(default_factory=list)
    similar: list[str] = field(default_factory=list)


def forget(
    corpus: Corpus, seed: str, *, delete: bool, report: Callable[[str, int], None] = lambda *_: None
) -> Forgotten:
    """Find what the corpus holds of the seed with this id, and erase it if so asked. Raises CorpusError, ConflictError
    or StorageError."""
    if corpus.table.history() == [] == corpus.dead.history():
        raise CorpusError(f"{corpus.root}: there is no corpus here")
    found = Forgotten(seed)
    paths = [file.path for file in corpus.storage.files("")]
    holds = list(holding(corpus.storage, _counted(paths, report), Sought(seed)))
    found.held, found.files = [one.path for one in holds if one.named], len(paths)
    said = _said(corpus, found)
    found.texts = len(said)
    letters, shards = _letters(corpus, found), _rewritten(corpus, found)
    found.version = corpus.table.version()
    ours = any(one.path.startswith((*_SHARDS, *_CACHES)) for one in holds)
    if delete and ours:
        _commit(corpus, found, letters, shards)
        _renew_caches(corpus)
        _delete(corpus, holds)
        found.erased = True
    if delete:
        _prove(corpus, found, said, report)
    else:
        found.left = found.held
    if not ours:
        found.similar = _similar(corpus, seed)
    return found


def _counted(paths: Sequence[str], report: Callable[[str, int], None]) -> Iterable[str]:
    for number, path in enumerate(paths):
        report("files read", number)
        yield path


def _said(corpus: Corpus, found: Forgotten) -> list[str]:
    """What the seed says, of all files that name it; notes where it stands."""
    texts, places = set[str](), set[str]()
    for path in found.held:
        for part in tables_in(corpus.storage, path):
            if set(ROW_SCHEMA.names) <= set(part.schema.names):
                for row in rows_from_table(part):
                    texts.update(_facts_of(row, found.seed))
                    if refs := [ref for ref in row.seeds if ref.id == found.seed]:
                        places.add(place_of(refs[0].source, refs[0].line))
                        texts.update(turn.text for turn in row.turns if row.kind == "imported")
            elif "personas" in part.schema.names:
                for kept in pl.DataFrame(part).filter(pl.col("id") == found.seed).iter_rows(named=True):
                    texts.update(fact for persona in kept["personas"] for fact in persona)
                    texts.update(turn["text"] for turn in kept["turns"])
            elif "seed_ids" in part.schema.names:
                letters = pl.DataFrame(part).filter(pl.col("seed_ids").list.first() == found.seed)
                places.update(place_of(*place) for place in letters.select("source", "line").iter_rows())
    found.places = sorted(places)
    return sorted(texts - {""})


def _facts_of(row: Row, seed: str) -> set[str]:
    """Texts of the seed's facts, wherever they stand in a row."""
    facts = [fact for side in row.donors for fact in side] + [fact for one in row.speakers for fact in one.facts]
    return {fact.text for fact in facts if fact.source_id == seed}


def _letters(corpus: Corpus, found: Forgotten) -> list[str]:
    """Ids of the dead letters of the seed, and of rows of its file that could not be read because they have its id."""
    ids: list[str] = []
    for shard in corpus.dead.shards():
        letters = pl.DataFrame(corpus.dead.read(shard, ["id", "seed_ids", "detail"]))
        of_it = pl.col("seed_ids").list.contains(found.seed)
        ids += letters.filter(of_it | pl.col("detail").str.contains(repr(found.seed), literal=True))["id"].to_list()
    found.dead_letters = len(ids)
    return ids


def _rewritten(corpus: Corpus, found: Forgotten) -> list[tuple[Shard, pa.Table]]:
    """The shards of the newest version that hold the seed, and what of each is to stay."""
    rewritten = []
    for shard in corpus.table.shards():
        if shard.path in found.held:
            table = corpus.table.read(shard)
            rows = rows_from_table(table)
            kept = [row for row in rows if not _is_of(row, found.seed)]
            found.rows += len(rows) - len(kept)
            for row in kept:
                donors = [[fact for fact in side if fact.source_id != found.seed] for side in row.donors]
                found.trimmed += donors != row.donors
                row.donors = donors
            rewritten.append((shard, rows_to_table(kept, score_columns(table.schema))))
    return rewritten


def _is_of(row: Row, seed: str) -> bool:
    """Whether the row is of the seed, or a fact of it was put into the row, and so perhaps into more of it."""
    if any(ref.id == seed for ref in row.seeds):
        return True
    drawn = _facts_of(row, seed)
    if not drawn:
        return False
    said = ROWS.dump_json([replace(row, donors=[])]).decode()
    return any(written in said for written in (_written(seed), *(_written(text)[1:-1] for text in drawn)))


def _written(text: str) -> str:
    """A text as it stands in JSON, between quotes."""
    return json.dumps(text, ensure_ascii=False)


def _commit(corpus: Corpus, found: Forgotten, letters: list[str], shards: list[tuple[Shard, pa.Table]]) -> None:
    """Commit the corpus without the seed; in any case a version, at which a run that has begun before will stop."""
    dead = Letters(corpus)
    dead.settle(letters, ())
    dead.commit()
    if corpus.table.version() is not None:
        add = [corpus.table.write(kept) for _, kept in shards if kept.num_rows]
        message = f"{found.rows} rows erased with their seed"
        corpus.table.commit(add, [shard for shard, _ in shards], message, letters=dead.version)
        found.version = corpus.table.version()


def _renew_caches(corpus: Corpus) -> None:
    """Have the caches lose the keys of rows that are gone."""
    storage = corpus.storage
    if storage.files(LEDGER):
        ledger = Ledger(corpus)
        ledger.sync()
        ledger.compact()
    if storage.files(FOLDER):
        signatures = Signatures(corpus)
        signatures.sync()
        signatures.compact()
    storage.delete(REMEMBERED)
    storage.delete(FILE)


def _delete(corpus: Corpus, holds: Sequence[Holding]) -> None:
    """Delete the files that name the seed, or are damaged, but for those that are not the factory's or in use."""
    live = {shard.path for shard in corpus.table.shards()}
    live |= {f"_dead_letters/{shard.path}" for shard in corpus.dead.shards()}
    going = {one.path for one in holds if one.path.startswith((*_SHARDS, *_CACHES))} - live
    if any(path.startswith(SEEDS) for path in going):  # all of a file's seeds are told together
        going |= {path for path in corpus.storage.list(SEEDS) if path.endswith(".sorted.arrow")}
        names = {path.partition(".")[0] for path in going if path.startswith(SEEDS)}
        going |= {path for path in corpus.storage.list(SEEDS) if path.partition(".")[0] in names}
    shards = {path for path in going if path.startswith(_SHARDS)}
    corpus.storage.each(corpus.storage.delete, sorted(going - shards))
    corpus.storage.each(corpus.storage.delete, sorted(shards))


def _prove(corpus: Corpus, found: Forgotten, said: Sequence[str], report: Callable[[str, int], None]) -> None:
    """Read all files again, for the id and the texts."""
    paths = [file.path for file in corpus.storage.files("")]
    holds = list(holding(corpus.storage, _counted(paths, report), Sought(found.seed, tuple(said))))
    ours = [one for one in holds if one.path.startswith((*_SHARDS, *_CACHES)) and not one.named]
    places = {one.path for one in ours}
    shared = {text for one in ours for text in one.texts}  # rows of the seed would name it
    found.left = [
        one.path for one in holds if one.named or one.damaged or (one.path not in places and not one.texts <= shared)
    ]
    found.files, found.shared = len(paths), len(shared)


def _similar(corpus: Corpus, seed: str) -> list[str]:
    """Ids of seeds that begin so."""
    ids = corpus.table.frame(corpus.table.shards()).select(
        pl.col("seeds").list.eval(pl.element().struct.field("id")).explode()
    )
    return (
        ids.unique()
        .filter(pl.col("seeds").str.starts_with(seed))
        .sort("seeds")
        .head(_SIMILAR)
        .collect()["seeds"]
        .to_list()
    )
