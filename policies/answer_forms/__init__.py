"""Canonical forms by kind of answer: text, numbers, dates, ranges and lists, choices, LaTeX."""
