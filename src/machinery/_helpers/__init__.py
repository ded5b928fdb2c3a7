"""What stands behind `machinery.helpers`, one idea per module."""
