"""The outside world: command line, pages."""
