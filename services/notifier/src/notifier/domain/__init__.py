"""What a viewer is shown, and in what order: pure rules."""
