from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from asr_attn.checkpoint import TrainedModel, load_model, save_model
from asr_attn.config import load_settings, name_groups, written_name
from asr_attn.data.manifest import read_manifest, write_manifest
from asr_attn.errors import CheckpointError, ConfigError, InputError
from asr_attn.models.confidence import Calibration
from asr_attn.nn.attention import ATTENTIONS
from asr_attn.settings import RunConfig
from asr_attn.text.build import TokenizerConfig
from asr_attn.text.normalizer import NormalizerConfig
from asr_attn.training.preparation import new_model
from asr_attn.training.run import fit, set_up
from asr_attn.training.starting import with_settings_of_start

MakeConfig = Callable[..., RunConfig]


@pytest.fixture
def start(tone_config: MakeConfig, tones: Path, tmp_path: Path) -> Path:
    """Model file of another width, with a character more than the tones need."""
    config = tone_config()
    model = replace(config.model, decoder=replace(config.model.decoder, hidden_size=24))
    train = read_manifest(tones / "train.jsonl")
    torch.manual_seed(7)
    made = new_model(replace(config, model=model), [*train, replace(train[0], text="xylophone")])
    save_model(tmp_path / "start.safetensors", made)
    return tmp_path / "start.safetensors"


def barely(config: RunConfig, start: Path) -> RunConfig:
    """A run whose steps are too small to change anything."""
    optimizer = {**config.optimizer, "lr": 1e-12, "weight_decay": 0.0}
    trainer = replace(config.trainer, max_epochs=1)
    return replace(config, optimizer=optimizer, trainer=trainer, start_from=str(start))


def assert_alike(model: TrainedModel, other: TrainedModel) -> None:
    before, after = other.network.state_dict(), model.network.state_dict()
    assert before.keys() == after.keys()
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, rtol=0, atol=1e-9)


def test_training_starts_from_the_weights_the_sizes_and_the_tokens(
    tone_config: MakeConfig, start: Path
) -> None:
    config = barely(tone_config(), start)
    result = fit(config)
    trained, other = load_model(result.folder), load_model(start)
    assert_alike(trained, other)
    assert trained.tokenizer == other.tokenizer
    assert asdict(trained.config) == asdict(other.config) != asdict(config.model)
    assert trained.info["started_from"] == dict(other.info)
    # the run's settings tell what it trained, and not what was asked for
    assert load_settings(result.folder / "config.json").model == other.config


def test_a_run_that_started_so_resumes(tone_config: MakeConfig, start: Path) -> None:
    first = barely(tone_config(), start)
    fit(first)
    longer = replace(first.trainer, max_epochs=2)
    resumed = replace(first, resume=first.run_dir, start_from=None, trainer=longer)
    result = fit(resumed, ["trainer.max_epochs"])
    assert_alike(load_model(result.folder), load_model(start))


def changed(config: RunConfig, part: str, **values: object) -> tuple[RunConfig, list[str]]:
    """Settings with others of a part of the model, and the keys that the command line named."""
    model = replace(config.model, **{part: replace(getattr(config.model, part), **values)})
    return replace(config, model=model), [f"model.{part}.{name}" for name in values]


def test_settings_of_the_model_that_were_named_count(tone_config: MakeConfig, start: Path) -> None:
    config, keys = changed(barely(tone_config(), start), "encoder", dropout=0.45)
    result = fit(config, keys)
    trained, other = load_model(result.folder), load_model(start)
    assert_alike(trained, other)
    assert trained.config.encoder == replace(other.config.encoder, dropout=0.45)
    assert trained.config.decoder == other.config.decoder != config.model.decoder
    assert trained.network.encoder.dropout.p == 0.45
    assert load_settings(result.folder / "config.json").model == trained.config


def test_weights_that_the_start_lacks_are_new(tone_config: MakeConfig, start: Path) -> None:
    config, keys = changed(barely(tone_config(), start), "decoder", shortcut=True)
    task, _ = set_up(with_settings_of_start(config, keys))
    weights, before = task.network.state_dict(), load_model(start).network.state_dict()
    assert weights.keys() - before.keys() == {"decoder.shortcut.weight", "decoder.shortcut.bias"}
    assert all(torch.equal(weights[name], weight) for name, weight in before.items())


@pytest.mark.parametrize(
    ("part", "values", "reason"),
    [
        (
            "encoder",
            {"hidden_size": 48},
            r"size mismatch for .*leave out the settings model\.\*.*another size",
        ),
        ("encoder", {"attention_layers": 0}, r"there is no place for encoder\.layers"),
    ],
)
def test_weights_that_do_not_fit_are_told(
    part: str, values: dict[str, object], reason: str, tone_config: MakeConfig, start: Path
) -> None:
    config, keys = changed(barely(tone_config(), start), part, **values)
    with pytest.raises(ConfigError, match=rf"start_from=.*do not fit .*{reason}"):
        fit(config, keys)
    assert not Path(config.run_dir).exists()


