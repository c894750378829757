import pytest
import torch

from asr_attn.models.decoders import LstmDecoder, LstmDecoderConfig
from asr_attn.nn.attention import SoftAttentionConfig
from asr_attn.text.tokenizer import BLANK, EOS

LENGTHS = torch.tensor([7, 4])


def make(shortcut: bool = True) -> LstmDecoder:
    torch.manual_seed(0)
    attention = SoftAttentionConfig(size=6, channels=3, kernel_size=5)
    config = LstmDecoderConfig(hidden_size=8, embedding_size=5, dropout=0.0, shortcut=shortcut)
    return LstmDecoder(6, 4, attention, config)


def test_begins_with_what_ctc_reads_in_the_context() -> None:
    decoder, ctc = make(), torch.nn.Linear(4, 6)
    decoder.begin_with(ctc)
    torch.nn.init.zeros_(decoder.output.weight)
    torch.nn.init.zeros_(decoder.output.bias)
    memory, inputs = torch.randn(2, 7, 4), torch.tensor([[EOS, 3, 4], [EOS, 5, 5]])
    output = decoder(memory, LENGTHS, inputs)
    context = torch.einsum("bus,bsd->bud", output.weights[:, :, 0], memory)
    torch.testing.assert_close(output.logits[..., 2:], ctc(context)[..., 2:])
    assert not output.logits[..., EOS].any()
    assert (output.logits.softmax(-1)[..., BLANK] < 1e-9).all()


def test_steps_read_it_too() -> None:
    decoder, ctc = make(), torch.nn.Linear(4, 6)
    decoder.begin_with(ctc)
    memory, inputs = torch.randn(2, 7, 4), torch.tensor([[EOS, 3, 4], [EOS, 5, 5]])
    full = decoder(memory, LENGTHS, inputs).logits.log_softmax(-1)
    state = decoder.init_state(memory, LENGTHS)
    for u in range(3):
        log_probs, _, state = decoder.step(inputs[:, u], state)
        torch.testing.assert_close(log_probs, full[:, u])


def test_adds_nothing_before_it_began() -> None:
    plain, decoder = make(shortcut=False), make()
    decoder.load_state_dict(plain.state_dict(), strict=False)
    memory, inputs = torch.randn(2, 7, 4), torch.tensor([[EOS, 3, 4], [EOS, 5, 5]])
    logits = [d(memory, LENGTHS, inputs).logits for d in (plain, decoder)]
    assert torch.equal(*logits)
    plain.begin_with(torch.nn.Linear(4, 6))  # has nothing to begin
    assert plain.shortcut is None


def test_what_has_learnt_since_is_kept() -> None:
    decoder, ctc = make(), torch.nn.Linear(4, 6)
    decoder.begin_with(ctc)
    assert decoder.shortcut is not None
    before = decoder.shortcut.weight.clone()
    decoder.begin_with(torch.nn.Linear(4, 6))
    assert torch.equal(decoder.shortcut.weight, before)


@pytest.mark.parametrize("shortcut", [True, False])
def test_the_context_is_drawn_to_what_ctc_hears_as_the_token(shortcut: bool) -> None:
    """The first gradient points there, and without the shortcut nowhere."""
    decoder, ctc = make(shortcut), torch.nn.Linear(4, 6)
    torch.nn.init.zeros_(decoder.output.weight)
    decoder.begin_with(ctc)
    with torch.no_grad():
        ctc.weight[3] *= 10.0
    if decoder.shortcut is not None:
        decoder.shortcut.weight.data[3] = ctc.weight[3]
    memory = torch.randn(1, 9, 4, requires_grad=True)
    logits = decoder(memory, torch.tensor([9]), torch.tensor([[EOS]])).logits[0, 0]
    (gradient,) = torch.autograd.grad(
        torch.nn.functional.cross_entropy(logits[None], torch.tensor([3])), memory
    )
    # moving a memory step along what CTC listens for lowers the loss
    along = (gradient[0] @ ctc.weight[3]).mean()
    assert bool(along < -1e-3) == shortcut
