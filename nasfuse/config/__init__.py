"""What people write: recipes, spaces and studies, read from YAML and checked with all problems at once."""