def test_another_part_is_told(tone_config: MakeConfig, start: Path) -> None:
    config = barely(tone_config(), start)
    gmm = replace(config, model=replace(config.model, attention=ATTENTIONS["gmm"][1]))
    with pytest.raises(ConfigError, match=r"do not fit .*there is no place for decoder\.attention"):
        fit(gmm, [written_name(name_groups(["model.attention=gmm"])[0].split("=")[0])])
    with pytest.raises(ConfigError, match=r"start_from=.*components"):
        fit(gmm, ["model.attention.components"])
    with pytest.raises(ConfigError, match=r"^model: with start_from, name model\.PART"):
        fit(gmm, ["model"])
    # the part that it has
    same = with_settings_of_start(config, ["model.decoder"])
    assert same.model == load_model(start).config


def test_unknown_characters_are_named(
    tone_config: MakeConfig, start: Path, tones: Path, tmp_path: Path
) -> None:
    utterances = read_manifest(tones / "train.jsonl")
    write_manifest(tmp_path / "other.jsonl", [replace(utterances[0], text="fa"), *utterances[1:]])
    config = barely(tone_config(), start)
    data = replace(config.data, train=str(tmp_path / "other.jsonl"))
    with pytest.raises(InputError, match=r"cannot write 'f' 'a', which the training texts hold"):
        set_up(replace(config, data=data))


def assert_same_weights(model: TrainedModel, other: TrainedModel, *parts: str) -> None:
    """All weights of these parts are the same, to the tenth digit."""
    ours, others = model.network.state_dict(), other.network.state_dict()
    for name in (n for n in others if n.startswith(parts)):
        torch.testing.assert_close(ours[name], others[name], rtol=0, atol=1e-9)


def test_the_encoder_alone_is_taken_for_other_words(
    tone_config: MakeConfig, start: Path, tones: Path, tmp_path: Path
) -> None:
    """Where the start cannot write the texts, it can still hear."""
    utterances = [replace(u, text=f"f {u.text}") for u in read_manifest(tones / "train.jsonl")]
    write_manifest(tmp_path / "other.jsonl", utterances)
    config = replace(barely(tone_config(), start), start_with="encoder")
    wider = replace(config.model.encoder, hidden_size=48)
    config = replace(
        config,
        data=replace(config.data, train=str(tmp_path / "other.jsonl"), sample_rate=4000),
        features=replace(config.features, sample_rate=4000, n_mels=8),
        model=replace(config.model, encoder=wider),
    )
    model, other = load_model(fit(config).folder), load_model(start)
    assert_same_weights(model, other, "features.", "encoder.")
    assert (model.features, model.config.encoder) == (other.features, other.config.encoder)
    assert model.config.decoder == config.model.decoder != other.config.decoder
    assert not model.tokenizer.unknown(u.text for u in utterances)
    assert len(model.tokenizer) != len(other.tokenizer)
    assert model.info["encoder_started_from"] == dict(other.info)
    # it goes on without the start, which is in its weights
    start.unlink()
    longer = replace(config.trainer, max_epochs=2)
    resumed = replace(config, resume=config.run_dir, start_from=None, start_with="model")
    again = fit(replace(resumed, trainer=longer), ["trainer.max_epochs"])
    resumed_model = load_model(again.folder)
    assert_same_weights(resumed_model, model, "")
    assert resumed_model.info["encoder_started_from"] == dict(other.info)


