"""The models that come with the package: ``asr_attn.load("digits")``.

Each is a model file beside a card, a page that says what it was trained on, under which licence,
how well it does and what it is not for.
"""

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
_MODEL, _CARD = ".safetensors", ".md"


def packaged_models() -> list[str]:
    """Names of the models, in alphabetical order."""
    return sorted(path.stem for path in _FOLDER.glob(f"*{_MODEL}"))


def packaged_model(name: str) -> Path | None:
    """The file of a model; None if there is none of that name."""
    return _FOLDER / f"{name}{_MODEL}" if name in packaged_models() else None


def model_card(name: str) -> str:
    """The card of one of ``packaged_models``, as Markdown."""
    return (_FOLDER / f"{name}{_CARD}").read_text(encoding="utf-8")
