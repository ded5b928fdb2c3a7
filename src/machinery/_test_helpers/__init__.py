"""What stands behind :mod:`machinery.test_helpers`."""
