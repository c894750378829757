"""Imports point one way, and the heavy frameworks stay where they belong."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "asr_attn"
FLOORS = [
    {"errors", "files", "limits", "shell", "zoo"},
    {"nn", "text"},
    {"audio"},
    {"models", "data", "lm"},
    {"decoding", "checkpoint", "transcript"},
    {"evaluation", "recognizer", "settings", "lm_settings", "config", "effects", "overrides"},
    {"training", "cli", "commands"},
]
# the few arrows between parts of one floor; what has none is independent of its neighbours
BESIDE = {
    ("files", "errors"),
    ("config", "settings"),
    ("config", "lm_settings"),
    ("effects", "settings"),
    ("effects", "lm_settings"),
    ("lm_settings", "settings"),
    ("transcript", "decoding"),
    ("evaluation", "recognizer"),
    ("cli", "commands"),
}
LIGHTNING = {"lightning", "pytorch_lightning", "lightning_fabric"}
HYDRA = {"hydra", "omegaconf"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def absolute(node: ast.ImportFrom, module: str) -> str:
    """The module that a ``from ... import`` names, relative ones made absolute."""
    if not node.level:
        return node.module or ""
    is_package = MODULES[module].name == "__init__.py"
    parts = module.split(".")
    base = parts[: len(parts) - node.level + is_package]
    return ".".join([*base, *([node.module] if node.module else [])])


def named(node: ast.AST, module: str) -> Iterator[str]:
    """Modules that one statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        source = absolute(node, module)
        for alias in node.names:
            full = f"{source}.{alias.name}"
            if full in MODULES or source != "asr_attn":
                yield full if full in MODULES else source
            else:  # the package's face: what it offers comes from the recogniser
                yield source if alias.name == "__version__" else "asr_attn.recognizer"
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        yield from (str(given.value) for given in node.args if isinstance(given, ast.Constant))


def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


@cache
def imports(module: str) -> frozenset[str]:
    """Everything a module imports, wherever in it."""
    return frozenset(name for node in ast.walk(tree(module)) for name in named(node, module))


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """Statements that run when the module is imported: none in functions or for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in child.orelse:
                yield statement
                yield from executed(statement)
            continue
        yield child
        yield from executed(child)


@cache
def imports_at_once(module: str) -> frozenset[str]:
    return frozenset(name for node in executed(tree(module)) for name in named(node, module))


def loaded_with(module: str, parents: bool = True) -> set[str]:
    """Names of all modules, ours and others', that importing ``module`` imports.

    Python loads the packages that a module is in, too; ``parents`` counts them.
    """
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        above = name.split(".") if parents else []
        waiting += [".".join(above[:k]) for k in range(1, len(above))]
        if name in MODULES:
            waiting += imports_at_once(name)
    return seen


def unit(module: str) -> str:
    """The part of the package that a module belongs to; "" for the package itself."""
    return module.split(".")[1] if "." in module else ""


def floor(part: str) -> int:
    return next(level for level, parts in enumerate(FLOORS) if part in parts)


def allowed(importer: str, imported: str) -> bool:
    below = floor(imported) < floor(importer)
    return below or importer == imported or (importer, imported) in BESIDE


def ours(names: frozenset[str] | set[str]) -> list[str]:
    return [name for name in sorted(names) if name.split(".")[0] == "asr_attn"]


def test_every_part_has_a_floor():
    known = {part for parts in FLOORS for part in parts}
    assert {unit(module) for module in MODULES} - {""} <= known


@pytest.mark.parametrize("module", [module for module in MODULES if unit(module)])
def test_imports_point_one_way(module):
    for imported in ours(imports(module)):
        if unit(imported):
            assert allowed(unit(module), unit(imported)), f"{module} -> {imported}"


def test_rule_knows_a_wrong_arrow():
    for wrong in [("nn", "models"), ("models", "data"), ("data", "models"), ("audio", "data")]:
        assert not allowed(*wrong)
    for right in [("training", "nn"), ("data", "audio"), ("nn", "nn"), ("config", "settings")]:
        assert allowed(*right)


def test_the_package_itself_imports_none_of_its_parts_at_once():
    assert ours(imports_at_once("asr_attn")) == []


def test_no_module_is_imported_in_a_circle():
    for module in MODULES:
        for imported in ours(imports_at_once(module)):
            if imported not in ("asr_attn", module) and not module.startswith(f"{imported}."):
                # without parents: a package's face names what is inside it, and that is no circle
                loaded = loaded_with(imported, parents=False)
                assert module not in loaded, f"{module} <-> {imported}"


def users_of(frameworks: set[str]) -> set[str]:
    return {
        module
        for module in MODULES
        if any(name.split(".")[0] in frameworks for name in imports(module))
    }


def test_lightning_is_imported_by_training_and_the_data_module_only():
    users = users_of(LIGHTNING)
    assert "asr_attn.data.datamodule" in users
    assert {m for m in users if unit(m) != "training"} == {"asr_attn.data.datamodule"}


def test_hydra_is_imported_by_the_configuration_and_the_run_only():
    users = users_of(HYDRA)
    assert "asr_attn.config" in users
    assert users <= {"asr_attn.config", "asr_attn.training.trainer"}


@pytest.mark.parametrize("module", ["asr_attn.recognizer", "asr_attn.checkpoint"])
def test_transcribing_loads_neither(module):
    loaded = {name.split(".")[0] for name in loaded_with(module)}
    assert "torch" in loaded
    assert not loaded & (LIGHTNING | HYDRA)
