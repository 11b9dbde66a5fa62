"""The losses of distillation: equal to TRL's where that has one, and what a part of the teacher's logits costs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from loop.adapters import chunked
from loop.adapters.chunked import chunked_loss
from loop.adapters.decoding import Drawn
from loop.adapters.distilling import (
    Responses,
    Support,
    divergence,
    response_states,
    sampled_divergence,
    support_divergence,
)
from loop.adapters.models import Models
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from tests.tiny_models import make_prompts, version_of, write_model, write_text_model


def logits_of(seed: int, tokens: int = 6, vocabulary: int = 17, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [3 * torch.randn(tokens, vocabulary, generator=generator, dtype=dtype) for _ in range(2)]


@pytest.mark.parametrize("temperature", [0.7, 1.0])
@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_loss_and_gradients_equal_trls_however_they_are_chunked(
    beta: float, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    trl = pytest.importorskip("trl.experimental.gkd.gkd_trainer", reason="trl is part of the extra `dev`")
    monkeypatch.setattr(chunked, "CHUNK", 4)
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(11, 8, generator=generator)
    heads = [torch.nn.Linear(8, 300) for _ in range(2)]
    with torch.no_grad():
        for head in heads:
            head.weight.copy_(torch.randn(300, 8, generator=generator))
        target = heads[1](states)

    ours = states.clone().requires_grad_()
    loss, per_token = chunked_loss(
        ours,
        heads[0],
        lambda logits, tokens: divergence(logits, target[tokens], beta, temperature),
        torch.full((11,), 1 / 11),
    )
    (2 * loss).backward()
    found = [loss.detach(), ours.grad, heads[0].weight.grad, heads[0].bias.grad]
    heads[0].zero_grad()
    theirs = states.clone().requires_grad_()
    labels = torch.zeros(1, 11, dtype=torch.long)
    expected = trl.GKDTrainer.generalized_jsd_loss(
        heads[0](theirs)[None], target[None], labels, beta=beta, temperature=temperature, reduction="batchmean"
    )
    (2 * expected).backward()
    wanted = [expected.detach(), theirs.grad, heads[0].weight.grad, heads[0].bias.grad]
    for name, one, other in zip(("loss", "states", "weight", "bias"), found, wanted, strict=True):
        scale = other.abs().max()
        assert (one - other).abs().max() <= 1e-5 * scale, name
    assert per_token.mean().item() == pytest.approx(expected.item(), rel=1e-5)
    assert not per_token.requires_grad


def test_weights_scale_their_tokens_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "CHUNK", 2)
    student, teacher = logits_of(0, tokens=5)
    weights = torch.tensor([1.0, 0.0, 2.0, 0.0, 0.5])
    states = student.clone().requires_grad_()
    loss, per_token = chunked_loss(
        states, torch.nn.Identity(), lambda logits, tokens: divergence(logits, teacher[tokens], 1.0), weights
    )
    loss.backward()
    assert loss.item() == pytest.approx((per_token * weights).sum().item())
    assert states.grad is not None
    assert [bool(row.any()) for row in states.grad] == [True, False, True, False, True]


def test_beta_0_is_forward_and_1_is_reverse_kl() -> None:
    student = torch.tensor([[0.9, 0.1]], dtype=torch.float64).log()
    teacher = torch.tensor([[0.5, 0.5]], dtype=torch.float64).log()
    forward = 0.5 * torch.log(torch.tensor(0.5 / 0.9)) + 0.5 * torch.log(torch.tensor(0.5 / 0.1))
    reverse = 0.9 * torch.log(torch.tensor(0.9 / 0.5)) + 0.1 * torch.log(torch.tensor(0.1 / 0.5))
    assert divergence(student, teacher, 0.0).item() == pytest.approx(forward.item(), abs=1e-6)
    assert divergence(student, teacher, 1.0).item() == pytest.approx(reverse.item(), abs=1e-6)


def support_of(teacher: Tensor, num: int) -> Support:
    best = teacher.log_softmax(-1).topk(num, dim=-1)
    return Support(best.indices, best.values)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_a_support_of_the_whole_vocabulary_is_the_full_divergence(beta: float) -> None:
    student, teacher = (one.requires_grad_() for one in logits_of(1, dtype=torch.float64))
    part = support_divergence(student, support_of(teacher.detach(), 17), beta)
    whole = divergence(student, teacher.detach(), beta)
    torch.testing.assert_close(part, whole, rtol=1e-6, atol=1e-8)
    gradients = [torch.autograd.grad(loss.sum(), student)[0] for loss in (part, whole)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)


@given(seed=st.integers(0, 10_000), num=st.integers(1, 16), beta=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=60, deadline=None)
def test_a_small_support_loses_what_the_tail_holds_and_no_more(seed: int, num: int, beta: float) -> None:
    student, teacher = logits_of(seed, dtype=torch.float64)
    support = support_of(teacher, num)
    lost = divergence(student, teacher, beta) - support_divergence(student, support, beta)
    outside = torch.ones_like(student, dtype=torch.bool).scatter(1, support.ids, False)
    p, q = student.log_softmax(-1), teacher.log_softmax(-1)
    mass = ((p.exp() + q.exp()) * outside).sum(-1)
    spread = (p - q).masked_fill(~outside, 0).abs().amax(-1)
    assert (lost >= -1e-9).all()
    assert (lost <= 2 * mass * spread + 1e-9).all()


def test_the_drawn_tokens_gradient_is_that_of_the_reverse_kl_on_average() -> None:
    student, teacher = logits_of(3, tokens=1, vocabulary=7, dtype=torch.float64)
    student.requires_grad_()
    p, q = student.detach().softmax(-1)[0], teacher.log_softmax(-1)[0]
    drawn = torch.arange(7)
    per_token = sampled_divergence(student.expand(7, 7), drawn, q)
    (mean,) = torch.autograd.grad((p * per_token).sum(), student)
    (exact,) = torch.autograd.grad(divergence(student, teacher, 1.0).sum(), student)
    torch.testing.assert_close(mean, exact, rtol=1e-9, atol=1e-12)
    assert (p * per_token).sum().item() == pytest.approx(divergence(student, teacher, 1.0).item())


@pytest.mark.parametrize("adjusted", [False, True])
@pytest.mark.parametrize("images", [True, False])
def test_states_and_head_make_the_models_own_logits(tmp_path: Path, images: bool, adjusted: bool) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    models = Models(blobs, FileCheckpoints(tmp_path / "checkpoints"), device="cpu", threads=1)
    write = write_model if images else write_text_model
    loaded = models.get(version_of(write(tmp_path / "model", seed=1)))
    if adjusted:
        loaded.model.config.get_text_config().final_logit_softcapping = 30.0
    drawn = [Drawn((8, 9, 10, 3), True), Drawn((11, 3), True), Drawn((12, 13, 3), True)]
    prompts = make_prompts(3, blobs, images=images)
    with torch.no_grad():
        states, head = response_states(loaded.model, models.encode(loaded, prompts), Responses.of(drawn, loaded.device))
        found = head(states)
        start = 0
        for prompt, one in zip(prompts, drawn, strict=True):
            alone = models.encode(loaded, [prompt])
            whole = torch.cat([alone["input_ids"], torch.tensor([one.tokens])], 1)
            extra = {"pixel_values": alone["pixel_values"]} if images else {}
            expected = loaded.model(input_ids=whole, **extra).logits[0, -len(one.tokens) - 1 : -1]
            torch.testing.assert_close(found[start : start + len(one.tokens)], expected, atol=1e-4, rtol=1e-4)
            start += len(one.tokens)
    assert isinstance(head, torch.nn.Identity) == adjusted
