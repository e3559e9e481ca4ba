"""Which number types this machine multiplies natively.

Limitations: it tells of the first GPU, or where there is none of the processor as torch sees it.
"""

from __future__ import annotations


def has_bfloat16() -> bool:
    """Whether bfloat16 is multiplied natively. A processor that only emulates it takes many times as long as with
    float32."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
