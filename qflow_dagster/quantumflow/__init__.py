"""quantumflow."""
