import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_attn.audio.features import LogMel
from asr_attn.checkpoint import TrainedModel
from asr_attn.data.batches import Batch
from asr_attn.errors import InputError, is_out_of_memory
from asr_attn.models.asr import AsrModel
from asr_attn.settings import RunConfig
from asr_attn.training.gradients import GradientSum, gradients_of, loss_with_gradients
from asr_attn.training.run import fit
from asr_attn.training.splitting import BatchSplitter, DoesNotFitError
from tests.training.conftest import RATE, incidents


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking through all objects of the test session takes long."""
    monkeypatch.setattr("asr_attn.training.splitting.gc.collect", lambda: 0)


OUT_OF_MEMORY: list[Exception] = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    RuntimeError("could not create a primitive"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
]


def batch_of(*seconds: float) -> Batch:
    lengths = torch.tensor([round(RATE * s) for s in seconds])
    waveforms = torch.zeros(len(seconds), int(lengths.max()))
    for i, length in enumerate(lengths):
        waveforms[i, :length] = i + 1
    names = [str(i) for i in range(len(seconds))]
    return Batch(waveforms, lengths, [f"text {name}" for name in names], names)


class Memory:
    """Holds so many seconds and no more; counts what was asked of it."""

    def __init__(self, seconds: float, error: Exception = OUT_OF_MEMORY[0]) -> None:
        self.seconds = seconds
        self.error = error
        self.refused = 0

    def take(self, waveforms: torch.Tensor) -> None:
        if waveforms.numel() / RATE > self.seconds:
            self.refused += 1
            raise self.error


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_every_utterance_is_worked_on_once_in_parts_that_fit(error: Exception) -> None:
    memory, limits = Memory(3.0, error), []
    splitter = BatchSplitter(RATE, lambda _, limit: limits.append(limit))
    batch = batch_of(1.0, 0.5, 2.0, 1.5, 0.25, 0.75, 2.5)

    def work(part: Batch, rows: range) -> list[str]:
        memory.take(part.waveforms)
        assert part.ids == [batch.ids[i] for i in rows]
        assert part.texts == [batch.texts[i] for i in rows]
        assert part.waveforms.shape[1] == int(part.lengths.max())
        for row, i in zip(part.waveforms, rows):
            assert torch.equal(row, batch.waveforms[i, : len(row)])
        return part.ids

    done = list(splitter.run(batch, work))
    assert [name for part in done for name in part] == batch.ids
    assert limits == sorted(limits, reverse=True)
    assert splitter.limit == limits[-1]
    # what is known not to fit is not tried again
    refused = memory.refused
    assert list(splitter.run(batch, work)) == done
    assert memory.refused == refused


def test_one_utterance_that_does_not_fit_is_named() -> None:
    memory = Memory(1.0)
    splitter = BatchSplitter(RATE, lambda *_: None)
    done = []
    with pytest.raises(
        DoesNotFitError, match=r"2: this utterance of 1\.5 s .*\(CUDA out of memory\); cut it"
    ):
        done.extend(
            splitter.run(batch_of(0.5, 0.5, 1.5), lambda part, _: memory.take(part.waveforms))
        )
    assert not list(splitter.run(batch_of(1.0)._replace(ids=[]), lambda *_: None))


def test_other_errors_are_not_taken_for_it() -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    splitter = BatchSplitter(RATE, lambda *_: None)
    with pytest.raises(RuntimeError, match="shapes"):
        list(splitter.run(batch_of(1.0, 1.0), broken))
    assert math.isinf(splitter.limit)


def test_an_allocation_that_really_fails_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert is_out_of_memory(caught.value)


def test_gradients_in_bf16_are_those_of_a_usual_backward_pass(tiny_model: TrainedModel) -> None:
    torch.manual_seed(0)
    network = tiny_model.network
    parameters = list(network.parameters())

    def loss() -> torch.Tensor:
        memory, _ = network.encode(torch.randn(2, RATE, generator=noise.manual_seed(1)), lengths)
        return network.ctc_log_probs(memory).square().mean()

    noise, lengths = torch.Generator(), torch.tensor([RATE, RATE // 2])
    with torch.autocast("cpu", torch.bfloat16):
        value = loss()
    expected = torch.autograd.grad(value, parameters, allow_unused=True)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss()
        found = gradients_of(value, parameters)
    assert sum(gradient is not None for gradient in found) > 5
    for a, b in zip(expected, found):
        assert (a is None) == (b is None)
        assert a is None or b is None or torch.equal(a, b)
    # handed out, they reach the parameters in the scale of what is asked for
    sums = GradientSum(parameters)
    sums.add(found)
    sums.add([None if a is None else a.clone() for a in expected])
    (0.25 * loss_with_gradients(value, sums.total(), parameters)).backward()
    for parameter, a in zip(parameters, expected):
        assert parameter.grad is not None
        want = torch.zeros_like(parameter) if a is None else 0.5 * a
        torch.testing.assert_close(parameter.grad, want)
        parameter.grad = None


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder / "last.ckpt", weights_only=True)[
        "state_dict"
    ]
    return state


class _Refusing(torch.autograd.Function):
    """Runs out of memory on the way back."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, take: Callable[[], None]) -> torch.Tensor:
        ctx.take = take
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        ctx.take()
        return gradients[0], None


