import hashlib
import json
import platform

import torch

from asr_attn.training.provenance import ENVIRONMENT_FILE, save_environment


def test_a_run_says_what_it_was_made_with(tmp_path):
    manifest = tmp_path / "train.jsonl"
    manifest.write_bytes(b"{}\n")
    save_environment(tmp_path, [manifest, tmp_path / "none.jsonl"])
    save_environment(tmp_path, [manifest])  # as a resumed run does
    sessions = json.loads((tmp_path / ENVIRONMENT_FILE).read_text(encoding="utf-8"))["sessions"]
    assert len(sessions) == 2
    found = sessions[0]
    assert found["python"] == platform.python_version()
    assert found["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert found["data"] == {str(manifest): hashlib.sha256(b"{}\n").hexdigest()}
    assert found["git"] is None or len(found["git"]["commit"]) == 40
