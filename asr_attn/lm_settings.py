"""The settings of a training run of a language model: what ``conf/lm.yaml`` may say."""

from dataclasses import asdict, dataclass, field
from typing import Any

from asr_attn.limits import check_numbers
from asr_attn.lm.neural import LstmLmConfig, NeuralLmConfig
from asr_attn.settings import AdamWConfig, LoggerConfig, ScheduleConfig, TrainerConfig
from asr_attn.text.normalizer import NormalizerConfig


@dataclass(frozen=True)
class TextConfig:
    """Which text is used, and how it becomes batches."""

    train: str | None = None
    """Text to train on: one sentence a line, or a manifest (.jsonl); may be .gz or .xz."""
    also_train: tuple[str, ...] = ()
    """Further texts to train on."""
    dev: str | None = None
    """Text to choose the best model by."""
    max_tokens: int = 2000
    """A longer sentence is an error, never silently left out."""
    batch_tokens: int = 2000
    """Tokens per batch and process, padding included; more is faster on a GPU."""
    epoch_tokens: int = 1_000_000
    """About how many tokens an epoch has. A longer text is divided at random, and each epoch trains
    on the next part; after the last part it is divided anew. 0 takes the whole text."""

    def __post_init__(self) -> None:
        if min(self.max_tokens, self.batch_tokens) < 1 or self.epoch_tokens < 0:
            raise ValueError(
                "data needs max_tokens >= 1, batch_tokens >= 1 and epoch_tokens >= 0, not "
                f"max_tokens={self.max_tokens}, batch_tokens={self.batch_tokens}, "
                f"epoch_tokens={self.epoch_tokens}"
            )


@dataclass(frozen=True)
class LmTokenizerConfig:
    """What the model predicts, and how texts are brought to one form first."""

    of: str | None = None
    """Recogniser (model file, or folder of a run) whose tokens and normaliser to use; without one,
    the tokens are the characters of the training text."""
    normalizer: NormalizerConfig = field(default_factory=NormalizerConfig)
    """Form of the texts."""


@dataclass(frozen=True)
class LmCallbacksConfig:
    """What happens beside the training itself."""

    patience: int = 5
    """Validations without a better perplexity after which training stops early; 0 never stops."""
    save_minutes: float = 5.0
    """Minutes between two saves of the state to resume from; each epoch's end saves too."""

    def __post_init__(self) -> None:
        if self.patience < 0 or self.save_minutes <= 0:
            raise ValueError("callbacks needs patience >= 0 and save_minutes > 0")


@dataclass(frozen=True)
class LmRunConfig:
    """All settings of a training run of a language model.

    ``optimizer`` is kept as plain data: Hydra builds what its ``_target_`` names.
    """

    task: str = "lm"
    """Tells these settings from those of a recogniser."""
    seed: int = 0
    """Of everything random; the same seed on the same machine gives the same model."""
    run_dir: str = "runs/lm"
    """Folder of the run."""
    resume: str | None = None
    """Folder of a run to go on with."""
    data: TextConfig = field(default_factory=TextConfig)
    tokenizer: LmTokenizerConfig = field(default_factory=LmTokenizerConfig)
    model: NeuralLmConfig = field(default_factory=LstmLmConfig)
    optimizer: Any = field(default_factory=lambda: asdict(AdamWConfig()))
    scheduler: ScheduleConfig = field(default_factory=ScheduleConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    callbacks: LmCallbacksConfig = field(default_factory=LmCallbacksConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)

    def __post_init__(self) -> None:
        if self.task != "lm":
            raise ValueError(f"task={self.task!r} is not lm")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be from 0 to 2**32 - 1, not {self.seed}")
        check_numbers(asdict(self))
