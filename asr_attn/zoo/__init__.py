"""The models that come with the package: ``asr_attn.load("digits")``.

Each is a model file beside a card, a page that says what it was trained on, under which licence,
how well it does and what it is not for.
"""

from pathlib import Path

MODEL_FILE = "model.safetensors"
"""The name of the model file in the folder of a run."""

_FOLDER = Path(__file__).resolve().parent
_MODEL, _CARD = ".safetensors", ".md"


def packaged_models() -> list[str]:
    """Names of the models, in alphabetical order."""
    return sorted(path.stem for path in _FOLDER.glob(f"*{_MODEL}"))


def packaged_model(name: str) -> Path | None:
    """The file of a model; None if there is none of that name."""
    return _FOLDER / f"{name}{_MODEL}" if name in packaged_models() else None


def model_file(path: Path) -> Path | None:
    """The model file that is meant by a path; None if there is none.

    It is the file itself, or ``model.safetensors`` in a folder, or else the packaged model of that
    name: a folder that happens to be called so does not hide it, unless it holds a model.
    """
    for file in (path, path / MODEL_FILE):
        if file.is_file():
            return file
    return packaged_model(str(path))


def model_card(name: str) -> str:
    """The card of one of ``packaged_models``, as Markdown."""
    return (_FOLDER / f"{name}{_CARD}").read_text(encoding="utf-8")
