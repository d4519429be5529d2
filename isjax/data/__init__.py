"""People's own data: files of categorical columns, what they say, and their figures."""
