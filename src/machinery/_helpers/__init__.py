"""The modules behind `machinery.helpers`, one idea each."""
