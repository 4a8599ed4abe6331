"""Workloads on real data, each a commonly used architecture (rules ST1, ST7)."""
