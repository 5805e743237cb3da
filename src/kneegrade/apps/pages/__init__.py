"""RESULTS -> PAGES TO BE LOOKED AT: templates and what fills them."""
