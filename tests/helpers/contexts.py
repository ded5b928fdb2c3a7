"""The contexts that the tests of the helpers begin."""

import logging

from machinery import helpers as hp

LOG = logging.getLogger("tests.helpers")


def begin(name: str = "app") -> hp.CTX:
    """Begin a context on the loop of the test."""
    return hp.CTX.beginning(name=name, log=LOG)
