"""The two systems of SpeechBrain's LibriSpeech recipes, as `speechbrain_baseline.py` trains them.

Made of SpeechBrain's own modules, losses, schedules and searches, with the settings of
`recipes/LibriSpeech/ASR/seq2seq/hparams/train_BPE_1000.yaml` (`Crdnn`) and of
`recipes/LibriSpeech/ASR/transformer/hparams/` (`Transformer`: a Transformer with the training of
`conformer_large.yaml`). What differs from them, and why:

- Widths are scaled down to about 4 M parameters, depths are kept.
- What they count in epochs or steps of 960 hours (CTC for 5 of 15 epochs, NewBob after each of 15
  epochs, warm-up for 30,000 steps) is counted in shares of the time that is given.
- Speed is varied by 10 % and not by 5 %, and one utterance at a time.
- `Crdnn` gets no recorded noise (its recipe downloads it), and no unvaried copy of every batch,
  which would halve the number of batches.
- `Transformer` is updated after two batches: with as many utterances as its recipe has in each
  update, more than 128, five hours would be eleven updates.
- `Crdnn` is validated by greedy search, not by a beam of 80, so that its time is spent on training,
  and its beam search goes without the penalty on coverage.
- No language model, in the search neither.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from speechbrain.augment.augmenter import Augmenter
from speechbrain.augment.freq_domain import SpectrogramDrop, Warping
from speechbrain.augment.time_domain import DropChunk, DropFreq
from speechbrain.decoders.scorer import CTCScorer, ScorerBuilder
from speechbrain.decoders.seq2seq import (
    S2SRNNBeamSearcher,
    S2SRNNGreedySearcher,
    S2STransformerBeamSearcher,
    S2STransformerGreedySearcher,
)
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
from speechbrain.lobes.models.CRDNN import CRDNN
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from speechbrain.nnet.embedding import Embedding
from speechbrain.nnet.linear import Linear
from speechbrain.nnet.losses import kldiv_loss, nll_loss
from speechbrain.nnet.RNN import LSTM, AttentionalRNNDecoder
from speechbrain.nnet.schedulers import NewBobScheduler, NoamScheduler, update_learning_rate
from speechbrain.processing.features import InputNormalization
from speechbrain_interface import BLANK, RATE, Padded, System  # type: ignore[import-not-found]
from torch import Tensor, nn

SMOOTHING = 0.1


class Crdnn(System):  # type: ignore[misc]
    """Convolution, bidirectional LSTM, feed-forward; location-aware attention; GRU.

    Args:
        vocabulary: V; 0 is blank, unknown, start and end, as in the recipe.
    """

    bos, eos = 0, 0
    shuffled, accumulate, kept, search_every, chosen_by, beam = False, 1, 1, 1, "wer", 80
    epochs, ctc_epochs, ctc_weight = 15, 5, 0.5

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        dropout, width = 0.15, 256
        self.features = Fbank(sample_rate=RATE, n_fft=400, n_mels=40)
        self.normalize = InputNormalization(norm_type="global")
        drop_freq = DropFreq(
            drop_freq_low=0,
            drop_freq_high=1,
            drop_freq_count_low=1,
            drop_freq_count_high=3,
            drop_freq_width=0.05,
        )
        drop_chunk = DropChunk(
            drop_length_low=1000, drop_length_high=2000, drop_count_low=1, drop_count_high=5
        )
        self.augment = Augmenter(
            min_augmentations=2, max_augmentations=2, augmentations=[drop_freq, drop_chunk]
        )
        self.encoder = CRDNN(
            input_shape=[None, None, 40],
            activation=nn.LeakyReLU,
            dropout=dropout,
            cnn_blocks=2,
            cnn_channels=(32, 64),
            cnn_kernelsize=(3, 3),
            inter_layer_pooling_size=(2, 2),
            time_pooling=True,
            using_2d_pooling=False,
            time_pooling_size=4,
            rnn_class=LSTM,
            rnn_layers=4,
            rnn_neurons=152,
            rnn_bidirectional=True,
            rnn_re_init=True,
            dnn_blocks=2,
            dnn_neurons=width,
        )
        self.embedding = Embedding(num_embeddings=vocabulary, embedding_dim=128)
        self.decoder = AttentionalRNNDecoder(
            enc_dim=width,
            input_size=128,
            rnn_type="gru",
            attn_type="location",
            hidden_size=width,
            attn_dim=width,
            num_layers=1,
            scaling=1.0,
            channels=10,
            kernel_size=100,
            re_init=True,
            dropout=dropout,
        )
        self.ctc = Linear(input_size=width, n_neurons=vocabulary)
        self.output = Linear(input_size=width, n_neurons=vocabulary)
        self.annealing = NewBobScheduler(
            initial_value=1.0, improvement_threshold=0.0025, annealing_factor=0.8, patient=0
        )

    def make_optimizer(self) -> torch.optim.Optimizer:
        """As published."""
        return torch.optim.Adadelta(self.parameters(), lr=1.0, rho=0.95, eps=1e-8)

    def after_epoch(self, optimizer: torch.optim.Optimizer, share: float, wer: float) -> None:
        """NewBob, when another 15th of the time is over."""
        if share * self.epochs >= len(self.annealing.metric_values) + 1:
            _, rate = self.annealing(wer)
            update_learning_rate(optimizer, rate)

    def state(self) -> dict[str, Any]:
        """See ``System.state``."""
        annealing = {
            name: getattr(self.annealing, name)
            for name in ("hyperparam_value", "metric_values", "current_patient")
        }
        return {**super().state(), "annealing": annealing}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """See ``System.load_state``."""
        super().load_state(state)
        vars(self.annealing).update(state["annealing"])

    def _encode(self, waves: Padded) -> Tensor:
        with torch.no_grad():
            features = self.normalize(self.features(waves.data), waves.shares)
        memory: Tensor = self.encoder(features)
        return memory

    encode = _encode

    def losses(self, waves: Padded, tokens: Sequence[Sequence[int]], share: float) -> Tensor:
        """See ``System.losses``."""
        waves = Padded(*self.augment(waves.data, waves.shares))
        memory = self._encode(waves)
        targets = self.targets(tokens)
        log_probs = self.log_probs(memory, waves, tokens)
        loss: Tensor = nll_loss(log_probs, targets.data, targets.shares, label_smoothing=SMOOTHING)
        if share < self.ctc_epochs / self.epochs:
            ctc = self._ctc_loss(memory, waves, tokens, "mean")
            loss = self.ctc_weight * ctc + (1.0 - self.ctc_weight) * loss
        return loss

    def log_probs(self, memory: Tensor, waves: Padded, tokens: Sequence[Sequence[int]]) -> Tensor:
        """See ``System.log_probs``."""
        embedded = self.embedding(self.inputs(tokens).data)
        hidden, _ = self.decoder(embedded, memory, waves.shares)
        return torch.log_softmax(self.output(hidden), dim=-1)

    def searcher(self, beam: int | None, ratio: float = 1.0) -> Any:
        """See ``System.searcher``; the beam search is the one without a language model."""
        common = {
            "embedding": self.embedding,
            "decoder": self.decoder,
            "linear": self.output,
            "bos_index": self.bos,
            "eos_index": self.eos,
            "min_decode_ratio": 0.0,
            "max_decode_ratio": ratio,
        }
        if beam is None:
            return S2SRNNGreedySearcher(**common)
        return S2SRNNBeamSearcher(
            **common,
            beam_size=beam,
            eos_threshold=1.5,
            using_max_attn_shift=True,
            max_attn_shift=240,
            temperature=1.25,
        )


class Transformer(System):  # type: ignore[misc]
    """Convolution and a Transformer.

    Args:
        vocabulary: V; 0 is blank, unknown and padding, 1 the start and 2 the end, as in the recipe.
    """

    bos, eos = 1, 2
    shuffled, accumulate, kept, search_every, chosen_by, beam = True, 2, 10, 10, "accuracy", 66
    ctc_weight, ctc_decode = 0.3, 0.4
    warmup_steps, warmup_share = 30000, 0.15
    """The recipe's warm-up, and what share of its 120 epochs that is, on four GPUs."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        width = 128
        self.features = Fbank(sample_rate=RATE, n_fft=512, n_mels=80, win_length=32)
        self.normalize = InputNormalization(norm_type="global")
        drop = partial(SpectrogramDrop, drop_count_low=4, drop_count_high=4, replace="mean")
        masks = [
            drop(drop_length_low=15, drop_length_high=25),
            drop(drop_length_low=10, drop_length_high=20, dim=2),
            Warping(),
        ]
        self.augment = Augmenter(min_augmentations=3, max_augmentations=3, augmentations=masks)
        self.front = ConvolutionFrontEnd(
            input_shape=(8, 10, 80),
            num_blocks=2,
            num_layers_per_block=1,
            out_channels=(64, 32),
            kernel_sizes=(3, 3),
            strides=(2, 2),
            residuals=(False, False),
        )
        self.transformer = TransformerASR(
            tgt_vocab=vocabulary,
            input_size=640,
            d_model=width,
            nhead=8,
            num_encoder_layers=12,
            num_decoder_layers=6,
            d_ffn=4 * width,
            dropout=0.1,
            activation=nn.GELU,
            normalize_before=True,
            causal=False,
        )
        self.ctc = Linear(input_size=width, n_neurons=vocabulary)
        self.output = Linear(input_size=width, n_neurons=vocabulary)
        self.annealing = NoamScheduler(lr_initial=8e-4, n_warmup_steps=self.warmup_steps)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """As published."""
        return torch.optim.AdamW(self.parameters(), lr=8e-4, betas=(0.9, 0.98), eps=1e-9)

    def before_update(self, optimizer: torch.optim.Optimizer, share: float) -> None:
        """Noam, as far as the published training would be."""
        self.annealing.n_steps = int(share / self.warmup_share * self.warmup_steps)
        self.annealing(optimizer)

    def encode(self, waves: Padded) -> Tensor:
        """See ``System.encode``."""
        features = self.normalize(self.features(waves.data), waves.shares)
        memory: Tensor = self.transformer.encode(self.front(features), waves.shares, BLANK)
        return memory

    def losses(self, waves: Padded, tokens: Sequence[Sequence[int]], share: float) -> Tensor:
        """See ``System.losses``."""
        with torch.no_grad():
            features = self.normalize(self.features(waves.data), waves.shares)
            features, _ = self.augment(features, waves.shares)
        memory, hidden = self.transformer(
            self.front(features), self.inputs(tokens).data, waves.shares, pad_idx=BLANK
        )
        log_probs = torch.log_softmax(self.output(hidden), dim=-1)
        targets = self.targets(tokens)
        loss: Tensor = kldiv_loss(
            log_probs,
            targets.data,
            length=targets.shares,
            label_smoothing=SMOOTHING,
            reduction="batchmean",
        )
        ctc = self._ctc_loss(memory, waves, tokens, "batchmean")
        joint: Tensor = self.ctc_weight * ctc + (1.0 - self.ctc_weight) * loss
        return joint

    def log_probs(self, memory: Tensor, waves: Padded, tokens: Sequence[Sequence[int]]) -> Tensor:
        """See ``System.log_probs``."""
        steps = torch.round(waves.shares * memory.size(1)).int()
        hidden, _ = self.transformer.decode(self.inputs(tokens).data, memory, steps)
        return torch.log_softmax(self.output(hidden), dim=-1)

    def searcher(self, beam: int | None, ratio: float = 1.0) -> Any:
        """See ``System.searcher``; beam search is joint with CTC, without a language model."""
        common = {
            "modules": [self.transformer, self.output],
            "bos_index": self.bos,
            "eos_index": self.eos,
            "min_decode_ratio": 0.0,
            "max_decode_ratio": ratio,
        }
        if beam is None:
            return S2STransformerGreedySearcher(**common)
        ctc = CTCScorer(ctc_fc=self.ctc, blank_index=BLANK, eos_index=self.eos)
        return S2STransformerBeamSearcher(
            **common,
            beam_size=beam,
            temperature=1.15,
            using_eos_threshold=False,
            length_normalization=True,
            scorer=ScorerBuilder(full_scorers=[ctc], weights={"ctc": self.ctc_decode}),
        )


SYSTEMS: dict[str, type[System]] = {"crdnn": Crdnn, "transformer": Transformer}
