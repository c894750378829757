import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from hydra import compose, initialize_config_dir

from asr_attn.config import name_groups, register_schemas, resolve
from asr_attn.models.asr import AsrModel
from asr_attn.nn.attention import ATTENTIONS

ROOT = Path(__file__).parents[2]


def load(name: str) -> ModuleType:
    path = ROOT / "recipes" / "attention_zoo" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"attention_zoo_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CONTESTANTS = load("run").contestants()


def test_every_attention_competes():
    assert set(ATTENTIONS) <= set(CONTESTANTS)


@pytest.mark.parametrize("name", CONTESTANTS)
def test_every_contestant_composes_and_builds_what_its_name_says(name: str) -> None:
    register_schemas()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        overrides = name_groups(["experiment=attention_zoo", *CONTESTANTS[name]])
        config = resolve(compose("train", overrides=overrides))
    parts = (config.model.encoder.name, config.model.attention.name, config.model.decoder.name)
    encoder, _, decoder = name.partition("+")
    if decoder:
        assert (parts[0], parts[2]) == (encoder, decoder)
    else:
        assert parts == ("listener", name, "lstm")
    AsrModel(config.features, config.model, 20)


def test_a_stopped_run_is_gone_on_with_under_its_own_settings(tmp_path):
    """Settings beside ``resume`` are refused."""
    overrides = load("run").overrides
    begin = overrides("gmm", 2, tmp_path)
    assert begin[0] == "experiment=attention_zoo"
    assert {"model.attention=gmm", "seed=2", f"run_dir={tmp_path}"} < set(begin)
    (tmp_path / "last.ckpt").touch()
    assert overrides("gmm", 2, tmp_path) == [f"resume={tmp_path}"]


def result(name: str, seed: int, errors: int, aligned: list[bool]) -> dict[str, object]:
    figures = {"training_speed": 80.0, "real_time_factor": 0.01, "parameters": 1_200_000}
    return {"name": name, "seed": seed, "wer": errors / 100, "aligned": aligned, **figures}


def test_table_ranks_by_mean_and_shows_each_seed(monkeypatch, tmp_path):
    table = load("table")
    results = [
        result("dot", 0, 6, [False, True]),
        result("gmm", 0, 1, [False, True]),
        result("gmm", 1, 3, [True, True]),
        result("conformer+lstm", 0, 2, [False]),
    ]
    (tmp_path / "results").mkdir()
    for i, row in enumerate(results):
        (tmp_path / "results" / f"{i}.json").write_text(json.dumps(row))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{table.START}\nold\n{table.END}\nafter\n")
    monkeypatch.setattr(table, "HERE", tmp_path)
    assert table.main() == 0
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.index("`gmm` | 2.00 % | 2 | ± 1.41 | 2/1 |") < text.index("`dot` | 6.00 %")
    assert "one seed | never |" in text
    assert text.index("### Encoders") < text.index("`conformer+lstm` | 2.00 %")
    assert (tmp_path / "results.png").stat().st_size > 1000
