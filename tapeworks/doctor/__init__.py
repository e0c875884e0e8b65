"""The checks of `tapeworks doctor`: every one gives findings, and changes nothing."""
