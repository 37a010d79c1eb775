"""Styles of answering. Each is an `Agent`, blind to the others and to whatever runs it."""
