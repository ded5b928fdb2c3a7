"""What stands behind :mod:`machinery.test_helpers`.

PYTEST_DONT_REWRITE
"""
