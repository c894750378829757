"""Data folders of Kaldi as Kaldi's recipes write them."""

import pytest

from asr_attn.data.manifest import Utterance
from asr_attn.errors import InputError, ManifestError
from tests.data.formats.lists import read, save, write


def folder(path, **files):
    for name, text in files.items():
        save(path / name.replace("_", "."), *text.splitlines())
    return path


def test_segments_of_a_recipe(audio, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = folder(
        tmp_path / "data/train",
        wav_scp=f"rec1 audio/a.wav\nrec2 flac -c -d -s {audio}/b.flac |\nrec3 audio/with space.wav",
        segments="ann-1 rec1 0.1 0.85\nann-2 rec2 0.2 -1\n",
        text="ann-1 ONE  TWO\u00a0THREE\r\nann-2",
        utt2spk="ann-1 ann\nann-2 ann-2",
        utt2dur="ann-1 0.7500003\nann-2 9",
        utt2lang="ann-1 en",
    )
    assert read("kaldi", data) == [
        Utterance("ann-1", audio / "a.wav", "ONE  TWO\u00a0THREE", 0.7500003, 0.1, "ann", "en"),
        Utterance("ann-2", audio / "b.flac", "", pytest.approx(0.3), 0.2),
    ]


def test_durations_are_read_from_whole_files(audio, tmp_path):
    data = folder(
        tmp_path / "data",
        wav_scp=f"u1 {audio}/with space.wav\nu2 sox '{audio}/with space.wav' -t wav - |",
        text="u2 two\nu1 one",
    )
    assert read("kaldi", data) == [
        Utterance("u1", audio / "with space.wav", "one", 0.25),
        Utterance("u2", audio / "with space.wav", "two", 0.25),
    ]


@pytest.mark.parametrize(
    "command",
    [
        "sox a.wav -t wav -r 8000 - |",
        "sox a.wav -t wav - speed 1.1 |",
        "flac -c -d -s --skip=100 b.flac |",
        "sph2pipe -f wav -p -c 1 a.sph |",
        "flac -c -d -s 'b.flac |",
        "rm -rf x |",
        "|",
    ],
)
def test_commands_that_may_change_the_sound_are_refused(command, audio, tmp_path):
    data = folder(tmp_path / "data", wav_scp=f"u0 {audio}/a.wav\nu1 {command}", text="u0 a\nu1 b")
    with pytest.raises(ManifestError) as refusal:
        read("kaldi", data)
    assert str(refusal.value) == (
        f'{data} has 1 fault:\n  {data}/wav.scp:2: the command "{command}" is not run; '
        "write what it gives to a wav file and name that"
    )


def test_all_faults_are_told(audio, tmp_path):
    data = folder(
        tmp_path / "data",
        wav_scp=f"r {audio}/a.wav\nr {audio}/b.flac\ns raw.ark:17\nt {audio}/none.wav",
        segments="u1 r 0 1\nu2 q 0 1\nu3 r 0.5 0.5\nu4 r x 1\nu5 r 0 1 1\nu6 r 0 1\nu7 t 0 1\n",
        text="u1 a\nu2 b\nu3 c\nu4 d\nu5 e\nu7 g\nu8 h",
        utt2spk="u1 s\nu6 s\nu9 s",
    )
    with pytest.raises(ManifestError) as refusal:
        read("kaldi", data)
    assert [line.strip().removeprefix(f"{data}/") for line in str(refusal.value).split("\n")] == [
        f"{data} has 11 faults:",
        f"wav.scp:2: r is already at {data}/wav.scp:1",
        "text:7: u8 has no audio; Kaldi's fix_data_dir.sh mends this",
        "utt2spk:3: u9 has no audio; Kaldi's fix_data_dir.sh mends this",
        "wav.scp:3: raw.ark:17 is inside an archive; write it to a file of its own",
        "segments:2: wav.scp has no recording q",
        "segments:3: the end 0.5 is not after the start 0.5",
        'segments:4: "x" is not a number of seconds',
        "segments:5: write: utterance recording start end; split the file into its channels",
        "segments:6: u6 has no line in text",
        "segments:7: u7 has no line in utt2spk",
        f"segments:7: there is no audio file {audio}/none.wav",
    ]


def test_missing_files_are_told(audio, tmp_path):
    data = folder(tmp_path / "data", wav_scp=f"u {audio}/a.wav")
    with pytest.raises(ManifestError, match=r"There is no file .*text; check the path"):
        read("kaldi", data)
    with pytest.raises(ManifestError, match=r"wav.scp is not a folder"):
        read("kaldi", data / "wav.scp")
    other = folder(tmp_path / "other", wav_scp="u a.wav", text="u t")
    with pytest.raises(ManifestError, match=r"no audio file a.wav in .*give .* --audio-folder"):
        read("kaldi", other)
    assert read("kaldi", other, audio_folder=audio)[0].audio == audio / "a.wav"


def test_folder_is_what_kaldi_wants(parts, whole, audio, tmp_path):
    data = write("kaldi", tmp_path / "whole", list(reversed(whole)))
    assert sorted(p.name for p in data.iterdir()) == [
        *("spk2utt", "text", "utt2dur", "utt2lang", "utt2spk", "wav.scp")
    ]
    lines = {p.name: p.read_text(encoding="utf-8").splitlines() for p in data.iterdir()}
    assert lines["wav.scp"] == [
        f"u-0 {audio}/a.wav",
        f"u-1 flac -c -d -s {audio}/b.flac |",
        f"u-2 {audio}/with space.wav",
    ]
    assert lines["text"] == ["u-0 Grüße, 世界", "u-1", 'u-2 he said "no", twice']
    assert lines["utt2spk"] == ["u-0 ann", "u-1 u-1", "u-2 bob"]
    assert lines["spk2utt"] == ["ann u-0", "bob u-2", "u-1 u-1"]
    write("kaldi", data, parts)  # replaces its own
    assert (data / "segments").read_text().splitlines()[2:4] == [
        "u-2 with_space 0.0 0.25",
        "u-3 stereo 0.1 0.3333333333333333",
    ]
    save(data / "feats.scp", "u-0 x.ark:5")
    with pytest.raises(InputError, match=r"holds feats.scp"):
        write("kaldi", data, parts)
