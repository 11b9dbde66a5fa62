"""Facts: prompts, rollouts, scores, regions, rounds, checkpoints. Importing this package loads nothing."""
