import pytest
import torch

from asr_attn.models.decoders import DECODERS
from tests.models.small import small_network


@pytest.mark.parametrize("decoder", sorted(DECODERS))
def test_scheduled_sampling_passes_on_what_is_not_finite(decoder: str) -> None:
    """The loss shows it, and which utterance it comes from; the others are not touched."""
    speller = small_network(
        "listener", "location" if decoder == "lstm" else "scaled_dot", decoder
    ).speller.train()
    memory = torch.randn(2, 6, 8)
    memory[1] = torch.nan
    inputs = torch.tensor([[1, 2, 3, 4], [1, 4, 3, 2]])
    logits = speller(memory, torch.tensor([6, 6]), inputs, 1.0).logits
    assert logits[0].isfinite().all()
    assert logits[1].isnan().any(dim=-1).all()
