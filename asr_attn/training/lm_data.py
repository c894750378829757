"""Text as batches of tokens: what a language model is trained and validated on."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr_attn.data.datamodule import ResumableLoader, plan_digest
from asr_attn.data.planning import plan_batches
from asr_attn.errors import InputError
from asr_attn.lm.corpus import Line
from asr_attn.lm.neural_perplexity import padded
from asr_attn.lm_settings import TextConfig
from asr_attn.text.tokenizer import UNK, Tokenizer

TEXT_CHANGED = (
    "the training text or its tokens have changed since this run was stopped; put them back, or "
    "start a new run without resume"
)
"""What is wrong with the text of a run that is to be resumed."""


@dataclass(frozen=True)
class TokenText:
    """The tokens of many sentences, one after the other.

    Attributes:
        tokens: (U,) of all sentences, without starts and ends.
        begins: (sentences + 1,) where each sentence begins, and where the last one ends.
        words: (sentences,) words of each.
    """

    tokens: NDArray[np.int32]
    begins: NDArray[np.int64]
    words: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sentence, its end included: (sentences,)."""
        return np.diff(self.begins) + 1

    @property
    def unknown(self) -> int:
        """Tokens that stand for unknown characters."""
        return int((self.tokens == UNK).sum())

    def __len__(self) -> int:
        return len(self.words)

    def sentence(self, index: int) -> list[int]:
        """The tokens of one sentence."""
        ids: list[int] = self.tokens[self.begins[index] : self.begins[index + 1]].tolist()
        return ids

    def digest(self) -> str:
        """The same for the same sentences in the same order."""
        return hashlib.sha256(self.tokens.tobytes() + self.begins.tobytes()).hexdigest()


def encode_text(lines: Iterable[Line], tokenizer: Tokenizer, max_tokens: int) -> TokenText:
    """Turn sentences into tokens.

    Raises:
        InputError: a sentence is longer than ``max_tokens``.
    """
    sentences, words = [], []
    for line in lines:
        ids = tokenizer.encode(line.text)
        if len(ids) > max_tokens:
            raise InputError(
                f"{line.path}:{line.number}: this sentence has {len(ids)} tokens; write one "
                f"sentence a line, or raise data.max_tokens (now {max_tokens})"
            )
        sentences.append(np.array(ids, dtype=np.int32))
        words.append(len(line.text.split()))
    begins = np.cumsum([0, *map(len, sentences)])
    tokens = np.concatenate([np.empty(0, dtype=np.int32), *sentences])
    return TokenText(tokens, begins, np.array(words))


def sentences_of_epoch(
    lengths: NDArray[np.int64], epoch_tokens: int, seed: int, epoch: int
) -> NDArray[np.int64]:
    """Indices of the sentences of an epoch.

    The text is divided at random into parts of about ``epoch_tokens`` tokens, one for each epoch,
    and anew when all were used.

    Args:
        lengths: tokens of each sentence.
        epoch_tokens: of an epoch; 0 for the whole text.
        seed: of the run.
        epoch: from 0.
    """
    parts = round(int(lengths.sum()) / epoch_tokens) if epoch_tokens else 1
    parts = min(max(parts, 1), len(lengths))
    order = np.random.default_rng((seed, epoch // parts)).permutation(len(lengths))
    return order[epoch % parts :: parts]


class TokenBatch(NamedTuple):
    """Padded sentences.

    Attributes:
        inputs: (B, U) from the start of the sentence on.
        targets: (B, U) the tokens that follow, up to the end.
        words: in all sentences.
    """

    inputs: Tensor
    targets: Tensor
    words: int


class TokenBatches(torch.utils.data.Dataset[TokenBatch]):
    """Given batches of a text; item ``i`` is the whole ``i``-th batch."""

    def __init__(self, text: TokenText, batches: Sequence[NDArray[np.int64]]) -> None:
        self.text = text
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> TokenBatch:
        """Pad the sentences of one batch."""
        chosen = self.batches[index]
        inputs, targets = padded([self.text.sentence(int(i)) for i in chosen])
        return TokenBatch(inputs, targets, int(self.text.words[chosen].sum()))


class LmData(pl.LightningDataModule):
    """Training and validation batches.

    Args:
        train: training text.
        dev: validation text.
        config: how batches are made.
        seed: of the run.
    """

    def __init__(self, train: TokenText, dev: TokenText, config: TextConfig, seed: int) -> None:
        super().__init__()
        self.train = train
        self.dev = dev
        self.config = config
        self.seed = seed

    def plan(self, epoch: int, world_size: int = 1) -> list[NDArray[np.int64]]:
        """The sentences of all batches of an epoch, of all processes.

        Raises:
            InputError: there are fewer sentences than processes.
        """
        lengths = self.train.lengths
        chosen = sentences_of_epoch(lengths, self.config.epoch_tokens, self.seed, epoch)
        batches = self._batches(chosen, lengths, (self.seed, epoch, 1), world_size)
        if not batches:
            raise InputError(
                f"{len(chosen)} sentences in an epoch are too few for {world_size} processes; "
                "lower trainer.devices, or raise data.epoch_tokens"
            )
        return batches

    def _batches(
        self,
        chosen: NDArray[np.int64],
        lengths: NDArray[np.int64],
        seed: tuple[int, ...] | None,
        world_size: int = 1,
    ) -> list[NDArray[np.int64]]:
        planned = plan_batches(lengths[chosen].tolist(), self.config.batch_tokens, seed, world_size)
        return [chosen[batch] for batch in planned]

    def train_dataloader(self) -> ResumableLoader:
        """Batches of this process in the current epoch."""
        trainer = self.trainer
        assert trainer is not None
        batches = self.plan(trainer.current_epoch, trainer.world_size)
        plan = plan_digest((batch.tolist() for batch in batches), trainer.world_size)
        return _loader(self.train, batches[trainer.global_rank :: trainer.world_size], plan)

    def val_dataloader(self) -> ResumableLoader:
        """Validation sentences of this process."""
        trainer = self.trainer
        assert trainer is not None
        mine = np.arange(trainer.global_rank, len(self.dev), trainer.world_size)
        return _loader(self.dev, self._batches(mine, self.dev.lengths, None))

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs beyond the configuration."""
        return {"fingerprint": self.train.digest()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Make sure that the training text is the one of before.

        Raises:
            InputError: it is not.
        """
        if state_dict["fingerprint"] != self.train.digest():
            raise InputError(TEXT_CHANGED)


def _loader(
    text: TokenText, batches: Sequence[NDArray[np.int64]], plan: str | None = None
) -> ResumableLoader:
    # the loader does not look into batches
    dataset = cast(torch.utils.data.Dataset[Any], TokenBatches(text, batches))
    return ResumableLoader(dataset, len(batches), workers=0, plan=plan)
