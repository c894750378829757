import pytest
import soundfile
import torch

from asr_attn.audio.reading import read_audio
from asr_attn.data.manifest import Utterance
from asr_attn.evaluation.datacheck.labels import judge_texts, label_findings
from asr_attn.recognizer import Recognizer
from asr_attn.text.tokenizer import EOS


@pytest.fixture
def items(tiny_model, recordings):
    """What the model hears as texts, so that they are likely; but one of them is wrong."""
    heard = Recognizer(tiny_model)
    found = []
    for path in sorted(recordings.iterdir()):
        text = heard.transcribe(path).text
        found.append(Utterance(path.stem, path, text, soundfile.info(path).duration))
    wrong = Utterance("wrong", found[0].audio, "hhh ggg hhh fff", found[0].duration)
    return [("train", u) for u in [*found, wrong]]


def test_wrong_text_comes_first(tiny_model, items):
    judged = judge_texts(tiny_model, items, show=2)
    assert judged[0].utterance.id == "wrong"
    assert judged[0].heard == items[0][1].text
    assert [one.heard is None for one in judged[2:]] == [not one.suspicious for one in judged[2:]]
    losses = [one.loss for one in judged]
    assert losses == sorted(losses, reverse=True)
    assert all(finding.id in {u.id for _, u in items} for finding in label_findings(judged))


def test_loss_is_the_cross_entropy_of_the_decoder_stepping(tiny_model, items):
    network = tiny_model.network
    for one in judge_texts(tiny_model, items, show=0):
        waveform = torch.from_numpy(read_audio(one.utterance.audio, 8000))[None]
        with torch.inference_mode():
            memory, lengths = network.encode(waveform, torch.tensor([waveform.shape[1]]))
            state = network.speller.init_state(memory, lengths)
            previous, total = EOS, 0.0
            wanted = [*tiny_model.tokenizer.encode(one.utterance.text), EOS]
            for token in wanted:
                log_probs, _, state = network.speller.step(torch.tensor([previous]), state)
                total -= float(log_probs[0, token])
                previous = token
        assert one.loss == pytest.approx(total / len(wanted), abs=1e-3)
