"""The OAI release -> knee table."""
