"""Tiny seeded models for tests: vocabulary, random or scripted weights, GGUF files, forward pass in NumPy.

Knows nothing of aspd_local: what it computes is compared with the engine, so it shares no code with it.
"""
