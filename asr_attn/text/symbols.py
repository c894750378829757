"""Non-linguistic symbols in texts, such as [noise] or <unk>: found, taken out, kept whole."""

import re
from collections.abc import Iterable, Sequence


def symbol_pattern(symbols: Iterable[str], *, ignore_case: bool = False) -> re.Pattern[str]:
    """A pattern with one group, which is the symbol; longer symbols are looked for first.

    Symbols that begin or end with a letter or a digit are found as whole words only.
    """
    parts = []
    for symbol in sorted(symbols, key=len, reverse=True):
        before = r"(?<!\w)" if symbol[0].isalnum() else ""
        after = r"(?!\w)" if symbol[-1].isalnum() else ""
        parts.append(f"{before}{re.escape(symbol)}{after}")
    return re.compile(f"({'|'.join(parts)})", re.IGNORECASE if ignore_case else 0)


def without_symbols(text: str, symbols: Sequence[str]) -> str:
    """The text without symbols, whatever their letter case; nothing else changes but spaces."""
    if not symbols:
        return text
    found = symbol_pattern(symbols, ignore_case=True).sub(" ", text)
    return " ".join(found.split()) if found != text else text


def check_symbols(symbols: Sequence[str], name: str) -> None:
    """Make sure that symbols can be told from other text.

    Args:
        symbols: of a setting or an option.
        name: what it is called.

    Raises:
        ValueError: a symbol is empty, has white space in it, or is there twice.
    """
    for symbol in symbols:
        if [symbol] != symbol.split():
            raise ValueError(f"{name}: {symbol!r} must be one word without spaces")
    if len({symbol.lower() for symbol in symbols}) < len(symbols):
        raise ValueError(f"{name}: a symbol is given twice, letter case apart")
