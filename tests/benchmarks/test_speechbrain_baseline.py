import itertools
import json
import runpy
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from asr_attn.data.manifest import Utterance, write_manifest
from asr_attn.evaluation.result_files import pair_results

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
TEXT = "northanger abbey went out to see who was at the door by half past nine"


@pytest.mark.parametrize(
    "script", [BENCHMARKS / f"speechbrain_{name}.py" for name in ("baseline", "training")]
)
def test_says_what_is_missing(script, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("speechbrain")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "speechbrain", None)
    monkeypatch.syspath_prepend(str(script.parent))
    with pytest.raises(SystemExit, match=r"pip install speechbrain==1\.1\.2"):
        runpy.run_path(str(script), run_name="__main__")


@pytest.fixture
def systems(monkeypatch):
    pytest.importorskip("speechbrain")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import speechbrain_systems

    monkeypatch.setattr(speechbrain_systems, "SMOOTHING", 0.0)
    return speechbrain_systems


class Unvaried(torch.nn.Module):
    def forward(self, x, lengths):
        return x, lengths


def small_batch():
    random = torch.Generator().manual_seed(0)
    waves = [0.1 * torch.randn(samples, generator=random) for samples in (16000, 11000)]
    return waves, [[5, 7, 5, 5, 9], [4, 8]]


@pytest.mark.parametrize("name", ["crdnn", "transformer"])
class TestSystems:
    def made(self, systems, name):
        torch.manual_seed(0)
        system = systems.SYSTEMS[name](12)
        system.augment = Unvaried()
        waves, tokens = small_batch()
        batch = sys.modules["speechbrain_interface"].pad(waves)
        system.normalize.train()
        system.encode(batch)  # its statistics are those of what it has seen in training
        return system.eval(), batch, tokens

    @torch.no_grad()
    def test_losses_are_those_of_each_utterance_step_by_step(self, systems, name):
        system, batch, tokens = self.made(systems, name)
        memory = system.encode(batch)
        steps = (batch.shares * memory.size(1)).round().int()
        searcher = system.searcher(None)
        nll, ctc = [], []
        for i, row in enumerate(tokens):
            one, count = memory[i : i + 1, : steps[i]], steps[i : i + 1]
            state = searcher.reset_mem(1, "cpu")
            before = system.bos
            for token in [*row, system.eos]:
                logits, state, _ = searcher.forward_step(torch.tensor([before]), state, one, count)
                nll.append(-logits.log_softmax(dim=-1)[0, token])
                before = token
            paths = system.ctc(one).log_softmax(dim=-1).transpose(0, 1)
            ctc.append(
                torch.nn.functional.ctc_loss(
                    paths, torch.tensor([row]), count, torch.tensor([len(row)]), reduction="sum"
                )
            )
        nll, ctc = torch.stack(nll), torch.stack(ctc)
        if name == "crdnn":  # means of tokens, and of utterances of what is of each token
            lengths = torch.tensor([len(row) for row in tokens])
            expected = 0.5 * nll.mean() + 0.5 * (ctc / lengths).mean()
            torch.testing.assert_close(system.losses(batch, tokens, 0.5), nll.mean())
        else:  # sums, per utterance
            expected = 0.7 * nll.sum() / 2 + 0.3 * ctc.sum() / 2
        torch.testing.assert_close(system.losses(batch, tokens, 0.0), expected)

    def test_learning_rate(self, systems, name):
        system = systems.SYSTEMS[name](12)
        optimizer = system.make_optimizer()
        rates = []
        for share, wer in [(0.05, 0.9), (0.075, 0.9), (0.15, 0.9), (0.3, 0.5), (0.6, 0.6)]:
            system.before_update(optimizer, share)
            system.after_epoch(optimizer, share, wer)
            rates.append(optimizer.param_groups[0]["lr"])
        if name == "crdnn":  # 0.05 is before a 15th of the time; then no better, better, worse
            assert rates == pytest.approx([1.0, 1.0, 0.8, 0.8, 0.64])
        else:
            expected = [8e-4 / 3, 4e-4, 8e-4, 8e-4 * 2**-0.5, 4e-4]
            assert rates == pytest.approx(expected, rel=1e-3)

    def test_a_run_is_gone_on_with_and_can_be_compared(self, systems, name, tmp_path, monkeypatch):
        import speechbrain_baseline as baseline

        ticks = itertools.count(step=0.5)  # an epoch takes three of them
        clock = SimpleNamespace(process_time=lambda: next(ticks), monotonic=time.monotonic)
        monkeypatch.setattr(baseline, "time", clock)
        random = np.random.default_rng(0)
        utterances = []
        for i in range(4):
            path = tmp_path / f"{i}.wav"
            soundfile.write(path, 0.1 * random.standard_normal(16000), 16000)
            utterances.append(Utterance(f"u{i}", path, " ".join(TEXT.split()[i : i + 8]), 1.0))
        manifest = tmp_path / "data.jsonl"
        write_manifest(manifest, utterances)
        sets = [f"--{split}={manifest}" for split in ("train", "dev", "test")]
        folder = tmp_path / "run"
        command = [name, "--minutes=0.06", f"--output={folder}", "--vocabulary=22", "--beam=2"]
        save = baseline.save

        def interrupted(run):
            save(run)
            raise KeyboardInterrupt

        monkeypatch.setattr(baseline, "save", interrupted)
        assert baseline.main([*command, *sets]) == 130
        monkeypatch.setattr(baseline, "save", save)
        assert baseline.main([*command, *sets]) == 0
        epochs = [json.loads(line)["epoch"] for line in (folder / "log.jsonl").open()]
        assert epochs == [1, 2, 3]
        assert baseline.main([*command, *sets, "--seed=1"]) == 2
        paired = pair_results([folder / "greedy.jsonl", folder / "beam.jsonl"])
        assert paired.names == [u.id for u in utterances]
        assert paired.words.tolist() == [8] * 4
