"""Data folders of Kaldi as Kaldi's recipes write them."""

import shutil

import numpy as np
import pytest
import soundfile

from asr_attn.data.formats import kaldi
from asr_attn.data.formats.options import Options
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
        "sph2pipe -f wav -p -c 2 a.sph |",
        "ffmpeg -i a.m4a -f wav - |",
    ],
)
def test_commands_that_may_change_the_sound_need_permission(command, audio, tmp_path):
    data = folder(tmp_path / "data", wav_scp=f"u0 {audio}/a.wav\nu1 {command}", text="u0 a\nu1 b")
    with pytest.raises(ManifestError) as refusal:
        read("kaldi", data)
    assert str(refusal.value) == (
        f'{data} has 1 fault:\n  {data}/wav.scp:2: the command "{command}" is not run; '
        "permit it with --allow-pipes, or write what it gives to a wav file and name that"
    )


def permitted(data, store):
    return list(kaldi.read(data, Options(store=store, allow_pipes=True)))


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf x |",
        "|",
        "cat a.wav | sox - -t wav - |",
        "sox a.wav -t wav - ; touch HERE |",
        "sox a.wav -t wav - > HERE |",
        "sox $(touch HERE) -t wav - |",
        "sox `touch HERE` -t wav - |",
        "sox '|touch HERE' -t wav - |",
        "sox a.wav HERE |",
        "sox a.wav - HERE |",
        "sox a.wav -t wav - noiseprof HERE |",
        "sox a.wav -t wav - vol 1 spectrogram -o HERE |",
        "sox --effects-file x a.wav -t wav - |",
        "ffmpeg -i a.wav HERE |",
        "ffmpeg -i a.wav -f segment - |",
        "ffmpeg -i a.wav HERE.wav -f wav - |",
        "ffmpeg -report -i a.wav -f wav - |",
        "flac -d -s b.flac |",
        "flac -c -d -o HERE b.flac |",
        "sph2pipe -f wav a.sph HERE |",
        "flac -c -d -s 'b.flac |",
    ],
)
def test_other_commands_never_run(command, audio, tmp_path, monkeypatch):
    monkeypatch.chdir(audio)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("was run"))
    data = folder(tmp_path / "data", wav_scp=f"u0 a.wav\nu1 {command}", text="u0 a\nu1 b")
    with pytest.raises(ManifestError, match=r"has 1 fault:\n.*wav.scp:2: .* is not run: it "):
        permitted(data, tmp_path / "store")
    assert not (tmp_path / "store").exists()


SOUND = (np.sin(np.arange(4000) / 9) * 9000).astype(np.int16)


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("sox", "sox -t wav '{}/s t.wav' -t wav - remix 2 |"),
        ("ffmpeg", "/no/where/ffmpeg -loglevel error -i '{}/s t.wav' -map 0 -f wav - |"),
        ("flac", "flac -c -d -s --until=4000 '{}/s t.flac' |"),
    ],
)
def test_permitted_commands_run_once(program, command, tmp_path):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    both = np.stack([SOUND // 2, SOUND], axis=1)
    soundfile.write(tmp_path / "s t.wav", both, 8000)
    soundfile.write(tmp_path / "s t.flac", both, 8000)
    data = folder(
        tmp_path / "data",
        wav_scp="r1 " + command.format(tmp_path),
        segments="u1 r1 0 0.25\nu2 r1 0.25 -1",
        text="u1 one\nu2 two",
    )
    first, second = permitted(data, tmp_path / "store")
    assert first.audio == second.audio == tmp_path / "store/000000.wav"
    assert (second.offset, second.duration) == (0.25, 0.25)
    made, rate = soundfile.read(first.audio, dtype="int16")
    assert rate == 8000
    np.testing.assert_array_equal(made, SOUND if program == "sox" else both)
    assert [u.text for u in permitted(data, tmp_path / "store")] == ["one", "two"]


@pytest.mark.skipif(shutil.which("sox") is None, reason="sox is not installed")
def test_a_program_that_fails_leaves_nothing(audio, tmp_path):
    good = f"sox {audio}/a.wav -t wav - vol 0.5 |"
    bad = "sox /no/such.wav -t wav - vol 0.5 |"
    data = folder(tmp_path / "data", wav_scp=f"u0 {good}\nu1 {bad}", text="u0 a\nu1 b")
    with pytest.raises(
        ManifestError, match=r"wav.scp:2: the command .*: sox fails with code \d+: .*such.wav"
    ):
        permitted(data, tmp_path / "store")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"data", audio.name})


def test_a_program_that_is_not_there(audio, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    data = folder(tmp_path / "data", wav_scp="u sox a.wav -t wav - vol 2 |", text="u a")
    with pytest.raises(ManifestError, match="the program sox is not there; install it"):
        permitted(data, tmp_path / "store")


def test_sphere_files_of_one_channel_are_read_without_a_program(tmp_path):
    soundfile.write(tmp_path / "a.sph", SOUND, 8000, format="NIST", subtype="PCM_16")
    soundfile.write(tmp_path / "b.sph", np.stack([SOUND, SOUND], 1), 8000, format="NIST")
    command = "sph2pipe -f wav -p -c 1 {}/{}.sph |"
    data = folder(tmp_path / "data", wav_scp="u " + command.format(tmp_path, "a"), text="u a")
    assert read("kaldi", data) == [Utterance("u", tmp_path / "a.sph", "a", 0.5)]
    data = folder(tmp_path / "two", wav_scp="u " + command.format(tmp_path, "b"), text="u a")
    with pytest.raises(ManifestError, match="--allow-pipes"):
        read("kaldi", data)


def test_carriage_returns_alone_are_no_line_ends(audio, tmp_path):
    data = folder(tmp_path / "data", wav_scp=f"u {audio}/a.wav", text="")
    (data / "text").write_bytes(b"u one\rv two\r")
    with pytest.raises(ManifestError, match=r"text:1: has a carriage return \(CR\) inside"):
        read("kaldi", data)


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
