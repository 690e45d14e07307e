"""Small networks of the transformers library with random weights, one of each family, as folders."""

from pathlib import Path

import pytest
import torch

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
_SEQUENCES = {"d_model": 16, "decoder_start_token_id": 0}


def _made(family: str):
    import transformers as hub

    match family:
        case "bert":
            config = hub.BertConfig(vocab_size=99, max_position_embeddings=32, **SIZES)
            return hub.BertForQuestionAnswering(config)
        case "vit":
            config = hub.ViTConfig(image_size=16, patch_size=8, num_labels=10, **SIZES)
            return hub.ViTForImageClassification(config)
        case "segformer":
            sizes = {"depths": [1] * 4, "hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2]}
            return hub.SegformerForSemanticSegmentation(
                hub.SegformerConfig(num_labels=5, decoder_hidden_size=16, **sizes)
            )
        case "detr":
            backbone = hub.ResNetConfig(
                embedding_size=8, hidden_sizes=[8] * 4, depths=[1] * 4, layer_type="basic", out_features=["stage4"]
            )
            no_names = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
            config = hub.DetrConfig(
                **no_names,
                backbone_config=backbone,
                d_model=16,
                encoder_layers=1,
                decoder_layers=1,
                num_labels=3,
                num_queries=5,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=32,
                decoder_ffn_dim=32,
            )
            return hub.DetrForObjectDetection(config)
        case "t5":
            config = hub.T5Config(vocab_size=99, d_kv=8, d_ff=32, num_layers=1, num_heads=2, **_SEQUENCES)
            return hub.T5ForConditionalGeneration(config)
        case "marian":
            config = hub.MarianConfig(
                vocab_size=99,
                encoder_layers=1,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=32,
                decoder_ffn_dim=32,
                max_position_embeddings=32,
                pad_token_id=98,
                eos_token_id=0,
                **_SEQUENCES,
            )
            return hub.MarianMTModel(config)
        case "gpt2":
            special = {"bos_token_id": 1, "eos_token_id": 2}
            return hub.GPT2LMHeadModel(
                hub.GPT2Config(vocab_size=99, n_positions=32, n_embd=16, n_layer=1, n_head=2, **special)
            )
        case "llama":
            return hub.LlamaForCausalLM(hub.LlamaConfig(vocab_size=99, num_key_value_heads=1, **SIZES))
        case "wav2vec2":
            front = {"conv_dim": (8, 8), "conv_kernel": (10, 4), "conv_stride": (5, 4), "num_feat_extract_layers": 2}
            positions = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
            return hub.Wav2Vec2ForCTC(hub.Wav2Vec2Config(vocab_size=20, **front, **positions, **SIZES))
    raise AssertionError(family)


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """A function from a family to the folder of its network, made once."""
    pytest.importorskip("transformers", reason="the transformers library is not installed (extra hf)")
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            made[family] = tmp_path_factory.mktemp(family)
            torch.manual_seed(0)
            _made(family).save_pretrained(made[family])
        return made[family]

    return folder
