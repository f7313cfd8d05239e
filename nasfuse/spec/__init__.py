"""What people write in YAML: recipes, search spaces and studies."""
