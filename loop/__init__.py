"""Order: one round, many rounds, and the adapters to models and trackers at the edge."""
