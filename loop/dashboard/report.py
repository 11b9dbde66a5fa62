"""One page of a campaign to send around: the campaign's page, with its style inside and no links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from loop.dashboard.facts import Facts
from loop.dashboard.rendering import read_static, template
from loop.dashboard.views import campaign_view, regions_view

if TYPE_CHECKING:
    from loop.bootstrap import Home
    from store.records import CampaignRow


def report_html(home: Home, campaign: CampaignRow) -> str:
    """The page. Charts and tables are those of the dashboard, with the newest map of regions."""
    facts = Facts(home)
    aimed = [row for row in home.ledger.rounds(campaign.name) if facts.aims(row) is not None]
    style = Markup(read_static("style.css"))  # our own file
    return template("report.html").render(
        standalone=True,
        style=style,
        map=regions_view(facts, aimed[-1], links=False) if aimed else None,
        **campaign_view(facts, campaign),
    )
