"""What all releases share: tables, cells, films in their folders, who is left over."""
