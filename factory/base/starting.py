"""What the `factory` command does before anything else is imported.

Modules of the working directory are kept out: `python -m` looks there first, where anybody's `random.py` may lie. A
package that is missing is told in a line, where an import comes before there is anything to tell it with. Limitations:
the few modules that `python -m` itself needs before it comes here (`types`, `warnings`).
"""

from __future__ import annotations

import os
import sys
from types import TracebackType

from factory.base.packages import explain_missing


def prepare() -> None:
    """Prepare the process, if it is the command's: one that imports the package is left as it is."""
    program = os.path.basename(sys.argv[0]) if sys.argv else ""
    if program == "-m" and not sys.flags.safe_path:
        del sys.path[0]
    if program in {"-m", "factory"}:
        sys.excepthook = _in_a_line
        if os.path.expanduser("~") == "~":  # neither HOME nor an entry for the user: some packages need one to import
            os.environ["HOME"] = "/"  # as container runtimes set it then


def _in_a_line(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if isinstance(error, ImportError):
        print(f"error: {explain_missing(error, 'factory')}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)
