"""`unfed-console verify`: what is no proof, or cannot be checked, is refused with what to do about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from random_models import save_llama
from unfed_sessions import Rig

from unfed.backends.unfed.integrity.proof import Proof, encode
from unfed.console.cli import main

STEPS = ((5, 17, 300), (9,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("llama"), layers=2, hidden=32)


@pytest.fixture(scope="module")
def proofs(folder: Path) -> dict[str, Proof]:
    """Of a node that computed something else, and of an honest one."""
    rig = Rig(folder, (0, 0), (1, 1))
    shares = rig.asks(STEPS).shares
    return {"guilty": rig.layers(0, shares, change=lambda rows: rows * 2)[0], "honest": rig.layers(0, shares)[0]}


def verify(capsys: pytest.CaptureFixture[str], proof: Path, model: Path) -> tuple[int, str, str]:
    code = main(["verify", str(proof), "--model", str(model)])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("whose", "code", "said"), [("guilty", 0, "Proven: layers-0"), ("honest", 1, "proves nothing")]
)
def test_it_says_what_a_proof_proves(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    folder: Path,
    proofs: dict[str, Proof],
    whose: str,
    code: int,
    said: str,
) -> None:
    path = tmp_path / "proof.json"
    path.write_bytes(encode(proofs[whose]))
    found = verify(capsys, path, folder)
    assert found[0] == code and said in found[1]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no json", "is no proof"),
        (b"\xff\xfe", "is no proof"),
        (b'{"party": "\xe5", "backend": "unfed"}', "is no proof"),
        (b'{"party": "layers-0"}', "missing required field `backend`"),
        (b'{"backend": "unfedd", "party": "layers-0"}', "did you mean 'unfed'?"),
        (b'{"backend": "plain", "party": "layers-0"}', "backend plain gives no proofs"),
        (b'{"backend": "unfed", "party": "layers-0"}', "this is no proof"),
    ],
)
def test_what_is_no_proof_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path, data: bytes, said: str
) -> None:
    path = tmp_path / "proof.json"
    path.write_bytes(data)
    code, _, error = verify(capsys, path, folder)
    assert code == 2 and said in error


def test_a_file_or_a_model_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path, proofs: dict[str, Proof]
) -> None:
    code, _, error = verify(capsys, tmp_path / "none.json", folder)
    assert code == 2 and "cannot read" in error and "none.json" in error
    path = tmp_path / "proof.json"
    path.write_bytes(encode(proofs["guilty"]))
    code, _, error = verify(capsys, path, tmp_path / "no-model")
    assert code == 2 and "no-model" in error
    code, _, error = verify(capsys, path, save_llama(tmp_path / "wider", layers=2, hidden=64))
    assert code == 2 and "another width" in error


def test_a_proof_with_another_signature_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path, proofs: dict[str, Proof]
) -> None:
    told = json.loads(encode(proofs["guilty"]))
    told["signature"] = json.loads(encode(proofs["honest"]))["signature"]
    path = tmp_path / "proof.json"
    path.write_text(json.dumps(told))
    code, _, error = verify(capsys, path, folder)
    assert code == 2 and "layers-0 has not signed" in error
