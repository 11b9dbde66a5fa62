"""Pages for people: campaigns, rounds, regions, prompts, candidates; and one page of a campaign to send around."""
