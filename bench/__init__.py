"""Benchmarks: real servers, real WebSockets, figures as ratios to references of the same run."""
