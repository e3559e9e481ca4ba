"""What a corpus holds of a seed, or held, in lines for people."""

from __future__ import annotations

from rich.markup import escape

from factory.planning.forget import Forgotten
from factory.views.display import fail, out

_SHOWN = 10
"""Files that are named at most."""


def show_forgotten(found: Forgotten, delete: bool) -> None:
    """Print what is held of the seed, or what went and that nothing is left."""
    for place in found.places:
        out.print(f"seed {found.seed}: {place}", markup=False)
    if found.held:
        out.print(
            f"{found.rows:,} rows are of it or were given its facts, {found.trimmed:,} more were only offered them; "
            f"{found.dead_letters:,} dead letters; {len(found.held):,} files name it"
        )
    elif not delete:
        out.print(f"no file of {found.files:,} names the seed {found.seed}{_similar(found)}", markup=False)
    if delete:
        _show_proof(found)
    elif found.held:
        out.print(
            "to erase all that: --delete; versions that hold it can then no longer be restored (what each version "
            "holds: factory log, factory diff)"
        )


def _show_proof(found: Forgotten) -> None:
    if found.erased:
        out.print(f"erased; the newest version is {found.version}, and those that held the seed cannot be restored")
    what = f"the seed's id or any of its {found.texts:,} texts" if found.texts else "the seed's id"
    out.print(f"{len(found.left):,} of {found.files:,} files hold {what}{_similar(found)}", markup=False)
    if found.shared:
        out.print(f"{found.shared:,} of these texts are also said by rows that have nothing of it, and stay there")
    if found.places:
        where = escape(" and ".join(found.places))
        out.print(f"the next plan or run takes it up again unless the seed is taken out of {where}")
    if found.erased:
        out.print("not reached: exports, reports, loaders' caches, and copies that a bucket or a backup keeps")
    if found.left:
        fail(
            f"still held, or not to be read: {', '.join(found.left[:_SHOWN])}; these are not the factory's to delete: "
            "delete them or write them again without it, then give the same command"
        )


def _similar(found: Forgotten) -> str:
    return f"; ids that begin so: {', '.join(found.similar)}" if found.similar else ""