def test_the_ctc_head_comes_along_where_the_tokens_are_the_same(
    tone_config: MakeConfig, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(barely(tone_config(), start), start_with="encoder")
    other = load_model(start)
    task, _ = set_up(with_settings_of_start(config))  # the start has a character more
    assert "the CTC head begins anew" in capsys.readouterr().err
    assert task.network.ctc.weight.shape != other.network.ctc.weight.shape
    same = new_model(config, read_manifest(Path(config.data.train)))
    save_model(start, same)
    task, _ = set_up(with_settings_of_start(config))
    assert "anew" not in capsys.readouterr().err
    weights = task.network.state_dict()
    assert_same_weights(replace(same, network=task.network), same, "features.", "encoder.", "ctc.")
    assert not torch.equal(
        weights["decoder.output.weight"], same.network.state_dict()["decoder.output.weight"]
    )


def test_settings_of_the_encoder_count_as_far_as_its_weights_fit(
    tone_config: MakeConfig, start: Path
) -> None:
    config = replace(barely(tone_config(), start), start_with="encoder")
    dropped, keys = changed(config, "encoder", dropout=0.45)
    assert with_settings_of_start(dropped, keys).model.encoder.dropout == 0.45
    wider, keys = changed(config, "encoder", hidden_size=48)
    with pytest.raises(ConfigError, match=r"start_from=.*do not fit .*size mismatch"):
        fit(wider, keys)
    assert not Path(config.run_dir).exists()
    with pytest.raises(ValueError, match=r"start_with='decoder' is not one of model, encoder"):
        replace(config, start_with="decoder")
    with pytest.raises(ValueError, match=r"start_with=encoder takes it of a model; name one by"):
        replace(config, start_from=None)


def test_a_missing_model_is_named_before_anything_is_done(
    tone_config: MakeConfig, tmp_path: Path
) -> None:
    config = replace(tone_config(), start_from=str(tmp_path / "none"))
    with pytest.raises(CheckpointError, match=r"start_from: .*none: there is no such model file"):
        fit(config)
    assert not (tmp_path / "run").exists()


def test_sizes_that_do_not_fit_each_other_are_told(tone_config: MakeConfig, start: Path) -> None:
    config, keys = changed(barely(tone_config(), start), "attention", size=24, heads=3)
    with pytest.raises(ConfigError, match=r"^model: attention\.heads=3 must divide"):
        fit(config, keys)


def test_how_sure_the_start_was_is_not_taken(tone_config: MakeConfig, start: Path) -> None:
    calibration = Calibration(("score",), (-1.0,), (2.0,), (1.0,), 0.5)
    save_model(start, replace(load_model(start), calibration=calibration))
    assert load_model(start).calibration == calibration
    task, _ = set_up(with_settings_of_start(barely(tone_config(), start)))
    assert task.model.calibration is None


def test_to_resume_the_start_is_not_needed(tone_config: MakeConfig, start: Path) -> None:
    config = barely(tone_config(), start)
    fit(config)
    before = load_model(config.run_dir)
    start.unlink()
    longer = replace(config.trainer, max_epochs=2)
    resumed = replace(config, resume=config.run_dir, start_from=None, trainer=longer)
    result = fit(resumed, ["trainer.max_epochs"])
    after = load_model(result.folder)
    assert_alike(after, before)
    assert after.tokenizer == before.tokenizer
    assert after.info["started_from"] == before.info["started_from"]


@pytest.mark.parametrize("start_with", ["model", "encoder"])
def test_settings_that_the_start_replaces_are_refused(
    tone_config: MakeConfig, start: Path, start_with: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(barely(tone_config(), start), start_with=start_with)
    other = replace(config, features=replace(config.features, n_mels=12, normalization="utterance"))
    with pytest.raises(ConfigError, match=r"^features\.n_mels: start_from=.* own \(.*n_mels=24\)"):
        with_settings_of_start(other, ["features.n_mels"])
    with pytest.raises(ConfigError, match=r"^features\.n_mels, features\.normalization: "):
        with_settings_of_start(other, ["features"])
    slower = replace(
        config,
        data=replace(config.data, sample_rate=4000),
        features=replace(config.features, sample_rate=4000),
    )
    with pytest.raises(ConfigError, match=r"^data\.sample_rate: start_from=.*=8000"):
        with_settings_of_start(slower, ["data.sample_rate", "seed"])
    capsys.readouterr()
    # of a file of settings, such as data=NAME, it is told; the same value says nothing new
    with_settings_of_start(other, ["data", "experiment"])
    assert "brings its own features.n_mels, features.normalization" in capsys.readouterr().err
    with_settings_of_start(config, ["features", "features.n_mels", "data.sample_rate"])
    assert "features" not in capsys.readouterr().err


def test_another_tokenizer_than_that_of_the_start_is_refused(
    tone_config: MakeConfig, start: Path
) -> None:
    config = barely(tone_config(), start)
    other = replace(config, tokenizer=TokenizerConfig("bpe", 40))
    with pytest.raises(ConfigError, match=r"^tokenizer\.name, tokenizer\.size: .*=characters"):
        with_settings_of_start(other, ["tokenizer", "tokenizer.size"])
    upper = replace(config.tokenizer, normalizer=NormalizerConfig(lowercase=False))
    with pytest.raises(ConfigError, match=r"^tokenizer\.normalizer\.lowercase: "):
        with_settings_of_start(replace(config, tokenizer=upper), ["tokenizer.normalizer.lowercase"])
    taken = replace(other, start_with="encoder")
    assert with_settings_of_start(taken, ["tokenizer"]).tokenizer == other.tokenizer
