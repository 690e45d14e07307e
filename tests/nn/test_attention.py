"""Attention written out as its products, against PyTorch's own."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qanalysis.nn import attention
from qanalysis.nn.observe import coverage
from qanalysis.nn.sites import SiteMode

NAN = {"rtol": 1e-5, "atol": 1e-5, "equal_nan": True}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def with_sites(model, *args, **kwargs):
    """The model's output computed through its sites, and their names."""
    names = []

    def note(call):
        names.append(call.site)
        return call.compute()

    with SiteMode(model, note):
        return model(*args, **kwargs), names


T, S, N, E, H = 5, 7, 3, 8, 2  # queries, keys, batch, width, heads
FIRST_MASKED = torch.zeros(N, S, dtype=torch.bool)
FIRST_MASKED[:, :2] = True
CAUSAL = torch.ones(T, S, dtype=torch.bool).triu(1)
ROW_HIDDEN = torch.zeros(T, S, dtype=torch.bool)
ROW_HIDDEN[1] = True


class TestScaledDotProduct:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"attn_mask": ~CAUSAL},
            {"attn_mask": random(T, S)},
            {"attn_mask": random(N, 1, T, S)},
            {"attn_mask": torch.zeros(T, S).masked_fill(CAUSAL, float("-inf"))},
            {"attn_mask": ~ROW_HIDDEN},
            {"attn_mask": torch.zeros(T, S).masked_fill(ROW_HIDDEN, float("-inf"))},
            {"is_causal": True},
            {"scale": 0.3},
            {"dropout_p": 0.0, "is_causal": True, "scale": 2.0},
        ],
        ids=[
            *(
                "plain",
                "bool mask",
                "float mask",
                "batched mask",
                "mask of -inf",
                "row hidden by bool",
                "row hidden by -inf",
            ),
            *("causal", "scale", "causal and scale"),
        ],
    )
    def test_equals_pytorch(self, options):
        q, k, v = random(N, H, T, E), random(N, H, S, E), random(N, H, S, 6)
        expected = F.scaled_dot_product_attention(q, k, v, **options)
        torch.testing.assert_close(attention.scaled_dot_product(q, k, v, **options), expected, **NAN)

    def test_grouped_queries(self):
        q, k, v = random(N, 6, T, E), random(N, 2, S, E), random(N, 2, S, E)
        expected = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        torch.testing.assert_close(attention.scaled_dot_product(q, k, v, enable_gqa=True), expected, **NAN)

    def test_without_heads(self):
        q, k, v = random(N, T, E), random(N, S, E), random(N, S, E)
        expected = F.scaled_dot_product_attention(q, k, v)
        torch.testing.assert_close(attention.scaled_dot_product(q, k, v), expected, **NAN)

    def test_dropout_zeroes_weights_and_keeps_their_sum(self):
        q, k, v = torch.zeros(1, 1, 2000, E), torch.zeros(1, 1, 4, E), torch.ones(1, 1, 4, 1)
        torch.manual_seed(0)
        output = attention.scaled_dot_product(q, k, v, dropout_p=0.5)
        assert set(output.flatten().tolist()) == {0.0, 0.5, 1.0, 1.5, 2.0}  # each kept weight of 1/4 counts twice
        assert output.mean().item() == pytest.approx(1, abs=0.05)

    def test_its_two_products_are_sites(self):
        class Attention(nn.Module):
            def forward(self, x):
                return F.scaled_dot_product_attention(x, x, x, is_causal=True)

        x = random(N, H, T, E)
        output, names = with_sites(nn.Sequential(Attention()), x)
        assert names == ["0:matmul_0", "0:matmul_1"]
        torch.testing.assert_close(output, F.scaled_dot_product_attention(x, x, x, is_causal=True), **NAN)


SELF_SITES = ["model:in_proj", "model:matmul_0", "model:matmul_1", "out_proj"]
CROSS_SITES = ["model:linear_0", "model:linear_1", "model:linear_2", "model:matmul_0", "model:matmul_1", "out_proj"]
SEPARATE_SITES = ["model:q_proj", "model:k_proj", "model:v_proj", "model:matmul_0", "model:matmul_1", "out_proj"]


