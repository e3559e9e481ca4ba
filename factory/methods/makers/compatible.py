"""Which new facts fit beside those a speaker already holds.

The rule by which Synthetic-Persona-Chat (arXiv 2312.10007) assembles a profile: no near duplicate by embedding
cosine, no contradiction in either direction. Their two directions come from a negation that a language model writes;
ours from a three-way NLI model asked both ways, which needs no call but trusts that model.
"""

from __future__ import annotations

from collections.abc import Sequence

from factory.methods import Kit


async def compatible(
    new: Sequence[str], held: Sequence[str], kit: Kit, max_similarity: float, contradiction: float
) -> list[int]:
    """Indices of the new facts to accept, in order. Each fits all that are held and all accepted before it: cosine at
    most `max_similarity`, P(contradiction) either way round at most `contradiction`."""
    if not new:
        return []
    texts = [*held, *new]
    vectors = await kit.embedder.encode(texts)
    cosines = vectors @ vectors.T
    pairs = [(i, j) for j in range(len(held), len(texts)) for i in range(j) if cosines[i, j] <= max_similarity]
    both_ways = [(texts[i], texts[j]) for i, j in pairs] + [(texts[j], texts[i]) for i, j in pairs]
    scores = await kit.nli.score(both_ways)
    fits = {
        pair
        for pair, forward, backward in zip(pairs, scores, scores[len(pairs) :], strict=False)
        if max(forward.contradiction, backward.contradiction) <= contradiction
    }
    kept = list(range(len(held)))
    for j in range(len(held), len(texts)):
        if all((i, j) in fits for i in kept):
            kept.append(j)
    return [j - len(held) for j in kept[len(held) :]]
