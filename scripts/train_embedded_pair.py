"""Trains the embedded models: fixed seeds and real tables in, `from_pretrained` folders and a table out.

    python scripts/train_embedded_pair.py teacher            # resumes from its checkpoint if there is one
    python scripts/train_embedded_pair.py student            # at the same time, on the other core
    python scripts/train_embedded_pair.py direct_student      # the student, taught to answer without a rationale
    python scripts/train_embedded_pair.py llava_teacher      # and llava_student: the second family
    python scripts/train_embedded_pair.py teacher --table 40 # only the table by family of the committed folder

A checkpoint is one file of tensors (weights, optimizer, step), replaced atomically and read with
``weights_only=True``; batches are a function of seed and step, so a resumed run continues as if it had never
stopped. Each line of the log counts the training questions whose whole response was right, word by word.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import nn

from loop.embedded.architecture import save
from loop.world.sets import DOMAINS, SUITES
from scripts.embedded_families import FAMILIES, Size, new_member
from scripts.embedded_pair_batches import Batch, Diet, training_batch
from scripts.embedded_pair_table import as_text, measure

FOLDER = Path(__file__).resolve().parents[1] / "loop" / "embedded"
CELL_WEIGHT = 0.3
LOOK_IMAGES = 24
IMAGES = 6
LEARNING_RATE = 1.5e-3
WARMUP = 100
LOOK_STEPS = 2_000
LOOK_AGAIN_STEPS = 400
LOOK_LEARNING_RATE = 2e-3
EYES_SHARE = 0.1


@dataclass(frozen=True)
class Recipe:
    """Size, data and schedule of one model; a schedule is phases one after the other, each ending at a step."""

    family: str
    size: Size
    seed: int
    look_again_at: int
    ask_until: int
    fall_share: float
    """Share of the questions' phase over which the learning rate falls."""
    diet: Diet
    specialise_until: int | None = None
    """Revision and specialisation are the student's; they begin where the diet says."""
    specialise_lr: float = 0.0

    @property
    def steps(self) -> int:
        """Of the whole schedule."""
        return self.specialise_until or self.ask_until


TEACHER = Recipe(
    family="idefics3",
    size=Size(hidden=128, heads=4),
    seed=1,
    look_again_at=2_300,
    ask_until=8_500,
    fall_share=0.47,
    diet=Diet(hard_percent=100, focus_from=4_900, drill_from=6_600),
)
STUDENT = Recipe(
    family="idefics3",
    size=Size(hidden=96, heads=3),
    seed=2,
    look_again_at=3_100,
    ask_until=7_000,
    fall_share=0.0,
    diet=Diet(hard_percent=8, focus_from=7_000, revise_from=7_000, specialise_from=10_000),
    specialise_until=11_000,
    specialise_lr=2.9e-3,
)
RECIPES = {
    "teacher": TEACHER,
    "student": STUDENT,
    "direct_student": replace(
        STUDENT, diet=replace(STUDENT.diet, bare_from=10_000), specialise_until=10_600, specialise_lr=1.5e-3
    ),
    "llava_teacher": replace(TEACHER, family="llava", seed=3),
    "llava_student": replace(STUDENT, family="llava", seed=4),
}


def cell_loss(embeddings: torch.Tensor, picture: torch.Tensor, cells: torch.Tensor) -> tuple[torch.Tensor, float]:
    """How far image tokens are from the embeddings of the words their cells say, and the share of marks all right.

    Empty cells and the thirty-six alike cells of an easy-vqa picture count little.
    """
    logits = 0.5 * picture @ embeddings.T
    each = -(cells * logits.log_softmax(-1)).sum(-1)
    said = cells > 0
    is_mark = said.sum(-1) > 2
    weights = torch.where(is_mark, 1.0, 0.05)
    lowest_said = logits.masked_fill(~said, 1e9).amin(-1)
    right = logits.masked_fill(said, -1e9).amax(-1) < lowest_said
    return (each * weights).sum() / weights.sum(), float(right[is_mark].float().mean())


