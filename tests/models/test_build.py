import dataclasses

import dacite
import pytest

from asr_attn.errors import ConfigError
from asr_attn.models.asr import ModelConfig
from asr_attn.models.build import model_config_from_dict
from asr_attn.models.decoders import DECODERS, LstmDecoderConfig
from asr_attn.models.encoders import ListenerConfig
from asr_attn.nn.attention import ATTENTIONS, SoftAttentionConfig


def test_names_decide_the_classes_and_keys_their_values():
    config = model_config_from_dict(
        {
            "encoder": {"name": "listener", "hidden_size": 64, "stride": 4},
            "attention": {"name": "location", "channels": 5},
            "decoder": {"name": "lstm", "layers": 2},
        }
    )
    assert config == ModelConfig(
        ListenerConfig(hidden_size=64, stride=4),
        SoftAttentionConfig(channels=5),
        LstmDecoderConfig(layers=2),
    )


@pytest.mark.parametrize("name", ATTENTIONS)
def test_reads_what_asdict_writes(name):
    config = ModelConfig(attention=ATTENTIONS[name][1], decoder=LstmDecoderConfig(hidden_size=32))
    assert model_config_from_dict(dataclasses.asdict(config)) == config


@pytest.mark.parametrize("name", ATTENTIONS)
def test_a_name_alone_gives_the_settings_it_stands_for_and_keys_change_them(name):
    found = model_config_from_dict(with_part("attention", name=name)).attention
    assert found == ATTENTIONS[name][1]
    found = model_config_from_dict(with_part("attention", name=name, heads=2)).attention
    assert found == dataclasses.replace(ATTENTIONS[name][1], heads=2)


def with_part(kind: str, **values: object) -> dict[str, object]:
    return {**dataclasses.asdict(ModelConfig()), kind: values}


def test_an_unknown_name_is_one_sentence_with_the_known_ones():
    with pytest.raises(ConfigError) as near:
        model_config_from_dict(with_part("encoder", name="listner"))
    assert "model.encoder.name='listner' is not known" in str(near.value)
    assert "did you mean 'listener'?" in str(near.value)
    with pytest.raises(ConfigError) as far:
        model_config_from_dict(with_part("decoder", name="xyz"))
    assert "did you mean" not in str(far.value)
    assert str(far.value).endswith(f"known: {', '.join(sorted(DECODERS))}")
    assert "not known known" not in str(far.value)


def test_an_unknown_key_or_a_wrong_type_is_refused():
    with pytest.raises(dacite.DaciteError):
        model_config_from_dict(with_part("encoder", name="listener", hiden_size=3))
    with pytest.raises(dacite.DaciteError):
        model_config_from_dict(with_part("attention", name="location", size="wide"))


def test_values_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="heads"):
        model_config_from_dict(with_part("encoder", name="listener", hidden_size=10, heads=4))
