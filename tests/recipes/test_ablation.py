"""The program that measures what each choice of Mini LibriSpeech's training brings."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from hydra import compose, initialize_config_dir

from asr_attn.config import name_groups, register_schemas, resolve
from asr_attn.settings import RunConfig
from asr_attn.zoo import packaged_models

ROOT = Path(__file__).parents[2]


def load() -> ModuleType:
    path = ROOT / "recipes" / "mini_librispeech" / "ablation.py"
    spec = importlib.util.spec_from_file_location("mini_librispeech_ablation", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ablation = load()


def settings(*overrides: str) -> RunConfig:
    register_schemas()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        named = name_groups([*ablation.COMMON, "run_dir=x", *overrides])
        return resolve(compose("train", overrides=named))


@pytest.mark.parametrize(
    ("group", "name"),
    [(group, name) for group in ablation.GROUPS for name in ablation.GROUPS[group]],
)
def test_each_contestant_changes_the_settings(group: str, name: str) -> None:
    start = ablation.START[group]
    changed = settings(*start, *ablation.GROUPS[group][name])
    assert (changed != settings(*start)) == (name != ablation.AS_IT_IS)
    assert changed.start_from in packaged_models()


def result(name: str, errors: list[int]) -> dict[str, object]:
    names = [f"u{i}" for i in range(len(errors))]
    words = dict.fromkeys(names, 10)
    return {"name": name, "errors": dict(zip(names, errors, strict=True)), "words": words}


def test_the_table_tells_what_each_change_made(tmp_path: Path) -> None:
    found = [
        result("ema", [1, 1, 1, 1]),
        result("as_it_is", [2, 3, 2, 3]),
        result("no_speed", [6, 7, 6, 7]),
    ]
    for row in found:
        (tmp_path / f"{row['name']}.json").write_text(json.dumps(row))
    readme = tmp_path / "README.md"
    first, second = (f"<!-- ablation, {group}: made by" for group in ablation.GROUPS)
    rest = f"ablation.py -->\nold\n{ablation.END}\nafter\n"
    readme.write_text(f"before\n{first} ablation.py -->\nkept\n{ablation.END}\n{second} {rest}")
    ablation.write_table("trained", tmp_path, readme)
    text = readme.read_text()
    assert text.startswith(f"before\n{first} ablation.py -->\nkept\n")
    assert "old" not in text
    assert text.endswith("\nafter\n")
    rows = [line.split(" | ") for line in text.splitlines() if " % | " in line]
    assert [row[0] for row in rows] == [
        "| `training.ema=0.999`",
        "| the settings as they are",
        "| `augmentation.speed=[1.0]`",
    ]
    assert [row[1] for row in rows] == ["10.0 %", "25.0 %", "65.0 %"]
    assert rows[0][2].startswith("-15.0 (")
    assert rows[1][2] == " |"
    assert rows[2][2].startswith("+40.0 (")


def test_a_contestant_that_fails_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    results = tmp_path / "ablation" / "trained"
    results.mkdir(parents=True)
    (results / "as_it_is.json").write_text(json.dumps(result("as_it_is", [2, 3])))
    (tmp_path / "README.md").touch()
    (tmp_path / "dev.jsonl").touch()
    monkeypatch.setattr(ablation, "HERE", tmp_path)
    monkeypatch.setattr(ablation, "ROOT", tmp_path)
    monkeypatch.setattr(ablation, "DEV", "dev.jsonl")
    monkeypatch.setattr(ablation, "_run", lambda _: "there is no heard.jsonl")
    for name, code in (("as_it_is", 0), ("pseudo_labels", 1)):
        arguments = ["ablation.py", "trained", name, "--runs", str(tmp_path / "runs")]
        monkeypatch.setattr("sys.argv", arguments)
        assert ablation.main() == code
    told = capsys.readouterr().out.splitlines()
    assert told == ["as_it_is: done before", "pseudo_labels: failed: there is no heard.jsonl"]


@pytest.mark.parametrize("begun", [False, True])
def test_a_contestant_that_was_stopped_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, begun: bool
) -> None:
    """Also when it was stopped before anything was saved: its folder is taken all the same."""
    calls: list[list[str]] = []

    def run(arguments: list[str]) -> str:
        calls.append(arguments[1:])
        return "stopped"

    monkeypatch.setattr(ablation, "_run", run)
    folder = tmp_path / "runs" / "ema"
    if begun:
        folder.mkdir(parents=True)
        (folder / "config.json").touch()
    told = ablation.train("ema", ["training.ema=0.999"], tmp_path / "runs", tmp_path / "results")
    assert told == "ema: failed: stopped"
    begin = ["training.ema=0.999", f"run_dir={folder}"]
    assert calls == [[f"resume={folder}"] if begun else begin]


def test_what_is_missing_is_told(capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("sys.argv", ["ablation.py", "begin", "--jobs", "1", "emma"])
    assert ablation.main() == 2
    assert "emma: not known; known: as_it_is, " in capsys.readouterr().err
    monkeypatch.setattr(ablation, "HERE", tmp_path)
    monkeypatch.setattr("sys.argv", ["ablation.py", "begin", "--table"])
    assert ablation.main() == 2
    assert "nothing to compare with" in capsys.readouterr().err
