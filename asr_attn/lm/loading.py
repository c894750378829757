"""From a file of a language model to a scorer of the search."""

from pathlib import Path

from asr_attn.lm.neural_file import is_neural, load_lm
from asr_attn.lm.neural_scorer import NeuralScorer
from asr_attn.lm.ngram import NgramModel
from asr_attn.lm.ngrams import SPACE
from asr_attn.lm.scorer import NgramScorer
from asr_attn.lm.vocabulary import SPACE_IN_PIECE
from asr_attn.lm.word_scorer import WordScorer
from asr_attn.text.tokenizer import Tokenizer


def load_scorer(path: Path, tokenizer: Tokenizer) -> NgramScorer | WordScorer | NeuralScorer:
    """Load a model of words, or of a recogniser's tokens.

    An ARPA file is of tokens if it has a symbol for the space; a neural model always is.

    Args:
        path: an ARPA file, the file of a neural language model, or the folder of its run.
        tokenizer: of the recogniser.

    Raises:
        InputError: the file cannot be used, or the recogniser does not write what it is a model of.
    """
    if is_neural(path):
        return NeuralScorer(load_lm(path), tokenizer, called=str(path))
    model = NgramModel.load(path)
    spaces = any(symbol == SPACE or symbol.startswith(SPACE_IN_PIECE) for symbol in model.symbols)
    kind = NgramScorer if spaces else WordScorer
    return kind(model, tokenizer, called=str(path))
