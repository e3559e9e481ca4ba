"""Which hardware multiplies bfloat16, by what torch says of it."""

from __future__ import annotations

import pytest
import torch

from factory.base.hardware import has_bfloat16
from factory.engines.vllm_process import _weights


@pytest.mark.parametrize(
    ("said", "native"), [({"avx512_bf16": True}, True), ({"bf16": True}, True), ({"avx2": True}, False)]
)
def test_a_processor_without_bfloat16_gets_float32_unless_a_job_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, bool], native: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False} | said)
    assert has_bfloat16() is native
    assert _weights("auto") == ("auto" if native else "float32")
    assert _weights("bfloat16") == "bfloat16"
