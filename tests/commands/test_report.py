"""``asr-attn report``: the page, its contents, and what is refused."""

import base64
import json
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from asr_attn.audio.reading import read_audio
from asr_attn.checkpoint import TrainedModel, save_model
from asr_attn.data.manifest import read_manifest
from asr_attn.evaluation.attention import teacher_forced_attention
from asr_attn.evaluation.report import page as page_module
from asr_attn.models.asr import AsrModel
from asr_attn.recognizer import Recognizer
from asr_attn.text.tokenizer import EOS


@pytest.fixture
def of_two_heads(tiny_model: TrainedModel):
    """Makes an untrained model like the tiny one, whose attention has two heads."""

    def make() -> TrainedModel:
        config = replace(tiny_model.config, attention=replace(tiny_model.config.attention, heads=2))
        network = AsrModel(tiny_model.features, config, len(tiny_model.tokenizer))
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(5)
            for parameter in network.parameters():
                torch.nn.init.normal_(parameter, std=0.5 if parameter.dim() > 1 else 0.1)
            network.speller.output.bias[EOS] += 2.0
        return replace(tiny_model, network=network.eval(), config=config)

    return make


def contents(page: str) -> dict[str, dict]:
    """The JSON of a page by the names of its elements."""
    found = re.findall(r'<script type="application/json" id="([^"]+)">(.*?)</script>', page, re.S)
    return {name: json.loads(text) for name, text in found}


def test_page_has_the_figures_of_evaluate(asr, manifest, model_file, tmp_path):
    page = tmp_path / "report.html"
    code, out, err = asr(
        "report", model_file, manifest, "--output", page, "--details", 3, "--explain", 1
    )
    assert code == 0
    assert out == ""
    assert "5 utterances, 3 of them to hear" in err
    found = contents(page.read_text(encoding="utf-8"))
    data = found["data"]
    _, text, _ = asr("evaluate", model_file, manifest, "--format", "json")
    figures = json.loads(text)
    for key in ("wer", "cer", "words", "characters", "wer_interval", "confusions"):
        assert data["subjects"][0]["figures"][key] == figures[key]
    assert [row["id"] for row in data["rows"]] == [u.id for u in read_manifest(manifest)]
    assert sum(row["of"][0]["errors"] for row in data["rows"]) == figures["words"]["errors"]
    details = {name for name in found if name.startswith("detail-")}
    assert details == {f"detail-{i}" for i, row in enumerate(data["rows"]) if "why" in row}
    assert len(details) == 3
    assert list(data["subjects"][0]["figures"]["groups"]) == ["duration", "rate", "snr"]


def test_page_needs_nothing_else(asr, manifest, model_file, tmp_path):
    page = tmp_path / "report.html"
    asr("report", model_file, manifest, "--output", page, "--explain", 0)
    text = page.read_text(encoding="utf-8")
    addresses = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)|url\(([^)]+)\)""", text)
    assert all(a.startswith("#") for a, _ in addresses if not a.startswith("data:"))
    assert "http://" not in re.sub(r"http://www\.w3\.org/2000/svg", "", text)
    assert "default-src 'none'" in text


def test_two_models_are_compared_as_compare_does(asr, manifest, model_file, tmp_path):
    page, other = tmp_path / "report.html", tmp_path / "other" / "model.safetensors"
    other.parent.mkdir()
    other.write_bytes(model_file.read_bytes())
    code, _, _ = asr(
        "report", model_file, other, manifest, "--output", page, "--by", "duration",
        "--explain", 0, "--audio", "none",
    )  # fmt: skip
    assert code == 0
    found = contents(page.read_text(encoding="utf-8"))
    for number, model in enumerate((model_file, other)):
        asr("evaluate", model, manifest, "--hypotheses", tmp_path / f"{number}.jsonl")
    files = [tmp_path / "0.jsonl", tmp_path / "1.jsonl"]
    _, text, _ = asr("compare", *files, "--format", "json")
    expected = json.loads(text)
    data = found["data"]
    for key in ("difference", "interval", "p", "differing", "segment_test"):
        assert data["comparison"][key] == expected[key]
    assert [s["name"] for s in data["subjects"]] == ["run", "other"]
    assert all(d["audio"] is None for name, d in found.items() if name != "data")
    assert all(len(d["of"]) == 2 for name, d in found.items() if name != "data")


def test_attention_is_that_of_each_head(asr, manifest, of_two_heads, tmp_path):
    model = of_two_heads()
    path, page = tmp_path / "two" / "model.safetensors", tmp_path / "report.html"
    save_model(path, model)
    asr("report", path, manifest, "--output", page, "--explain", 0)
    found = contents(page.read_text(encoding="utf-8"))
    recognizer = Recognizer(model)
    for i, utterance in enumerate(read_manifest(manifest)):
        samples = read_audio(utterance.audio, recognizer.sample_rate)
        tokens = model.tokenizer.encode(recognizer.transcribe_samples([samples])[0].text)
        (attention,) = teacher_forced_attention(model, [samples], [tokens])
        shown = found[f"detail-{i}"]["of"][0]
        assert (shown["heads"], shown["steps"]) == attention.weights.shape[1:]
        raw = np.frombuffer(zlib.decompress(base64.b64decode(shown["weights"])), np.uint8)
        weights = (raw.reshape(2, -1, shown["steps"]) / 255.0) ** 2
        for head in range(2):
            assert weights[head] == pytest.approx(attention.weights[:, head], abs=0.005)


def test_texts_cannot_break_the_page():
    text = "</script><script>alert(1)</script> & \u2028 \ud800"
    page = page_module.page_of("a <b> & c", {"text": text}, {3: {"text": text}})
    assert "alert(1)</script>" not in page
    assert "a &lt;b&gt; &amp; c" in page
    found = contents(page)
    assert found["data"]["text"] == text.replace("\ud800", "?")
    assert found["detail-3"] == found["data"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["{model}", "--output", "r.html"], "one or two models and one manifest"),
        (["{model}", "{model}", "{model}", "{manifest}", "--output", "r.html"], "not 3 and 1"),
        (["{model}", "{manifest}", "--output", "r.txt"], "let its name end in .html"),
        (["{model}", "{manifest}", "--output", "r.html", "--by", "dialect"], "no such field"),
        (["{model}", "{manifest}", "--output", "r.html", "--details", "-1"], "--details"),
        (["{model}x", "{manifest}", "--output", "r.html"], "model.safetensorsx"),
    ],
)
def test_mistakes_are_told(refused, manifest, model_file, tmp_path, monkeypatch, arguments, what):
    monkeypatch.chdir(tmp_path)
    names = {"model": model_file, "manifest": manifest}
    assert what in refused("report", *(str(a).format(**names) for a in arguments))
    assert not list(tmp_path.glob("r.*"))


def test_recordings_that_cannot_be_read_are_named(asr, manifest, model_file, tmp_path):
    (manifest.parent / "3.wav").write_bytes(b"no sound")
    page = tmp_path / "report.html"
    code, _, err = asr("report", model_file, manifest, "--output", page, "--explain", 0)
    assert code == 1
    assert "1 of 5 recordings could not be read" in err or "3.wav" in err
    data = contents(page.read_text(encoding="utf-8"))["data"]
    assert list(data["failures"]) == ["u3"]
    assert "u3" not in [row["id"] for row in data["rows"]]
