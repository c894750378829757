"""The settings of a run, as plain dataclasses: what ``conf/`` may say and what it means."""

from dataclasses import asdict, dataclass, field
from typing import Any

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.audio.features import FeaturesConfig
from asr_attn.data.digits import DigitsConfig
from asr_attn.data.planning import LoadingConfig
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.limits import check_numbers
from asr_attn.models.asr import ModelConfig
from asr_attn.text.build import TokenizerConfig


@dataclass(frozen=True)
class DataConfig:
    """Which speech is used, and how it becomes batches."""

    name: str = "speech"
    """Names the run folder."""
    folder: str | None = None
    """Folder of a recipe's or the synthetic set's manifests."""
    train: str | None = None
    """Manifest to train on."""
    also_train: tuple[str, ...] = ()
    """Further manifests to train on."""
    least_confidence: float = 0.0
    """Training utterances that a recogniser wrote down with less confidence are left out, for
    learning from its own transcripts: what asr-attn transcribe writes is a manifest."""
    dev: str | None = None
    """Manifest to choose the best model by."""
    test: str | None = None
    """Manifest to report on at the end of the training; none when not given."""
    hint: str | None = None
    """What to do when a manifest is missing."""
    sample_rate: int = 16000
    """Samples per second the model works at; audio is resampled to it."""
    max_duration: float = 30.0
    """Seconds; a longer training utterance is an error, never silently left out."""
    loading: LoadingConfig = field(default_factory=LoadingConfig)
    """How utterances become batches."""
    digits: DigitsConfig | None = None
    """Make this synthetic set in ``folder`` first."""

    def __post_init__(self) -> None:
        if not 0 <= self.least_confidence <= 1:
            raise ValueError(f"data.least_confidence is from 0 to 1, not {self.least_confidence}")


GUIDES = ("diagonal", "ctc")


@dataclass(frozen=True)
class TrainingConfig:
    """What is learnt, and when."""

    ctc_weight: float = 0.3
    """Share of the CTC loss in the joint loss."""
    ctc_warmup: float = 0.1
    """Share of the training that learns by CTC alone, before attention joins."""
    intermediate_ctc: float = 0.0
    """Share of the CTC loss that is measured at a layer in the middle of the encoder, by the same
    CTC head (Lee and Watanabe 2021, who set 0.3)."""
    intermediate_layer: int = 0
    """Number of that layer, the lowest being 1; 0 takes the one in the middle."""
    ctc_consistency: float = 0.0
    """Weight of a loss, relative to CTC's, on how differently CTC hears two views of an utterance
    that are varied and masked each in its own way (CR-CTC, Yao et al. 2025, who set 0.2). An epoch
    then costs twice; attention learns from one of the views."""
    align_at: tuple[float, ...] = ()
    """Shares of the training after which words are located by CTC, so that utterances can be cut
    between them (for data.loading.curriculum and data.loading.mixing)."""
    guided_attention: float = 1.0
    """Weight of a loss on attention that is elsewhere than ``guided_by`` says; it falls to 0 by
    ``guided_until``."""
    guided_by: str = "diagonal"
    """Where attention is led: to the ``diagonal``, or to where ``ctc`` hears each token, which is
    exact but asks for a CTC that has learnt something (``ctc_warmup``)."""
    guided_until: float = 0.5
    """Share of attention's own training, which follows ``ctc_warmup``, after which it is not guided
    any more."""
    monotonicity: float = 0.0
    """Weight of a loss on attention that moves back."""
    score_function: float = 0.1
    """Weight of the policy gradient of hard attention (attention.draw=score_function)."""
    label_smoothing: float = 0.05
    """Share of the target probability spread over all tokens."""
    scheduled_sampling: float = 0.1
    """Greatest probability that the decoder reads its own draw instead of the given token; it
    rises to that from the end of the CTC warm-up to the end of the training."""
    ema: float = 0.0
    """Decay of a moving average of the weights, such as 0.999 per optimizer step, which is
    validated and kept in place of the weights themselves; 0 keeps none."""

    def __post_init__(self) -> None:
        shares = (
            "ctc_weight",
            "ctc_warmup",
            "intermediate_ctc",
            "guided_until",
            "label_smoothing",
            "scheduled_sampling",
        )
        for name in shares:
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"training.{name} is a share from 0 to 1, not {value}")
        for name in ("ctc_consistency", "guided_attention", "monotonicity", "score_function"):
            if getattr(self, name) < 0:
                raise ValueError(f"training.{name} must not be negative: {getattr(self, name)}")
        if self.guided_by not in GUIDES:
            raise ValueError(
                f"training.guided_by={self.guided_by!r} is not one of {', '.join(GUIDES)}"
            )
        if self.ctc_warmup == 1 or self.ctc_weight == 1:
            raise ValueError(
                "training.ctc_warmup and training.ctc_weight must be below 1: at 1 attention "
                "learns nothing"
            )
        self._check_ctc()
        if self.intermediate_layer < 0:
            raise ValueError(
                f"training.intermediate_layer starts at 0, not {self.intermediate_layer}"
            )
        if not 0 <= self.ema < 1:
            raise ValueError(f"training.ema is a decay from 0 to below 1, not {self.ema}")
        if any(not 0 < share < 1 for share in self.align_at):
            raise ValueError(f"training.align_at has shares between 0 and 1, not {self.align_at}")

    def _check_ctc(self) -> None:
        uses = {
            "ctc_warmup": self.ctc_warmup,
            "intermediate_ctc": self.intermediate_ctc,
            "ctc_consistency": self.ctc_consistency,
            "align_at": self.align_at,
            "guided_by=ctc": self.guided_attention and self.guided_by == "ctc",
        }
        if self.ctc_weight == 0 and any(uses.values()):
            used = ", ".join(f"training.{name}" for name, value in uses.items() if value)
            raise ValueError(f"training.ctc_weight=0 switches CTC off, but it is used by {used}")