def limit_memory(
    patch: pytest.MonkeyPatch, memory: Memory, where: str, training: bool = True
) -> None:
    """Let too much audio run out of memory: its features, or the way back from its CTC loss."""
    features, ctc = LogMel.forward, AsrModel.ctc_log_probs
    latest: list[torch.Tensor] = []

    def forward(self: LogMel, waveforms: torch.Tensor, lengths: torch.Tensor) -> Any:
        latest[:] = [waveforms]
        if torch.is_grad_enabled() == training and where == "forward":
            memory.take(waveforms)
        return features(self, waveforms, lengths)

    def ctc_log_probs(self: AsrModel, states: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() == training and where == "backward":
            (waveforms,) = latest
            states = _Refusing.apply(states, lambda: memory.take(waveforms))
        return ctc(self, states)

    patch.setattr(LogMel, "forward", forward)
    patch.setattr(AsrModel, "ctc_log_probs", ctc_log_probs)


@pytest.mark.parametrize(
    ("where", "accumulate"), [pytest.param("forward", 1, marks=pytest.mark.slow), ("backward", 2)]
)
def test_steps_are_those_of_whole_batches(
    steady: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
    accumulate: int,
) -> None:
    trainer = replace(steady.trainer, accumulate_grad_batches=accumulate)
    whole = replace(steady, trainer=trainer, run_dir=str(tmp_path / "whole"))
    fit(whole)
    capsys.readouterr()
    memory = Memory(1.5)
    with monkeypatch.context() as patch:
        limit_memory(patch, memory, where)
        fit(replace(whole, run_dir=str(tmp_path / "parts")))
    assert memory.refused
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)
    rows = incidents(tmp_path / "parts")
    assert len(rows) == memory.refused
    assert {row["kind"] for row in rows} == {"memory"}
    said = capsys.readouterr().err
    assert f"from now on training computes at most {rows[-1]['limit']:.1f} s at once" in said
    state = torch.load(tmp_path / "parts" / "last.ckpt", weights_only=True)
    assert state["memory_limits"][0]["training"] == pytest.approx(rows[-1]["limit"], abs=1e-3)
    assert math.isinf(state["memory_limits"][0]["validation"])
    # the losses that are reported are those of whole batches as well
    figures = [(tmp_path / name / "metrics.csv").read_text().split() for name in ("whole", "parts")]
    for a, b in zip(*(row.split(",")[5:8] for rows in figures for row in rows[1:2])):
        assert float(a or 0) == pytest.approx(float(b or 0), rel=1e-4)


@pytest.mark.slow
def test_a_resumed_run_knows_the_limit(steady: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        memory = Memory(1.5)
        limit_memory(patch, memory, "forward")
        fit(steady)
        refused, memory.refused = memory.refused, 0
        longer = replace(steady.trainer, max_epochs=4)
        fit(
            replace(steady, resume=steady.run_dir, trainer=longer),
            ["resume", "trainer.max_epochs"],
        )
    assert refused > 0
    assert memory.refused == 0


@pytest.mark.slow
def test_validation_in_parts_counts_the_same_errors(
    steady: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = replace(steady, trainer=replace(steady.trainer, max_epochs=2))
    whole = fit(replace(steady, run_dir=str(tmp_path / "whole")))
    memory = Memory(1.5)
    with monkeypatch.context() as patch:
        limit_memory(patch, memory, "forward", training=False)
        patch.setattr(
            "asr_attn.training.run.average_best",
            lambda *_: {"wer": whole.dev_wer, "cer": whole.dev_cer},
        )
        fit(replace(steady, run_dir=str(tmp_path / "parts")))
    assert memory.refused
    rates = [
        (tmp_path / name / "metrics.csv").read_text().splitlines()[-1].split(",")[-2:]
        for name in ("whole", "parts")
    ]
    assert rates[0] == rates[1]


def test_a_run_stops_at_an_utterance_that_does_not_fit(
    steady: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_memory(monkeypatch, Memory(0.9), "forward")
    with pytest.raises(InputError, match=r"u\d: this utterance of .* does not fit in memory"):
        fit(steady)
