"""Helpers for asyncio: `machinery.test_helpers` for deterministic tests, `machinery.helpers` for what they lean on.

PYTEST_DONT_REWRITE
"""
