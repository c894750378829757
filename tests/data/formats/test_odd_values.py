"""Values of a kind that no tool writes are told, and never a traceback."""

import copy
import json

import pytest

from asr_attn.errors import InputError
from tests.data.formats.lists import read, save

ODD = (None, True, -1, 1e999, "", "\0", [], [1], {"a": 1})


def lhotse_cut(audio):
    source = {"type": "file", "channels": [0], "source": str(audio / "a.wav")}
    aligned = {"word": [["a", 0.1, 0.2]]}
    inside = {"id": "s", "start": 0.1, "duration": 0.5, "channel": 0, "text": "x", "custom": {}}
    return {
        "id": "c",
        "start": 0.1,
        "duration": 0.5,
        "channel": 0,
        "supervisions": [inside | {"recording_id": "r", "alignment": aligned, "speaker": "b"}],
        "recording": {"id": "r", "sources": [source], "sampling_rate": 8000, "duration": 1.0},
        "custom": {"n": 1},
        "type": "MonoCut",
    }


def records(audio):
    path = str(audio / "a.wav")
    known = {"text": "x", "duration": 1.0, "offset": 0.1, "speaker": "s", "lang": "en", "id": "i"}
    cut = lhotse_cut(audio)
    return {
        "nemo": {"n.json": {"audio_filepath": path, **known}},
        "huggingface": {"metadata.jsonl": {"file_name": path, **known}},
        "lhotse": {"cuts.jsonl": cut},
        "lhotse, pair": {
            "recordings.jsonl": cut["recording"],
            "supervisions.jsonl": cut["supervisions"][0],
        },
    }


def odd_ones(value):
    """Yields the value with each of its parts made odd, one at a time."""
    places = value.items() if isinstance(value, dict) else enumerate(value)
    for place, part in list(places):
        changes = [*ODD, *(odd_ones(part) if isinstance(part, dict | list) else [])]
        for change in changes:
            changed = copy.copy(value)
            changed[place] = change
            yield changed


@pytest.mark.parametrize("case", ["nemo", "huggingface", "lhotse", "lhotse, pair"])
def test_odd_values_are_told(case, audio, tmp_path):
    name = case.split(",")[0]
    files = records(audio)[case]
    told = 0
    for file, record in files.items():
        for other, text in files.items():
            save(tmp_path / other, text)
        path = tmp_path if name == "huggingface" else tmp_path / file
        assert len(read(name, path)) == 1
        for odd in odd_ones(record):
            (tmp_path / file).write_text(json.dumps(odd), encoding="utf-8")
            try:
                (utterance,) = read(name, path)
            except InputError:
                told += 1
            else:  # what has no meaning may be anything
                assert utterance.audio == audio / "a.wav"
                assert isinstance(utterance.text, str)
                assert utterance.duration > 0 <= utterance.offset
                assert isinstance(utterance.speaker, str | None)
    assert told > 40