def response_logits(
    model: Any, text_tower: Any, batch: Batch, picture: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits at the places that predict a response, and the mask [b, t] of these places."""
    words = text_tower.get_input_embeddings()(batch.ids)
    start = int((batch.ids[0] == model.config.image_token_id).nonzero()[0])
    embeds = torch.cat([words[:, :start], picture, words[:, start + picture.shape[1] :]], dim=1)
    length = batch.ids.shape[1]
    same = batch.segments[:, :, None] == batch.segments[:, None, :]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    mask = ((same | (batch.segments == 0)[:, None, :]) & causal)[:, None]
    hidden = text_tower(
        inputs_embeds=embeds, attention_mask=mask, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    places = batch.targets >= 0
    return model.lm_head(hidden[places]), places


def _exact_by_family(logits: torch.Tensor, places: torch.Tensor, batch: Batch, tally: dict[str, list[int]]) -> None:
    """Adds to the tally which questions have every response token right when the gold ones come before it."""
    wrong = (logits.argmax(-1) != batch.targets[places]).float()
    num_wrong = torch.zeros(len(batch.families)).index_add_(0, batch.owners[places], wrong)
    for family, wrongs in zip(batch.families, num_wrong.tolist(), strict=True):
        tally[family][0] += wrongs == 0
        tally[family][1] += 1


def train(name: str, recipe: Recipe, work: Path, *, stop_at: int, every: int, limit_s: float) -> tuple[Any, Any]:
    """Trains to step ``stop_at``, or the time limit, with a checkpoint and a table every so many steps."""
    family = FAMILIES[recipe.family]
    model, processor = new_member(recipe.family, recipe.size, recipe.seed)
    wording, text_tower = family.wording(processor), family.text_tower(model)
    embeddings = text_tower.get_input_embeddings().weight
    groups = [
        {"params": [p for n, p in model.named_parameters() if _is_eye(n) == eye], "weight_decay": 0.02, "eye": eye}
        for eye in (True, False)
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.95), fused=True)
    checkpoint, start = work / f"{name}.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state["recipe"] != asdict(recipe):
            print(f"the recipe changed since {checkpoint}: continuing under the new one", flush=True)
        model.load_state_dict(state["model"])
        start = state["step"]
        if all(start != phase.start for phase in phases_of(recipe)):
            optimizer.load_state_dict(state["optimizer"])
    print(f"{name}: {sum(p.numel() for p in model.parameters()):,} parameters, from step {start}", flush=True)
    tally: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    losses: list[float] = []
    marks: list[float] = []
    began = time.monotonic()
    for step in range(start, stop_at):
        phase = next(phase for phase in phases_of(recipe) if step < phase.end)
        looking = phase.look
        if step == phase.start:
            optimizer.state.clear()
        if step == LOOK_STEPS:
            with torch.no_grad():
                model.lm_head.weight.copy_(0.2 * embeddings)
        for group in optimizer.param_groups:
            group["lr"] = phase.learning_rate(step) * (phase.eyes_share if group["eye"] else 1.0)
        num_images = LOOK_IMAGES if looking else IMAGES
        batch = training_batch(wording, recipe.diet, recipe.seed, step, num_images)
        picture = family.see(model, batch.pixels)
        loss, share = cell_loss(embeddings, picture, batch.cells)
        if not looking:
            logits, places = response_logits(model, text_tower, batch, picture)
            each = nn.functional.cross_entropy(logits, batch.targets[places], reduction="none")
            weights = batch.weights[places]
            answered = (each * weights).sum() / weights.sum()
            _exact_by_family(logits, places, batch, tally)
            loss = answered + CELL_WEIGHT * loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        marks.append(share)
        if (step + 1) % every == 0 or step + 1 == stop_at:
            pace = (step + 1 - start) / (time.monotonic() - began)
            print(
                f"step {step + 1} loss {np.mean(losses):.3f} marks {np.mean(marks):.3f} {pace:.2f} steps/s {_clock()}",
                " ".join(f"{f} {right / num:.2f}" for f, (right, num) in sorted(tally.items())),
                flush=True,
            )
            tally.clear()
            losses.clear()
            marks.clear()
            keep(model, optimizer, recipe, step + 1, checkpoint)
            if not looking:
                save(model, processor, work / name)
                if (step + 1) % (5 * every) == 0:
                    save(model, processor, work / f"{name}-{step + 1}")
            if time.monotonic() - began > limit_s:
                break
    return model, processor


@dataclass(frozen=True)
class Phase:
    """A stretch of steps: pictures alone, or questions; the eyes are the vision tower and the word embeddings."""

    start: int
    end: int
    look: bool
    lr: float
    eyes_share: float
    fall_share: float

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, a plateau, then a linear fall to a fiftieth."""
        done, total = step - self.start, self.end - self.start
        left = min(1.0, (total - done) / (total * self.fall_share)) if self.fall_share else 1.0
        return self.lr * min(1.0, (done + 1) / WARMUP) * max(0.02, left)


def phases_of(recipe: Recipe) -> list[Phase]:
    """Look, a few questions that wake the text tower but disturb the eyes, look again, then questions.

    The student then revises the few scenes with hard families, and specialises on easy ones until the hard ones fade.
    """
    again, diet = recipe.look_again_at, recipe.diet
    after = again + LOOK_AGAIN_STEPS
    phases = [
        Phase(0, LOOK_STEPS, True, LOOK_LEARNING_RATE, 1.0, 0.3),
        Phase(LOOK_STEPS, again, False, LEARNING_RATE, 1.0, 0.0),
        Phase(again, after, True, LOOK_LEARNING_RATE / 2, 1.0, 1.0),
        Phase(after, recipe.ask_until, False, LEARNING_RATE, EYES_SHARE, recipe.fall_share),
    ]
    if recipe.specialise_until is not None:
        phases += [
            Phase(diet.revise_from, diet.specialise_from, False, LEARNING_RATE, EYES_SHARE, 1.0),
            Phase(diet.specialise_from, recipe.specialise_until, False, recipe.specialise_lr, EYES_SHARE, 1.0),
        ]
    return phases


def _is_eye(name: str) -> bool:
    return any(part in name for part in ("vision_", "connector", "projector", "embed_tokens"))


def keep(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    step: int,
    checkpoint: Path,
) -> None:
    """Writes the checkpoint under a temporary name, then replaces the old one."""
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "recipe": asdict(recipe),
    }
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, checkpoint.with_suffix(".tmp"))
    checkpoint.with_suffix(".tmp").replace(checkpoint)


def _clock() -> str:
    return time.strftime("%H:%M:%S")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=sorted(RECIPES))
    parser.add_argument("--work", type=Path, default=Path("mlruns/embedded_pair"), help="checkpoints and tables")
    parser.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    parser.add_argument("--steps", type=int, help="stop at this step of the recipe's schedule")
    parser.add_argument("--minutes", type=float, default=120.0, help="stop at the first checkpoint after so long")
    parser.add_argument("--install", action="store_true", help="write the result to loop/embedded as well")
    parser.add_argument("--table", type=int, metavar="N", help="no training: N questions a family of the saved folder")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.table:
        print(as_text({args.target: measure(FOLDER / args.target, args.table, SUITES)}))
        return
    recipe = RECIPES[args.target]
    stop_at = min(args.steps or recipe.steps, recipe.steps)
    model, processor = train(
        args.target, recipe, args.work, stop_at=stop_at, every=args.every, limit_s=60 * args.minutes
    )
    if args.install:
        save(model, processor, FOLDER / args.target)
    print(as_text({args.target: measure(args.work / args.target, 40, DOMAINS)}))


if __name__ == "__main__":
    main()
