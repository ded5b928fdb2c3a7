"""What stands behind `machinery.helpers`, one idea per module.

PYTEST_DONT_REWRITE
"""
