"""The two networks that `speechbrain_training.py` compares, and their losses."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.audio.features import FeaturesConfig
from asr_attn.models.asr import AsrModel, ModelConfig
from asr_attn.models.decoders import LstmDecoderConfig
from asr_attn.models.encoders import ListenerConfig
from asr_attn.nn.attention import SoftAttentionConfig
from asr_attn.text.tokenizer import BLANK, EOS
from asr_attn.training.loss import attention_loss, ctc_loss, targets_of

try:
    from speechbrain.augment.augmenter import Augmenter
    from speechbrain.augment.freq_domain import SpectrogramDrop
    from speechbrain.lobes.features import Fbank
    from speechbrain.nnet import losses
    from speechbrain.nnet.activations import Softmax
    from speechbrain.nnet.CNN import Conv1d
    from speechbrain.nnet.embedding import Embedding
    from speechbrain.nnet.linear import Linear
    from speechbrain.nnet.normalization import LayerNorm
    from speechbrain.nnet.RNN import LSTM, AttentionalRNNDecoder
    from speechbrain.processing.features import InputNormalization
except ImportError:
    sys.exit("this benchmark compares with SpeechBrain; pip install speechbrain==1.1.2")

RATE, MELS, VOCABULARY = 16000, 80, 300
MEMORY, HIDDEN, EMBEDDING, CHANNELS, KERNEL = 256, 320, 64, 16, 31
CONVOLUTION, STRIDE, LAYERS = 5, 3, 3
CTC_WEIGHT, SMOOTHING = 0.3, 0.1
DROPOUT, DECODER_DROPOUT = 0.1, 0.2


@dataclass(frozen=True)
class Examples:
    """A batch.

    Attributes:
        waveforms: (B, samples), zero where padded.
        lengths: (B,) samples.
        tokens: B sequences of ids.
    """

    waveforms: Tensor
    lengths: Tensor
    tokens: list[list[int]]

    @property
    def seconds(self) -> float:
        """Seconds of audio, without padding."""
        return float(self.lengths.sum()) / RATE


class Ours(nn.Module):
    """Our model, its losses put together as in training.

    Args:
        batches: the feature statistics are those of these.
    """

    def __init__(self, batches: Sequence[Examples]) -> None:
        super().__init__()
        listener = ListenerConfig(
            hidden_size=MEMORY,
            kernel_size=CONVOLUTION,
            stride=STRIDE,
            recurrent_layers=LAYERS,
            attention_layers=0,
            dropout=DROPOUT,
        )
        attention = SoftAttentionConfig(size=MEMORY, channels=CHANNELS, kernel_size=KERNEL)
        decoder = LstmDecoderConfig(
            hidden_size=HIDDEN, embedding_size=EMBEDDING, dropout=DECODER_DROPOUT
        )
        features = FeaturesConfig(sample_rate=RATE, n_mels=MELS)
        self.network = AsrModel(features, ModelConfig(listener, attention, decoder), VOCABULARY)
        self.network.features.fit([(batch.waveforms, batch.lengths) for batch in batches])
        self.augmentation = AugmentationConfig()

    def forward(self, batch: Examples) -> Tensor:
        """The joint loss."""
        memory, steps = self.network.encode(batch.waveforms, batch.lengths, self.augmentation)
        ctc = ctc_loss(self.network.ctc_log_probs(memory), steps, batch.tokens)
        inputs, targets = targets_of(batch.tokens, memory.device)
        output = self.network.speller(memory, steps, inputs)
        attention = attention_loss(output.logits, targets, SMOOTHING)
        return CTC_WEIGHT * ctc + (1.0 - CTC_WEIGHT) * attention


class SpeechBrain(nn.Module):
    """The same network of SpeechBrain's modules, its losses put together as in its recipe."""

    def __init__(self) -> None:
        super().__init__()
        self.features = Fbank(sample_rate=RATE, n_fft=400, n_mels=MELS)
        self.normalize = InputNormalization(norm_type="global")
        masks = [SpectrogramDrop(dim=1), SpectrogramDrop(dim=2)]
        self.augment = Augmenter(min_augmentations=2, max_augmentations=2, augmentations=masks)
        self.convolution = Conv1d(
            MEMORY, CONVOLUTION, input_shape=(None, None, MELS), stride=STRIDE
        )
        self.activation = nn.LeakyReLU()
        sizes = [MEMORY, 2 * MEMORY] + [MEMORY] * (LAYERS - 2)
        self.layers = nn.ModuleList(
            LSTM(MEMORY // 2, input_size=size, bidirectional=True) for size in sizes
        )
        self.norms = nn.ModuleList(LayerNorm(input_size=MEMORY) for _ in sizes)
        self.dropout = nn.Dropout(DROPOUT)
        self.embedding = Embedding(num_embeddings=VOCABULARY, embedding_dim=EMBEDDING)
        self.decoder = AttentionalRNNDecoder(
            "lstm",
            "location",
            HIDDEN,
            MEMORY,
            1,
            enc_dim=MEMORY,
            input_size=EMBEDDING,
            channels=CHANNELS,
            kernel_size=KERNEL // 2,
            dropout=DECODER_DROPOUT,
        )
        self.ctc = Linear(input_size=MEMORY, n_neurons=VOCABULARY)
        self.output = Linear(input_size=HIDDEN, n_neurons=VOCABULARY)
        self.log_softmax = Softmax(apply_log=True)

    def forward(self, batch: Examples) -> Tensor:
        """The joint loss."""
        shares = batch.lengths / batch.waveforms.size(1)
        with torch.no_grad():
            x = self.normalize(self.features(batch.waveforms), shares)
            x, _ = self.augment(x, shares)
        x = self.activation(self.convolution(x))
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            if i == 1:
                x = x[:, : x.size(1) // 2 * 2].reshape(x.size(0), -1, 2 * x.size(2))
            x = self.dropout(norm(layer(x)[0]))
        inputs, _ = padded([[EOS, *row] for row in batch.tokens])
        hidden, _ = self.decoder(self.embedding(inputs), x, shares)
        targets, ends = padded([[*row, EOS] for row in batch.tokens])
        log_probs = self.log_softmax(self.output(hidden))
        attention = losses.nll_loss(log_probs, targets, ends, label_smoothing=SMOOTHING)
        tokens, parts = padded(batch.tokens)
        paths = self.log_softmax(self.ctc(x))
        ctc = losses.ctc_loss(paths, tokens, shares, parts, blank_index=BLANK)
        loss: Tensor = CTC_WEIGHT * ctc + (1.0 - CTC_WEIGHT) * attention
        return loss


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Sequences as SpeechBrain has them: ids (B, U), and lengths (B,) as shares of U."""
    ids = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    return ids, torch.tensor([len(row) / ids.size(1) for row in rows])
