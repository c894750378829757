"""Transcribing with a trained model: ``asr_attn.load(path).transcribe(...)``."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import soxr
import torch
from numpy.typing import NDArray

from asr_attn.audio.pauses import speech_steps
from asr_attn.audio.reading import read_audio
from asr_attn.audio.samples import usable_samples
from asr_attn.audio.silence import SHORTEST, Kept, is_without_speech, without_long_silence
from asr_attn.checkpoint import TrainedModel, load_model
from asr_attn.data.batches import pad_waveforms
from asr_attn.data.manifest import Utterance
from asr_attn.data.windows import plan_in_order
from asr_attn.decoding.checked import Checked
from asr_attn.decoding.hotwords import Hotword, HotwordScorer, fit_hotword
from asr_attn.decoding.hypothesis import GREATEST, SearchConfig
from asr_attn.decoding.recheck import checked_search
from asr_attn.decoding.scorers import Scorer
from asr_attn.decoding.search import Weighted
from asr_attn.decoding.words import token_times, word_confidence, words_of
from asr_attn.errors import AudioError, InputError
from asr_attn.lm.loading import load_scorer
from asr_attn.transcript import Transcript, moved_in_time

BATCH_SECONDS = 60.0
"""Audio that is recognised at once, padding included."""

AudioInput = str | Path | NDArray[np.float32] | torch.Tensor


class Recognizer:
    """A trained model, ready to transcribe.

    Args:
        model: from a model file.
        search: settings of the search.
        hotwords: phrases to favour.

    Raises:
        InputError: a language model or a hotword does not go with the model.
    """

    def __init__(
        self,
        model: TrainedModel,
        search: SearchConfig | None = None,
        hotwords: Sequence[Hotword] = (),
    ) -> None:
        self.model = model
        self.search = search or SearchConfig()
        self._further = self._further_scorers(hotwords)
        _one_thread_after_forks()

    def _further_scorers(self, hotwords: Sequence[Hotword]) -> list[Weighted]:
        """Scorers that the model does not bring by itself."""
        found: list[Weighted] = []
        tokenizer, device = self.model.tokenizer, self.model.network.ctc.weight.device
        if self.search.lm is not None:  # a weight of 0 does not excuse a file that is missing
            scorer = load_scorer(Path(self.search.lm), tokenizer).to(device)
            found.append((cast(Scorer, scorer), self.search.lm_weight))
        if hotwords:
            fitted = [fit_hotword(h, self.model.normalizer, tokenizer) for h in hotwords]
            found.append((HotwordScorer(fitted, tokenizer, device), 1.0))
        return found

    @property
    def sample_rate(self) -> int:
        """Samples per second the model works at."""
        return self.model.features.sample_rate

    def transcribe(
        self,
        audio: AudioInput,
        sample_rate: int | None = None,
        *,
        beam: int | None = None,
        nbest: int = 1,
    ) -> Transcript:
        """Transcribe one recording.

        Args:
            audio: a file, or mono samples (samples,) with full scale ±1.
            sample_rate: of samples; the model's own when not given. Files know theirs.
            beam: open hypotheses of the search; 1 is greedy.
            nbest: hypotheses to return; those after the best are its ``alternatives``. The beam is
                at least as wide.

        Raises:
            AudioError: the file or the samples cannot be used.
            InputError: ``beam`` or ``nbest`` is below 1, or the beam is too wide.
        """
        notes: list[str] = []
        if isinstance(audio, str | Path):
            samples = read_audio(Path(audio), self.sample_rate, tell=notes.append)
        else:
            if isinstance(audio, torch.Tensor):
                audio = audio.detach().cpu()
                audio = audio.float() if audio.is_floating_point() else audio  # numpy lacks bf16
            rate = self.sample_rate if sample_rate is None else sample_rate
            samples = self._resampled(usable_samples(np.asarray(audio)), rate)
        transcript = self.transcribe_samples([samples], beam=beam, nbest=nbest)[0]
        return replace(transcript, notes=tuple(notes))

    def _resampled(self, samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        if rate <= 0:
            raise AudioError(f"sample_rate must be above 0, not {rate}")
        if rate != self.sample_rate:
            samples = soxr.resample(samples, rate, self.sample_rate, quality="HQ")
        if not samples.size:
            raise AudioError(f"audio samples are too few for {self.sample_rate} samples/s")
        return samples

    @torch.inference_mode()
    def transcribe_samples(
        self,
        waveforms: Sequence[NDArray[np.float32]],
        *,
        beam: int | None = None,
        nbest: int = 1,
    ) -> list[Transcript]:
        """Transcribe mono waveforms, all in one batch.

        Args:
            waveforms: (samples,) each, of the model's rate, floating point with full scale ±1.
            beam: open hypotheses of the search; 1 is greedy.
            nbest: hypotheses to return of each, as in ``transcribe``.

        Raises:
            AudioError: samples cannot be used.
            InputError: ``beam`` or ``nbest`` is below 1, or the beam is too wide.
        """
        config = self._search(beam, nbest)
        if not waveforms:
            return []
        waveforms = [usable_samples(np.asarray(waveform)) for waveform in waveforms]
        rate = self.sample_rate
        found = [Transcript("", len(waveform) / rate) for waveform in waveforms]
        heard = []
        for i, waveform in enumerate(waveforms):
            if is_without_speech(waveform, rate):
                found[i] = replace(found[i], silent=True)
            elif len(waveform) >= SHORTEST * rate:
                heard.append(i)
        if heard:
            parts = [without_long_silence(waveforms[i], rate) for i in heard]
            for i, transcript in zip(heard, self._transcribed(parts, config, nbest)):
                found[i] = replace(transcript, duration=found[i].duration)
        return found

    def _transcribed(
        self, parts: Sequence[Kept], config: SearchConfig, nbest: int
    ) -> Iterator[Transcript]:
        """Transcribe what is left of recordings, with the times of the whole ones."""
        network, rate = self.model.network, self.sample_rate
        device, seconds = network.ctc.weight.device, network.seconds_per_step
        waveforms = [kept.samples for kept in parts]
        padded, lengths = pad_waveforms(waveforms)
        memory, steps = network.encode(padded.to(device), lengths.to(device))
        speech = [
            speech_steps(waveform, rate, count, seconds)
            for waveform, count in zip(waveforms, steps.tolist())
        ]
        found = checked_search(
            network,
            self.model.tokenizer,
            memory,
            steps,
            speech,
            config,
            self._further,
            nbest,
            waveforms,
        )
        for checked, kept in zip(found, parts):
            yield moved_in_time(self._transcript(checked, len(kept.samples) / rate), kept)

    def _search(self, beam: int | None, nbest: int) -> SearchConfig:
        """The settings of a search that finds so many hypotheses."""
        if not 1 <= nbest <= GREATEST["beam"]:
            raise InputError(f"nbest must be from 1 to {GREATEST['beam']}, not {nbest}")
        try:
            config = self.search if beam is None else replace(self.search, beam=beam)
            return replace(config, beam=max(config.beam, nbest))
        except ValueError as error:
            raise InputError(str(error).replace("search.", "")) from None

    def _transcript(self, checked: Checked, duration: float) -> Transcript:
        network, tokenizer = self.model.network, self.model.tokenizer
        best, *others = (
            Transcript(
                " ".join(tokenizer.decode(h.tokens).split()),
                duration,
                h.log_prob,
                h.score,
                h.truncated,
                parts=h.parts,
            )
            for h in checked.hypotheses
        )
        seconds = network.seconds_per_step
        words = words_of(checked.reading, tokenizer, seconds, duration)
        sure = word_confidence(words, self.model.calibration)
        return replace(
            best,
            words=tuple(replace(word, confidence=c) for word, c in zip(words, sure)),
            tokens=tuple(token_times(checked.reading, tokenizer, seconds, duration)),
            confidence=float(np.mean(sure))
            if words
            else float(np.exp(checked.reading.log_probs[-1])),
            doubts=checked.doubts,
            searched_again=checked.again,
            alternatives=tuple(others),
        )

    def transcribe_utterances(
        self,
        utterances: Sequence[Utterance],
        *,
        beam: int | None = None,
        nbest: int = 1,
        batch_seconds: float = BATCH_SECONDS,
    ) -> Iterator[tuple[int, Transcript | AudioError]]:
        """Transcribe many recordings, in batches of neighbours of similar duration.

        Args:
            utterances: what to transcribe; texts are not looked at.
            beam: open hypotheses of the search; 1 is greedy.
            nbest: hypotheses to return of each, as in ``transcribe``.
            batch_seconds: audio that is recognised at once, padding included.

        Yields:
            Index of an utterance, and its transcript or why it could not be read; batch by batch,
            so only about in order (see ``plan_in_order``). One bad file does not keep the others
            from being done.
        """
        if not batch_seconds > 0:
            raise InputError(f"batch_seconds must be above 0, not {batch_seconds}")
        for batch in plan_in_order([u.duration for u in utterances], batch_seconds):
            waveforms, indices = [], []
            notes: dict[int, list[str]] = {i: [] for i in batch}
            for i in batch:
                utterance = utterances[i]
                try:
                    waveform = read_audio(
                        utterance.audio,
                        self.sample_rate,
                        utterance.offset,
                        utterance.duration,
                        notes[i].append,
                    )
                except AudioError as error:
                    yield i, error
                    continue
                except OSError as error:  # the disk, not the file
                    reason = error.strerror or type(error).__name__
                    yield i, AudioError(f"{utterance.audio} cannot be read ({reason}).")
                    continue
                waveforms.append(waveform)
                indices.append(i)
            found = self.transcribe_samples(waveforms, beam=beam, nbest=nbest)
            for i, transcript in zip(indices, found):
                yield i, replace(transcript, notes=tuple(notes[i]))


@cache
def _one_thread_after_forks() -> None:
    """Let a child that is forked from now on compute on one thread.

    The threads of OpenMP do not survive a fork, and the first work that is divided among them would
    wait for ever.
    """
    if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def load(
    path: str | Path,
    device: str | torch.device = "cpu",
    search: SearchConfig | None = None,
    hotwords: Sequence[Hotword] = (),
) -> Recognizer:
    """Load a model file (or the folder of a run) for transcribing.

    In a process that is forked afterwards, torch computes on one thread, since its other threads do
    not survive a fork; ``torch.set_num_threads`` with more makes such a child hang. Where processes
    are started by spawning, each loads the model itself and has all threads.

    Args:
        path: the file or folder, or the name of a model that comes with the package.
        device: cpu, cuda, cuda:1, mps; auto is cuda where there is one, else cpu.
        search: settings of the search; greedy when not given.
        hotwords: phrases to favour.

    Raises:
        CheckpointError: it is missing, damaged or of another kind.
        InputError: there is no such device, or a language model or a hotword does not go with the
            model.
    """
    return Recognizer(load_model(path, usable_device(device)), search, hotwords)


def usable_device(name: str | torch.device) -> torch.device:
    """Find a device by its name.

    Raises:
        InputError: it is not known, or this machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"device {str(name)!r} is not known or not usable on this machine; use cpu, or auto to "
            "have one chosen"
        ) from error
    return device
