"""Arrow types of what a row is made of.

They are explicit, so that an empty list or an absent score has the type of a full one. Each struct has the fields of
the dataclass of its name in `factory.store.records`, which a test compares.
"""

from __future__ import annotations

import pyarrow as pa


def struct(**fields: pa.DataType) -> pa.StructType:
    """A struct of these fields, all nullable."""
    return pa.struct([pa.field(name, kind) for name, kind in fields.items()])


STRING, INT, LONG, FLOAT = pa.string(), pa.int32(), pa.int64(), pa.float32()
TIME = pa.timestamp("us", tz="UTC")

SEED_REF = struct(id=STRING, digests=pa.list_(STRING), source=STRING, line=LONG)
FACT = struct(
    text=STRING,
    origin=STRING,
    source_id=STRING,
    turn=INT,
    kind=STRING,
    dimension=STRING,
    parent=STRING,
    detail=STRING,
    since=INT,
    until=INT,
)
SPEAKER = struct(
    id=STRING,
    seed_id=STRING,
    name=STRING,
    role=STRING,
    attributes=pa.list_(struct(key=STRING, value=STRING)),
    groups=pa.list_(STRING),
    facts=pa.list_(FACT),
)
CANDIDATE = struct(
    text=STRING,
    chosen=pa.bool_(),
    coherence=FLOAT,
    entailment=FLOAT,
    contradiction=FLOAT,
    taken=FLOAT,
    support=FLOAT,
)
GROUNDING = struct(kind=STRING, id=STRING, score=FLOAT, used=pa.bool_())
EDIT = struct(
    kind=STRING,
    fact=STRING,
    before=STRING,
    after=STRING,
    similarity=FLOAT,
    entails_before=FLOAT,
    entails_after=FLOAT,
)
TURN = struct(
    speaker=INT,
    text=STRING,
    finish_reason=STRING,
    prompt_tokens=INT,
    completion_tokens=INT,
    cached_tokens=INT,
    attempts=INT,
    candidates=pa.list_(CANDIDATE),
    session=INT,
    time=STRING,
    action=STRING,
    state=STRING,
    plan=STRING,
    reasoning=STRING,
    reasoning_tokens=INT,
    grounding=pa.list_(GROUNDING),
    edits=pa.list_(EDIT),
)
MEMORY = struct(speaker=INT, session=INT, text=STRING, since=INT, until=INT, replaced_by=INT)
EXTRACTION = struct(
    speaker=INT,
    turn=INT,
    text=STRING,
    gate=STRING,
    subject=STRING,
    relation=STRING,
    object=STRING,
    similarity=FLOAT,
    entailment=FLOAT,
)
DETAIL = struct(
    score=STRING,
    kind=STRING,
    values=pa.list_(FLOAT),
    speaker=INT,
    turn=INT,
    other=INT,
    origin=STRING,
    fact=INT,
    candidate=INT,
    answer=STRING,
    order=INT,
    sample=INT,
)
STAGE_RECORD = struct(
    stage=STRING,
    recipe=STRING,
    fingerprint=STRING,
    models=pa.list_(STRING),
    sampling=STRING,
    calls=INT,
    prompt_tokens=LONG,
    completion_tokens=LONG,
    cached_tokens=LONG,
    started_at=TIME,
    seconds=FLOAT,
    failed=STRING,
)