class TestMultiHead:
    @pytest.fixture(params=["no grad", "grad"], autouse=True)
    def _gradients(self, request):
        """PyTorch takes another path where no gradients are needed."""
        with torch.set_grad_enabled(request.param == "grad"):
            yield

    def check(self, layer, inputs, expected_sites, **options):
        torch.manual_seed(0)
        layer = layer.eval()
        for parameter in layer.parameters():
            if parameter.ndim == 1:
                parameter.data.normal_()  # biases begin as zeros
        output, weights = layer(*inputs, **options)
        (actual, actual_weights), names = with_sites(layer, *inputs, **options)
        torch.testing.assert_close(actual, output, **NAN)
        assert names == expected_sites
        if weights is None:
            assert actual_weights is None
        else:
            torch.testing.assert_close(actual_weights, weights, **NAN)

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"need_weights": False},
            {"average_attn_weights": False},
            {"attn_mask": CAUSAL[:, :T]},
            {"attn_mask": random(T, T)},
            {"attn_mask": random(N * H, T, T)},
            {"attn_mask": CAUSAL[:, :T], "is_causal": True, "need_weights": False},
            {"key_padding_mask": FIRST_MASKED[:, :T]},
            {"key_padding_mask": random(N, T)},
            {"key_padding_mask": FIRST_MASKED[:, :T], "attn_mask": CAUSAL[:, :T].mT, "need_weights": False},
            {"attn_mask": ROW_HIDDEN[:, :T]},
        ],
        ids=[
            *(
                "plain",
                "no weights",
                "weights of every head",
                "bool mask",
                "float mask",
                "mask of every head",
                "causal",
            ),
            *("padding", "float padding", "padding and mask", "row hidden"),
        ],
    )
    def test_self_attention(self, options):
        x = random(N, T, E)
        self.check(nn.MultiheadAttention(E, H, batch_first=True), (x, x, x), SELF_SITES, **options)

    def test_a_query_that_sees_nothing_gets_zeros_where_weights_are_not_asked_for(self):
        layer, x = nn.MultiheadAttention(E, H, batch_first=True).eval(), random(N, T, E)
        options = {"attn_mask": ROW_HIDDEN[:, :T], "need_weights": False}
        with torch.enable_grad():  # PyTorch's fast path gives NaN
            expected, _ = layer(x, x, x, **options)
        (actual, _), _ = with_sites(layer, x, x, x, **options)
        assert actual.isfinite().all()
        torch.testing.assert_close(actual, expected, **NAN)

    def test_self_attention_with_time_first(self):
        x = random(T, N, E)
        self.check(nn.MultiheadAttention(E, H), (x, x, x), SELF_SITES)

    @pytest.mark.parametrize("batch_first", [True, False])
    def test_cross_attention(self, batch_first):
        q, k, v = random(N, T, E), random(N, S, E), random(N, S, E, seed=1)
        inputs = (q, k, v) if batch_first else tuple(x.transpose(0, 1) for x in (q, k, v))
        self.check(
            nn.MultiheadAttention(E, H, batch_first=batch_first), inputs, CROSS_SITES, key_padding_mask=FIRST_MASKED
        )

    def test_keys_that_are_the_values(self):
        q, memory = random(N, T, E), random(N, S, E)
        self.check(nn.MultiheadAttention(E, H, batch_first=True), (q, memory, memory), CROSS_SITES)

    @pytest.mark.parametrize("mask", [None, CAUSAL, random(H, T, S)], ids=["no mask", "mask", "mask of every head"])
    def test_without_a_batch(self, mask):
        inputs = random(T, E), random(S, E), random(S, E, seed=1)
        padding = FIRST_MASKED[0] if mask is None else None
        self.check(nn.MultiheadAttention(E, H), inputs, CROSS_SITES, attn_mask=mask, key_padding_mask=padding)

    def test_without_bias(self):
        x = random(N, T, E)
        self.check(nn.MultiheadAttention(E, H, bias=False, batch_first=True), (x, x, x), SELF_SITES)

    @pytest.mark.parametrize(
        "options",
        [{"add_bias_kv": True}, {"add_zero_attn": True}, {"add_bias_kv": True, "add_zero_attn": True}],
        ids=str,
    )
    def test_added_keys(self, options):
        q, k, v = random(N, T, E), random(N, S, E), random(N, S, E, seed=1)
        layer = nn.MultiheadAttention(E, H, batch_first=True, **options)
        self.check(layer, (q, k, v), CROSS_SITES, attn_mask=CAUSAL, key_padding_mask=FIRST_MASKED)

    def test_keys_and_values_of_other_widths(self):
        inputs = random(N, T, E), random(N, S, 6), random(N, S, 4)
        self.check(nn.MultiheadAttention(E, H, kdim=6, vdim=4, batch_first=True), inputs, SEPARATE_SITES)

    def test_given_keys_and_values(self):
        layer, x = nn.MultiheadAttention(E, H), random(T, N, E)
        static = random(N * H, T, E // H), random(N * H, T, E // H, seed=1)
        common = (x, x, x, E, H, layer.in_proj_weight, layer.in_proj_bias, None, None, False, 0.0)
        common += (layer.out_proj.weight, layer.out_proj.bias)
        options = {"static_k": static[0], "static_v": static[1], "attn_mask": CAUSAL[:, :T]}
        expected, _ = F.multi_head_attention_forward(*common, **options)
        actual, _ = attention.multi_head(*common, **options)
        torch.testing.assert_close(actual, expected, **NAN)


class TestTransformer:
    @pytest.mark.parametrize("norm_first", [True, False])
    @pytest.mark.parametrize("padding", [None, FIRST_MASKED[:, :T]], ids=["no padding", "padding"])
    def test_the_fast_path_of_an_encoder_layer_is_not_taken(self, norm_first, padding):
        layer = nn.TransformerEncoderLayer(E, H, 16, batch_first=True, norm_first=norm_first).eval()
        x = random(N, T, E)
        with torch.no_grad():
            expected = layer(x, src_key_padding_mask=padding)
            actual, names = with_sites(layer, x, src_key_padding_mask=padding)
        assert names == [
            *("self_attn:in_proj", "self_attn:matmul_0", "self_attn:matmul_1", "self_attn.out_proj"),
            *("linear1", "linear2"),
        ]
        torch.testing.assert_close(actual, expected, **NAN)

    def test_a_whole_transformer(self):
        model = nn.Transformer(E, H, 2, 2, 16, batch_first=True).eval()
        source, target = random(N, S, E), random(N, T, E)
        with torch.no_grad():
            expected = model(source, target)
            actual, names = with_sites(model, source, target)
        torch.testing.assert_close(actual, expected, **NAN)
        assert len(names) == len(set(names)) == 2 * 6 + 2 * (4 + 6 + 2)

    @pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
    def test_an_encoder_with_padding_as_nested_tensors(self):
        model = nn.TransformerEncoder(nn.TransformerEncoderLayer(E, H, 16, batch_first=True), 2).eval()
        x, padding = random(N, T, E), torch.arange(T).expand(N, T) > torch.tensor([[2], [4], [3]])
        with torch.no_grad():
            expected = model(x, src_key_padding_mask=padding)
            actual, names = with_sites(model, x, src_key_padding_mask=padding)
        kept = ~padding[:, : expected.shape[1]]
        torch.testing.assert_close(actual[:, : expected.shape[1]][kept], expected[kept], **NAN)
        assert len(names) == 12


def test_products_of_attention_are_counted():
    layer = nn.TransformerEncoderLayer(E, H, 16, batch_first=True).eval()
    found = {site.name: site.macs for site in coverage(layer, random(N, T, E)).sites}
    assert found == {
        "self_attn:in_proj": T * E * 3 * E,
        "self_attn:matmul_0": T * T * E,
        "self_attn:matmul_1": T * T * E,
        "self_attn.out_proj": T * E * E,
        "linear1": T * E * 16,
        "linear2": T * E * 16,
    }
