"""The embedded default: a real, tiny vision-language pair, its architecture and its stored weights."""
