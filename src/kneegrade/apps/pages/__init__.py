"""Pages to be looked at: templates and what fills them."""
