"""Evaluation by other people's harnesses: lmms-eval, in its own environment, asking our samplers.

driver    runs in the harness's environment: tasks, prompts and scores are the harness's
process   runs the driver from here, answers its questions, turns its failures into errors
suites    a harness's tasks as suites of the evaluator port
"""
