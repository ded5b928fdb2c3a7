"""Helpers for asyncio: `machinery.test_helpers` for deterministic tests, `machinery.helpers` for contexts and tasks."""
