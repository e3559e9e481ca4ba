"""What people and scripts are shown of a corpus and a run."""