MONITORS = ("auto", "wer", "cer")
STARTS = ("model", "encoder")
DECAYS = ("constant", "linear", "cosine", "inverse_sqrt")


@dataclass(frozen=True)
class ScheduleConfig:
    """Warm-up and decay of the learning rate."""

    warmup_steps: int = 100
    """Steps in which the rate rises from 0 to its peak."""
    decay: str = "cosine"
    """How it falls afterwards: constant, linear, cosine or inverse_sqrt."""
    hold: float = 0.3
    """Share of the training during which it stays at the peak (linear and cosine)."""
    final: float = 0.02
    """Where linear and cosine decay end, as a share of the peak."""

    def __post_init__(self) -> None:
        if self.decay not in DECAYS:
            raise ValueError(f"scheduler.decay={self.decay!r} is not one of {', '.join(DECAYS)}")
        if self.warmup_steps < 0 or not 0 <= self.hold < 1 or not 0 <= self.final <= 1:
            raise ValueError(
                "scheduler needs warmup_steps >= 0, 0 <= hold < 1 and 0 <= final <= 1, not "
                f"warmup_steps={self.warmup_steps}, hold={self.hold}, final={self.final}"
            )


@dataclass(frozen=True)
class CallbacksConfig:
    """What happens beside the training itself."""

    keep_best: int = 5
    """How many of the best models are kept, and averaged at the end."""
    monitor: str = "auto"
    """What the best models and patience go by: word error rate (wer) or character error rate (cer)
    on the validation set; auto is cer where texts have no spaces between words, as in Chinese,
    Japanese or Thai, and else wer."""
    patience: int = 0
    """Validations without a better error rate after which training stops early; 0 never stops. They
    are counted from the end of the curriculum on."""
    save_minutes: float = 5.0
    """Minutes between two saves of the state to resume from; each epoch's end saves too."""
    skips_in_a_row: int = 5
    """Steps in a row, skipped since loss or gradient were not finite, after which the run stops."""
    pictures: int = 3
    """Validation utterances whose attention is drawn at each validation. The figures of attention
    are made of at least 8."""

    def __post_init__(self) -> None:
        if self.keep_best < 1 or self.patience < 0 or self.save_minutes <= 0 or self.pictures < 0:
            raise ValueError(
                "callbacks needs keep_best >= 1, patience >= 0, save_minutes > 0, pictures >= 0"
            )
        if self.monitor not in MONITORS:
            raise ValueError(
                f"callbacks.monitor={self.monitor!r} is not one of {', '.join(MONITORS)}"
            )
        if self.skips_in_a_row < 1:
            raise ValueError(
                f"callbacks.skips_in_a_row must be at least 1, not {self.skips_in_a_row}"
            )


