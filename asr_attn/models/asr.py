"""The recogniser's network: waveforms in, memory and token distributions out."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import cast

from torch import Tensor, nn

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.audio.feature_augmentation import perturb_features
from asr_attn.audio.features import FeaturesConfig, LogMel
from asr_attn.models.decoders import DECODERS, Decoder, DecoderConfig, LstmDecoderConfig
from asr_attn.models.decoders.lstm import LstmDecoder
from asr_attn.models.decoders.transformer import TransformerDecoderConfig, check_attention
from asr_attn.models.encoders import ENCODERS, Encoder, EncoderConfig, ListenerConfig
from asr_attn.models.encoders.interface import Memory
from asr_attn.nn.attention import AttentionConfig, SoftAttentionConfig


@dataclass(frozen=True)
class ModelConfig:
    """Parts of the network and their sizes."""

    encoder: EncoderConfig = field(default_factory=ListenerConfig)
    attention: AttentionConfig = field(default_factory=SoftAttentionConfig)
    decoder: DecoderConfig = field(default_factory=LstmDecoderConfig)

    def __post_init__(self) -> None:
        if isinstance(self.decoder, TransformerDecoderConfig):
            check_attention(self.attention, self.decoder)


class AsrModel(nn.Module):
    """Listen, attend and spell, with a CTC head on the listener.

    Args:
        features: settings of the log-mel features.
        config: parts and sizes.
        vocabulary_size: V, the same for the decoder and the CTC head.
    """

    def __init__(self, features: FeaturesConfig, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.features = LogMel(features)
        encoder_class, _ = ENCODERS[config.encoder.name]
        self.encoder = encoder_class(features.n_mels, config.encoder)
        memory_size = cast(int, self.encoder.output_size)
        decoder_class, _ = DECODERS[config.decoder.name]
        self.decoder = decoder_class(vocabulary_size, memory_size, config.attention, config.decoder)
        self.ctc = nn.Linear(memory_size, vocabulary_size)

    @property
    def speller(self) -> Decoder:
        """The decoder under the interface that search knows."""
        return cast(Decoder, self.decoder)

    def encode(
        self, waveforms: Tensor, lengths: Tensor, augmentation: AugmentationConfig | None = None
    ) -> tuple[Tensor, Tensor]:
        """Turn waveforms into memory.

        Args:
            waveforms: (B, samples) at the features' sample rate, zero where padded.
            lengths: (B,) samples of each.
            augmentation: how to vary the features; not at all when not given.

        Returns:
            memory (B, S, D), float32, zero where padded, and lengths (B,) in memory steps.
        """
        return self.encode_layers(waveforms, lengths, (), augmentation)[-1]

    def encode_layers(
        self,
        waveforms: Tensor,
        lengths: Tensor,
        layers: Collection[int],
        augmentation: AugmentationConfig | None = None,
        views: int = 1,
    ) -> list[Memory]:
        """Turn waveforms into memory, and show what some layers of the encoder make of them.

        Args:
            waveforms: (B, samples) at the features' sample rate, zero where padded.
            lengths: (B,) samples of each.
            layers: numbers of layers of the encoder, the lowest being 1.
            augmentation: how to vary the features; not at all when not given.
            views: how often each utterance is varied, B becoming B * views: all utterances, then
                all of them again.

        Returns:
            The outputs of these layers and then the memory, each as ``encode`` gives it. The CTC
            head takes all of them.
        """
        features, frames = self.features(waveforms, lengths)
        if augmentation is not None:
            centres = self.features.centres
            features = perturb_features(features, frames, centres, augmentation, views)
            frames = frames.repeat(views)
        if layers:
            found = cast(Encoder, self.encoder).outputs(features, frames, layers)
        else:
            found = [self.encoder(features, frames)]
        return [(memory.float(), steps) for memory, steps in found]

    def ctc_log_probs(self, memory: Tensor) -> Tensor:
        """CTC log-probabilities (B, S, V), float32, of memory (B, S, D)."""
        logits: Tensor = self.ctc(memory)
        return logits.float().log_softmax(dim=-1)

    def begin_attention(self) -> list[nn.Parameter]:
        """Give the decoder what the CTC head has learnt, where it has a use for that.

        Returns:
            The weights that were set.
        """
        return self.decoder.begin_with(self.ctc) if isinstance(self.decoder, LstmDecoder) else []

    @property
    def seconds_per_step(self) -> float:
        """Seconds of audio that one memory step stands for."""
        config = self.features.config
        return self.reduction * config.hop_length / config.sample_rate

    @property
    def reduction(self) -> int:
        """Feature frames per memory step."""
        return cast(int, self.encoder.reduction)

    @property
    def encoder_depth(self) -> int:
        """Layers of the encoder."""
        return cast(int, self.encoder.depth)

    def parameter_count(self) -> int:
        """Number of trained numbers."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)
