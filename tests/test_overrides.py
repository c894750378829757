"""Paths on the command line of ``train.py``, from the shell to the settings and back."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from asr_attn.config import check_overrides, name_groups, register_schemas, resolve, task_of
from asr_attn.errors import ConfigError
from asr_attn.overrides import PATH_LISTS, PATHS, quote_paths
from asr_attn.shell import setting, shell_argument

CONF = Path(__file__).resolve().parents[1] / "conf"
NAMES = [
    "é",
    "中文/データ",
    "a=b",
    "#1",
    "a#b",
    "(x",
    "x)",
    "[x]",
    "{y",
    "y}",
    "a&b",
    "a!b",
    "a;b",
    "a,b",
    "a b",
    " a ",
    "a: b",
    "it's",
    'say "x',
    "back\\slash\\",
    "back\\",
    "100%",
    "$(HOME)",
    "*?",
    "a|b<c>d",
    "@^`",
    "-x",
    "a\tb",
    "1e3",
    "true",
    "08",
    "nul\udcffl",
]


def composed(*arguments: str) -> object:
    register_schemas()
    overrides = name_groups(quote_paths(arguments))
    check_overrides(overrides, CONF)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return resolve(compose("train", overrides=overrides))


@pytest.mark.parametrize("name", NAMES)
def test_any_path_can_be_given(name: str) -> None:
    config = composed(f"data.train={name}", f"run_dir=runs/{name}", f"data.also_train=[{name}/a]")
    assert config.data.train == name
    assert config.run_dir == f"runs/{name}"
    if "," not in name and name == name.strip():
        assert config.data.also_train == (f"{name}/a",)


def test_lists_of_paths() -> None:
    def further(value: str) -> tuple[str, ...]:
        return composed(f"data.also_train={value}").data.also_train

    assert further("[a b.jsonl, é(.jsonl ,it's.jsonl]") == ("a b.jsonl", "é(.jsonl", "it's.jsonl")
    assert further("""['a,b.jsonl',"c].jsonl"]""") == ("a,b.jsonl", "c].jsonl")
    assert further("one.jsonl") == ("one.jsonl",)
    assert further("[]") == ()


def test_home_is_expanded_as_a_shell_would(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    config = composed("data.train=~/a.jsonl", "data.dev=b~/a.jsonl", "data.also_train=[~/c.jsonl]")
    assert Path(config.data.train) == tmp_path / "a.jsonl"
    assert config.data.dev == "b~/a.jsonl"
    assert Path(config.data.also_train[0]) == tmp_path / "c.jsonl"
    assert composed("data.train='~/a.jsonl'").data.train == "~/a.jsonl"


def test_what_has_a_meaning_keeps_it() -> None:
    assert composed("data.test=null", "data.train=x").data.test is None
    assert composed('data.train="a b"').data.train == "a b"
    config = composed("data=fsdd", "data.folder=sp é", "data.dev=${data.folder}/other.jsonl")
    assert (config.data.train, config.data.dev) == ("sp é/train.jsonl", "sp é/other.jsonl")
    for arguments in (["--help"], ["seed=0,1", "-m"], ["data.train"], ["~data.digits"]):
        assert quote_paths(arguments) == arguments


@pytest.mark.parametrize(
    ("given", "runs"),
    [
        ("data.train=a b.jsonl,é.jsonl", ["a b.jsonl", "é.jsonl"]),
        ("data.train='a,b.jsonl',c(1,2).jsonl", ["a,b.jsonl", "c(1,2).jsonl"]),
        ("data.train=choice(a.jsonl,b.jsonl)", ["a.jsonl", "b.jsonl"]),
        ("data.also_train=[a,b c],[d]", [("a", "b c"), ("d",)]),
    ],
)
def test_a_comma_makes_runs_of_a_sweep(given: str, runs: list[object]) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    register_schemas()
    sweep = quote_paths(["--multirun", given, "seed=0,1"])
    assert sweep[2] == "seed=0,1"
    check_overrides(sweep, CONF)
    (override,) = OverridesParser.create().parse_overrides([sweep[1]])
    assert override.is_sweep_override()
    for value, wanted in zip(override.sweep_string_iterator(), runs, strict=True):
        config = composed(f"{override.key_or_group}={value}")
        found = config.data.also_train if isinstance(wanted, tuple) else config.data.train
        assert found == wanted
    # without --multirun it belongs to the path, and other settings ask for --multirun as before
    assert quote_paths(["data.train=a,b"]) == ['data.train="a,b"']
    with pytest.raises(ConfigError, match="add --multirun"):
        check_overrides(["seed=0,1"], CONF)


@pytest.mark.parametrize("name", [*NAMES, "null", "~x", "'q'", '"q"', "a${b}c"])
@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell reads it")
def test_advice_can_be_followed(name: str) -> None:
    """A shell, and then the command line, give the path again that was printed."""
    printed = setting("resume", name)
    if "\udcff" not in name:  # as shlex knows no $'...'
        assert len(shlex.split(printed)) == 1
    script = "import os, sys; sys.stdout.buffer.write(os.fsencode(sys.argv[1]))"
    done = subprocess.run(
        ["bash", "-c", f"{shell_argument(sys.executable)} -c {shlex.quote(script)} {printed}"],
        capture_output=True,
        check=True,
    )
    given = os.fsdecode(done.stdout)
    resume = composed(given).resume
    assert Path(resume) == Path(name)


def test_the_run_to_resume_tells_the_task_whatever_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "é = (1), 'x'"
    folder.mkdir()
    (folder / "config.json").write_text('{"task": "lm"}', encoding="utf-8")
    assert task_of(quote_paths([f"resume={folder}"]))[0] == "lm"
    assert task_of([f'resume="{folder}"'])[0] == "lm"


def test_advice_for_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr_attn.shell.os.name", "nt")
    assert shell_argument("resume=runs\\a") == "resume=runs\\a"
    assert shell_argument("resume=C:\\My runs\\a & b\\") == '"resume=C:\\My runs\\a & b\\\\"'


@pytest.mark.parametrize("key", sorted(PATHS | PATH_LISTS))
@pytest.mark.parametrize("value", ["", '""', "''"])
def test_an_empty_path_is_refused_by_its_key(key, value):
    with pytest.raises(ConfigError, match=f"^{re.escape(key)}= is empty; name a path"):
        quote_paths([f"{key}={value}"])


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["data.also_train=['']"], "data.also_train"),
        (['data.also_train=[a.jsonl, ""]'], "data.also_train"),
        (["-m", "start_from=a,,b"], "start_from"),
        (["-m", "start_from=a,''"], "start_from"),
    ],
)
def test_empty_paths_among_several_are_refused_by_key(arguments: list[str], key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}=.* holds an empty path"):
        quote_paths(arguments)


def test_a_comma_at_the_end_of_a_list_is_no_empty_path() -> None:
    assert quote_paths(["data.also_train=[a.jsonl,]"]) == ['data.also_train=["a.jsonl"]']
