"""How YAML is read and checked: all problems at once, with key path and line."""
