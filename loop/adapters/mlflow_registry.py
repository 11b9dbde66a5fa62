"""The registry's side of a campaign: a registered model of its name, a version per promoted student.

The alias `champion` names the student that was promoted last; refused students have no version.
"""

from __future__ import annotations

from typing import Any

from loop.adapters.mlflow_book import CREATED, ROUND

CHAMPION = "champion"
MODEL = "deltaloop.model"
"""Tag of a version: the id of its logged model, which the SQL registry of MLflow 3.17 does not keep."""


def crown(client: Any, campaign: str, created: str, round: int, model: str, run: str) -> None:
    """Register a promoted logged model and move the alias to it; one of a later round keeps the alias.

    Doing it twice changes nothing, and writing an old round again (its run was deleted) moves nothing back.
    """
    if not client.search_registered_models(f"name = '{campaign}'"):
        client.create_registered_model(campaign, description=f"Students that campaign `{campaign}` promoted.")
    known = {version.tags.get(MODEL): version for version in client.search_model_versions(f"name = '{campaign}'")}
    # Given as `models:/ID`, MLflow would look the source up in its default store instead of this one.
    version = known.get(model) or client.create_model_version(
        campaign,
        source=client.get_logged_model(model).artifact_location,
        run_id=run,
        model_id=model,
        tags={CREATED: created, ROUND: str(round), MODEL: model},
        description=f"promoted in round {round}",
    )
    latest = max(
        (int(v.tags[ROUND]) for v in known.values() if v.tags.get(CREATED) == created and ROUND in v.tags), default=0
    )
    if round >= latest:
        client.set_registered_model_alias(campaign, CHAMPION, version.version)
