"""Every family of networks, from a folder: the analyses know nothing of any of them."""

import pytest
import torch

import qanalysis

SMALL = {"calibration_samples": 4, "evaluation_samples": 4, "batch_size": 2}


def _random(number):
    return torch.Generator().manual_seed(number)


def _ids(number, length=8):
    return torch.randint(3, 95, (length,), generator=_random(number))


def _image(size):
    return lambda number: torch.randn(3, size, size, generator=_random(number))


def _sequences(number):
    return {"input_ids": _ids(number), "decoder_input_ids": _ids(100 + number, 5)}


def _tokens(number):
    return {"input_ids": _ids(number), "attention_mask": torch.ones(8, dtype=torch.long)}


#: A sample of each family, and sites of it; those of attention's products among them.
FAMILIES = {
    "bert": (_tokens, {"bert.encoder.layer.0.attention.self:matmul_0", "qa_outputs"}),
    "vit": (_image(16), {"vit.embeddings.patch_embeddings.projection", "classifier"}),
    "segformer": (_image(32), {"decode_head.classifier"}),
    "detr": (_image(32), {"class_labels_classifier", "bbox_predictor.layers.0"}),
    "t5": (_sequences, {"lm_head", "encoder.block.0.layer.0.SelfAttention:matmul_1"}),
    "marian": (_sequences, {"lm_head", "model.decoder.layers.0.encoder_attn:matmul_0"}),
    "gpt2": (lambda number: {"input_ids": _ids(number)}, {"transformer.h.0.attn.c_attn", "lm_head"}),
    "llama": (lambda number: {"input_ids": _ids(number)}, {"model.layers.0.self_attn:matmul_0", "lm_head"}),
    "wav2vec2": (lambda number: torch.randn(400, generator=_random(number)), {"lm_head"}),
}


def asked(network, family, analysis, **params):
    sample, _ = FAMILIES[family]
    parts = tuple([sample(4 * part + number) for number in range(4)] for part in range(3))
    return qanalysis.run(analysis, model=f"hf:{network(family)}", data=parts, task="fidelity", **SMALL | params)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_site_is_met_calibrated_and_measured(network, family):
    result = asked(network, family, "sensitivity")
    sites = {site.name for site in result.coverage.sites}
    assert sites >= FAMILIES[family][1]
    assert result.coverage.not_covered == ()
    assert {row.site for row in result.rows} | set(result.float_sites) == sites  # queries of DETR begin with zeros
    assert 90 < result.quantized <= 100


def test_ptq_with_a_fixed_range(network):
    result = asked(network, "bert", "ptq", calibrations=("max", "fixed:10"))
    assert [row.calibration for row in result.rows] == ["max", "fixed:10"]
    assert result.model.trained
    assert result.model.activations == ("GELU",)


@pytest.mark.parametrize(("family", "kind"), [("bert", "GELU"), ("gpt2", "GELU"), ("llama", "Swish")])
def test_its_activation_is_clipped(network, family, kind):
    name = f"hf:{network(family)}"
    plain, cut = (qanalysis.load_model(f"{name}{option}").module for option in ("", "?clip=0.001"))
    inputs = {key: value[None] for key, value in FAMILIES[family][0](0).items()}
    assert not torch.equal(plain(**inputs)[0], cut(**inputs)[0])
    result = asked(network, family, "clip", calibrations=("max",), at=0.001)
    assert result.model.activations == (kind,)
    assert [(row.calibration, row.clipped) for row in result.rows] == [("max", False), ("fp32", True), ("max", True)]
    assert result.row("max", clipped=True).accuracy < result.row("max", clipped=False).accuracy
    assert result.clipped_model == f"{name}?clip=0.001"


def test_it_is_trained(network):
    assert asked(network, "gpt2", "qat", steps=2, calibration="max").qat.accuracy > 90


@pytest.mark.parametrize("family", ["bert", "detr"])
def test_it_is_exported_with_inputs_by_name(network, family, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript", reason="the engines are not installed (extra engines)")
    monkeypatch.chdir(tmp_path)
    result = asked(network, family, "export")
    assert result.verification.agreement > 99.9
    assert len(result.quantized_sites) + len(result.float_sites) == len(result.coverage.sites)
    assert all("zero on all" in reason for reason in result.float_sites.values())


def test_a_fine_tuned_network_is_a_checkpoint_that_is_still_clipped(network, tmp_path):
    from qanalysis.analysis import qat
    from qanalysis.schema.params.qat import QatParams

    for part, rows in (("train", 1028), ("test", 4)):  # 1,024 are set aside for calibration
        text = "\n".join(f'{{"input_ids": {_ids(number).tolist()}}}' for number in range(rows))
        (tmp_path / f"{part}.jsonl").write_text(text)
    data = {"data": f"hf:{tmp_path}", "task": "fidelity"}
    name = f"hf:{network('gpt2')}?clip=10"
    qat.run(QatParams(model=name, steps=1, calibration="fixed:10", **data, **SMALL), folder=tmp_path)
    kept = qanalysis.run(
        "ptq", model=f"checkpoint:{tmp_path / 'qat.safetensors'}", calibrations=("trained",), **data, **SMALL
    )
    assert kept.model.origin.endswith(f"on {name}")
    assert any("give at most 10" in warning for warning in kept.warnings)
    assert set(kept.ranges["trained"].values()) == {10.0}
