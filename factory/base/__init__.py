"""What every part may use: identity, names of places, secrets, packages that are missing."""
