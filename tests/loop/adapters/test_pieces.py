"""What needs a student's weights whole: computing inside a forward pass, and whole copies. See `test_launching` too."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Linear

from loop.adapters.models import Models
from loop.adapters.pieces import WholeCopies, inside
from store.records import Version


def test_what_is_computed_inside_sees_the_hooks_once_and_leaves_no_trace() -> None:
    layer, seen = Linear(2, 2), []
    layer.register_forward_pre_hook(lambda _, inputs: (inputs[0] + 1,))
    layer.register_forward_hook(lambda _, inputs, output: seen.append((inputs, output)))

    def doubled(given: Tensor) -> Tensor:
        return 2 * layer.forward(given)

    given = torch.ones(1, 2)
    found = inside(layer, layer, doubled, given)
    assert torch.equal(found, 2 * layer.forward(given + 1))
    assert len(seen) == 1
    assert "forward" not in vars(layer)


def test_a_copy_has_the_weights_of_now_and_is_gone_afterwards(models: Models, pair: tuple[Version, Version]) -> None:
    student = models.fresh(pair[0])
    copies = WholeCopies(student)
    name, weight = next(iter(student.model.named_parameters()))
    with torch.no_grad():
        weight += 1
    with copies.take() as whole:
        for key, value in student.model.state_dict().items():
            assert torch.equal(whole.model.state_dict()[key], value), key
        assert dict(student.model.named_buffers()).keys() == dict(whole.model.named_buffers()).keys()
        assert whole.model is not student.model
        held = whole.model
    assert held.get_parameter(name).numel() == 0
    assert student.model.get_parameter(name) is weight
    assert weight.numel() > 0


def test_weights_that_are_one_in_the_student_are_one_in_its_copy(models: Models, pair: tuple[Version, Version]) -> None:
    student = models.fresh(pair[0])
    student.model.get_output_embeddings().weight = student.model.get_input_embeddings().weight
    with WholeCopies(student).take() as whole:
        assert whole.model.get_output_embeddings().weight is whole.model.get_input_embeddings().weight