@dataclass(frozen=True)
class TrainerConfig:
    """Arguments of Lightning's Trainer."""

    max_epochs: int = 30
    """Epochs of training."""
    precision: str = "auto"
    """32-true, bf16-mixed, or auto: bf16-mixed where it is faster."""
    accelerator: str = "auto"
    """cpu, gpu, mps or auto."""
    devices: int = 1
    """Processes per machine; on a CPU each is one more process."""
    num_nodes: int = 1
    """Machines."""
    strategy: str = "auto"
    """Lightning's name of how devices work together, such as ddp."""
    gradient_clip_val: float = 5.0
    """Greatest norm of the gradient."""
    accumulate_grad_batches: int = 1
    """Batches per optimizer step."""
    check_val_every_n_epoch: int = 1
    """Epochs from one validation to the next."""
    log_every_n_steps: int = 10
    """Steps from one logged loss to the next."""
    max_time: str | None = None
    """Longest training, DD:HH:MM:SS."""
    threads: int = 0
    """Threads of computation per process; 0 leaves torch's default."""

    def __post_init__(self) -> None:
        if self.max_epochs < 1 or self.check_val_every_n_epoch < 1:
            raise ValueError("trainer.max_epochs and trainer.check_val_every_n_epoch start at 1")
        if self.precision not in ("auto", "32-true", "bf16-mixed"):
            raise ValueError(
                f"trainer.precision={self.precision!r} is not one of auto, 32-true, bf16-mixed"
            )
        if any(name in self.strategy for name in ("fsdp", "deepspeed", "model_parallel")):
            raise ValueError(
                f"trainer.strategy={self.strategy} shares one model out over the devices; these "
                "models are small enough to be on each of them: use trainer.strategy=ddp"
            )
        if min(self.devices, self.num_nodes, self.accumulate_grad_batches) < 1:
            raise ValueError(
                "trainer.devices, num_nodes and accumulate_grad_batches must be at least 1"
            )
        if self.threads < 0 or self.gradient_clip_val < 0 or self.log_every_n_steps < 1:
            raise ValueError(
                "trainer.threads and gradient_clip_val start at 0, log_every_n_steps at 1"
            )
        if self.max_epochs % self.check_val_every_n_epoch:
            raise ValueError(
                f"trainer.max_epochs={self.max_epochs} must be a multiple of trainer."
                f"check_val_every_n_epoch={self.check_val_every_n_epoch}, so that the last epoch "
                "is validated"
            )


@dataclass(frozen=True)
class LoggerConfig:
    """Where figures are logged, in the run folder."""

    csv: bool = True
    """metrics.csv"""
    tensorboard: bool = True
    """For `tensorboard --logdir runs`."""
    mlflow: str | None = None
    """Address of an MLflow server, or a database as in sqlite:///mlruns.db; needs the package
    mlflow."""
    wandb: str | None = None
    """Project of Weights & Biases; needs the package wandb."""


@dataclass(frozen=True)
class OptimizerConfig:
    """A third-party optimizer, built by Hydra."""

    _target_: str
    lr: float = 1e-3
    """Peak learning rate."""


@dataclass(frozen=True)
class AdamWConfig(OptimizerConfig):
    """AdamW (Loshchilov and Hutter 2019)."""

    _target_: str = "torch.optim.AdamW"
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    weight_decay: float = 0.01
    fused: bool = True
    """One kernel for all parameters; fast on CPU and GPU."""


@dataclass(frozen=True)
class RunConfig:
    """All settings of a training run.

    ``optimizer`` is kept as plain data: Hydra builds what its ``_target_`` names.
    """

    seed: int = 0
    """Of everything random; the same seed on the same machine gives the same model."""
    run_dir: str = "runs/run"
    """Folder of the run."""
    resume: str | None = None
    """Folder of a run to go on with."""
    start_from: str | None = None
    """Model file, or folder of a run, whose weights to start from (fine-tuning). Features, model
    and tokenizer are those of that model; of its settings, those of model.* count that the command
    line names, such as model.encoder.dropout, as far as its weights fit them."""
    start_with: str = "model"
    """What is taken of the model that start_from names: all of it (model), or what hears (encoder):
    features, encoder, and the CTC head if the tokens are the same. Tokenizer, attention and decoder
    are then those of this run, and new: for another language, or other words."""
    data: DataConfig = field(default_factory=DataConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    optimizer: Any = field(default_factory=lambda: asdict(AdamWConfig()))
    scheduler: ScheduleConfig = field(default_factory=ScheduleConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    callbacks: CallbacksConfig = field(default_factory=CallbacksConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be from 0 to 2**32 - 1, not {self.seed}")
        if self.start_with not in STARTS:
            raise ValueError(f"start_with={self.start_with!r} is not one of {', '.join(STARTS)}")
        if self.start_with == "encoder" and self.start_from is None:
            raise ValueError("start_with=encoder takes it of a model; name one by start_from")
        if self.features.sample_rate != self.data.sample_rate:
            raise ValueError(
                f"features.sample_rate={self.features.sample_rate} and data.sample_rate="
                f"{self.data.sample_rate} must be the same; set data.sample_rate alone"
            )
        check_numbers(asdict(self))
