"""What each attention mechanism costs in time and memory, by the length of memory and output.

For each mechanism: milliseconds per token in training (forward and backward, a batch of 8) and in
decoding (one utterance), and what one token keeps in memory until the backward pass, counted
exactly from the tensors that autograd saves. The cost per memory step is the slope between the
shortest and the longest memory. Every round measures all mechanisms, and the median of the rounds
is shown, so that a busy moment of the machine falls on all alike.

Examples:
  python benchmarks/attention_cost.py
  python benchmarks/attention_cost.py location gmm --steps 100 1600 --tokens 50
"""

import argparse
import statistics
import sys
import time

import torch
from torch import Tensor, nn

from asr_attn.nn.attention import ATTENTIONS, make_attention

BATCH, QUERY, MEMORY = 8, 192, 128


def attend(attention: nn.Module, memory: Tensor, queries: Tensor) -> Tensor:
    """Sum of the contexts of all ``queries`` (B, U, Q), read one after the other."""
    lengths = torch.full((memory.size(0),), memory.size(1))
    keys = attention.prepare(memory, lengths)  # type: ignore[operator]
    state = attention.initial_state(keys)  # type: ignore[operator]
    total = memory.new_zeros(())
    for u in range(queries.size(1)):
        context, _, state = attention(queries[:, u], keys, state)
        total = total + context.sum()
    return total


def tensors(batch: int, steps: int, tokens: int) -> tuple[Tensor, Tensor]:
    """Random memory (B, S, D) and queries (B, U, Q) that want gradients."""
    memory = torch.randn(batch, steps, MEMORY, requires_grad=True)
    return memory, torch.randn(batch, tokens, QUERY, requires_grad=True)


def training_ms(attention: nn.Module, steps: int, tokens: int) -> float:
    """Milliseconds per token of forward and backward for a batch of ``BATCH``."""
    memory, queries = tensors(BATCH, steps, tokens)
    attention.train()
    start = time.perf_counter()
    attend(attention, memory, queries).backward()  # type: ignore[no-untyped-call]
    return 1e3 * (time.perf_counter() - start) / tokens


@torch.inference_mode()
def decoding_ms(attention: nn.Module, steps: int, tokens: int) -> float:
    """Milliseconds per token of one utterance."""
    memory, queries = tensors(1, steps, tokens)
    attention.eval()
    start = time.perf_counter()
    attend(attention, memory, queries)
    return 1e3 * (time.perf_counter() - start) / tokens


def kept_bytes(attention: nn.Module, steps: int, tokens: int) -> int:
    """Bytes that the backward pass of one utterance needs, each storage counted once."""
    memory, queries = tensors(1, steps, tokens)
    attention.train()
    storages: dict[int, int] = {}
    alive: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        alive.append(tensor)  # or its address could be given to another
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        total = attend(attention, memory, queries)
    del total
    return sum(storages.values())


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="mechanisms (default: all)")
    parser.add_argument("--steps", nargs=2, type=int, default=[100, 800], metavar="S")
    parser.add_argument("--tokens", type=int, default=40, metavar="U")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    names = options.names or list(ATTENTIONS)
    if unknown := [name for name in names if name not in ATTENTIONS]:
        print(f"{', '.join(unknown)}: not known; known: {', '.join(ATTENTIONS)}", file=sys.stderr)
        return 2
    short, long = options.steps
    if not 0 < short < long or min(options.tokens, options.rounds, options.threads) < 1:
        print("--steps needs two lengths, the shorter first; the rest at least 1", file=sys.stderr)
        return 2
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    modules = {name: make_attention(QUERY, MEMORY, ATTENTIONS[name][1]) for name in names}
    times: dict[tuple[str, str, int], list[float]] = {}
    for turn in range(options.rounds + 1):
        for name, module in modules.items():
            assert isinstance(module, nn.Module)
            for kind, measure in (("training", training_ms), ("decoding", decoding_ms)):
                for steps in (short, long):
                    value = measure(module, steps, options.tokens)
                    if turn:  # the first round warms up
                        times.setdefault((name, kind, steps), []).append(value)
    print(
        f"| name | training, ms a token at S = {short} | {long} | decoding, ms a token at "
        f"S = {short} | {long} | kept for the gradient, bytes a token and memory step |"
    )
    print("|---|---|---|---|---|---|")
    for name, module in modules.items():
        assert isinstance(module, nn.Module)
        cells = [
            f"{statistics.median(times[name, kind, steps]):.2f}"
            for kind in ("training", "decoding")
            for steps in (short, long)
        ]
        # what two more tokens and more memory add: neither the keys nor what has a fixed size
        corners = [
            kept_bytes(module, steps, tokens) for steps in (short, long) for tokens in (2, 4)
        ]
        slope = (corners[3] - corners[2] - corners[1] + corners[0]) / (2 * (long - short))
        print(f"| `{name}` | {' | '.join(cells)} | {slope:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
